package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

// leaseMargin is how long a claim outlives the invocation, which the platform ends at its deadline.
const leaseMargin = 30 * time.Second

// duplicate says that another run does, or has done, what the request asks for.
type duplicate struct{ claim claim.Claim }

func (e *duplicate) Error() string {
	if e.claim.State == claim.Done {
		return fmt.Sprintf("the same request was run %s, which ended with %s", e.claim.RunID, e.claim.Status)
	}
	return fmt.Sprintf("the same request is being done by run %s", e.claim.RunID)
}

// claim makes the run key this run's, or ends the run because it is another one's.
func (r *run) claim(ctx context.Context, m *manifest.Manifest) error {
	now := time.Now().UTC()
	held, mine, err := claim.Take(ctx, r.State, claim.Claim{
		Key: r.request.key(r.Environment, r.result.Start), Environment: r.Environment, Object: r.request.Object, Package: m.Name,
		RunID: r.runID(), Attempt: 1, Lease: r.lease(now), Updated: now,
	})
	switch {
	case err != nil:
		return err
	case mine:
		r.held = held
		return nil
	case !held.Expired(now):
		return r.orAgain(ctx, held, m)
	case held.State == claim.Claimed:
		if ok, err := held.TakeOver(ctx, now, r.lease(now)); err != nil || !ok {
			return errors.Join(err, r.taken(ok, held))
		}
		r.adopt(held)
		return nil
	}
	if err := r.interrupted(ctx, held); err != nil {
		return err
	}
	return r.orAgain(ctx, held, m)
}

// taken is the error for a claim that somebody else was faster to change.
func (r *run) taken(ok bool, held *claim.Held) error {
	if ok {
		return nil
	}
	return &duplicate{held.Claim}
}

// orAgain ends the run as a duplicate, unless the run that it repeats was interrupted and the package
// may be run again.
func (r *run) orAgain(ctx context.Context, held *claim.Held, m *manifest.Manifest) error {
	if held.State != claim.Done || held.Status != string(evidence.StatusInterrupted) || !m.Idempotent {
		return &duplicate{held.Claim}
	}
	now, before := time.Now().UTC(), held.RunID
	id := fmt.Sprintf("%s-%d", r.newRunID(), held.Attempt+1)
	if ok, err := held.Again(ctx, now, r.lease(now), id); err != nil || !ok {
		return errors.Join(err, r.taken(ok, held))
	}
	r.result.PreviousRunID = before
	r.adopt(held)
	return nil
}

// adopt makes the run the one that a claim names.
func (r *run) adopt(held *claim.Held) {
	r.held = held
	r.result.RunID, r.result.Attempt = held.RunID, held.Attempt
	r.log = r.Log.With("run_id", held.RunID, "package", r.result.Package.Name, "version", r.result.Package.Version)
}

// lease is until when nobody else may take the claim.
func (r *run) lease(now time.Time) time.Time {
	if r.hard.IsZero() {
		return now.Add(r.Limits.RunTime + r.Reserve + leaseMargin)
	}
	return r.hard.Add(leaseMargin)
}

// start notes that the first step is about to start; if the claim is lost, it must not.
func (r *run) start(ctx context.Context) error {
	ok, err := r.held.Start(ctx, time.Now().UTC())
	return errors.Join(err, r.taken(ok || err != nil, r.held))
}

// interrupted ends what a run that was killed had begun: it gets a result that says so, unless it
// has one already.
func (r *run) interrupted(ctx context.Context, held *claim.Held) error {
	lost := r.result
	lost.RunID, lost.Attempt, lost.Status = held.RunID, held.Attempt, evidence.StatusInterrupted
	lost.Start, lost.End = held.Created, time.Now().UTC()
	lost.Message = "the executor ended before the run did; see the steps' logs beside this result for what had started"
	lost.Error = &evidence.Error{
		Code: "step.interrupted", Message: lost.Message,
		Hint: "see which parts took effect; then send rerun_of or resume_from with a reason",
	}
	lost.Execution = evidence.Execution{Note: "what ran is not known from this result"}
	doc, err := lost.Encode()
	if err != nil {
		return err
	}
	_, err = r.Results.Put(ctx, evidence.ResultObject(held.RunID), bytes.NewReader(doc), int64(len(doc)), store.PutOptions{IfNoneMatch: true, ContentType: "application/json"})
	status := string(lost.Status)
	if errors.Is(err, store.ErrExists) {
		stored, err := r.readResult(ctx, held.RunID)
		if err != nil {
			return err
		}
		status = string(stored.Status)
	} else if err != nil {
		return err
	}
	r.log.Warn("an interrupted run was found", "interrupted", held.RunID, "status", status)
	ok, err := held.Finish(ctx, time.Now().UTC(), status)
	return errors.Join(err, r.taken(ok || err != nil, held))
}

// release gives the claim back where nothing has started, so that the next delivery does the work.
func (r *run) release(ctx context.Context) {
	if r.held == nil || r.started {
		return
	}
	if err := r.held.Release(ctx); err != nil {
		r.log.Error("the claim could not be given back", "error", err.Error())
	}
}

// settle says in the claim how the run has ended; what fails is found by whoever comes after the lease.
func (r *run) settle(ctx context.Context, failure error) {
	switch {
	case r.held == nil:
	case !r.started && (retryable(failure) || errors.Is(failure, store.ErrExists)):
		r.release(ctx)
	default:
		if _, err := r.held.Finish(ctx, time.Now().UTC(), string(r.result.Status)); err != nil {
			r.log.Error("the claim could not be updated", "error", err.Error())
		}
	}
}
