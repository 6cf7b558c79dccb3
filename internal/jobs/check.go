package jobs

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
)

// Check refuses an outcome that is not one of the job, with the code runner.outcome: one of another job, with other
// steps than the plan's or in another order, with a step that has begun after one at which the job ended, with more
// than the limits allow, or with parts that contradict each other. What is left is the runner's word.
//
// Both were decoded. That the objects of the mailbox are those that the outcome names is for whoever reads them.
func Check(j Job, o Outcome) error {
	c := checker{job: j, outcome: o}
	for _, check := range []func(){c.whole, c.steps, c.undo, c.end, c.outputs, c.artifacts} {
		if check(); c.err != nil {
			return c.err
		}
	}
	return nil
}

// checker holds an outcome against its job.
type checker struct {
	job     Job
	outcome Outcome
	failed  bool // the job did not go on after one of the steps
	failing bool // a step did not succeed
	gap     bool // a step was not begun that was to be, and the job had not ended before it
	open    bool // and that was not one that may fail
	err     error
}

// bad notes what is wrong, unless something was before.
func (c *checker) bad(where, form string, values ...any) {
	if c.err == nil {
		c.err = outcome.wrong(where, fmt.Sprintf(form, values...))
	}
}

// whole checks what the outcome says of itself.
func (c *checker) whole() {
	o := c.outcome
	began := slices.ContainsFunc(c.records(), func(s evidence.Step) bool { return s.Attempts > 0 })
	switch {
	case o.V != Version || o.Job != c.job.Job:
		c.bad("/job", "it is of another job")
	case o.Began != began:
		c.bad("/began", "it contradicts the steps")
	case c.nothing() && (o.Ended == Complete || o.Rollback != nil):
		c.bad("/steps", "they are missing")
	case !c.nothing() && len(o.Steps) != len(c.job.Plan):
		c.bad("/steps", "there are %d, and the plan has %d", len(o.Steps), len(c.job.Plan))
	case c.confined() && slices.Index(Levels, o.Sandbox.Level) < slices.Index(Levels, c.job.Level):
		c.bad("/sandbox/level", "scripts ran at %s, and the job wants %s", o.Sandbox.Level, c.job.Level)
	}
	for i, p := range o.Refused {
		if !MayRefuse(p.Code) {
			c.bad(fmt.Sprintf("/refused/%d", i), "%s is no code of a runner's", p.Code)
		}
	}
}

// MayRefuse reports whether a runner may give a code as the reason why it does not begin something. Those of others say
// what is tried again and who is to blame.
func MayRefuse(code string) bool {
	switch family, _, _ := strings.Cut(code, "."); family {
	case "step", "sandbox", "runner":
		return codes.Known(code)
	}
	return code == "secret.sandbox" || code == "archive.no_space"
}

// confined reports whether the outcome says what was around the scripts. It cannot where each of them was ended before
// it became the script's program.
func (c *checker) confined() bool {
	return c.outcome.Sandbox.Layers != Layers{} || slices.ContainsFunc(c.records(), func(s evidence.Step) bool {
		return s.Status == evidence.StepSuccess
	})
}

// records are those of all scripts, undo included.
func (c *checker) records() []evidence.Step {
	if c.outcome.Rollback == nil {
		return c.outcome.Steps
	}
	return slices.Concat(c.outcome.Steps, c.outcome.Rollback.Steps)
}

// code checks that a code is one that a runner gives: those of others say what is tried again and who is to blame.
func (c *checker) code(where, code string, families ...string) {
	family, _, _ := strings.Cut(code, ".")
	if !codes.Known(code) || !slices.Contains(families, family) {
		c.bad(where, "%s is no code of a runner's", code)
	}
}

// steps checks the records of the plan.
func (c *checker) steps() {
	for i, record := range c.outcome.Steps {
		where, s := fmt.Sprintf("/steps/%d", i), c.job.Plan[i]
		if !c.same(where, record, s.describe()) {
			return
		}
		switch s.Do {
		case DoRun:
			c.ran(where, s, record)
		case DoSkip:
			c.untouched(where, record, evidence.StepSkipped, s.Outputs)
		default:
			c.untouched(where, record, evidence.StepNotRun, nil)
		}
	}
}

// describe is the record of a step that is not run.
func (s Step) describe() evidence.Step {
	return evidence.Step{Name: s.Name, Phase: s.Phase, Run: s.Run, SHA256: s.SHA256, Status: evidence.StepNotRun}
}

// same checks that a record is of a step.
func (c *checker) same(where string, record, want evidence.Step) bool {
	want.Status = record.Status
	got := evidence.Step{
		Name: record.Name, Phase: record.Phase, Run: record.Run, SHA256: record.SHA256, Status: record.Status,
	}
	if !reflect.DeepEqual(got, want) {
		c.bad(where, "the plan has another step here")
	}
	return c.err == nil
}

// ran checks the record of a step that was to be run.
func (c *checker) ran(where string, s Step, record evidence.Step) {
	if record.Attempts == 0 {
		c.untouched(where, record, evidence.StepNotRun, nil)
		c.gap = c.gap || !c.failed
		c.open = c.open || !c.failed && !s.ContinueOnError
		return
	}
	if c.failed || c.gap {
		c.bad(where, "it has begun after a step at which the job ended")
	}
	c.begun(where, s.N, s.Retries, record)
	if e := record.Error; e != nil {
		c.failing, c.failed = true, !s.ContinueOnError || !codes.Of(e.Code).Tolerated
	}
}

// untouched checks the record of a step that was not run.
func (c *checker) untouched(where string, got evidence.Step, status evidence.StepStatus, outputs map[string]string) {
	want := evidence.Step{Name: got.Name, Phase: got.Phase, Run: got.Run, SHA256: got.SHA256, Status: status}
	want.Outputs = unless(len(outputs) == 0, outputs)
	if !reflect.DeepEqual(want, got) {
		c.bad(where, "it was not run, and something has come of it, or it is not %s", status)
	}
}

// begun checks the record of a script that was started: how it ended, and when.
func (c *checker) begun(where string, number, retries int, s evidence.Step) {
	success := s.Status == evidence.StepSuccess
	switch {
	case s.Attempts > retries+1:
		c.bad(where+"/attempts", "it has %d tries, and may have %d", s.Attempts, retries+1)
	case s.Status == evidence.StepNotRun || s.Status == evidence.StepSkipped:
		c.bad(where+"/status", "it was started, and is %s", s.Status)
	case success != (s.Error == nil) || success && (s.ReturnCode != 0 || s.Signal != ""):
		c.bad(where+"/status", "it is %s, and the rest of the record says something else", s.Status)
	case s.Status == evidence.StepInterrupted && c.outcome.Ended == Complete:
		c.bad(where+"/status", "a step of a job that is complete was not interrupted")
	case s.Status == evidence.StepCancelled && c.outcome.Ended != Cancelled:
		c.bad(where+"/status", "a step of a job that was not cancelled was not either")
	case s.Log != LogName(number, s.Phase, s.Name) || s.LogSHA256 == "":
		c.bad(where+"/log", "it is not that of the step")
	case s.OutputSize > c.job.Limits.LogBytes && !s.Truncated:
		c.bad(where+"/truncated", "the log cannot be whole")
	case !c.timely(s):
		c.bad(where+"/start", "it cannot have run then, or for so long")
	}
	if s.Error != nil {
		c.code(where+"/error/code", s.Error.Code, "step", "sandbox")
	}
}

// timely reports whether a script can have run when its record says so. The runner's clock is not the executor's, so
// that only what no clock explains is refused.
func (c *checker) timely(s evidence.Step) bool {
	if s.Start == nil || s.End == nil {
		return s.Start == nil && s.End == nil && s.DurationMS == 0 && s.Status == evidence.StepFailed
	}
	first, last := c.job.Times.KillAt.Add(-2*maxRun), c.job.Times.KillAt.Add(maxRun)
	return !s.Start.Before(first) && !s.End.After(last) && s.End.Sub(*s.Start).Milliseconds() == s.DurationMS
}

// end checks that the job ended as the outcome says.
func (c *checker) end() {
	o, whole := c.outcome, c.outcome.Ended == Complete
	switch {
	case c.nothing():
		if len(o.Refused) == 0 && o.Ended != Cancelled {
			c.bad("/refused", "nothing was begun, and nothing says why")
		}
	case len(o.Refused) > 0 && !c.gap && len(c.job.Plan) > 0:
		c.bad("/refused", "no step is left that was not begun for it")
	case len(o.Refused) == 0 && c.open && (whole || !c.failing):
		c.bad("/ended", "a step was not run, and nothing says why")
	}
}

// nothing reports whether the outcome is one of a job that was not begun.
func (c *checker) nothing() bool { return len(c.outcome.Steps) == 0 && len(c.job.Plan) > 0 }

// outputs checks what scripts gave to each other and to the result.
func (c *checker) outputs() {
	all := map[string]string{}
	changed := 0
	var took time.Duration
	for _, s := range c.records() {
		took += time.Duration(s.DurationMS) * time.Millisecond
		maps.Copy(all, s.Outputs)
		for _, name := range s.ChangedFiles {
			changed += len(name)
		}
	}
	switch {
	case len(all) > MaxOutputs || bytesOf(all) > MaxOutputBytes:
		c.bad("/steps", "their outputs are more than %d, or have more than %d bytes", MaxOutputs, MaxOutputBytes)
	case changed > MaxChangedBytes:
		c.bad("/steps", "the names of changed files have more than %d bytes", MaxChangedBytes)
	case took > maxRun:
		c.bad("/steps", "they have taken %s, which no job does", took)
	case !c.outcome.Began && c.outcome.Summary != "":
		c.bad("/summary", "no script has begun that could have written it")
	}
}
