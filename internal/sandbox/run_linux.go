package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
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
	if s.Limits != nil && s.user == nil {
		s.Taken = ownThreads()
	}
	p, err := start(s, c)
	if err != nil {
		return Outcome{}, err
	}
	return p.wait(ctx, c.Grace, s.sweep)
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

// process is a child that has been started.
type process struct {
	path     string // of the command
	cmd      *exec.Cmd
	out, err *capture
	reports  *os.File
	ended    chan error // what waiting for it returned, once it may be waited for
	reap     chan struct{}
	start    time.Time
}

// start starts the child and tells it what to do.
func start(s setup, c Command) (*process, error) {
	doc, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	var open closers
	defer open.close()
	out, err := newCapture(c.Stdout, s.user)
	if err != nil {
		return nil, err
	}
	open.add(out.close)
	errs, err := newCapture(c.Stderr, s.user)
	if err != nil {
		return nil, err
	}
	open.add(errs.close)
	setupR, setupW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer setupR.Close()
	open.add(func() { _ = setupW.Close() })
	reportR, reportW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer reportW.Close()
	open.add(func() { _ = reportR.Close() })

	p := &process{path: s.Path, out: out, err: errs, reports: reportR, ended: make(chan error, 1), reap: make(chan struct{})}
	p.cmd = &exec.Cmd{
		// Few threads and no garbage collection for a process that is something else soon.
		Path: "/proc/self/exe", Args: []string{childName}, Env: []string{"GOMAXPROCS=1", "GOGC=off"}, Dir: "/",
		Stdout: out.w, Stderr: errs.w, ExtraFiles: []*os.File{setupR, reportW},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Credential: s.user},
	}
	if c.Script != nil {
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, c.Script)
	}
	p.start = time.Now().UTC()
	if err := p.spawn(); err != nil {
		return nil, startError(s, err)
	}
	open.keep()
	out.begin()
	errs.begin()
	go func() {
		_, _ = setupW.Write(doc) // a child that does not read it says why, or ends
		_ = setupW.Close()
	}()
	return p, nil
}

// spawn starts the process on a thread that lives as long as it does: the kernel kills the child
// when that thread ends, and so when this program does.
func (p *process) spawn() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			<-p.reap
			p.ended <- p.cmd.Wait()
		}
	}()
	return <-started
}

func startError(s setup, err error) error {
	if s.user != nil && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL)) {
		return problem.New(problem.Problem{
			Code: "sandbox.user", Message: "this program runs as root and may not become another user, as its scripts have to",
			Hint: "run it as another user than root",
		}, err)
	}
	return fmt.Errorf("start the sandbox: %w", err)
}

// wait follows the process to its end.
func (p *process) wait(ctx context.Context, grace time.Duration, sweep bool) (Outcome, error) {
	outcome := Outcome{Start: p.start}
	pid := p.cmd.Process.Pid
	stopBurying := bury(pid)
	reported := make(chan report, 1)
	go func() { reported <- p.readReport() }()

	outcome.Stopped = supervise(ctx, pid, grace)
	stopBurying()
	var left error
	if sweep {
		left = proctree.Sweep(sweepLimit, pid)
	}
	close(p.reap)
	err := <-p.ended
	outcome.End = time.Now().UTC()
	p.out.end(sweep && left == nil)
	p.err.end(sweep && left == nil)
	p.out.finish()
	p.err.finish()
	outcome.OutputLost = p.out.lost.Load() || p.err.lost.Load()
	said := <-reported
	_ = p.reports.Close()
	outcome.Layers = said.Layers
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome, fmt.Errorf("wait for the command: %w", err)
	}
	describe(&outcome, p.cmd.ProcessState, said.CPU)
	return outcome, errors.Join(said.problem(p.path, outcome), survivor(left))
}

// readReport returns the last that the child said; nothing, if it was killed before.
func (p *process) readReport() (last report) {
	in := json.NewDecoder(io.LimitReader(p.reports, 64<<10))
	for {
		var r report
		if in.Decode(&r) != nil {
			return last
		}
		last = r
	}
}

// problem is why the child did not become the command; nil if it did.
func (r report) problem(path string, o Outcome) error {
	switch {
	case r.Layer == "exec":
		return fmt.Errorf("start %s: %s", path, r.Error)
	case r.Layer == "script":
		return problem.New(problem.Problem{
			Code: "step.modified", Message: r.Error, Hint: "no step may change another one's script",
		}, nil)
	case r.Layer == "folder":
		return problem.New(problem.Problem{
			Code: "sandbox.workdir", Message: "the scripts' user cannot use the work folder: " + r.Error,
			Hint: "put TMPDIR where every user may pass through, or run as another user than root",
		}, nil)
	case r.Layer != "":
		return problem.New(problem.Problem{
			Code: "sandbox.layer", Where: r.Layer, Message: "a layer of the sandbox could not be put in place: " + r.Error,
			Hint: "use a kernel that has it, or set CEMLI_SANDBOX to a lower level",
		}, nil)
	case o.ExitCode == exitSetup && r.CPU == 0:
		return fmt.Errorf("start %s: the sandbox ended before it was ready", path)
	}
	return nil
}

func survivor(err error) error {
	if err == nil {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "sandbox.survivor", Message: "processes of the script could not be ended: " + err.Error(),
		Hint: "see what they wait for; the next run starts when this program has been started anew",
	}, err)
}

// bury reaps orphans of the command as they end; the function returned stops it.
func bury(pid int) (stop func()) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	done := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() {
		for {
			select {
			case <-ended:
				proctree.Bury(pid)
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(ended)
		close(done)
		loop.Wait()
	}
}

// supervise returns when the group's leader has ended and the rest of its group has
// been killed; it reports whether ctx ended first. The leader is left unreaped
// until then, so that its id cannot name another group.
func supervise(ctx context.Context, pid int, grace time.Duration) (stopped bool) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		stopped = true
		askToEnd(pid, ended, grace)
	}
	_ = unix.Kill(-pid, unix.SIGKILL) // the group; none may be left
	<-ended
	return stopped
}

// askToEnd sends SIGTERM to the group and to everything else that the command started, and
// returns when all of it has ended, or after grace.
func askToEnd(pid int, ended <-chan struct{}, grace time.Duration) {
	patience := time.NewTimer(grace)
	defer patience.Stop()
	_ = proctree.Signal(unix.SIGTERM, pid, time.Now().Add(grace/2)) // what cannot be asked is killed
	select {
	case <-ended:
	case <-patience.C:
		return
	}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		if strays, err := proctree.Strays(pid); err != nil || len(strays) == 0 {
			return
		}
		select {
		case <-look.C:
			proctree.Bury(pid)
		case <-patience.C:
			return
		}
	}
}

// describe says how the process ended; before is the time it took to get ready.
func describe(o *Outcome, state *os.ProcessState, before time.Duration) {
	o.ExitCode = state.ExitCode()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		o.Signal = unix.SignalName(status.Signal())
	}
	o.CPU = max(state.UserTime()+state.SystemTime()-before, 0)
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		o.MaxRSS = usage.Maxrss * 1024
	}
}

// closers are what has to be closed if something fails before it is in use.
type closers []func()

func (c *closers) add(f func()) { *c = append(*c, f) }
func (c *closers) keep()        { *c = nil }
func (c *closers) close() {
	for _, f := range *c {
		f()
	}
}
