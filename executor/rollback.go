package executor

import (
	"context"
	"errors"
	"maps"
	"slices"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
)

// rollBack makes the job one that undoes an earlier run: the steps that had begun in it, without those
// whose undo has succeeded already, then or since.
func (r *run) rollBack(ctx context.Context) error {
	done, err := r.undoneBefore(ctx)
	if err != nil {
		return err
	}
	r.job.Outputs = maps.Clone(r.previous.Outputs)
	// An output that was hidden is not there, rather than wrong.
	maps.DeleteFunc(r.job.Outputs, func(_, value string) bool { return isHidden(value) })
	for i, s := range r.job.Plan {
		before, ok := r.before(s)
		switch {
		case !ok || before.Attempts == 0 && before.Status != evidence.StepSkipped:
		case s.Undo != "" && undone(done, s):
			r.job.Plan[i].Do = steps.Undone
		default:
			r.job.Plan[i].Do = steps.Revert
		}
	}
	return nil
}

// undoneBefore lists the undo scripts of the run that is rolled back, as they ended in that run and in
// the last rollback of it.
func (r *run) undoneBefore(ctx context.Context) ([]evidence.Step, error) {
	var all []evidence.Step
	if r.previous.Rollback != nil {
		all = slices.Clone(r.previous.Rollback.Steps)
	}
	known := r.history.Find(r.previous.ParameterSet, r.previous.RunID)
	if known == nil || known.RolledBackBy == nil {
		return all, nil
	}
	last, digest, err := r.readResult(ctx, known.LastRollback())
	if err == nil {
		err = r.vouched(ctx, last.RunID, digest)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return all, nil // what it undid is undone again
	case err != nil:
		return nil, err
	}
	if last.Rollback != nil {
		all = append(all, last.Rollback.Steps...)
	}
	return all, nil
}

// undone reports whether the undo script of a step has succeeded already.
func undone(before []evidence.Step, step steps.Step) bool {
	return slices.ContainsFunc(before, func(s evidence.Step) bool {
		done := s.Status == evidence.StepSuccess || s.Status == evidence.StepSkipped
		return done && s.Name == step.Name && s.Run == step.Undo
	})
}
