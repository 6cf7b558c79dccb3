package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/proctree"
)

// keeperName is the program name under which this program is started again as a command's parent. The keeper ends the
// command, and everything that the command started, even if this program is killed.
const keeperName = "cemli-keeper"

// The keeper's descriptors besides the standard ones.
const (
	taskFD   = 3 // the task, as JSON, up to its end
	keeperFD = 4 // one keeperReport, as JSON
	eventsFD = 5 // a byte for each event; closed when this program ends
	outFD    = 6 // the command's streams, from here on
	errFD    = 7
	keptFD   = 8 // the script, if there is one
)

// The meanings of the bytes on eventsFD.
const (
	eventStop   = 's'
	eventSilent = 'o'
)

// keeperReport is what the keeper reports at its end.
type keeperReport struct {
	Outcome  Outcome
	Swept    bool
	Problems []problem.Problem `json:",omitzero"`
	Cause    string            `json:",omitzero"` // of the problems, or the whole error
}

func (v keeperReport) err() error {
	switch {
	case len(v.Problems) > 0:
		return &problem.Error{Problems: v.Problems, Cause: errors.New(v.Cause)}
	case v.Cause != "":
		return errors.New(v.Cause)
	}
	return nil
}

// beKeeper runs in the keeper.
func beKeeper() error {
	if err := unix.CloseRange(taskFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	doc, err := io.ReadAll(os.NewFile(taskFD, "task"))
	if err != nil {
		return fmt.Errorf("read task: %w", err)
	}
	var t task
	if err := json.Unmarshal(doc, &t); err != nil {
		return fmt.Errorf("read task: %w", err)
	}
	if err := shield(t.Hidden); err != nil {
		return err
	}
	t.files = files{stdout: os.NewFile(outFD, "stdout"), stderr: os.NewFile(errFD, "stderr")}
	if t.Setup.ScriptPath != "" {
		t.files.script = os.NewFile(keptFD, "script")
	}
	t.started = func() { _, _ = t.files.stdout.Close(), t.files.stderr.Close() }
	var v keeperReport
	v.Outcome, v.Swept, err = t.follow(readEvents(os.NewFile(eventsFD, "events")))
	var known *problem.Error
	if errors.As(err, &known) {
		v.Problems, err = known.Problems, known.Cause
	}
	if err != nil {
		v.Cause = err.Error()
	}
	return json.NewEncoder(os.NewFile(keeperFD, "report")).Encode(v)
}

// readEvents turns the bytes that the keeper reads into its events.
func readEvents(in io.Reader) events {
	stop, silent, gone := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		var b [1]byte
		for {
			if _, err := io.ReadFull(in, b[:]); err != nil {
				return
			}
			switch b[0] {
			case eventStop:
				close(stop)
			case eventSilent:
				close(silent)
			}
		}
	}()
	return events{stop: stop, silent: silent, gone: gone}
}

// keep does what follow does, with a keeper as the command's parent.
func (t *task) keep(e events) (Outcome, bool, error) {
	doc, err := json.Marshal(t)
	if err != nil {
		return Outcome{}, false, fmt.Errorf("sandbox: %w", err)
	}
	var pipes [3]struct{ r, w *os.File }
	defer func() {
		for _, p := range pipes {
			_, _ = p.r.Close(), p.w.Close() // closes what is no longer needed
		}
	}()
	for i := range pipes {
		if pipes[i].r, pipes[i].w, err = os.Pipe(); err != nil {
			return Outcome{}, false, fmt.Errorf("make pipe: %w", err)
		}
	}
	order, said, told := pipes[0], pipes[1], pipes[2]
	k := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{keeperName}, Env: []string{"GOMAXPROCS=1"}, Dir: "/",
		ExtraFiles:  []*os.File{order.r, said.w, told.r, t.files.stdout, t.files.stderr},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if t.files.script != nil {
		k.ExtraFiles = append(k.ExtraFiles, t.files.script)
	}
	start := time.Now()
	if err := k.Start(); err != nil {
		return Outcome{}, false, fmt.Errorf("start the keeper: %w", err)
	}
	t.started()
	_, _, _ = order.r.Close(), said.w.Close(), told.r.Close() // the keeper has its own
	go func() {
		_, _ = order.w.Write(doc) // a keeper that does not read it ends without a report
		_ = order.w.Close()
	}()
	over := make(chan struct{})
	go tell(told.w, e, over, func() { _ = k.Process.Kill() }, t.Grace+2*sweepLimit)
	var v keeperReport
	err = json.NewDecoder(said.r).Decode(&v)
	close(over)
	_ = k.Wait()                       // its state says how it ended
	left := proctree.Sweep(sweepLimit) // the orphans of a killed keeper become this program's
	if err == nil {
		return v.Outcome, v.Swept && left == nil, errors.Join(v.err(), survivor(left))
	}
	lost := Outcome{ExitCode: -1, Start: start.UTC(), Took: time.Since(start)}
	lost.describe(k.ProcessState, 0)
	if lost.Signal == "" {
		return Outcome{}, left == nil,
			errors.Join(fmt.Errorf("the script's keeper ended: %s", k.ProcessState), survivor(left))
	}
	return lost, left == nil, survivor(left)
}

// tell passes events on to the keeper, and kills a keeper that does not end within limit after it was told to stop.
func tell(out io.Writer, e events, over <-chan struct{}, kill func(), limit time.Duration) {
	var late <-chan time.Time
	for {
		select {
		case <-e.stop:
			_, _ = out.Write([]byte{eventStop})
			e.stop, late = nil, time.After(limit)
		case <-e.silent:
			_, _ = out.Write([]byte{eventSilent})
			e.silent = nil
		case <-late:
			kill()
		case <-over:
			return
		}
	}
}
