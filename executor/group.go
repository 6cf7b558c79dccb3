package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

// entries bounds how often a run looks at a group that others change all the time.
const entries = 20

// enter makes the run the only one of its concurrency group. Where it has to wait it is put into
// the group's queue and ends as unfinished, unless it would be refused anyway: examine says so, of
// a package that need not wait for that.
func (r *run) enter(ctx context.Context, m *manifest.Manifest, policy *manifest.Policy, examine func() error) error {
	if r.does(ActionCheck) {
		return nil // it runs nothing
	}
	name := groupOf(m, policy, r.request.ParameterSet)
	me := r.waiting(m)
	examined := false
	for range entries {
		g, err := claim.ReadGroup(ctx, r.State, r.Environment, name, r.now())
		if err != nil {
			return err
		}
		busy, err := r.busy(ctx, g, me.Key)
		if err != nil {
			return err
		}
		first := g.First()
		if !busy {
			if err := r.bury(ctx, g, me.Key); err != nil {
				return err
			}
		}
		turn := !busy && (first == nil || first.Key == me.Key || me.Place.Compare(first.Place) < 0)
		switch {
		case !turn && m.Concurrency.Reject:
			return r.refuseToWait(g)
		case turn:
			late, ok, err := g.Enter(ctx, me, r.runID(), r.lease())
			if err != nil {
				return err
			}
			if ok {
				r.group, r.result.Late = g, late
				return nil
			}
			continue
		case !examined:
			if err := examine(); err != nil && !mayPass(err) {
				return err
			}
			examined = true
		}
		if ok, err := r.held.Join(ctx, r.now(), name); err != nil || !ok {
			return errors.Join(err, lost(ok || err != nil, r.held))
		}
		if ok, err := g.Wait(ctx, me); err != nil {
			return err
		} else if ok {
			r.freed = append(r.freed, name) // it may have become free meanwhile, or the first of the queue is to be started
			return &unfinished{why: "the run waits for its turn in the concurrency group " + name + holder(g)}
		}
	}
	return problem.New(problem.Problem{
		Code: "state.conflict", Where: name, Message: "the concurrency group was changed by others each time it was to be entered", Hint: "send the request again",
	}, nil)
}

// mayPass reports whether a verdict hangs on what is applied alone, which those who hold the group may be about
// to change: it is no verdict yet.
func mayPass(verdict error) bool {
	var again *repeated
	if errors.As(verdict, &again) {
		return true
	}
	var refusal *problem.Error
	return errors.As(verdict, &refusal) && !slices.ContainsFunc(refusal.Problems, func(p problem.Problem) bool {
		return !codes.Of(p.Code).ByRecord
	})
}

// busy reports whether another run than that of key may be running in a group: its lease has not ended,
// and it is not known to have.
func (e *Config) busy(ctx context.Context, g *claim.Group, key string) (bool, error) {
	if !g.Busy(e.now(), key) {
		return false, nil
	}
	held, err := claim.Find(ctx, e.State, e.Environment, g.Holder.Key, e.now())
	return held == nil || held.State != claim.Done, err
}

func holder(g *claim.Group) string {
	if g.Holder == nil {
		return ""
	}
	return ", with the run " + g.Holder.RunID
}

// groupOf is the concurrency group of a run of a parameter set: the policy's, the package's own, or the
// package's name.
func groupOf(m *manifest.Manifest, policy *manifest.Policy, set string) string {
	own := cmp.Or(m.Concurrency.Group, m.Name)
	if policy == nil {
		return own
	}
	return cmp.Or(policy.GroupFor(set), own)
}

// createdAt is when an object was written. Of a single object the store tells the second; within it,
// and no further, the listing that found it or else the event is believed.
func (q Request) createdAt(told time.Time) time.Time {
	closer := q.Created
	if closer.IsZero() {
		closer = q.Trigger.EventTime
	}
	switch last := told.Add(time.Second - time.Millisecond); {
	case told.IsZero() || told.Nanosecond() != 0 || closer.Before(told): // closer may be zero
		return told
	case closer.After(last):
		return last
	}
	return closer.Truncate(time.Millisecond)
}

// waiting is the run's entry in a queue.
func (r *run) waiting(m *manifest.Manifest) claim.Waiting {
	mark := r.mark
	if r.request.Parent != "" {
		mark = r.request.Parent // the sets before this one have to have succeeded
	}
	return claim.Waiting{
		Place: claim.Place{
			Created: r.created.UTC().Truncate(time.Millisecond), Package: m.Name, Version: m.Version,
			Object: r.request.Object, ETag: r.request.ETag, Set: r.request.ParameterSet,
		},
		Key: r.held.Key, Mark: mark, Need: saidTime(m).Milliseconds(),
	}
}

func (r *run) refuseToWait(g *claim.Group) error {
	return problem.New(problem.Problem{
		Code: "state.busy", Where: "/concurrency", Message: fmt.Sprintf("the concurrency group %s is busy%s, and the package does not wait", g.Name, holder(g)),
		Hint: "upload the package again when that run has ended, or let it wait with on_busy: queue",
	}, nil)
}

// bury ends the run that died in a group: what comes after it has to know what it did.
func (e *Config) bury(ctx context.Context, g *claim.Group, key string) error {
	if g.Holder == nil || g.Holder.Key == key {
		return nil
	}
	if err := claim.CheckClock(ctx, e.State, e.Environment, e.now); err != nil {
		return err
	}
	held, err := claim.Find(ctx, e.State, e.Environment, g.Holder.Key, e.now())
	if err == nil && held != nil && held.State == claim.Running && held.Expired(e.now()) {
		var other *duplicate
		if err = e.settle(ctx, held); errors.As(err, &other) { // somebody else has ended it, and perhaps not noted what it did
			held, err = claim.Find(ctx, e.State, e.Environment, g.Holder.Key, e.now())
		}
	}
	switch {
	case err != nil || held == nil:
		return err
	case held.State == claim.Done && len(held.Pending) > 0:
		err = e.finishPending(ctx, held)
	}
	if held.State == claim.Claimed { // by whoever: an invocation that holds it now has not entered the group
		err = e.ownUp(ctx, held)
	}
	if err == nil && slices.Contains(held.Pending, followRecord) {
		err = unnoted(held)
	}
	return err
}

// unnoted is the error for a run whose effect could not be noted.
func unnoted(held *claim.Held) error {
	return problem.New(problem.Problem{
		Code: "state.record", Where: held.RunID, Message: "what that run did could not be noted, and whoever comes after it has to know", Hint: "nothing was executed; it is tried again",
	}, nil)
}

// ownUp does what follows the result of a run that was put off or died after it had stored that, and before that
// had begun no step: a rollback that had nothing to execute has an effect all the same.
func (e *Config) ownUp(ctx context.Context, held *claim.Held) error {
	result, digest, err := e.readResult(ctx, held.RunID)
	if errors.Is(err, store.ErrNotFound) || held.Sets != nil {
		return nil // it has done nothing
	}
	if err != nil {
		return err
	}
	change := noted(held.Change(), result, digest)
	e.conclusion(ctx, held, claim.End{Status: string(result.Status), Result: digest}, change, e.follow(ctx, held, result, change, nil, followers))
	return nil
}

// leave gives the group up, and notes who is to be started now.
func (r *run) leave(ctx context.Context) {
	if r.group == nil {
		return
	}
	g, err := r.group.Leave(ctx, r.held.Key, r.group.Fence, r.now())
	if err != nil {
		r.log.Error("the concurrency group could not be left; it is free when the lease ends", "group", r.group.Name, "error", err.Error())
		return
	}
	if g.First() != nil {
		r.freed = append(r.freed, g.Name)
	}
	r.group = nil
}

// fence is the number that tells this run of its group from every earlier one; "" outside of one.
func (r *run) fence() string {
	if r.group == nil {
		return ""
	}
	return fmt.Sprint(r.group.Fence)
}

// need is the time that a run has to be given; one that does not say may take as long as it can have.
func (w *work) need(milliseconds int64) time.Duration {
	if milliseconds > 0 {
		return time.Duration(milliseconds)*time.Millisecond + grace
	}
	return w.least
}
