package steps

import (
	"maps"
	"slices"

	"cemli-executor/internal/evidence"
)

// Interrupted is the outcome of a job that is never heard of again, after the steps of these records had ended: the
// one after them may have begun.
func (j Job) Interrupted(ended []evidence.Step) Outcome {
	o := Outcome{Began: true, Outputs: map[string]string{}, Stopped: true}
	maps.Copy(o.Outputs, j.Outputs)
	for _, s := range ended {
		maps.Copy(o.Outputs, s.Outputs)
	}
	record := func(s Step) *evidence.Step {
		i := slices.IndexFunc(ended, func(r evidence.Step) bool {
			return r.Name == s.Name && r.Phase == string(s.Phase)
		})
		if i < 0 {
			return nil
		}
		return &withoutTails(ended[i : i+1])[0]
	}
	undoing := j.Undo == UndoOnly || slices.ContainsFunc(ended, isUndo)
	current := undoing // or one is found
	for _, s := range j.Plan {
		done, is := record(s), s.Describe(evidence.StepNotRun)
		switch {
		case done != nil:
			is = *done
		case s.Do == Skip:
			is.Status, is.Outputs = evidence.StepSkipped, s.Outputs
		case s.Do == Run && !current:
			current, is.Status, is.Attempts = true, evidence.StepInterrupted, 1
		}
		o.Steps = append(o.Steps, is)
	}
	if undoing {
		o.Rollback = j.interruptedUndo(o.Steps, record)
	}
	return o
}

// Unheard is the outcome of a job that is never heard of again, after it was told that the steps of these records had
// ended: any of those after them may have begun since, and ended.
func (j Job) Unheard(ended []evidence.Step) Outcome {
	o := j.Interrupted(ended)
	lists := [][]evidence.Step{o.Steps}
	if o.Rollback != nil {
		lists = [][]evidence.Step{o.Rollback.Steps}
	}
	for _, list := range lists {
		first := slices.IndexFunc(list, func(s evidence.Step) bool { return s.Status == evidence.StepInterrupted })
		for i := range list {
			if s := &list[i]; first >= 0 && i > first && s.Status == evidence.StepNotRun && j.mayRun(*s) {
				s.Status, s.Attempts = evidence.StepInterrupted, 1
			}
		}
	}
	return o
}

// mayRun reports whether a record is that of a script that is to be run.
func (j Job) mayRun(s evidence.Step) bool {
	return isUndo(s) || slices.ContainsFunc(j.Plan, func(p Step) bool {
		return p.Name == s.Name && string(p.Phase) == s.Phase && p.Do == Run
	})
}

// isUndo reports whether a record is that of an undo script.
func isUndo(s evidence.Step) bool { return s.Phase == string(phaseRollback) }

// interruptedUndo is the undo of a job that is never heard of again.
func (j Job) interruptedUndo(steps []evidence.Step, record func(Step) *evidence.Step) *evidence.Rollback {
	u := newUndoing()
	u.rollback.Status = evidence.StepInterrupted
	current := false
	for i, s := range slices.Backward(j.Plan) {
		begun := s.Do == Revert || steps[i].Attempts > 0 || steps[i].Status == evidence.StepSkipped
		switch {
		case !begun && s.Do != Undone:
			continue
		case s.Undo == "":
			if begun {
				u.add(script{Step: s})
			}
			continue
		}
		undo := undoOf(s)
		is := undo.Describe(evidence.StepNotRun)
		switch done := record(undo); {
		case done != nil:
			is = *done
		case s.Do == Undone:
			is.Status = evidence.StepSkipped
		case !current:
			current, is.Status, is.Attempts = true, evidence.StepInterrupted, 1
		}
		u.rollback.Steps = append(u.rollback.Steps, is)
	}
	return u.rollback
}
