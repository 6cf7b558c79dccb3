package pipeline

import (
	"context"
	"errors"
	"time"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
	"cemli-executor/internal/timing"
	"cemli-executor/internal/verdict"
	"cemli-executor/manifest"
)

// entries bounds how often a run reads a group that other runs keep changing.
const entries = 20

// enter makes the run the only one of its concurrency group. If the run has to wait, enter puts it into the group's
// queue and returns the verdict later. A package that admit would refuse in any case is refused at once.
func (r *acquired) enter(
	ctx context.Context, m *manifest.Manifest, policy *manifest.Policy, admit func() (*manifest.Plan, error),
) error {
	if r.result.Action == string(intake.ActionCheck) {
		return nil // it runs nothing
	}
	if ok, err := r.worthWaiting(ctx, m, admit); err != nil || !ok {
		return err
	}
	name := admission.GroupOf(m, policy, r.request.ParameterSet)
	me := r.queueEntry(m)
	examined := false
	for range entries {
		g, err := r.exec.Book.Group(ctx, name)
		if err != nil {
			return err
		}
		free, err := r.isFree(ctx, g, me.Key)
		if err != nil {
			return err
		}
		turn := free && g.IsTurnOf(me)
		switch {
		case !turn && m.Concurrency.Reject:
			return g.Busy()
		case turn:
			late, ok, err := g.Enter(ctx, me, r.result.RunID, r.newLease())
			if err != nil {
				return err
			}
			if ok {
				r.group, r.result.Late = g, late
				return nil
			}
			continue
		case !examined:
			if _, err := admit(); err != nil && verdict.Of(err).Kind != verdict.Skipped && !admission.MayChange(err) {
				return err
			}
			examined = true
		}
		if ok, err := r.claim.Join(ctx, name); err != nil || !ok {
			return errors.Join(err, verdict.LostRace(ok || err != nil, r.claim))
		}
		if ok, err := g.Wait(ctx, me); err != nil {
			return err
		} else if ok {
			// The group may have become free meanwhile, or the first of the queue is to be started.
			r.released = append(r.released, name)
			return verdict.PutOff("the run waits for its turn in the concurrency group "+name+g.With(), "")
		}
	}
	return problem.New(problem.Problem{
		Code: "state.conflict", Where: name,
		Message: "the concurrency group was changed by others each time it was to be entered",
		Hint:    "send the request again",
	}, nil)
}

// worthWaiting reports whether the run may be executed once it is in its group: a run that apply refuses for want of
// time need not wait for that in the queue. It returns the verdict later if another invocation may have the time that
// the package says it takes.
func (r *acquired) worthWaiting(
	ctx context.Context, m *manifest.Manifest, admit func() (*manifest.Plan, error),
) (bool, error) {
	if m.Timeout+m.RollbackTimeout <= timing.Left(ctx) {
		return true, nil
	}
	if elsewhere := r.tooLong(nil); elsewhere != nil {
		return false, elsewhere
	}
	plan, err := admit()
	return err != nil || r.exec.Time.Suffices(ctx, plan, r.killAt) == nil, nil
}

// isFree reports whether no other run is in the group. A run that died in it is ended first.
func (r *acquired) isFree(ctx context.Context, g *claim.Group, key string) (bool, error) {
	busy, err := g.Occupied(ctx, key)
	if err != nil || busy || g.Holder == nil {
		return err == nil && !busy, err
	}
	err = r.exec.Follower.EndFormer(ctx, g, key)
	if errors.Is(err, followup.ErrGoesOn) {
		return false, nil
	}
	return err == nil, err
}

// queueEntry returns the run's entry in a queue.
func (r *acquired) queueEntry(m *manifest.Manifest) claim.Waiting {
	pending := r.pending
	if r.request.Parent != "" {
		pending = r.request.Parent // the sets before this one must have succeeded first
	}
	return claim.Waiting{
		Place: claim.Place{
			Created: r.created.UTC().Truncate(time.Millisecond), Package: m.Name, Version: m.Version,
			Object: r.request.Object, ETag: r.request.ETag, Set: r.request.ParameterSet,
		},
		Key: r.claim.Key, Pending: pending, Need: (m.Timeout + m.RollbackTimeout).Milliseconds(),
	}
}

// releases the claim and leaves the group, unless a step has started: a later invocation serves the request. The claim
// keeps the failure, if there is one.
func (r *acquired) release(ctx context.Context, failure error, counted bool) {
	if !r.releaseClaim(ctx, failure, counted) || r.group == nil {
		return
	}
	if r.mayHaveResult && r.withoutResult(ctx) != nil {
		return // the next run of the group enters when the lease has ended, and reads that result first
	}
	r.leave(ctx)
}

// releaseClaim releases the claim, and reports whether it did.
func (r *acquired) releaseClaim(ctx context.Context, failure error, counted bool) bool {
	if r.claim == nil || r.started {
		return false
	}
	last := evidence.LastError(failure)
	if last != nil {
		last.Message = r.hides.Masker.String(last.Message)
	}
	if err := r.claim.Release(ctx, counted, last); err != nil {
		// The claim may say that a step has begun, which the next run of the group has to settle first.
		r.log.Error("the claim could not be released", "error", err.Error())
		return false
	}
	return true
}

// leaves the group, and notes it as released if another run waits in it.
func (r *acquired) leave(ctx context.Context) {
	if r.group == nil {
		return
	}
	g, err := r.group.Leave(ctx)
	if err != nil {
		r.log.Error("the concurrency group could not be left; it is free when the lease ends", "group", r.group.Name,
			"error", err.Error())
		return
	}
	if g.First() != nil {
		r.released = append(r.released, g.Name)
	}
	r.group = nil
}

// withoutResult refuses to run under a run id that has a result already.
func (r *acquired) withoutResult(ctx context.Context) error {
	object := evidence.ResultObject(r.result.RunID)
	_, err := r.exec.Results.Head(ctx, object)
	switch {
	case errors.Is(err, store.ErrNotFound):
		r.mayHaveResult = false
		return nil
	case err != nil:
		return err
	}
	return store.Error(store.ErrExists, "start run", r.exec.Results.Name(), object, verdict.ErrHasResult)
}
