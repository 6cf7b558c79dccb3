package pipeline

import (
	"cmp"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/progress"
	"cemli-executor/internal/verdict"
)

// isDuplicate returns the answer to a request that another run serves or has served: that run, and how it ended. The
// request leaves no evidence of its own.
func (r *report) isDuplicate(other claim.Claim) evidence.Result {
	why := verdict.DuplicateOf(other).Why
	r.result.RunID, r.result.Attempt, r.result.Message, r.result.Duplicate = other.RunID, other.Attempt, why, true
	r.request.Pinned = cmp.Or(r.request.Pinned, other.Pinned)
	r.result.Status = evidence.StatusInProgress
	if other.State == claim.Done {
		r.result.Status = evidence.Status(other.Status)
	}
	r.result.Execution.Note = why
	r.exec.Log.Info("duplicate", "run_id", other.RunID, "object", r.request.Object, "status", r.result.Status)
	return r.result
}

// conclude sets the status, the message and the error of the result.
func (r *earlier) conclude(failure error) {
	res := &r.result
	res.End = res.Start.Add(time.Since(r.begun))
	switch v := verdict.Of(failure); {
	case failure == nil:
		res.Succeed(r.outcome.Began)
		if res.Action == string(intake.ActionRollback) && r.outcome.Began {
			res.Message += r.back.Without()
		}
	case v.Kind == verdict.Skipped:
		res.Status, res.Message, res.PreviousRunID = evidence.StatusSkipped, v.Why, v.RunID
	default:
		described := problem.Of(failure, problem.Problem{
			Code: codes.Internal, Message: "the executor could not do its work", Hint: "see the function's log",
		})
		res.Fail(described, described.Message()+r.back.Without())
	}
}

// answerLater returns the answer to a request that is served later. It leaves no evidence yet.
func (r *report) answerLater(why string) evidence.Result {
	r.result.Status, r.result.Message, r.result.Execution.Note = evidence.StatusInProgress, why, why
	r.exec.Log.Info("goes on later", "run_id", r.result.RunID, "object", r.request.Object, "why", why)
	return r.result
}

// cancelled returns the failure of a run that is cancelled before its first step.
func (r *acquired) cancelled(by *evidence.Cancellation) error {
	r.result.Cancelled, r.claim.Watched = by, true
	return progress.NeverBegun(r.result.RunID)
}
