package sandbox

import (
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

// process is a started child.
type process struct {
	path    string // the command's program
	cmd     *exec.Cmd
	reports *os.File
	ended   chan error // receives the result of waiting, once waiting is allowed
	reap    chan struct{}
	start   time.Time
}

// start starts the child and tells it what to do.
func (t *task) start() (*process, error) {
	doc, err := json.Marshal(t.Setup)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	setupR, setupW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer setupR.Close()
	reportR, reportW, err := os.Pipe()
	if err != nil {
		_ = setupW.Close()
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer reportW.Close()
	p := &process{
		path: t.Setup.Path, reports: reportR, ended: make(chan error, 1), reap: make(chan struct{}), start: time.Now(),
	}
	p.cmd = &exec.Cmd{
		// The process soon becomes another program, so it needs few threads and no garbage collection.
		Path: "/proc/self/exe", Args: []string{childName}, Env: []string{"GOMAXPROCS=1", "GOGC=off"}, Dir: "/",
		Stdout: t.files.stdout, Stderr: t.files.stderr, ExtraFiles: []*os.File{setupR, reportW},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Credential: t.credential()},
	}
	if t.files.script != nil {
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, t.files.script)
	}
	if err := p.spawn(); err != nil {
		_, _ = setupW.Close(), reportR.Close()
		return nil, t.startError(err)
	}
	t.started()
	go func() {
		_, _ = setupW.Write(doc) // a child that does not read it reports why, or ends
		_ = setupW.Close()
	}()
	return p, nil
}

// spawn starts the process on a thread that lives as long as the process does: the kernel kills the child when that
// thread ends, and so also when this program ends.
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

// wait follows the process to its end. It also reports whether everything that it started has ended.
func (p *process) wait(t *task, e events) (Outcome, bool, error) {
	pid := p.cmd.Process.Pid
	stopReaping := reapOrphans(pid)
	crowded, stopCounting := watch(t.Watch)
	reported := make(chan report, 1)
	go func() { reported <- p.readReport() }()

	outcome := p.supervise(t, e, crowded)
	stopCounting()
	stopReaping()
	var left error
	if t.Sweep {
		left = proctree.Sweep(sweepLimit, pid)
	}
	close(p.reap)
	err := <-p.ended
	outcome.Start, outcome.Took = p.start.UTC(), time.Since(p.start)
	said := <-reported
	_ = p.reports.Close()
	outcome.Layers = said.Layers
	swept := t.Sweep && left == nil
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome, swept, fmt.Errorf("wait for the command: %w", err)
	}
	outcome.describe(p.cmd.ProcessState, said.CPU)
	return outcome, swept, errors.Join(said.problem(p.path, outcome), survivor(left))
}

// readReport returns the child's last report; an empty one if the child was killed before it reported.
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

// problem returns why the child did not become the command; nil if it did.
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
	case r.Layer == layerCanary:
		return problem.New(problem.Problem{
			Code: "sandbox.failed", Where: r.Layer,
			Message: "the sandbox does not hold what it promises, and the script did not start: " + r.Error,
			Hint:    "use another kernel or container engine, and report it",
		}, nil)
	case r.Layer != "":
		return problem.New(problem.Problem{
			Code: "sandbox.layer", Where: r.Layer,
			Message: "a layer of the sandbox could not be put in place: " + r.Error,
			Hint:    "use a kernel that has it, or set CEMLI_SANDBOX to a lower level",
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
		Hint: "see what they wait for; a function ends by itself, and the next run is in a fresh container; " +
			"elsewhere end this program before the next run",
	}, err)
}

// reapOrphans reaps the command's orphans as they end; calling the returned function stops it.
func reapOrphans(pid int) (stop func()) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	done := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() {
		for {
			select {
			case <-ended:
				proctree.Reap(pid)
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

// supervise returns when the group's leader has ended and the rest of its group has been killed. The outcome says if
// that was not the leader's own doing. The leader is not reaped before that, so that its id cannot be given to
// another group.
func (p *process) supervise(t *task, e events, crowded <-chan struct{}) (outcome Outcome) {
	pid := p.cmd.Process.Pid
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	select {
	case <-ended:
		t.linger(e, crowded)
	case <-e.stop:
		outcome.Stopped = true
		askToEnd(pid, ended, e.gone, crowded, t.Grace)
	case <-e.gone:
	case <-crowded:
	}
	_ = unix.Kill(-pid, unix.SIGKILL) // the rest of the group, if any
	<-ended
	select {
	case <-crowded:
		outcome.Crowded = true
	default:
	}
	return outcome
}

// linger waits for the output of processes that the command left behind: a logger has to read to its end.
func (t *task) linger(e events, crowded <-chan struct{}) {
	patience := time.NewTimer(t.Linger)
	defer patience.Stop()
	select {
	case <-e.silent:
	case <-e.stop:
	case <-e.gone:
	case <-crowded:
	case <-patience.C:
	}
}

// askToEnd sends SIGTERM to the group and to everything else that the command started. It returns when all of it has
// ended, after grace, or when it must be killed at once.
func askToEnd(pid int, ended, gone, crowded <-chan struct{}, grace time.Duration) {
	patience := time.NewTimer(grace)
	defer patience.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	_ = proctree.Signal(unix.SIGTERM, pid, time.Now().Add(grace/2)) // what cannot be asked is killed
	// set once the leader has ended: when to look for others
	var left <-chan time.Time
	for {
		select {
		case <-ended:
			ended, left = nil, look.C
		case <-left:
			proctree.Reap(pid)
			if strays, err := proctree.Strays(pid); err != nil || len(strays) == 0 {
				return
			}
		case <-gone:
			return
		case <-crowded:
			return
		case <-patience.C:
			return
		}
	}
}

// describe records how the process ended; before is how long setting it up took.
func (o *Outcome) describe(state *os.ProcessState, before time.Duration) {
	o.ExitCode = state.ExitCode()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		o.Signal = unix.SignalName(status.Signal())
	}
	o.CPU = max(state.UserTime()+state.SystemTime()-before, 0)
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		o.MaxRSS = usage.Maxrss * 1024
	}
}
