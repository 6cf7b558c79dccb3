// Package timing is how much of an invocation's time a run has, and what it is kept for: the steps, their undo, and the
// evidence.
package timing

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/steps"
	"cemli-executor/manifest"
)

const (
	// LeaseMargin is how long a claim outlives the invocation, which the platform ends at its deadline.
	LeaseMargin = 5 * time.Second
	// Preparing is the time that a run may take before its first step, beyond which its leases are renewed.
	Preparing = time.Minute
)

// Budget is the time of one environment's invocations.
type Budget struct {
	Reserve  time.Duration    // kept for the evidence
	Detached bool             // there are other invocations, which may have more time
	Now      func() time.Time // for times that are stored
	// StopAt is when the last script ends of a run that may last until a time, where scripts run apart; nil: then.
	StopAt func(end time.Time) time.Time
}

// Bound limits a run that began at start to a deadline that leaves time for the evidence. It refuses a run of which no
// step could end before the process is killed; a zero killAt is unknown.
func (b Budget) Bound(
	ctx context.Context, start time.Time, runTime time.Duration, killAt time.Time,
) (context.Context, context.CancelFunc, error) {
	end := start.Add(runTime)
	if hard, ok := ctx.Deadline(); ok && hard.Add(-b.Reserve).Before(end) {
		end = hard.Add(-b.Reserve)
	}
	if b.StopAt != nil {
		end = b.StopAt(end)
	}
	if time.Until(end) <= steps.Grace {
		return nil, nil, b.NoTime(killAt)
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	return ctx, cancel, nil
}

// NoTime returns the error for an invocation that is killed at a time before the first step of a run could end. A zero
// time is unknown.
func (b Budget) NoTime(killAt time.Time) error {
	return problem.New(problem.Problem{
		Code: "step.deadline",
		Message: fmt.Sprintf(
			"no time is left for steps: the invocation keeps %s for the evidence and %s to stop a step",
			b.Reserve, steps.Grace),
		Hint: b.moreTime(killAt, "CEMLI_RESERVE"),
	}, nil)
}

// moreTime returns the hint how a run gets the time that it needs.
func (b Budget) moreTime(killAt time.Time, lower string) string {
	hint := "raise the function's timeout, or lower " + lower
	if !b.Detached && !killAt.IsZero() {
		hint += "; there are no detached invocations here, which could have more time, as on OCI Functions"
	}
	return hint
}

// NeedOf returns the time that a package's steps and undo may take together; 0 if the package sets no limit. The
// manifest is nil if it could not be read.
func NeedOf(m *manifest.Manifest, undoable bool) time.Duration {
	if m == nil || m.Timeout == 0 {
		return 0
	}
	need := m.Timeout + 4*steps.Grace // stopping a step, or an undo, takes up to that long
	if undoable {
		need += m.UndoTime()
	}
	return need
}

// Left returns the time that steps may take, until the deadline that Bound has set.
func Left(ctx context.Context) time.Duration {
	end, _ := ctx.Deadline()
	return time.Until(end)
}

// UndoShare returns how much of the time left is reserved for undo.
func UndoShare(ctx context.Context, plan *manifest.Plan) time.Duration {
	m := plan.Manifest()
	if m.OnFailure == manifest.OnFailureStop || !plan.Undoable() {
		return 0
	}
	return cmp.Or(m.RollbackTimeout, min(Left(ctx)/4, manifest.MaxUndoTime))
}

// Suffices refuses a package that says it needs more time than is left, as it would be stopped half way.
func (b Budget) Suffices(ctx context.Context, plan *manifest.Plan, killAt time.Time) error {
	need, has := plan.Manifest().Timeout+UndoShare(ctx, plan), Left(ctx)
	if plan.Manifest().Timeout == 0 || need <= has {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "step.deadline", Where: "/timeout",
		Message: fmt.Sprintf("the package may need %s, undo included, and the invocation has %s left for it",
			need.Round(time.Second), has.Round(time.Second)),
		Hint: b.moreTime(killAt, "the package's"),
	}, nil)
}

// LeaseEnd returns when a lease that begins now ends: after the time that the run may still need, and no later than the
// invocation, which the platform kills at hard. A zero hard or need is unknown.
func (b Budget) LeaseEnd(hard time.Time, need, runTime time.Duration) time.Time {
	end := hard
	if end.IsZero() {
		end = b.Now().Add(runTime + b.Reserve)
	}
	if needed := b.Now().Add(Preparing + need + b.Reserve); need > 0 && needed.Before(end) {
		end = needed
	}
	return end.Add(LeaseMargin).UTC()
}

// StepsEnd returns when what the steps and their undo may need ends, if the first begins now.
func (b Budget) StepsEnd(need time.Duration) time.Time {
	return b.Now().Add(need + b.Reserve + LeaseMargin).UTC()
}

// PerRequest bounds one request to a store by a part of the time left until the context ends or, if it does not, until
// killAt; a zero killAt is unknown.
func (b Budget) PerRequest(ctx context.Context, killAt time.Time) (context.Context, context.CancelFunc) {
	end, left := killAt, b.Reserve
	if deadline, ok := ctx.Deadline(); ok {
		end = deadline
	}
	if !end.IsZero() {
		left = time.Until(end)
	}
	return context.WithTimeout(ctx, max(left/4, 2*time.Second))
}

// ForEvidence returns a context that outlives a cancelled one but not the process. A run that has started may use all
// of the time left for its evidence, up to the end of its lease; a zero lease has none.
func (b Budget) ForEvidence(
	ctx context.Context, started bool, leaseEnd time.Time,
) (context.Context, context.CancelFunc) {
	end := time.Now().Add(max(b.Reserve, time.Second))
	switch hard, ok := ctx.Deadline(); {
	case !ok: // nothing ends the process
		end = time.Now().Add(max(b.Reserve, time.Minute))
	case started || hard.Before(end):
		end = hard
	}
	if lease := time.Until(leaseEnd); started && lease > 0 && time.Now().Add(lease).Before(end) {
		end = time.Now().Add(lease)
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end)
}
