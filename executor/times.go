package executor

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/steps"
	"cemli-executor/manifest"
)

// grace is the part of a step's time in which it is stopped.
const grace = steps.Grace

// maxUndoTime bounds the time for undo where the manifest does not say.
const maxUndoTime = 5 * time.Minute

// undoTime is how long a package's undo may take.
func undoTime(m *manifest.Manifest) time.Duration { return cmp.Or(m.RollbackTimeout, maxUndoTime) }

// saidTime is how long a package says that its steps and their undo take, as far as it says so.
func saidTime(m *manifest.Manifest) time.Duration { return m.Timeout + m.RollbackTimeout }

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

// undoShare is the part of the time that is left which is kept for undo.
func undoShare(ctx context.Context, plan *manifest.Plan) time.Duration {
	m := plan.Manifest()
	if m.OnFailure == manifest.OnFailureStop || !plan.Undoable() {
		return 0
	}
	return cmp.Or(m.RollbackTimeout, min(left(ctx)/4, maxUndoTime))
}

// left is the time that steps may take.
func left(ctx context.Context) time.Duration {
	end, _ := ctx.Deadline() // bound has set it
	return time.Until(end)
}

// bound ends the run in time for the evidence.
func (r *decided) bound(ctx context.Context) (context.Context, context.CancelFunc, error) {
	end := r.result.Start.Add(r.limits.RunTime)
	if hard, ok := ctx.Deadline(); ok && hard.Add(-r.exec.Reserve).Before(end) {
		end = hard.Add(-r.exec.Reserve)
	}
	if time.Until(end) <= grace {
		return nil, nil, r.noTime()
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	return ctx, cancel, nil
}

// hasTime leaves a run to an invocation that has the time which the package says it takes, if there may be one.
func (r *run) hasTime(ctx context.Context, m *manifest.Manifest) error {
	if r.result.Action == string(ActionCheck) || saidTime(m) <= left(ctx) {
		return nil
	}
	return r.tooLong(nil)
}

// holds refuses a package that says it needs more time than is left: it would be stopped half way.
func (r *decided) holds(ctx context.Context, plan *manifest.Plan) error {
	need, has := plan.Manifest().Timeout+undoShare(ctx, plan), left(ctx)
	if plan.Manifest().Timeout == 0 || need <= has {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "step.deadline", Where: "/timeout",
		Message: fmt.Sprintf("the package may need %s, undo included, and the invocation has %s left for it",
			need.Round(time.Second), has.Round(time.Second)),
		Hint: r.moreTime("the package's"),
	}, nil)
}

// noTime is the error for a run whose first step would have no time.
func (r *asked) noTime() error {
	return problem.New(problem.Problem{
		Code: "step.deadline",
		Message: fmt.Sprintf("no time is left for steps: the invocation keeps %s for the evidence and %s to stop a step",
			r.exec.Reserve, grace),
		Hint: r.moreTime("CEMLI_RESERVE"),
	}, nil)
}

// moreTime is how a run gets the time that it needs.
func (r *asked) moreTime(lower string) string {
	hint := "raise the function's timeout, or lower " + lower
	if r.exec.Invoke == nil && !r.hard.IsZero() {
		hint += "; there are no detached invocations here, which could have more time, as on OCI Functions"
	}
	return hint
}
