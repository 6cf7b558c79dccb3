package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// phaseRollback is the phase of undo scripts, which no plan lists as steps.
const phaseRollback manifest.Phase = "rollback"

// maxUndoShare bounds the time that is kept for undo where the manifest does not say.
const maxUndoShare = 5 * time.Minute

// undoOf is a step's undo as a step of its own.
func undoOf(step manifest.Step) manifest.Step {
	undo := step
	undo.Phase, undo.Run, undo.SHA256 = phaseRollback, step.Rollback, step.RollbackSHA256
	undo.Args, undo.Timeout, undo.Rollback, undo.RollbackSHA256 = nil, 0, "", ""
	return undo
}

// undoShare is the part of the run's time that is kept for undo.
func undoShare(ctx context.Context, plan *manifest.Plan) time.Duration {
	m := plan.Manifest()
	if m.OnFailure == manifest.OnFailureStop || !plan.Undoable() {
		return 0
	}
	if m.RollbackTimeout > 0 {
		return m.RollbackTimeout
	}
	end, _ := ctx.Deadline()
	return min(time.Until(end)/4, maxUndoShare)
}

// stepsEnd is when the steps have to have ended.
func (r *run) stepsEnd(ctx context.Context, plan *manifest.Plan) time.Time {
	end, _ := ctx.Deadline()
	end = end.Add(-undoShare(ctx, plan))
	if timeout := plan.Manifest().Timeout; timeout > 0 && time.Now().Add(timeout+grace).Before(end) {
		end = time.Now().Add(timeout + grace)
	}
	return end
}

// holds refuses a package that says it needs more time than is left: it would be
// stopped half way.
func (r *run) holds(ctx context.Context, plan *manifest.Plan) error {
	end, _ := ctx.Deadline()
	need, left := plan.Manifest().Timeout+undoShare(ctx, plan), time.Until(end)
	if plan.Manifest().Timeout == 0 || need <= left {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "step.deadline", Where: "/timeout",
		Message: fmt.Sprintf("the package may need %s, undo included, and the invocation has %s left for it", need.Round(time.Second), left.Round(time.Second)),
		Hint:    r.moreTime("the package's"),
	}, nil)
}

// undo runs the undo scripts of all steps that began, in reverse order, and stops at the
// first that fails. It is left out when the executor itself is being stopped.
func (r *run) undo(ctx context.Context, plan *manifest.Plan, scripts []script) {
	u := newUndoing()
	for i, record := range r.result.Steps {
		if record.Attempts > 0 || record.Status == evidence.StepSkipped {
			u.add(scripts[i])
		}
	}
	switch {
	case len(u.pending) == 0 && (u.rollback.NeedNone == nil || u.rollback.WithoutUndo != nil || !plan.Undoable()):
		return // nothing had begun, or nothing of that can be undone
	case len(u.pending) > 0 && errors.Is(ctx.Err(), context.Canceled): // the executor is being stopped: it is left to a person
		u.rollback.Status, u.rollback.Request = evidence.StepNotRun, r.undoRequest()
		for _, s := range u.pending {
			u.rollback.Steps = append(u.rollback.Steps, describeStep(s, evidence.StepNotRun))
		}
		r.result.Rollback = u.rollback
	default:
		_ = r.runUndo(ctx, plan, u, len(scripts)) // the result has its error
	}
}

// runUndo runs undo scripts in their order and stops at the first that fails. What was not
// run is listed with the request that runs it.
func (r *run) runUndo(ctx context.Context, plan *manifest.Plan, u undoing, before int) error {
	share := plan.Manifest().RollbackTimeout
	if share == 0 {
		share = maxUndoShare
	}
	ctx, cancel := context.WithTimeout(ctx, share+grace)
	defer cancel()
	r.result.Rollback = u.rollback
	var failure error
	for i, s := range u.pending {
		record := describeStep(s, evidence.StepNotRun)
		if failure == nil {
			r.undoing = u.pending[i+1:]
			if record, failure = r.undoStep(ctx, before+i+1, s); failure != nil {
				u.rollback.Error = evidence.NewError(problem.Of(failure, problem.Problem{Code: "step.undo", Message: "the undo did not succeed"}))
				u.rollback.Status = record.Status
			}
		}
		u.rollback.Steps = append(u.rollback.Steps, record)
	}
	if failure != nil {
		u.rollback.Request = r.undoRequest()
	}
	return failure
}

// undoRequest is the request that does what is left to be undone.
func (r *run) undoRequest() *evidence.UndoRequest {
	run := r.runID()
	reason := "finish the undo of " + run
	if r.does(ActionRollback) {
		run = r.request.RollbackOf
		reason = "finish the undo of " + run + ", which " + r.runID() + " did not" // with the reason that one had it would be the same request
	}
	return &evidence.UndoRequest{
		Action: string(ActionRollback), Object: r.request.Object, VersionID: r.result.Package.VersionID, ParameterSet: r.request.ParameterSet,
		RollbackOf: run, Reason: reason,
	}
}

func (r *run) undoStep(ctx context.Context, number int, s script) (evidence.Step, error) {
	if ctx.Err() != nil {
		return describeStep(s, evidence.StepNotRun), stepError("step.undo", s, "was not run: the executor is being stopped", "undo the step by hand")
	}
	return r.step(ctx, number, s)
}
