// Package proctree ends processes together with everything that they started, including processes that left their
// group and session.
//
// A process that called Adopt becomes the parent of each descendant whose own parent has ended. Such an orphan is
// recognised by its session: processes to be swept must be started in sessions of their own, which no other process
// can join from outside, so that a child in another session than this process's is an orphan, and every other child
// was started by this program.
package proctree
