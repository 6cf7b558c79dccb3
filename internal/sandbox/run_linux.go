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

// one is held while a command runs: every stray process is then that command's.
var one sync.Mutex

// sweepLimit is how long killed processes may take to go.
const sweepLimit = 5 * time.Second

// Run starts the command and waits for its end and that of everything it started. The
// error says why it could not be started as it was to be, or that a process could not be
// ended; how the command ended is in the Outcome.
func Run(ctx context.Context, c Command) (Outcome, error) {
	if !dispatched {
		return Outcome{}, errors.New("sandbox: main does not call Dispatch first")
	}
	one.Lock()
	defer one.Unlock()
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
	output.started() // or it never was
	output.end(swept)
	outcome.OutputLost = !output.finish()
	return outcome, err
}

// shield makes this program the parent of orphans, and its memory and its environment
// invisible for other processes of its user.
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

// task is a command as its parent starts it and follows it to its end: this program, or a keeper.
type task struct {
	Setup         setup
	User          int // that the command runs as; 0: its parent's
	Hidden, Sweep bool
	Watch         int // processes that it may have, where its parent has to count them; 0: it need not
	Grace, Linger time.Duration

	files   files
	started func() // called once the command has its own descriptors of the files
}

// files are open files that the command gets; the script may be nil.
type files struct{ stdout, stderr, script *os.File }

// events are what a command's parent reacts to, besides the command's own end.
type events struct {
	stop   <-chan struct{} // closed when the command's time has ended
	silent <-chan struct{} // closed when its streams have reached their ends
	gone   <-chan struct{} // closed when nobody waits for the command any more; nil: that cannot be
}

// follow starts the command and returns when it and all that it started have ended. It reports
// whether all that could write to the command's streams is known to be gone.
func (t *task) follow(e events) (Outcome, bool, error) {
	p, err := t.start()
	if err != nil {
		return Outcome{}, false, err
	}
	return p.wait(t, e)
}

// credential is how the command becomes its user; nil: it stays its parent's.
func (t *task) credential() *syscall.Credential {
	if t.User == 0 {
		return nil
	}
	return &syscall.Credential{Uid: uint32(t.User), Gid: uint32(t.User)} // #nosec G115 -- small
}

func (t *task) startError(err error) error {
	if t.User != 0 && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL)) {
		return problem.New(problem.Problem{
			Code: "sandbox.user", Message: "this program runs as root and may not become another user, as its scripts have to",
			Hint: "run it as another user than root",
		}, err)
	}
	return fmt.Errorf("start the sandbox: %w", err)
}
