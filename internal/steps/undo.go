package steps

import (
	"context"
	"errors"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// phaseRollback is the phase of undo scripts; no plan lists them as steps.
const phaseRollback = manifest.Phase(jobs.PhaseRollback)

// undoOf makes a step of a step's undo script.
func undoOf(step Step) Step {
	undo := step
	undo.Phase, undo.Run, undo.SHA256 = phaseRollback, step.Undo, step.UndoSHA256
	undo.Args, undo.Timeout, undo.ContinueOnError, undo.Undo, undo.UndoSHA256 = nil, 0, false, "", ""
	return undo
}

// undoing is what is to be undone, and the part of the outcome that reports it.
type undoing struct {
	rollback *evidence.Rollback
	pending  []script // the last one that began first
}

func newUndoing() undoing {
	return undoing{rollback: &evidence.Rollback{Status: evidence.StepSuccess, Steps: []evidence.Step{}}}
}

// add adds a step that had begun.
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

// undoBegun runs the undo scripts of all steps that began, in reverse order, up to the first that fails. It does
// nothing if the executor itself is being stopped.
func (r *run) undoBegun(ctx context.Context) {
	u := newUndoing()
	for i, record := range r.outcome.Steps {
		if record.Attempts > 0 || record.Status == evidence.StepSkipped {
			u.add(r.scripts[i])
		}
	}
	switch {
	case len(u.pending) == 0 && (u.rollback.NeedNone == nil || u.rollback.WithoutUndo != nil || !r.undoable()):
		return // nothing had begun, or none of it can be undone
	case len(u.pending) > 0 && errors.Is(ctx.Err(), context.Canceled):
		// The executor is being stopped; a person has to undo the steps.
		u.rollback.Status = evidence.StepNotRun
		for _, s := range u.pending {
			u.rollback.Steps = append(u.rollback.Steps, s.Describe(evidence.StepNotRun))
		}
		r.outcome.Rollback = u.rollback
	default:
		_ = r.runUndo(ctx, u) // the outcome has its error
	}
}

// undoable reports whether any step has an undo script.
func (r *run) undoable() bool {
	for _, s := range r.scripts {
		if s.undo != nil {
			return true
		}
	}
	return false
}

// revert undoes an earlier run: the steps that had begun in it, the last one first, except those that are undone
// already.
func (r *run) revert(ctx context.Context) error {
	u := newUndoing()
	for _, s := range r.scripts {
		r.outcome.Steps = append(r.outcome.Steps, s.Describe(evidence.StepNotRun))
		switch {
		case s.Do == Undone && s.undo != nil:
			done := s.undo.Describe(evidence.StepSkipped)
			u.rollback.Steps = append([]evidence.Step{done}, u.rollback.Steps...)
		case s.Do == Revert:
			u.add(s)
		}
	}
	r.outcome.Rollback = u.rollback
	if len(u.pending) == 0 {
		return nil
	}
	return r.runUndo(ctx, u)
}

// runUndo runs undo scripts in order, up to the first that fails.
func (r *run) runUndo(ctx context.Context, u undoing) error {
	ctx, cancel := context.WithTimeout(ctx, r.job.Times.Undo+Grace)
	defer cancel()
	r.outcome.Rollback = u.rollback
	var failure error
	for i, s := range u.pending {
		record := s.Describe(evidence.StepNotRun)
		if failure == nil {
			r.undo = u.pending[i+1:]
			if record, failure = r.undoStep(ctx, len(r.scripts)+i+1, s); failure != nil {
				unknown := problem.Problem{Code: "step.undo", Message: "the undo did not succeed"}
				u.rollback.Status, u.rollback.Error = record.Status, evidence.NewError(problem.Of(failure, unknown))
				u.rollback.Error.Mask(r.here.Masker)
			}
		}
		u.rollback.Steps = append(u.rollback.Steps, record)
	}
	return failure
}

func (r *run) undoStep(ctx context.Context, number int, s script) (evidence.Step, error) {
	if ctx.Err() != nil {
		err := stepError("step.undo", s, "was not run: the executor is being stopped", "undo the step by hand")
		return s.Describe(evidence.StepNotRun), err
	}
	return r.step(ctx, number, s)
}
