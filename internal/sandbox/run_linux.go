package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/proctree"
)

// running is locked while a command runs, so that every stray process belongs to that command.
var running sync.Mutex

// sweepLimit is how long killed processes may take to end.
const sweepLimit = 5 * time.Second

// Run starts the command, and waits until it and everything that it started have ended. The error says why it could
// not be started as demanded, or that a process could not be ended; the Outcome says how the command ended.
func Run(ctx context.Context, c Command) (Outcome, error) {
	if !dispatched {
		return Outcome{}, errors.New("sandbox: main does not call Dispatch first")
	}
	running.Lock()
	defer running.Unlock()
	s := newSetup(c)
	if err := shield(s.hidden); err != nil {
		return Outcome{}, err
	}
	spare()
	output, err := newCapture(c.Stdout, c.Stderr, s.user)
	if err != nil {
		return Outcome{}, err
	}
	output.begin()
	t := task{
		Setup: s, User: s.userID(), Hidden: s.hidden, Sweep: s.sweep, Grace: c.Grace, Linger: c.Linger, Watch: s.watch,
		files: files{output.streams[0].w, output.streams[1].w, c.Script}, started: output.started,
	}
	e := events{stop: ctx.Done(), silent: output.ended}
	follow := t.follow
	if c.Kept {
		follow = t.keep
	}
	outcome, swept, err := follow(e)
	output.started() // or they were never started
	output.end(swept)
	outcome.OutputLost = !output.finish()
	return outcome, err
}

// shield makes this program the parent of orphans, and hides its memory and environment from other processes of its
// user.
func shield(hidden bool) error {
	dumpable := uintptr(1)
	if hidden {
		dumpable = 0
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, dumpable, 0, 0, 0); err != nil {
		return fmt.Errorf("hide memory: %w", err)
	}
	return proctree.Adopt()
}

// task is a command as seen by its parent, which starts it and follows it to its end: this program, or a keeper.
type task struct {
	Setup         setup
	User          int // the user that the command runs as; 0: its parent's
	Hidden, Sweep bool
	Watch         int // how many processes it may have, if its parent has to count them; 0: it need not
	Grace, Linger time.Duration

	files   files
	started func() // called once the command has its own descriptors of the files
}

// files are the open files that the command gets; script may be nil.
type files struct{ stdout, stderr, script *os.File }

// events are what a command's parent reacts to, apart from the command's own end.
type events struct {
	stop   <-chan struct{} // closed when the command's time has ended
	silent <-chan struct{} // closed when its streams have reached their ends
	gone   <-chan struct{} // closed when nobody waits for the command any more; nil: that cannot happen
}

// follow starts the command, and returns when it and everything that it started have ended. It also reports whether
// nothing is left that could write to the command's streams.
func (t *task) follow(e events) (Outcome, bool, error) {
	p, err := t.start()
	if err != nil {
		return Outcome{}, false, err
	}
	return p.wait(t, e)
}

// credential is the user that the command runs as; nil: its parent's.
func (t *task) credential() *syscall.Credential {
	if t.User == 0 {
		return nil
	}
	return &syscall.Credential{Uid: uint32(t.User), Gid: uint32(t.User)} // #nosec G115 -- small
}

func (t *task) startError(err error) error {
	if t.User != 0 && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL)) {
		return problem.New(problem.Problem{
			Code:    "sandbox.user",
			Message: "this program runs as root and may not become another user, as its scripts have to",
			Hint:    "run it as another user than root",
		}, err)
	}
	return fmt.Errorf("start the sandbox: %w", err)
}
