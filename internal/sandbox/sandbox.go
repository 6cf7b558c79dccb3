// Package sandbox runs one child process: a Command in, an Outcome out.
//
// The child is this very program, started anew: it confines itself in layers, each of
// which can only be added to, and then becomes the command. So main must call Dispatch
// before anything else; Run refuses where that was not done.
//
//   - no new privileges: setuid programs and file capabilities give nothing;
//   - limits (rlimits) on processes, open files, file size and memory, no core files, and
//     the first place on the kernel's list when memory runs out;
//   - Landlock: the command reads system paths, writes to the folders it is given, and
//     executes only what the system has. It sees no other process and, from ABI 6 on, signals
//     none and reaches no abstract socket outside. The rule set is that of the kernel's ABI,
//     and before it becomes the command the child tries what the rules forbid;
//   - seccomp: no system calls that look into other processes, change the system, make
//     namespaces, or leave things behind in the kernel; without network, no sockets but
//     AF_UNIX.
//
// Started by root, the command runs as a user of its own who owns nothing else.
//
// The command starts in a session and process group of its own, without a terminal, with
// an empty stdin, exactly the environment it is given, and no descriptors but the
// three standard ones. When its context ends, the group gets SIGTERM, and SIGKILL after a grace. When
// it has ended, everything that it started and that is still there is killed before the
// Outcome is returned, in whatever session it is. One command runs at a time in a program.
package sandbox

import (
	"io"
	"os"
	"slices"
	"time"
)

// Level says how strictly a command is confined.
type Level string

// The levels, from the weakest.
const (
	LevelNone  Level = "none"  // same user, same view of the system
	LevelBasic Level = "basic" // no new privileges, seccomp, limits
	// LevelIsolated is basic and Landlock: the command reads neither this program's credentials and
	// memory nor the contents of its files or other runs', and writes to none of them.
	LevelIsolated Level = "isolated"
	LevelFull     Level = "full" // isolated, without signals to this program or abstract sockets outside
)

// Levels are all there are, from the weakest.
var Levels = []Level{LevelNone, LevelBasic, LevelIsolated, LevelFull}

// Reaches reports whether level a is at least as strict as b.
func (a Level) Reaches(b Level) bool { return a.rank() >= b.rank() }

func (a Level) rank() int {
	if rank := slices.Index(Levels, a); rank >= 0 {
		return rank
	}
	return len(Levels) // an unknown level is stricter than all, so that it fails closed
}

// Command is a process to run.
type Command struct {
	Path   string   // absolute path of the program
	Args   []string // arguments after the program's name
	Dir    string   // working directory
	Env    []string // the whole environment
	Stdout io.Writer
	Stderr io.Writer // both are written from one goroutine; errors of theirs are ignored, the output read on
	// Grace is the time between SIGTERM and SIGKILL when the context ends.
	Grace time.Duration
	// Linger is how long output is waited for when the command has ended and others hold its
	// streams, such as loggers that it has started.
	Linger time.Duration
	// Kept: a process of its own is the command's parent, so that all of it also ends when this
	// program is killed.
	Kept bool

	// Level is the least that must be in force. None means none; with the others the
	// kernel's Landlock is used as far as it goes.
	Level    Level
	Network  bool     // false: no sockets but AF_UNIX, which takes level basic
	Writable []string // absolute paths of folders that it may change, as far as Landlock is in force
	Limits   Limits

	// Script is the open script that the command is to run, and ScriptPath the argument
	// that names it. If the path leads to another file when everything else is ready,
	// the command is not started. Nil: nothing is compared.
	Script     *os.File
	ScriptPath string

	changed func(*setup) // tests turn single layers off
}

// Limits bound what a command may take from what it shares with this program. Zero means
// that there is no limit of this kind to set.
type Limits struct {
	Processes int   // and threads, of all it starts together; counted now and then, unless it has a user of its own
	OpenFiles int   // of each process
	FileBytes int64 // of each file
	DataBytes int64 // memory that each process may write to and shares with no other
}

// Outcome is how a command ended.
type Outcome struct {
	ExitCode int    // 0 to 255; -1 when a signal ended it
	Signal   string // "SIGKILL" and the like; empty when it exited
	Stopped  bool   // the context ended first, so that the end is not the command's own
	Crowded  bool   // it was killed as it had too many processes
	Start    time.Time
	Took     time.Duration // up to the end of everything that it started, by a clock that nobody sets
	CPU      time.Duration // user and system time of the process and its waited-for children
	MaxRSS   int64         // largest resident set of one process, in bytes; not less than what confining itself took
	Layers   Layers        // what was in force
	// OutputLost: not all that was written could be read.
	OutputLost bool
}

// Layers say what is in force around a command.
type Layers struct {
	NoNewPrivileges bool
	Seccomp         bool
	Offline         bool   // no sockets but AF_UNIX
	Landlock        int    // ABI; 0 where it is not in force
	User            int    // id of the user that is set aside for commands; 0: that of this program
	Limits          Limits // zero where there is none
	Watched         bool   // processes are counted now and then, as no limit of the kernel's can hold them
}

// Level is the strictest level that the layers amount to.
func (l Layers) Level() Level {
	switch basic := l.NoNewPrivileges && l.Seccomp; {
	case basic && l.Landlock >= landlockFull:
		return LevelFull
	case basic && l.Landlock > 0:
		return LevelIsolated
	case basic:
		return LevelBasic
	}
	return LevelNone
}
