package sandbox

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// drain is how long output is still read from a process that left the group.
const drain = time.Second

// Run starts the command and waits for its end. The error says why it could not be
// started; how it ended is in the Outcome.
func Run(ctx context.Context, c Command) (Outcome, error) {
	out, err := newCapture(c.Stdout)
	if err != nil {
		return Outcome{}, err
	}
	errs, err := newCapture(c.Stderr)
	if err != nil {
		out.close()
		return Outcome{}, err
	}
	cmd := &exec.Cmd{
		Path: c.Path, Args: append([]string{c.Path}, c.Args...), Dir: c.Dir, Env: c.Env,
		Stdout: out.w, Stderr: errs.w,
		// Pdeathsig is bound to the thread that forks and would end children with it.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	outcome := Outcome{Start: time.Now().UTC()}
	if err := cmd.Start(); err != nil {
		out.close()
		errs.close()
		return Outcome{}, fmt.Errorf("start %s: %w", c.Path, err)
	}
	out.begin()
	errs.begin()

	outcome.Stopped = supervise(ctx, cmd.Process.Pid, c.Grace)
	state, err := cmd.Process.Wait()
	outcome.End = time.Now().UTC()
	out.finish()
	errs.finish()
	if err != nil {
		return outcome, fmt.Errorf("wait for %s: %w", c.Path, err)
	}
	describe(&outcome, state)
	return outcome, nil
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
		signalGroup(pid, unix.SIGTERM)
		patience := time.NewTimer(grace)
		select {
		case <-ended:
		case <-patience.C:
		}
		patience.Stop()
	}
	signalGroup(pid, unix.SIGKILL)
	<-ended
	return stopped
}

// signalGroup signals every process of the group; that none is left is no error.
func signalGroup(pgid int, signal syscall.Signal) { _ = unix.Kill(-pgid, signal) }

func describe(o *Outcome, state *os.ProcessState) {
	o.ExitCode = state.ExitCode()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		o.Signal = unix.SignalName(status.Signal())
	}
	o.CPU = state.UserTime() + state.SystemTime()
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		o.MaxRSS = usage.Maxrss * 1024
	}
}

// capture carries one stream of the child to a writer.
type capture struct {
	r, w *os.File
	dst  io.Writer
	done sync.WaitGroup
}

func newCapture(dst io.Writer) (*capture, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	return &capture{r: r, w: w, dst: dst}, nil
}

// begin gives up this process's writing end and starts to copy.
func (c *capture) begin() {
	_ = c.w.Close() // the child has its own
	c.done.Go(func() {
		buf := make([]byte, 32<<10)
		for {
			n, err := c.r.Read(buf)
			if n > 0 {
				_, _ = c.dst.Write(buf[:n]) // a full log must not block the child
			}
			if err != nil {
				return
			}
		}
	})
}

// finish waits for the last writer, but not for one that will not go.
func (c *capture) finish() {
	_ = c.r.SetReadDeadline(time.Now().Add(drain)) // pipes of os.Pipe have deadlines
	c.done.Wait()
	_ = c.r.Close()
}

func (c *capture) close() {
	_ = c.r.Close()
	_ = c.w.Close()
}
