package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
)

// lost is the error for a claim that somebody else was faster to change.
func lost(ok bool, held *claim.Held) error {
	if ok {
		return nil
	}
	return duplicateOf(held.Claim)
}

// again makes the run the next attempt of the one whose claim was found, if that was interrupted and its package may
// run again. Else it returns the verdict duplicate.
func (r *held) again(ctx context.Context, held *claim.Held) error {
	if held.State != claim.Done || !r.exec.mayRepeat(held, held.Status) {
		return duplicateOf(held.Claim)
	}
	// What follows the attempt before is done first, as its claim is about to be overwritten.
	if len(held.FollowUps) > 0 {
		if err := r.exec.finishPending(ctx, held); err != nil {
			return err
		}
		if len(held.FollowUps) > 0 {
			return unnoted(held)
		}
	}
	request, err := r.request.encode()
	if err != nil {
		return err
	}
	before := held.RunID
	id := fmt.Sprintf("%s-%d", r.newRunID(), held.Attempt+1)
	if ok, err := held.NextAttempt(ctx, request, r.lease, id); err != nil || !ok {
		return errors.Join(err, lost(ok || err != nil, held))
	}
	if r.request.previousRun() == "" {
		r.result.PreviousRunID = before
	}
	return nil
}

// mayRepeat reports whether a run that ended with a status is to be tried again.
func (e *Executor) mayRepeat(held *claim.Held, status string) bool {
	return status == string(evidence.StatusInterrupted) && held.MayRepeat(e.Limits.Attempts)
}

// adopt makes the run the one that a claim names.
func (r *held) adopt(held *claim.Held) {
	r.claim, r.ownKey = held, held.Key
	r.pending = held.Pending()
	r.result.RunID, r.result.Attempt = held.RunID, held.Attempt
	setDefault(&r.request.pinned, held.Pinned)
	if !held.Uploaded.IsZero() {
		r.created, r.request.Created = held.Uploaded, held.Uploaded
	}
	r.log = r.exec.Log.With("run_id", held.RunID, "package", r.result.Package.Name, "version", r.result.Package.Version)
}

// progress notes, right before a step starts, that it does: if the executor dies, this is what is
// known. A claim that is lost, or whose lease has ended, stops the run: another may have begun.
func (r *held) progress(ctx context.Context, b steps.Beginning) error {
	first := !r.noted
	frame, err := r.frame(b)
	if err != nil {
		return err
	}
	ok := false
	note := func(ctx context.Context) (err error) {
		ok, err = r.noteStart(ctx, first, frame)
		return err
	}
	if first {
		err = note(ctx) // else nothing has been started, and the request is tried again
	} else {
		err = r.unnotable(b.Step, r.untilTooLate(ctx, note))
	}
	if err != nil || !ok {
		return cmp.Or(err, r.lostLease(first))
	}
	r.noted, r.request.pinned = true, r.result.Package.SHA256
	return nil
}

// noteStart notes that a step starts. False: the claim or the group is another's by now, or may be.
func (r *held) noteStart(ctx context.Context, first bool, frame []byte) (bool, error) {
	if r.exec.now().After(r.claim.Lease) {
		return false, nil
	}
	if ok, err := r.renew(ctx, first); err != nil || !ok {
		return false, err
	}
	if r.until.IsZero() {
		r.until = r.exec.now().Add(r.need + r.exec.Reserve + leaseMargin).UTC()
	}
	start := claim.Start{Lease: r.longest(), Group: r.claim.Group, Applies: r.doing, SHA256: r.result.Package.SHA256, Checkpoint: frame}
	if r.group != nil {
		start.Group = r.group.Name
	}
	if r.need > 0 && r.until.Before(start.Lease) {
		start.Lease = r.until // if the executor dies, nobody waits for what it had to prepare and to store
	}
	return r.claim.Progress(ctx, start)
}

// longest is the lease that the claim may have: whoever finds that of the group ended finds both.
func (r *held) longest() time.Time {
	if r.group != nil {
		return r.group.Holder.Lease
	}
	return r.claim.Lease
}

// untilTooLate does what has to be done before a step, as often as there is still time for the step then.
func (r *decided) untilTooLate(ctx context.Context, do func(context.Context) error) error {
	end, _ := ctx.Deadline() // bound has set it
	ctx, cancel := context.WithDeadline(ctx, end.Add(-grace))
	defer cancel()
	return store.Patience(r.part).Insist(ctx, do)
}

// unnotable is the error for a step that could not be noted, and so is not begun: if the executor died, its
// result would say that it had not run.
func (r *decided) unnotable(step evidence.Step, err error) error {
	if err == nil {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "state.unnoted", Where: step.Run, Message: "was not begun, as that could not be noted in the state bucket: " + problem.Of(err, problem.Problem{Message: err.Error()}).Message(),
		Hint: "check that the state bucket can be reached and written; then go on with resume_from or undo with rollback_of",
	}, err)
}

// renew makes the lease of the group last for the steps, where preparing them took long. False: the group
// is another's by now.
func (r *held) renew(ctx context.Context, first bool) (bool, error) {
	if !first || r.group == nil || r.group.Holder.Lease.After(r.lease().Add(-preparing/2)) {
		return true, nil
	}
	return r.group.Renew(ctx, r.lease())
}

func (r *held) lostLease(first bool) error {
	if first {
		return duplicateOf(r.claim.Claim)
	}
	return problem.New(problem.Problem{
		Code: "state.lease_lost", Where: r.result.RunID, Message: "the run has taken longer than its lease, and another invocation may have taken over",
		Hint: "see the results of this run and of later ones before you go on",
	}, nil)
}

// maxFrame is how large a frame may be that has the manifest in it: a claim is written before each step.
const maxFrame = 1 << 20

// frame is the result as it would be if the executor died during a step.
func (r *held) frame(b steps.Beginning) ([]byte, error) {
	dying := r.snapshot(b.Interrupted)
	result := &dying.result
	result.Execution.ReturnCode = -1
	result.Status, result.Message = evidence.StatusInterrupted, "the executor ended while the step "+b.Step.Name+" ran, or right before it began"
	result.Error = &evidence.Error{
		Code: "step.interrupted", Message: result.Message,
		Hint: "see which parts took effect; then send rerun_of or resume_from with a reason",
	}
	result.End = r.exec.now()
	return dying.framed()
}

// snapshot is the run as it is now, with what has come of the job, for a result that somebody else may have
// to store.
func (r *held) snapshot(o steps.Outcome) *held {
	dying := *r
	dying.result.Evidence = r.stored.Listed()
	dying.take(o)
	dying.result.Steps = nil
	for _, s := range o.Steps {
		s.StdoutTail, s.StderrTail = "", ""
		dying.result.Steps = append(dying.result.Steps, s)
	}
	dying.result.Execution = evidence.Execution{Ran: true, ReturnCode: dying.result.Execution.ReturnCode, Note: "the output is in the steps' logs, as far as they were stored"}
	return &dying
}

// framed encodes a snapshot for the claim.
func (r *held) framed() ([]byte, error) {
	r.result.Outputs = r.outcome.Outputs
	r.mask()
	doc, err := r.result.Encode()
	if err == nil && len(doc) > maxFrame {
		r.result.Manifest, r.result.Trigger.Raw = nil, nil // the package has one, and the mark the other
		return r.result.Encode()
	}
	return doc, err
}

// noteEnd notes in the claim how the steps have ended, before anything else waits for the store: whoever finds
// the run dead then stores that as its result. What fails is tried again beside that.
func (r *held) noteEnd(ctx context.Context, failure error) {
	if !r.noted {
		return
	}
	dying := r.snapshot(r.outcome)
	dying.conclude(failure)
	dying.result.Message += "; the executor ended before all of the evidence was stored"
	doc, err := dying.framed()
	if err != nil {
		r.log.Warn("the end of the steps could not be noted", "error", err.Error())
		return
	}
	end := claim.Start{Lease: r.longest(), Group: r.claim.Group, Applies: r.doing, SHA256: r.result.Package.SHA256, Checkpoint: doc}
	note := func(ctx context.Context) error {
		_, err := r.claim.Progress(ctx, end)
		return err
	}
	if err := store.Patience(r.part).Once(context.WithoutCancel(ctx), note); err != nil {
		r.log.Warn("the end of the steps could not be noted yet", "error", err.Error())
		r.unnoted = note
	}
}

// noting notes the end of the steps, if that could not be done before, until there is no time left or the
// function that it returns is called: then the claim is nobody else's to change.
func (r *held) noting(ctx context.Context) (stop func(enough bool)) {
	if r.unnoted == nil {
		return func(bool) {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() {
		if err := store.Patience(r.part).Insist(ctx, r.unnoted); err != nil {
			r.log.Warn("the end of the steps could not be noted", "error", err.Error())
		}
	})
	return func(enough bool) {
		if enough {
			cancel()
		}
		beside.Wait()
		cancel()
	}
}

// release gives the claim back where nothing was started, so that whoever comes next does the work, with
// the failure that led to it, if there is one.
func (r *held) release(ctx context.Context, failure error, counted bool) {
	if !r.giveBack(ctx, failure, counted) || r.group == nil {
		return
	}
	if r.unsure && r.unclaimed(ctx) != nil {
		return // whoever enters the group, when the lease has ended, sees to that result first
	}
	r.leave(ctx)
}

// giveBack gives back the claim alone.
func (r *held) giveBack(ctx context.Context, failure error, counted bool) bool {
	if r.claim == nil || r.noted {
		return false
	}
	last := lastError(failure)
	if last != nil {
		last.Message = r.masker.String(last.Message)
	}
	if err := r.claim.Release(ctx, counted, last); err != nil {
		// It may say that a step has begun: whoever enters the group, once it is free, has to see to that first.
		r.log.Error("the claim could not be given back", "error", err.Error())
		return false
	}
	return true
}

// settleOwn does what follows the result, and says in the claim how the run has ended. What fails
// is found by the sweep.
func (r *run) settleOwn(ctx context.Context) {
	if r.claim == nil { // a request that was refused as it stands: its sender may mend it and ask again
		r.exec.follow(ctx, nil, r.result, nil, nil, []string{followAnnounce})
		return
	}
	pending := r.exec.follow(ctx, r.claim, r.result, noted(r.doing, r.result, r.digest), r.history, followers)
	if !slices.Contains(pending, followRecord) {
		r.leave(ctx) // else the next of the group would not know of this run
	}
	r.exec.concludeClaim(ctx, r.claim, claim.End{Status: string(r.result.Status), Result: r.digest, Applies: r.doing, FollowUps: pending})
}

// concludeClaim notes in the claim how its run has ended; a sweep finds what could not be noted.
func (e *Executor) concludeClaim(ctx context.Context, held *claim.Held, end claim.End) {
	ok, err := held.Conclude(ctx, end)
	switch {
	case err != nil:
		e.Log.Error("the claim could not be updated", "run_id", held.RunID, "error", err.Error())
	case !ok:
		e.Log.Warn("the claim is not this run's any more", "run_id", held.RunID)
	}
}
