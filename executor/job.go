package executor

import (
	"context"
	"errors"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/manifest"
)

// jobOf is what a plan means for whoever runs its steps, as far as it is known before secrets are read.
func (r *run) jobOf(plan *manifest.Plan) steps.Job {
	m, p := plan.Manifest(), r.result.Package
	job := steps.Job{
		World: steps.World{
			RunID: r.result.RunID, Package: p.Name, Version: p.Version, Type: p.Type,
			Environment: r.exec.Environment, Action: r.result.Action, Fence: r.fence(), DryRun: r.result.Action == string(ActionDryRun),
		},
		Undo: r.undoOf(m), Tools: m.Tools, Level: r.level, Network: m.Network, Keep: m.Outputs,
		Times: steps.Times{Steps: m.Timeout, Undo: undoTime(m)},
		Limits: steps.Limits{
			LogBytes: r.limits.LogBytes, Artifacts: r.limits.Artifacts, ArtifactBytes: r.limits.ArtifactBytes,
		},
	}
	for _, a := range plan.Arguments() {
		job.Arguments = append(job.Arguments, steps.Variable{Name: a.Name, Value: a.Value.Text()})
	}
	for _, s := range plan.Steps() {
		job.Plan = append(job.Plan, r.stepOf(s))
	}
	return job
}

// undoOf says when what a run does is undone.
func (r *decided) undoOf(m *manifest.Manifest) steps.Undo {
	switch {
	case r.result.Action == string(ActionRollback):
		return steps.UndoOnly
	case r.result.Action == string(ActionApply) && m.OnFailure != manifest.OnFailureStop:
		return steps.UndoOnFailure
	}
	return steps.UndoNever
}

// stepOf is a step of the plan for whoever runs it. A dry run leaves out what does not promise to change
// nothing.
func (r *decided) stepOf(s manifest.Step) steps.Step {
	step := steps.Step{
		Name: s.Name, Phase: s.Phase, Run: s.Run, SHA256: s.SHA256, Args: s.Args, Env: s.Env, Secrets: s.Secrets,
		Timeout: s.Timeout, Retries: s.Retries, RetryDelay: s.RetryDelay, ContinueOnError: s.ContinueOnError,
		Undo: s.Rollback, UndoSHA256: s.RollbackSHA256, NoUndo: s.NoUndo,
	}
	if r.result.Action == string(ActionApply) || r.result.Action == string(ActionDryRun) && (s.Phase == manifest.PhasePreCheck || s.DryRun) {
		step.Do = steps.Run
	}
	return step
}

// here is where the steps run.
func (r *found) here() steps.Here {
	return steps.Here{Dir: r.dir, Files: r.files, Masker: r.masker, Limits: r.exec.Scripts, Keeper: r.exec.Keeper, Spawn: r.exec.Spawn}
}

// execute has the job done.
func (r *run) execute(ctx context.Context, plan *manifest.Plan) error {
	if err := r.decide(ctx); err != nil {
		return err
	}
	r.job.Times.Kept = undoShare(ctx, plan)
	outcome, err := r.here().Run(ctx, r.job, r.journal(ctx))
	r.take(outcome)
	switch {
	case errors.Is(err, steps.ErrNoTime):
		return r.tooLong(r.noTime())
	case len(r.job.Plan) == 0:
		r.result.Execution.Note = "the package has no scripts; nothing was executed"
	}
	if err == nil && r.result.Action == string(ActionRollback) && !outcome.Began {
		r.result.Execution.Note = "nothing of that run has an undo that is left to be done; nothing was executed"
	}
	return err
}

// decide makes the job go by the run that this one goes back to, if there is one.
func (r *run) decide(ctx context.Context) error {
	switch {
	case r.result.Action == string(ActionRollback):
		return r.rollBack(ctx)
	case r.request.ResumeFrom != "":
		r.leaveOut()
	}
	return nil
}

// take puts what has come of the job into the result.
func (r *decided) take(o steps.Outcome) {
	r.outcome = o
	r.result.Steps, r.result.Rollback = o.Steps, o.Rollback
	if o.Layers != (sandbox.Layers{}) {
		r.describeSandbox(o.Layers)
	}
	if undo := o.Rollback; undo != nil && undo.Status != evidence.StepSuccess {
		undo.Request = r.undoRequest()
	}
	r.result.Execution = r.sumUp(o)
}

// sumUp is the summary of all scripts that were run.
func (r *report) sumUp(o steps.Outcome) evidence.Execution {
	sum := evidence.Execution{Note: r.result.Execution.Note}
	add := func(records []evidence.Step, counts bool) {
		for _, s := range records {
			if s.Attempts == 0 {
				continue
			}
			sum.Ran = true
			if counts {
				sum.ReturnCode = s.ReturnCode
			}
			sum.Stdout, sum.Stderr = evidence.Tail(sum.Stdout+s.StdoutTail), evidence.Tail(sum.Stderr+s.StderrTail)
		}
	}
	add(o.Steps, true)
	if o.Rollback != nil {
		add(o.Rollback.Steps, r.result.Action == string(ActionRollback))
	}
	return sum
}

// undoRequest is the request that does what is left to be undone.
func (r *report) undoRequest() *evidence.UndoRequest {
	run := r.result.RunID
	reason := "finish the undo of " + run
	if r.result.Action == string(ActionRollback) {
		run = r.request.RollbackOf
		// With the reason of this run it would be the same request.
		reason = "finish the undo of " + run + ", which " + r.result.RunID + " did not"
	}
	return &evidence.UndoRequest{
		Action: string(ActionRollback), Object: r.request.Object, VersionID: r.result.Package.VersionID,
		ParameterSet: r.request.ParameterSet, RollbackOf: run, Reason: reason,
	}
}
