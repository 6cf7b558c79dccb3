package executor

import (
	"context"
	"slices"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/uploader"
)

// A follow-up that may come after a run's claim has ended, because it waits for others or may take its time, has an
// entry of its own under todo/, by run (package followup makes it before the claim ends, so that runs that died have
// one too). A sweep works on a page of the entries after it has served requests, in a bounded part of its time.

// Bounds of one sweep's work on to-dos.
const (
	sweepTodos = 200
	todoShare  = 3 // the part of a sweep's time: a third
)

// laterKind works on the to-dos of one kind, and returns those that are done.
type laterKind func(ctx context.Context, todos []*claim.Todo) (done []*claim.Todo, err error)

// laterKinds returns the kinds that this executor is configured for, by name.
func (e *Executor) laterKinds() map[string]laterKind {
	kinds := map[string]laterKind{}
	if e.WriteLog != nil {
		kinds[followup.TodoRequester] = uploader.Search{
			Log: e.WriteLog, Bucket: e.Packages.Name(), Results: e.Results, Now: e.Now, Logger: e.Log,
		}.Identify
	}
	return kinds
}

// todos works on to-dos in its share of the sweep's time.
func (s *sweeping) todos(ctx context.Context) {
	kinds := s.laterKinds()
	if len(kinds) == 0 {
		return
	}
	ctx, cancel, ok := s.share(ctx)
	defer cancel()
	if !ok {
		s.cut, s.swept.More = true, true
		return
	}
	left, err := s.readTodos(ctx)
	s.note(err)
	for kind, do := range kinds {
		of := slices.DeleteFunc(slices.Clone(left), func(t *claim.Todo) bool { return !slices.Contains(t.Kinds, kind) })
		if len(of) == 0 {
			continue
		}
		done, err := do(ctx, of)
		s.note(err)
		for _, t := range done {
			s.note(t.Done(ctx, kind))
		}
		s.swept.Todo += len(of) - len(done)
	}
}

// share bounds the time for to-dos: a third of the whole sweep's time. ok is false if that is used up.
func (s *sweeping) share(ctx context.Context) (_ context.Context, cancel context.CancelFunc, ok bool) {
	most := time.Minute
	if end, bounded := ctx.Deadline(); bounded {
		most = min(most, end.Sub(s.begun)/todoShare, time.Until(end)-time.Second/2)
	}
	ctx, cancel = context.WithTimeout(ctx, most)
	return ctx, cancel, most > 0
}

// readTodos reads a page of the entries, in half of the time that there is for them.
func (s *sweeping) readTodos(ctx context.Context) (left []*claim.Todo, err error) {
	from := s.cursor.Todo
	names, next, err := s.Book.Todos(ctx, from, sweepTodos)
	if err != nil {
		return nil, err
	}
	half, cancel := uploader.Partly(ctx, 1, 2)
	defer cancel()
	for _, name := range names {
		if half.Err() != nil {
			next, s.cut = name, true
			break
		}
		t, err := s.Book.Todo(ctx, name)
		s.note(err)
		if t != nil {
			left = append(left, t)
		}
	}
	if next == from {
		return left, nil
	}
	s.cursor.Todo = next
	s.swept.More = s.swept.More || next != ""
	return left, s.cursor.Save(ctx)
}
