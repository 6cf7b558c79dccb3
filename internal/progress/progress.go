// Package progress tells, while the steps of a run run, how far they are, and learns that somebody cancels the run.
//
// From the fifth second of a run on it stores a document every five seconds: step, time, and the end of the output.
// Each write replaces its own last one only. One that is refused tells that somebody has written something else: the
// request to cancel the run. A run that is shorter leaves no document, and asks nothing of the store.
//
// A write that fails for another reason is logged and made up for by the next: it never affects the run.
package progress

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/steps"
)

const (
	// every is how old a run is before its document is first written, and the time between two writes.
	every = 5 * time.Second
	// patience bounds one write.
	patience = 10 * time.Second
)

// Run is the run that is watched.
type Run struct {
	Book  claim.Book
	ID    string
	Begun time.Time                // by the monotonic clock
	Mask  func(text string) string // hides secrets, also those that scripts have added meanwhile
	Log   *slog.Logger
	// Undoes says that the run's steps are undo scripts, so that it cannot be cancelled any more.
	Undoes bool
}

// Watch is a run while its steps run.
type Watch struct {
	run       Run
	tail      evidence.Recent
	cancelled chan struct{}
	now       chan struct{} // asks for a write at once
	stop      func()

	mu      sync.Mutex
	step    claim.Progress // what is known of the step
	undoing bool

	// Only the writer has these until it has stopped.
	doc   *claim.Progress
	wrote bool
	by    *evidence.Cancellation
}

// Begin begins to write how far a run is, until Stop. The context bounds all writes.
func Begin(ctx context.Context, run Run) *Watch {
	w := &Watch{
		run: run, undoing: run.Undoes, cancelled: make(chan struct{}), now: make(chan struct{}, 1),
		doc: run.Book.Progress().New(run.ID),
	}
	ctx, cancel := context.WithCancel(ctx)
	var writer sync.WaitGroup
	writer.Go(func() { w.write(ctx) })
	w.stop = func() { cancel(); writer.Wait() }
	return w
}

// Stop ends the writing. It reports whether there may be a document, and who cancelled the run; nil if nobody has.
func (w *Watch) Stop() (written bool, by *evidence.Cancellation) {
	w.stop()
	return w.wrote, w.by
}

// Journal is a journal that also tells the watch what it is told, and stops the steps when the run is cancelled.
func (w *Watch) Journal(j steps.Journal) steps.Journal {
	begins, lines := j.Begins, j.Lines
	j.Begins = func(ctx context.Context, b steps.Beginning) error {
		if err := begins(ctx, b); err != nil {
			return err
		}
		w.begins(b)
		return nil
	}
	j.Lines = func(step string, stream evidence.Stream) func([]string) {
		pass := func([]string) {}
		if lines != nil {
			pass = lines(step, stream)
		}
		return func(list []string) {
			w.tail.Add(list)
			pass(list)
		}
	}
	j.Cancelled, j.Tail = w.cancelled, w.tail.Set
	return j
}

// begins notes the step that begins. That undo begins is written at once, as the run cannot be cancelled any more.
func (w *Watch) begins(b steps.Beginning) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step.Step, w.step.Phase, w.step.Number = b.Step.Name, b.Step.Phase, b.Number
	if undo := b.Interrupted.Rollback != nil; undo && !w.undoing {
		w.undoing = true
		w.now <- struct{}{} // it has room for this one
	}
}

// write writes the document again and again until the context ends.
func (w *Watch) write(ctx context.Context) {
	timer := time.NewTimer(every - time.Since(w.run.Begun))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.now:
			if time.Since(w.run.Begun) < every {
				continue
			}
		}
		w.once(ctx)
		timer.Reset(every)
	}
}

// once writes the document. If somebody else has written it, it reads what they want, and writes it again.
func (w *Watch) once(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w.wrote = true
	for range 2 {
		w.describe()
		ok, err := w.doc.Put(ctx)
		if err == nil && !ok {
			err = w.read(ctx)
		}
		if err != nil && ctx.Err() == nil {
			w.run.Log.Warn("the progress of the run could not be stored", "error", err.Error())
		}
		if err != nil || ok {
			return
		}
	}
}

// describe puts into the document how far the run is.
func (w *Watch) describe() {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.doc
	d.Step, d.Phase, d.Number = w.run.Mask(w.step.Step), w.step.Phase, w.step.Number
	d.Undoing, d.Elapsed, d.Tail = w.undoing, time.Since(w.run.Begun).Milliseconds(), w.tail.Text(w.run.Mask)
}

// read reads what somebody else has written, and cancels the steps if that is wanted and nothing is being undone.
func (w *Watch) read(ctx context.Context) error {
	found, err := w.run.Book.Progress().Of(ctx, w.run.ID)
	switch {
	case err != nil:
		return err
	case found == nil: // somebody has removed it
		w.doc = w.run.Book.Progress().New(w.run.ID)
		return nil
	}
	w.doc = found
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !found.Cancel || w.by != nil:
	case w.undoing:
		w.run.Log.Info("the run was to be cancelled, and is being undone already", "reason", found.Reason)
		found.Cancel, found.Reason, found.Reference, found.By = false, "", "", nil
	default:
		w.by = Cancellation(found)
		w.run.Log.Warn("the run is cancelled", "reason", found.Reason)
		close(w.cancelled)
	}
	return nil
}

// NeverBegun returns the failure of a run that is cancelled before anything of it is executed.
func NeverBegun(runID string) error {
	return problem.New(problem.Problem{
		Code: "request.cancelled", Where: runID, Message: "nothing was executed, as the run was cancelled",
		Hint: "to run it all the same, send rerun_of with a reason",
	}, nil)
}

// Cancellation returns who cancels a run, and why, by its document; nil if nobody does.
func Cancellation(p *claim.Progress) *evidence.Cancellation {
	if p == nil || !p.Cancel {
		return nil
	}
	by := &evidence.Cancellation{Reason: p.Reason, Reference: p.Reference}
	_ = json.Unmarshal(p.By, &by.RequestedBy) // whoever wrote it, the run is cancelled
	return by
}
