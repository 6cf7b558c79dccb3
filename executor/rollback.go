package executor

import (
	"context"
	"errors"
	"slices"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

// rollBack undoes an earlier run: the steps that had begun in it, the last one first, without
// those whose undo has succeeded already, then or since.
func (r *run) rollBack(ctx context.Context, plan *manifest.Plan, scripts []script) error {
	before, err := r.undoneBefore(ctx)
	if err != nil {
		return err
	}
	for key, value := range r.previous.Outputs {
		if !isHidden(value) { // one that was hidden is not there, rather than wrong
			r.outputs[key] = value
		}
	}
	u := newUndoing()
	for _, s := range scripts {
		r.result.Steps = append(r.result.Steps, describeStep(s, evidence.StepNotRun))
		step, ok := r.before(s)
		if !ok || step.Attempts == 0 && step.Status != evidence.StepSkipped {
			continue
		}
		if s.undo != nil && undone(before, *s.undo) {
			done := describeStep(*s.undo, evidence.StepSkipped)
			u.rollback.Steps = append([]evidence.Step{done}, u.rollback.Steps...)
			continue
		}
		u.add(s)
	}
	r.result.Rollback = u.rollback
	if len(u.pending) == 0 {
		r.result.Execution.Note = "nothing of that run has an undo that is left to be done; nothing was executed"
		return nil
	}
	return r.runUndo(ctx, plan, u, len(scripts))
}

// undoneBefore lists the undo scripts of the run that is rolled back, as they ended in that run and in
// the last rollback of it.
func (r *run) undoneBefore(ctx context.Context) ([]evidence.Step, error) {
	var steps []evidence.Step
	if r.previous.Rollback != nil {
		steps = slices.Clone(r.previous.Rollback.Steps)
	}
	known := r.history.Find(r.previous.ParameterSet, r.previous.RunID)
	if known == nil || known.RolledBackBy == nil {
		return steps, nil
	}
	last, digest, err := r.readResult(ctx, known.LastRollback())
	if err == nil {
		err = r.vouched(ctx, last.RunID, digest)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return steps, nil // what it undid is undone again
	case err != nil:
		return nil, err
	}
	if last.Rollback != nil {
		steps = append(steps, last.Rollback.Steps...)
	}
	return steps, nil
}

// undone reports whether an undo script has succeeded already.
func undone(before []evidence.Step, undo script) bool {
	return slices.ContainsFunc(before, func(s evidence.Step) bool {
		return s.Name == undo.Name && s.Run == undo.Run && (s.Status == evidence.StepSuccess || s.Status == evidence.StepSkipped)
	})
}

// undoing is what is to be undone, and what the result says of it.
type undoing struct {
	rollback *evidence.Rollback
	pending  []script // the last one that began first
}

func newUndoing() undoing {
	return undoing{rollback: &evidence.Rollback{Status: evidence.StepSuccess, Steps: []evidence.Step{}}}
}

// add notes a step that had begun.
func (u *undoing) add(s script) {
	switch {
	case s.undo != nil:
		u.pending = append([]script{*s.undo}, u.pending...)
	case s.Phase != manifest.PhaseRun:
	case s.NoUndo:
		u.rollback.NeedNone = append(u.rollback.NeedNone, s.Name)
	default:
		u.rollback.WithoutUndo = append(u.rollback.WithoutUndo, s.Name)
	}
}
