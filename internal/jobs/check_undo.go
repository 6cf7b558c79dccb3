package jobs

import (
	"fmt"
	"slices"

	"cemli-executor/internal/evidence"
)

// undo checks what was undone: exactly what was to be, in its order.
func (c *checker) undo() {
	want, pending := c.undoing()
	got := c.outcome.Rollback
	switch {
	case got == nil && want == nil:
	case got == nil:
		c.bad("/rollback", "what had begun was to be undone")
	case want == nil:
		c.bad("/rollback", "nothing was to be undone")
	case !slices.Equal(got.WithoutUndo, want.WithoutUndo) || !slices.Equal(got.NeedNone, want.NeedNone):
		c.bad("/rollback", "other steps have no undo")
	case len(got.Steps) != len(want.Steps):
		c.bad("/rollback/steps", "there are %d, and %d were to be undone", len(got.Steps), len(want.Steps))
	default:
		c.undone(want.Steps, len(want.Steps)-len(pending), pending)
	}
}

// undoing is what was to be undone after what the steps' records say, nil if nothing was; and the steps whose undo was
// to run for that, which are the last ones of it.
func (c *checker) undoing() (*evidence.Rollback, []Step) {
	reverting := c.job.Action == ActionRollback
	if c.nothing() || !reverting && !c.reverts() {
		return nil, nil
	}
	var r evidence.Rollback
	var pending []Step
	for i, s := range c.job.Plan {
		switch {
		case reverting && s.Do == DoUndone && s.Undoable():
			r.Steps = append(r.Steps, s.undo())
		case reverting && s.Do == DoRevert, !reverting && c.hadBegun(i):
			pending = toUndo(&r, pending, s)
		}
	}
	slices.Reverse(r.Steps)
	slices.Reverse(pending)
	for _, s := range pending {
		r.Steps = append(r.Steps, s.undo())
	}
	if !reverting && len(pending) == 0 && (r.NeedNone == nil || r.WithoutUndo != nil || !c.undoable()) {
		return nil, nil
	}
	return &r, pending
}

// reverts reports whether a failure leads to undo.
func (c *checker) reverts() bool {
	failed := c.failed || len(c.outcome.Refused) > 0 || c.outcome.Ended != Complete
	return failed && c.job.OnFailure == OnFailureRollback &&
		slices.ContainsFunc(c.outcome.Steps, func(s evidence.Step) bool { return s.Attempts > 0 })
}

// hadBegun reports whether a step of the plan counts as begun.
func (c *checker) hadBegun(i int) bool {
	record := c.outcome.Steps[i]
	return record.Attempts > 0 || record.Status == evidence.StepSkipped
}

// undoable reports whether any step has an undo script.
func (c *checker) undoable() bool { return slices.ContainsFunc(c.job.Plan, Step.Undoable) }

// toUndo adds a step that had begun to those that are to be undone, or names it among those that are not.
func toUndo(r *evidence.Rollback, pending []Step, s Step) []Step {
	switch {
	case s.Undoable():
		return append(pending, s)
	case s.Phase != "run":
	case s.Rollback == NoUndo:
		r.NeedNone = append(r.NeedNone, s.Name)
	default:
		r.WithoutUndo = append(r.WithoutUndo, s.Name)
	}
	return pending
}

// undo is the record of a step's undo that is not run.
func (s Step) undo() evidence.Step {
	s.Phase, s.Run, s.SHA256 = PhaseRollback, s.Rollback, s.RollbackSHA256
	return s.describe()
}

// undone checks the records of what was to be undone: those that had been undone before, then the pending ones, up to
// the first that failed.
func (c *checker) undone(want []evidence.Step, before int, pending []Step) {
	got := c.outcome.Rollback
	status, at := evidence.StepSuccess, -1 // how all of it ended, and at which
	for i, record := range got.Steps {
		where := fmt.Sprintf("/rollback/steps/%d", i)
		switch {
		case !c.same(where, record, want[i]):
			return
		case i < before:
			c.untouched(where, record, evidence.StepSkipped, nil)
			continue
		case record.Attempts == 0:
			c.untouched(where, record, evidence.StepNotRun, nil)
		case at >= 0:
			c.bad(where, "it has begun after an undo that failed")
		default:
			c.begun(where, len(c.job.Plan)+i-before+1, pending[i-before].Retries, record)
		}
		if at < 0 && record.Status != evidence.StepSuccess {
			status, at = record.Status, i
		}
	}
	c.endOfUndo(status)
}

// endOfUndo checks that the undo ended as its steps say.
func (c *checker) endOfUndo(status evidence.StepStatus) {
	got := c.outcome.Rollback
	unsaid := got.Error == nil && status != evidence.StepSuccess
	switch {
	case got.Status != status || got.Error != nil && status == evidence.StepSuccess:
		c.bad("/rollback/status", "it is %s, and its steps say something else", got.Status)
	case unsaid && (status != evidence.StepNotRun || c.outcome.Ended == Complete):
		c.bad("/rollback/error", "nothing says why it did not succeed")
	case got.Error != nil:
		c.code("/rollback/error/code", got.Error.Code, "step", "sandbox", "runner")
	}
}
