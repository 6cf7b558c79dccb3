package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"cemli-executor/internal/conceal"
)

// childName is the program name under which this program is started again as the child.
const childName = "cemli-sandbox"

// dispatched says that main called Dispatch.
var dispatched bool

// Dispatch must be the first statement of main. In the child it applies the layers, becomes the command, and never
// returns; everywhere else it returns at once.
func Dispatch() {
	dispatched = true
	if len(os.Args) == 0 || os.Args[0] != childName && os.Args[0] != keeperName {
		return
	}
	be := beKeeper
	if os.Args[0] == childName {
		runtime.LockOSThread() // layers apply to one thread, which then becomes the command
		be = become
	}
	if err := be(); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(exitSetup)
	}
	os.Exit(0)
}

// exitSetup is the code of a child that could not become its command.
const exitSetup = 125

// become reads the setup and carries it out.
func become() error {
	in := os.NewFile(setupFD, "setup")
	out := os.NewFile(reportFD, "report")
	if in == nil || out == nil {
		return errors.New("this is a part of the program for its own use")
	}
	// The command gets only the standard descriptors, even if others were left open.
	if err := unix.CloseRange(setupFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	doc, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("read setup: %w", err)
	}
	var s setup
	if err := json.Unmarshal(doc, &s); err != nil {
		return fmt.Errorf("read setup: %w", err)
	}
	answer := json.NewEncoder(out)
	var done report
	if layer, err := s.confine(&done.Layers); err != nil {
		return errors.Join(err, answer.Encode(report{Layer: layer, Error: err.Error()}))
	}
	done.CPU = ownCPU()
	if err := answer.Encode(done); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	err = unix.Exec(s.Path, s.Args, s.Env)
	return errors.Join(err, answer.Encode(report{Layer: "exec", Error: err.Error()}))
}

// confine applies the layers to this thread, the weakest first, because applying a layer may need what the next one
// takes away. It returns the name of the layer that failed.
func (s setup) confine(l *Layers) (string, error) {
	if id := os.Getuid(); id >= firstUser && id < firstUser+users {
		l.User = id
	}
	if err := os.Chdir(s.Dir); err != nil {
		return "folder", err
	}
	if s.ScriptPath != "" {
		if err := sameFile(s.ScriptPath); err != nil {
			return "script", err
		}
	}
	if s.NoNewPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return "no_new_privileges", err
		}
		l.NoNewPrivileges = true
	}
	l.Watched = s.Watched
	if s.Limits != nil {
		var err error
		if l.Limits, err = s.Limits.apply(l.User != 0); err != nil {
			return "limits", err
		}
	}
	if s.Landlock != nil {
		if layer, err := s.Landlock.prove(s.Landlock.apply); err != nil {
			return layer, err
		}
		l.Landlock = s.Landlock.ABI
	}
	if s.Seccomp != nil {
		if err := s.Seccomp.apply(); err != nil {
			return "seccomp", err
		}
		l.Seccomp, l.Offline = true, !s.Seccomp.Network
	}
	l.Init = s.Unlisted || slices.ContainsFunc(s.Others, conceal.Writable)
	if !l.Level().Reaches(s.Level) {
		return "level", fmt.Errorf("what is in force amounts to %s, and %s is demanded", l.Level(), s.Level)
	}
	return "", nil
}

// sameFile returns an error unless the path leads to the file that is open as the script.
func sameFile(path string) error {
	var named, open unix.Stat_t
	if err := unix.Stat(path, &named); err != nil {
		return fmt.Errorf("find %s: %w", path, err)
	}
	if err := unix.Fstat(scriptFD, &open); err != nil {
		return fmt.Errorf("look at the script: %w", err)
	}
	if named.Dev != open.Dev || named.Ino != open.Ino {
		return fmt.Errorf("%s is another file than the one that was checked", path)
	}
	return nil
}

func ownCPU() time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
