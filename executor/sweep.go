package executor

import (
	"context"
	"errors"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/steps"
)

// SweepInSpareTime sweeps for at most five seconds if no sweep has ended in the last five minutes. It makes no runs,
// but hands requests off; if there can be no other invocation it does nothing.
func (e *Executor) SweepInSpareTime(ctx context.Context, callID string) error {
	hard, bounded := ctx.Deadline()
	if e.Invoke == nil || bounded && time.Until(hard) < e.Reserve+steps.Grace+spareTime {
		return nil
	}
	spare, cancel := context.WithTimeout(ctx, spareTime)
	defer cancel()
	cursor, err := e.Book.Cursor(spare)
	if err != nil {
		return err
	}
	if age := e.Now().Sub(cursor.Swept); age >= 0 && age < spareEvery {
		return nil
	}
	w := e.startWork(ctx)
	w.handOffOnly = true
	_, err = e.sweep(spare, w, callID)
	return err
}

// Sweep finishes what other invocations left: pending requests, queues, follow-ups of results, and uploads whose event
// never came. It looks at a bounded part of each, and the next sweep continues there; two sweeps at once do no harm.
// The error says what could not be done; the sweep does the rest all the same.
func (e *Executor) Sweep(ctx context.Context, callID string) (Swept, error) {
	if hard, bounded := ctx.Deadline(); bounded && time.Until(hard) > sweepTime {
		shorter, cancel := context.WithTimeout(ctx, sweepTime)
		defer cancel()
		ctx = shorter
	}
	return e.sweep(ctx, e.startWork(ctx), callID)
}

func (e *Executor) sweep(ctx context.Context, w *work, callID string) (Swept, error) {
	s := &sweeping{work: w, callID: callID, begun: time.Now(), swept: Swept{Runs: []SweptRun{}}}
	err := s.all(ctx)
	s.swept.Handed = s.handedOff
	s.swept.Status, s.swept.Message = evidence.StatusSuccess, s.remains()
	if err := errors.Join(append(s.failed, err)...); err != nil {
		described := problem.Of(err, problem.Problem{
			Code: "state.sweep", Message: "the sweep could not do all of its work", Hint: "see the function's log",
		})
		s.swept.Status, s.swept.Message = evidence.StatusError, described.Message()
		s.swept.Error = evidence.NewError(described)
		return s.swept, err
	}
	e.Log.Info("swept", "open", s.swept.Open, "waiting", s.swept.Waiting, "handed", s.swept.Handed,
		"uploads", s.swept.Uploads, "runs", len(s.swept.Runs), "todo", s.swept.Todo, "more", s.swept.More)
	return s.swept, nil
}

// all does the sweep's work. Nothing of it is deferred: in a panic no other run begins.
func (s *sweeping) all(ctx context.Context) error {
	err := s.look(ctx)
	s.drain(ctx, s.callID)
	if err == nil {
		s.note(s.removeProgress(ctx))
		s.todos(ctx)
		s.serveSuspects(ctx)
		s.drain(ctx, s.callID)
	}
	return err
}

// look serves pending requests, and uploads that no run has claimed.
func (s *sweeping) look(ctx context.Context) error {
	watch, err := s.Follower.Watch(ctx, s.Now())
	if err != nil {
		return err
	}
	cursor, err := s.Book.Cursor(ctx)
	if err != nil {
		return err
	}
	s.cursor = cursor
	if !s.fits(0) {
		return s.Time.NoTime(time.Time{})
	}
	s.readIntents(ctx)
	for first := true; first || s.readsNextPage(); first = false {
		if err := s.page(ctx, cursor, watch.Since, first); err != nil {
			return err
		}
		s.remember(cursor)
		if err := cursor.Save(ctx); err != nil {
			return err
		}
	}
	return nil
}

// page looks at a page of the pending requests and at one of the uploads, or at what is left of either.
func (s *sweeping) page(ctx context.Context, cursor *claim.Cursor, since time.Time, first bool) error {
	requests := func() error {
		if first || cursor.Open != "" {
			return s.requests(ctx, cursor)
		}
		return nil
	}
	uploads := func() error {
		if first || cursor.Uploads != "" {
			return s.uploads(ctx, cursor, since)
		}
		return nil
	}
	if cursor.Open != "" {
		requests, uploads = uploads, requests // so that neither waits for the other for ever
	}
	if err := requests(); err != nil {
		return err
	}
	return uploads()
}
