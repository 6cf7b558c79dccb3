package jobs

import (
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// Abandoned is the outcome of the job where whoever ran it stopped for a reason of its own: what has begun is in the
// outcome, nothing more is, and what was to be undone for that is listed as not run.
func (o Outcome) Abandoned(j Job, why problem.Problem) Outcome {
	o.Ended = Stopped
	if o.Rollback == nil {
		c := checker{job: j, outcome: o}
		o.Rollback, _ = c.undoing()
		if o.Rollback != nil {
			o.Rollback.Status = evidence.StepNotRun
			o.Rollback.Error = &evidence.Error{Code: why.Code, Message: why.Message, Hint: why.Hint}
		}
	}
	if Check(j, o) == nil {
		return o // the last record says why it went no further
	}
	o.Refused = []problem.Problem{why}
	return o
}

// Brief is the outcome with the shortest records: without what the steps printed, gave and changed, which their logs
// tell in part, and without more of an error than its beginning.
func (o Outcome) Brief() Outcome {
	o = o.shortened(0)
	shorten := func(steps []evidence.Step) {
		for i := range steps {
			s := &steps[i]
			s.MoreChanged += len(s.ChangedFiles)
			s.ChangedFiles, s.Error = nil, brief(s.Error)
			s.Outputs = unless(s.Status != evidence.StepSkipped, s.Outputs)
		}
	}
	shorten(o.Steps)
	if o.Rollback != nil {
		shorten(o.Rollback.Steps)
		o.Rollback.Error = brief(o.Rollback.Error)
	}
	o.Summary = ""
	return o
}

// brief is an error with the beginning of its message.
func brief(e *evidence.Error) *evidence.Error {
	if e == nil {
		return nil
	}
	return &evidence.Error{Code: e.Code, Message: evidence.Cut(e.Message, 200), Hint: evidence.Cut(e.Hint, 200)}
}
