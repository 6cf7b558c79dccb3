package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

const (
	// leaseMargin is how long a claim outlives the invocation, which the platform ends at its deadline.
	leaseMargin = 5 * time.Second
	// preparing is the time that a run may take before its first step, beyond which its leases are renewed.
	preparing = time.Minute
)

// accept stores the pending request and claims the run key. From here on the request ends in a result, in this
// invocation or in a later one. accept returns a duplicate verdict if another run holds the key, and a split verdict
// if the request stands for one run for each parameter set. The manifest is nil where it could not be read.
func (r *held) accept(ctx context.Context, m *manifest.Manifest) error {
	if err := r.watched(ctx); err != nil {
		return err
	}
	key := r.key()
	if former, err := r.openBefore(ctx); err != nil {
		return err
	} else if former != "" {
		key = former
	}
	id := r.newRunID()
	r.pending = claim.PendingName(key, 1)
	made, err := r.exec.Accept(ctx, r.pending, r.request)
	if err != nil {
		return err
	}
	r.need = r.needOf(m)
	if sets := r.setsOf(m); sets != nil {
		r.need *= time.Duration(len(sets))
	}
	want := claim.Claim{Key: key, Object: r.request.Object, Package: r.name, Uploaded: r.created, Repeatable: m != nil && m.Idempotent}
	if sets := r.setsOf(m); sets != nil {
		want.Sets = sets
	} else {
		want.RunID = id
		r.named(id)
	}
	held, found, err := r.exec.Book.Acquire(ctx, want, r.lease)
	switch {
	case err != nil:
		return err
	case found == claim.Died:
		var ended bool
		if ended, err = r.exec.Follower.EndDead(ctx, held); err == nil {
			err = lost(ended, held)
		}
	case found == claim.Theirs && held.State == claim.Done && made:
		r.exec.Book.Remove(ctx, r.pending) // it was accepted anew, and is done already
	}
	r.mayHaveResult = found == claim.TakenOver
	if err == nil && (found == claim.Died || found == claim.Theirs) {
		err = r.again(ctx, held)
	}
	if err != nil {
		return err
	}
	r.adopt(held)
	if held.Sets != nil {
		return splitUp(held, m != nil && m.OnSetFailure == manifest.OnSetFailureContinue)
	}
	if err := r.sameVersion(ctx); err != nil {
		return err
	}
	return r.stillTries(held)
}

// watched refuses to run where it has been forgotten what ran before: the state bucket is empty,
// and there are results. It begins the watch where nothing ever ran.
func (r *found) watched(ctx context.Context) error {
	if r.request.Trigger.Kind == intake.TriggerCLI {
		return nil // a laptop's runs know of no others
	}
	since := r.exec.Now()
	if !r.created.IsZero() && r.created.Before(since) {
		since = r.created
	}
	_, err := r.exec.Watch(ctx, since)
	return err
}

// Watch reads since when uploads are looked after, or begins that.
func (e *Engine) Watch(ctx context.Context, since time.Time) (claim.Watch, error) {
	w, ok, err := e.Book.Watch(ctx)
	if ok || err != nil {
		return w, err
	}
	ran := false
	for _, prefix := range []string{"runs/", "packages/"} { // a copy of a package is there before its run is
		page, err := e.Results.List(ctx, store.ListOptions{Prefix: prefix, Limit: 1})
		if err != nil {
			return w, err
		}
		ran = ran || len(page.Objects) > 0
	}
	if !ran {
		return e.Book.StartWatch(ctx, since)
	}
	// Another run may have begun the watch, and ended, between the two looks.
	if w, ok, err = e.Book.Watch(ctx); ok || err != nil {
		return w, err
	}
	return w, problem.New(problem.Problem{
		Code: "state.lost", Where: e.State.Name() + "/watch.json", Message: "there are results, and the state bucket does not know what ran: nothing is run, as it might run again",
		Hint: "restore the state bucket; or, knowing that nothing that ran will be uploaded again, put {\"schema_version\":1,\"since\":\"" + e.Now().Format(time.RFC3339) + "\"} there",
	}, nil)
}

// named gives the run its id.
func (r *report) named(id string) {
	r.result.RunID = id
	r.log = r.log.With("run_id", id, "package", r.result.Package.Name, "version", r.result.Package.Version)
}

// Accept stores the request as a pending one, under a name.
func (e *Engine) Accept(ctx context.Context, name string, request intake.Request) (made bool, err error) {
	doc, err := request.Encode()
	if err != nil {
		return false, err
	}
	return e.Book.Accept(ctx, name, doc)
}

// needOf is the time that a package's steps and undo may take together; 0: it does not say.
func (r *decided) needOf(m *manifest.Manifest) time.Duration {
	if m == nil || m.Timeout == 0 {
		return 0
	}
	need := m.Timeout + 4*grace // a step, and an undo, may take that longer
	if r.undoable {
		need += undoTime(m)
	}
	return need
}

// setsOf lists the package's parameter sets where the request names none.
func (r *asked) setsOf(m *manifest.Manifest) []string {
	if m == nil || r.request.ParameterSet != "" || len(m.ParameterSets) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m.ParameterSets))
}

// lease is until when nobody else may take what the run holds.
func (r *decided) lease() time.Time { return r.exec.LeaseEnd(r.killAt, r.need, r.limits.RunTime) }

// LeaseEnd is when a lease ends that begins now: after what the run may still need, and no later than the
// invocation, which the platform kills at hard. A zero hard or need is not known.
func (e *Engine) LeaseEnd(hard time.Time, need, runTime time.Duration) time.Time {
	end := hard
	if end.IsZero() {
		end = e.Now().Add(runTime + e.Reserve)
	}
	if needed := e.Now().Add(preparing + need + e.Reserve); need > 0 && needed.Before(end) {
		end = needed
	}
	return end.Add(leaseMargin).UTC()
}

// again makes the run the next attempt of the one whose claim was found, if that was interrupted and its package may
// run again. Else it returns the verdict duplicate.
func (r *held) again(ctx context.Context, held *claim.Held) error {
	if held.State != claim.Done || !r.exec.Follower.MayRepeat(held, held.Status) {
		return duplicateOf(held.Claim)
	}
	// What follows the attempt before is done first, as its claim is about to be overwritten.
	if len(held.FollowUps) > 0 {
		if err := r.exec.Follower.Finish(ctx, held); err != nil {
			return err
		}
		if len(held.FollowUps) > 0 {
			return followup.Unrecorded(held)
		}
	}
	request, err := r.request.Encode()
	if err != nil {
		return err
	}
	before := held.RunID
	id := fmt.Sprintf("%s-%d", r.newRunID(), held.Attempt+1)
	if ok, err := held.NextAttempt(ctx, request, r.lease, id); err != nil || !ok {
		return errors.Join(err, lost(ok || err != nil, held))
	}
	if r.request.PreviousRun() == "" {
		r.result.PreviousRunID = before
	}
	return nil
}

// lost is the error for a claim that somebody else was faster to change.
func lost(ok bool, held *claim.Held) error {
	if ok {
		return nil
	}
	return duplicateOf(held.Claim)
}

// adopt makes the run the one that a claim names.
func (r *held) adopt(held *claim.Held) {
	r.claim = held
	r.pending = held.Pending()
	r.result.RunID, r.result.Attempt = held.RunID, held.Attempt
	r.request.Pinned = cmp.Or(r.request.Pinned, held.Pinned)
	if !held.Uploaded.IsZero() {
		r.created, r.request.Created = held.Uploaded, held.Uploaded
	}
	r.log = r.exec.Log.With("run_id", held.RunID, "package", r.result.Package.Name, "version", r.result.Package.Version)
}

// sameVersion refuses a request whose id was given before for another version of the object: the id is what
// makes it the same request, which is of one version. Sets of one request have that together.
func (r *asked) sameVersion(ctx context.Context) error {
	q := r.request
	if q.RequestID == "" || q.ETag == "" || q.PreviousRun() != "" || q.OncePer > 0 {
		return nil
	}
	q.ETag = ""
	if q.Parent != "" {
		q.ParameterSet = ""
	}
	first, err := r.exec.Book.FirstVersion(ctx, q.Key(r.exec.Environment), r.request.ETag)
	if err != nil || first == r.request.ETag {
		return err
	}
	return problem.New(problem.Problem{
		Code: "request.differs", Where: "/request_id",
		Message: fmt.Sprintf("nothing ran: the same request came before, when %s had the ETag %s; it has been replaced since, and has %s", q.Object, first, r.request.ETag),
		Hint:    "to run what is there now, give another request_id",
	}, nil)
}

// stillTries ends a run that failed too often before its first step.
func (r *held) stillTries(held *claim.Held) error {
	if held.Tries < r.limits.Attempts {
		return nil
	}
	message := fmt.Sprintf("the run was tried %d times, and each time it failed or was ended before its first step", held.Tries)
	if held.LastError != nil {
		message += "; the last error was: " + held.LastError.String()
	}
	return problem.New(problem.Problem{
		Code: "state.attempts", Where: held.RunID, Message: message,
		Hint: "see the function's log of the earlier calls; then send rerun_of with a reason",
	}, nil)
}

// acceptRefused accepts a request that was refused, maybe before its object was looked at.
func (r *held) acceptRefused(ctx context.Context) error {
	if r.created.IsZero() {
		found, other, err := r.fetcher().LookBack(ctx, r.request)
		r.request, r.created = found.Request, found.Created
		if found.Learned && r.request.Action != "" {
			r.result.Action = string(r.request.Action)
		}
		switch {
		case err != nil:
			return err
		case other != nil:
			return duplicateOf(other.Claim)
		}
	}
	return r.accept(ctx, nil)
}

// entries bounds how often a run looks at a group that others change all the time.
const entries = 20

// enter makes the run the only one of its concurrency group. A run that has to wait is put into the group's queue,
// and enter returns the verdict later. A package that admit refuses whatever happens meanwhile is refused at once.
func (r *run) enter(ctx context.Context, m *manifest.Manifest, policy *manifest.Policy, admit func() (*manifest.Plan, error)) error {
	if r.result.Action == string(intake.ActionCheck) {
		return nil // it runs nothing
	}
	if m.Timeout+m.RollbackTimeout > left(ctx) {
		return r.tooLong(nil) // another invocation may have the time that the package says it takes
	}
	name := groupOf(m, policy, r.request.ParameterSet)
	me := r.waiting(m)
	examined := false
	for range entries {
		g, err := r.exec.Book.Group(ctx, name)
		if err != nil {
			return err
		}
		busy, err := g.Occupied(ctx, me.Key)
		if err != nil {
			return err
		}
		if !busy && g.Holder != nil {
			if err := r.exec.Follower.EndFormer(ctx, g, me.Key); err != nil {
				return err
			}
		}
		turn := !busy && g.IsTurnOf(me)
		switch {
		case !turn && m.Concurrency.Reject:
			return r.refuseToWait(g)
		case turn:
			late, ok, err := g.Enter(ctx, me, r.result.RunID, r.lease())
			if err != nil {
				return err
			}
			if ok {
				r.group, r.result.Late = g, late
				return nil
			}
			continue
		case !examined:
			if _, err := admit(); err != nil && !mayPass(err) {
				return err
			}
			examined = true
		}
		if ok, err := r.claim.Join(ctx, name); err != nil || !ok {
			return errors.Join(err, lost(ok || err != nil, r.claim))
		}
		if ok, err := g.Wait(ctx, me); err != nil {
			return err
		} else if ok {
			r.released = append(r.released, name) // it may have become free meanwhile, or the first of the queue is to be started
			return &verdict{kind: later, why: "the run waits for its turn in the concurrency group " + name + holder(g)}
		}
	}
	return problem.New(problem.Problem{
		Code: "state.conflict", Where: name, Message: "the concurrency group was changed by others each time it was to be entered", Hint: "send the request again",
	}, nil)
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

// waiting is the run's entry in a queue.
func (r *held) waiting(m *manifest.Manifest) claim.Waiting {
	pending := r.pending
	if r.request.Parent != "" {
		pending = r.request.Parent // the sets before this one have to have succeeded
	}
	return claim.Waiting{
		Place: claim.Place{
			Created: r.created.UTC().Truncate(time.Millisecond), Package: m.Name, Version: m.Version,
			Object: r.request.Object, ETag: r.request.ETag, Set: r.request.ParameterSet,
		},
		Key: r.claim.Key, Pending: pending, Need: (m.Timeout + m.RollbackTimeout).Milliseconds(),
	}
}

// mayPass reports whether a refusal hangs only on what is applied, which the run that holds the group may be
// about to change.
func mayPass(refused error) bool {
	if verdictOf(refused).kind == skipped {
		return true
	}
	var refusal *problem.Error
	return errors.As(refused, &refusal) && !slices.ContainsFunc(refusal.Problems, func(p problem.Problem) bool {
		return !codes.Of(p.Code).ByRecord
	})
}

func holder(g *claim.Group) string {
	if g.Holder == nil {
		return ""
	}
	return ", with the run " + g.Holder.RunID
}

func (r *held) refuseToWait(g *claim.Group) error {
	return problem.New(problem.Problem{
		Code: "state.busy", Where: "/concurrency", Message: fmt.Sprintf("the concurrency group %s is busy%s, and the package does not wait", g.Name, holder(g)),
		Hint: "upload the package again when that run has ended, or let it wait with on_busy: queue",
	}, nil)
}

// release releases the claim and leaves the group, if nothing was started: a later invocation does the work. The
// claim keeps the failure that led to it, if there is one.
func (r *held) release(ctx context.Context, failure error, counted bool) {
	if !r.giveBack(ctx, failure, counted) || r.group == nil {
		return
	}
	if r.mayHaveResult && r.withoutResult(ctx) != nil {
		return // the next run of the group enters when the lease has ended, and looks at that result first
	}
	r.leave(ctx)
}

// giveBack releases the claim alone.
func (r *held) giveBack(ctx context.Context, failure error, counted bool) bool {
	if r.claim == nil || r.started {
		return false
	}
	last := LastError(failure)
	if last != nil {
		last.Message = r.hides.Masker.String(last.Message)
	}
	if err := r.claim.Release(ctx, counted, last); err != nil {
		// It may say that a step has begun: the next run of the group has to look at that first.
		r.log.Error("the claim could not be released", "error", err.Error())
		return false
	}
	return true
}

// Retryable reports whether a failure before the first step says nothing of the request: the same
// may succeed later.
func Retryable(failure error) bool { return failure != nil && codes.OfError(failure).Retried }

// counts reports whether a failure counts as a try. What a person has to mend first does not: the
// request goes on afterwards.
func counts(failure error) bool { return codes.OfError(failure).Counted }
