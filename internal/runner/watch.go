package runner

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/store"
)

// watch tells, while the steps run, how far they are, and learns that the job is cancelled. A job that is shorter than
// the time between two writes leaves no document, and asks nothing of the store.
type watch struct {
	work      *work
	recent    evidence.Recent
	cancelled chan struct{}
	now       chan struct{} // asks for a write at once

	begin, end sync.Once
	cancel     context.CancelFunc
	writer     sync.WaitGroup

	mu    sync.Mutex
	first time.Time // when the first script began
	step  string
	seq   int
	over  bool // the job is cancelled
}

const (
	// patience bounds one write, and one look at whether the job is cancelled.
	patience = 10 * time.Second
	// mostWrites is less than the bound of their numbers.
	mostWrites = 90_000
	// fewRecords is how many records are told where all would be too much.
	fewRecords = 500
)

func newWatch(w *work) *watch {
	return &watch{work: w, cancelled: make(chan struct{}), now: make(chan struct{}, 1), cancel: func() {}}
}

// begins notes that a step begins.
func (w *watch) begins(step string) {
	w.mu.Lock()
	w.step = step
	w.mu.Unlock()
	w.begin.Do(func() {
		w.first = time.Now()
		var ctx context.Context
		ctx, w.cancel = context.WithDeadline(w.work.base, w.work.kill)
		w.writer.Go(func() { w.write(ctx) })
	})
}

// ends notes that the step has ended, which is told at once.
func (w *watch) ends() {
	w.mu.Lock()
	w.step = ""
	w.mu.Unlock()
	select {
	case w.now <- struct{}{}:
	default: // it was asked for already
	}
}

// stop ends the writing.
func (w *watch) stop() {
	w.end.Do(func() {
		w.cancel()
		w.writer.Wait()
	})
}

// write writes the document again and again until the context ends.
func (w *watch) write(ctx context.Context) {
	defer w.work.contain("progress")
	timer := time.NewTimer(w.work.runner.every)
	defer timer.Stop()
	for w.seq < mostWrites {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.now:
			if time.Since(w.first) < w.work.runner.every {
				continue
			}
		}
		w.once(ctx)
		timer.Reset(w.work.runner.every)
	}
}

// once writes the document, and looks whether the job is cancelled. That a write fails never affects the job.
func (w *watch) once(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	doc, err := w.describe()
	if err == nil {
		_, err = w.work.put(limited, jobs.MailProgress, bytes.NewReader(doc), int64(len(doc)), false)
	}
	if err != nil && ctx.Err() == nil {
		w.work.log.Warn("the progress of the job could not be stored", "error", err.Error())
	}
	if err := w.read(limited); err != nil && ctx.Err() == nil {
		w.work.log.Warn("it is not known whether the job is cancelled", "error", err.Error())
	}
}

// describe says how far the job is.
func (w *watch) describe() ([]byte, error) {
	w.seq++
	w.mu.Lock()
	p := jobs.Progress{
		Job: w.work.job.Job, Seq: w.seq, Step: w.step, Elapsed: time.Since(w.first).Milliseconds(),
		Tail: w.recent.Text(w.work.masker.String), Steps: w.work.story.soFar(),
	}
	w.mu.Unlock()
	doc, err := p.Encode()
	if err != nil && len(p.Steps) > fewRecords {
		p.Steps = p.Steps[len(p.Steps)-fewRecords:]
		return p.Encode()
	}
	return doc, err
}

// read looks whether the job is cancelled.
func (w *watch) read(ctx context.Context) error {
	if w.over {
		return nil
	}
	body, _, err := w.work.box.Get(ctx, jobs.MailControl, 0, 0)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer body.Close()
	doc, err := io.ReadAll(io.LimitReader(body, jobs.MaxMail+1))
	if err != nil {
		return err
	}
	control, err := jobs.DecodeControl(doc)
	if err == nil && control.Cancel {
		w.work.log.Warn("the job is cancelled", "reason", w.work.masker.String(control.Reason))
		w.over = true
		close(w.cancelled)
	}
	return err
}
