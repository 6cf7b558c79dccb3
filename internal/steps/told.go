package steps

import (
	"maps"
	"strings"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
)

// Told is what a runner says has come of the job, as Run says it: the outcome, and why not every step that was to run
// has succeeded. jobs.Check has taken the document for the job's.
func (j Job) Told(d jobs.Outcome) (Outcome, error) {
	o := Outcome{
		Began: d.Began, Steps: d.Steps, Rollback: d.Rollback, Outputs: map[string]string{}, Refused: d.Refused,
		Layers: layersFrom(d.Sandbox.Layers), Stopped: d.Ended == jobs.Stopped,
	}
	maps.Copy(o.Outputs, j.Outputs)
	for _, s := range d.Steps {
		maps.Copy(o.Outputs, s.Outputs)
	}
	if d.Rollback != nil {
		for _, s := range d.Rollback.Steps {
			maps.Copy(o.Outputs, s.Outputs)
		}
	}
	return o, j.failure(d)
}

// failure is why not every step that was to run has succeeded; nil if all have, or may fail.
func (j Job) failure(d jobs.Outcome) error {
	switch undo := d.Rollback; {
	case len(d.Refused) > 0:
		return refused(d)
	case j.Undo == UndoOnly && undo != nil && undo.Error != nil:
		return problemOf(*undo.Error, "")
	case j.Undo != UndoOnly:
		if failed := j.failed(d); failed != nil {
			return problemOf(*failed.Error, failed.Run)
		}
	}
	if d.Ended == jobs.Complete {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "step.interrupted", Message: "the job was ended before all of it was done",
		Hint: "see which parts took effect before you run it again",
	}, nil)
}

// refused is the failure of a step, or a job, that was not begun.
func refused(d jobs.Outcome) error {
	failure := &problem.Error{Problems: d.Refused}
	if !d.Began && failure.Code() == "step.deadline" {
		failure.Cause = ErrNoTime
	}
	return failure
}

// failed is the record of the step at which the job ended; nil: there is none. It is the last one that has begun,
// unless the job went on after it.
func (j Job) failed(d jobs.Outcome) *evidence.Step {
	for i := len(d.Steps) - 1; i >= 0; i-- {
		s := &d.Steps[i]
		if s.Attempts == 0 {
			continue
		}
		tolerated := s.Error != nil && j.Plan[i].ContinueOnError && codes.Of(s.Error.Code).Tolerated
		if s.Error == nil || tolerated && d.Ended == jobs.Complete {
			return nil
		}
		return s
	}
	return nil
}

// problemOf is the error that a record describes; the place of it is the record's script.
func problemOf(e evidence.Error, run string) error {
	if len(e.Problems) > 0 {
		return &problem.Error{Problems: e.Problems}
	}
	message, ok := strings.CutPrefix(e.Message, run+": ")
	if !ok || run == "" {
		run, message = "", e.Message
	}
	return problem.New(problem.Problem{Code: e.Code, Where: run, Message: message, Hint: e.Hint}, nil)
}
