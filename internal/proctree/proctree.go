// Package proctree ends processes together with everything that they started, also what
// left their group and their session.
//
// A process that called Adopt becomes the parent of each descendant whose own parent has
// ended. As a session cannot be joined from outside, a child in another session than its
// parent's has come from a process that was started in a session of its own, as Sweep
// demands: so orphans are told from the children that others of the same program started.
package proctree
