package steps

import (
	"context"
	"errors"
	"maps"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/workdir"
)

// ErrNoTime is the failure of a job whose first step would have no time.
var ErrNoTime = errors.New("no time is left for steps")

// Place is where the steps of a job run.
type Place interface {
	// Run runs the job; see Here.Run.
	Run(ctx context.Context, job Job, journal Journal) (Outcome, error)
	// Summary returns what the scripts left as a summary.
	Summary() string
	// Collect keeps what the scripts left as artifacts, as far as there is time until then.
	Collect(ctx context.Context, job Job, until time.Time, keep Keep) ([]evidence.Artifact, error)
}

// Here runs jobs in a folder of this machine.
type Here struct {
	Dir   *workdir.Dir
	Files map[string]File // in the package's folder, by name
	// Masker hides the secrets in everything that scripts print, leave and give. Values that scripts ask to be masked
	// are added to it, so that the caller masks them, too.
	Masker *redact.Masker
	Limits sandbox.Limits // of the machine, which the scripts share
	// Keeper makes a process of its own the scripts' parent, which ends them if this program is killed.
	Keeper bool
	// Spawn runs one command until ctx ends; nil: sandbox.Run.
	Spawn func(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error)
}

// File is a file of the package as admitted.
type File struct {
	Size   int64
	SHA256 string
}

// Check finds the interpreters and tools that a job needs and this machine does not have; the error lists all of
// them.
func (h Here) Check(job Job) error {
	_, err := h.resolve(job)
	return err
}

// Run runs the job. The context must have a deadline, by which the scripts have ended. The error says why not every
// step that was to run has succeeded; the outcome says how far the job came.
func (h Here) Run(ctx context.Context, job Job, journal Journal) (Outcome, error) {
	scripts, err := h.resolve(job)
	if err != nil {
		return Outcome{Refused: h.refusal(err), Stopped: true}, err
	}
	r := &run{
		here: h, job: job, journal: journal, scripts: scripts,
		masks: &masks{dir: h.Dir, masker: h.Masker}, before: h.Dir.Snapshot(h.digests()),
		outcome: Outcome{Outputs: map[string]string{}},
	}
	maps.Copy(r.outcome.Outputs, job.Outputs)
	if job.Undo == UndoOnly {
		err = r.revert(ctx)
	} else {
		err = r.execute(ctx)
	}
	r.outcome.Stopped = r.outcome.Stopped || err != nil && ctx.Err() != nil
	return r.outcome, err
}

// refusal is why something was not begun, masked.
func (h Here) refusal(why error) []problem.Problem {
	unknown := problem.Problem{Code: "step.start", Message: "the script could not be started", Hint: "see the log"}
	e := problem.Of(why, unknown)
	return problem.Masked(problem.Limit(e.Problems, problem.Most, e.Code()), h.Masker.String)
}

// digests are the digests of the package's files, by name.
func (h Here) digests() map[string]string {
	digests := make(map[string]string, len(h.Files))
	for name, f := range h.Files {
		digests[name] = f.SHA256
	}
	return digests
}

// run is a job that is running.
type run struct {
	here    Here
	job     Job
	journal Journal
	scripts []script
	masks   *masks
	before  *workdir.Snapshot // of the package's folder, after the previous step
	named   int               // bytes of the names of changed files so far
	outcome Outcome
	undo    []script // the remaining undo scripts
}

// Grace is the time between SIGTERM and SIGKILL for a step whose time has ended. It is part of the step's time.
const Grace = 2 * time.Second

// linger is how long, within the step's time, output of processes that a script left behind is still read.
const linger = 2 * time.Second

// hasTime reports whether there is time for a script.
func hasTime(ctx context.Context) bool {
	end, _ := ctx.Deadline()
	return time.Until(end) > Grace
}

// stopTime is when a script is asked to end, so that it has ended by its deadline.
func stopTime(ctx context.Context) time.Time {
	end, _ := ctx.Deadline()
	return end.Add(-Grace)
}

// interrupted is the outcome if nothing is heard any more after the beginning of this step.
func (r *run) interrupted(current evidence.Step) Outcome {
	o := r.outcome
	o.Outputs = maps.Clone(o.Outputs)
	o.Steps = withoutTails(o.Steps)
	current.Status, current.Attempts = evidence.StepInterrupted, 1
	if current.Phase != string(phaseRollback) {
		o.Steps = append(o.Steps, current)
		for _, s := range r.scripts[min(len(o.Steps), len(r.scripts)):] {
			o.Steps = append(o.Steps, s.Describe(evidence.StepNotRun))
		}
		return o
	}
	rollback := *o.Rollback
	rollback.Status = evidence.StepInterrupted
	rollback.Steps = append(withoutTails(rollback.Steps), current)
	for _, s := range r.undo {
		rollback.Steps = append(rollback.Steps, s.Describe(evidence.StepNotRun))
	}
	o.Rollback = &rollback
	return o
}

// withoutTails copies records without what the steps printed.
func withoutTails(records []evidence.Step) []evidence.Step {
	var all []evidence.Step
	for _, s := range records {
		s.StdoutTail, s.StderrTail = "", ""
		all = append(all, s)
	}
	return all
}
