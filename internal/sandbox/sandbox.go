// Package sandbox runs one child process: a Command in, an Outcome out.
//
// The child is this program itself, started again: it confines itself in layers, each of which can only be tightened,
// and then becomes the command. Therefore main must call Dispatch before anything else; Run refuses to work
// otherwise.
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
// If root starts the command, it runs as a user of its own, who owns nothing else.
//
// The command starts in its own session and process group, without a terminal, with an empty stdin, exactly the given
// environment, and only the three standard descriptors. When its context ends, the group gets SIGTERM and, after a
// grace, SIGKILL. When the command has ended, everything that it started is killed, in whatever session, before the
// Outcome is returned. A program runs one command at a time.
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
	// LevelIsolated is basic and Landlock: the command can neither read this program's credentials, memory and files
	// nor those of other runs, and writes to none of them.
	LevelIsolated Level = "isolated"
	LevelFull     Level = "full" // isolated, without signals to this program or abstract sockets outside
)

// Levels are all levels, the weakest first.
var Levels = []Level{LevelNone, LevelBasic, LevelIsolated, LevelFull}

// Reaches reports whether level a is at least as strict as b.
func (a Level) Reaches(b Level) bool { return a.rank() >= b.rank() }

func (a Level) rank() int {
	if rank := slices.Index(Levels, a); rank >= 0 {
		return rank
	}
	return len(Levels) // an unknown level counts as stricter than all others, to fail closed
}

// Command is a process to run.
type Command struct {
	Path   string   // absolute path of the program
	Args   []string // arguments after the program's name
	Dir    string   // working directory
	Env    []string // the whole environment
	Stdout io.Writer
	Stderr io.Writer // one goroutine writes to both; their errors are ignored, and the output is read on
	// Grace is the time between SIGTERM and SIGKILL when the context ends.
	Grace time.Duration
	// Linger is how long to wait for output after the command has ended, while processes that it started, such as
	// loggers, hold its streams.
	Linger time.Duration
	// Kept makes a process of its own the command's parent, so that everything ends even if this program is killed.
	Kept bool

	// Level is the lowest level that must be in force. LevelNone applies nothing; with any other, the kernel's
	// Landlock is used as far as it goes.
	Level    Level
	Network  bool     // false: only AF_UNIX sockets, which takes level basic
	Writable []string // absolute paths of folders that it may change; enforced as far as Landlock is in force
	Limits   Limits

	// Script is the open script that the command is to run, and ScriptPath the argument that names it. The command is
	// not started if the path finally leads to another file. Nil: nothing is compared.
	Script     *os.File
	ScriptPath string

	changed func(*setup) // lets tests switch off single layers
}

// Limits bound what a command may take of what it shares with this program. Zero sets no limit.
type Limits struct {
	Processes int   // and threads, in total; only counted now and then, unless the command has a user of its own
	OpenFiles int   // of each process
	FileBytes int64 // of each file
	DataBytes int64 // private writable memory of each process
}

// Outcome is how a command ended.
type Outcome struct {
	ExitCode int    // 0 to 255; -1 when a signal ended it
	Signal   string // "SIGKILL" and the like; empty when it exited
	Stopped  bool   // the context ended first, so the command did not end by itself
	Crowded  bool   // it was killed for having too many processes
	Start    time.Time
	Took     time.Duration // until everything that it started had ended, by the monotonic clock
	CPU      time.Duration // user and system time of the process and its waited-for children
	MaxRSS   int64         // largest resident set of one process, in bytes, including what setting up the sandbox took
	Layers   Layers        // the layers that were in force
	// OutputLost says that not all output could be read.
	OutputLost bool
}

// Layers say what confines a command.
type Layers struct {
	NoNewPrivileges bool
	Seccomp         bool
	Offline         bool   // only AF_UNIX sockets
	Landlock        int    // ABI; 0 where it is not in force
	User            int    // id of the user set aside for commands; 0: this program's user
	Limits          Limits // zero: no limit
	Watched         bool   // processes are counted now and then, because no limit of the kernel can bound them
	Init            bool   // the memory of another process of the same user, as a container's init, can be written
}

// Level is the strictest level that the layers satisfy.
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
