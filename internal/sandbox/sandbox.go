// Package sandbox runs one child process: a Command in, an Outcome out.
//
// The child starts in a process group of its own with an empty stdin, exactly the
// environment it is given, and no descriptors but the three standard ones. When its
// context ends, the group gets SIGTERM, and SIGKILL after a grace. When the child
// ends by itself, what it left in its group is killed too, before the Outcome is
// returned. Output is delivered until the last writer is gone, and for at most a
// second more when a process that left the group still holds the pipe.
//
// No layer of confinement is applied yet: Level is none, and a script can reach what
// the calling process's user can.
package sandbox

import (
	"io"
	"time"
)

// Level says how strictly a child is confined.
type Level string

// The levels, from the weakest.
const (
	LevelNone  Level = "none"  // same user, same view of the system
	LevelBasic Level = "basic" // no new privileges, seccomp, rlimits
	LevelFull  Level = "full"  // basic and Landlock
)

// Strongest is the strictest level that this build can enforce.
const Strongest = LevelNone

// Reaches reports whether level a is at least as strict as b.
func (a Level) Reaches(b Level) bool { return a.rank() >= b.rank() }

func (a Level) rank() int {
	switch a {
	case LevelNone:
		return 0
	case LevelBasic:
		return 1
	case LevelFull:
		return 2
	}
	return 3 // an unknown level is stricter than all, so that it fails closed
}

// Command is a process to run.
type Command struct {
	Path   string   // absolute path of the program
	Args   []string // arguments after the program's name
	Dir    string   // working directory
	Env    []string // the whole environment
	Stdout io.Writer
	Stderr io.Writer // both are written from goroutines of their own; errors of theirs are ignored, the output read on
	// Grace is the time between SIGTERM and SIGKILL when the context ends.
	Grace time.Duration
}

// Outcome is how a process ended.
type Outcome struct {
	ExitCode int    // 0 to 255; -1 when a signal ended it
	Signal   string // "SIGKILL" and the like; empty when it exited
	Stopped  bool   // the context ended first, so that the end is not the process's own
	Start    time.Time
	End      time.Time
	CPU      time.Duration // user and system time of the process and its waited-for children
	MaxRSS   int64         // largest resident set of one process, in bytes
}
