package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/confinement"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/fetch"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/secrets"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

// apply does what was admitted.
func (r *run) apply(ctx context.Context, plan *manifest.Plan) error {
	r.job = r.jobOf(plan)
	if err := r.here().Check(r.job); err != nil {
		return err
	}
	if err := confinement.ForNetwork(r.level, r.job.Network); err != nil {
		return err
	}
	r.confinedBy(r.planned())
	if r.result.Action == string(intake.ActionCheck) {
		return r.onlyChecked(ctx)
	}
	if err := r.timeSuffices(ctx, plan); err != nil {
		return r.tooLong(err)
	}
	if err := r.readSecrets(ctx, plan); err != nil {
		return err
	}
	if r.request.ResumeFrom != "" || r.result.Action == string(intake.ActionRollback) {
		restored, err := r.back.Restore(ctx, r.dir, r.limits.ArtifactBytes)
		if err != nil {
			return err
		}
		r.job.Restored = restored
	}
	if err := r.withoutResult(ctx); err != nil {
		return err
	}
	if err := r.copies.Wait(); err != nil {
		return err
	}
	if err := r.provable(); err != nil {
		return err
	}
	if err := r.fetcher().Current(ctx, fetch.Found{Request: r.request, Created: r.created}, r.history); err != nil {
		return err
	}
	switch {
	case r.result.Action == string(intake.ActionApply):
		r.doing = r.change(plan)
	case r.result.Action == string(intake.ActionRollback):
		r.doing = r.back.Undoes
	}
	_, err := timed(r, "execute", func() (struct{}, error) { return struct{}{}, r.execute(ctx, plan) })
	r.noteEnd(ctx, err)
	return err
}

// jobOf is what a plan means for the steps, as far as it is known before secrets are read.
func (r *run) jobOf(plan *manifest.Plan) steps.Job {
	m, p := plan.Manifest(), r.result.Package
	fence := "" // it tells this run of its group from every earlier one
	if r.group != nil {
		fence = fmt.Sprint(r.group.Fence)
	}
	job := steps.Job{
		World: steps.World{
			RunID: r.result.RunID, Package: p.Name, Version: p.Version, Type: p.Type,
			Environment: r.exec.Environment, Action: r.result.Action, Fence: fence, DryRun: r.result.Action == string(intake.ActionDryRun),
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
	case r.result.Action == string(intake.ActionRollback):
		return steps.UndoOnly
	case r.result.Action == string(intake.ActionApply) && m.OnFailure != manifest.OnFailureStop:
		return steps.UndoOnFailure
	}
	return steps.UndoNever
}

// stepOf is a step of the job. A dry run leaves out what does not promise to change
// nothing.
func (r *decided) stepOf(s manifest.Step) steps.Step {
	step := steps.Step{
		Name: s.Name, Phase: s.Phase, Run: s.Run, SHA256: s.SHA256, Args: s.Args, Env: s.Env, Secrets: s.Secrets,
		Timeout: s.Timeout, Retries: s.Retries, RetryDelay: s.RetryDelay, ContinueOnError: s.ContinueOnError,
		Undo: s.Rollback, UndoSHA256: s.RollbackSHA256, NoUndo: s.NoUndo,
	}
	if r.result.Action == string(intake.ActionApply) || r.result.Action == string(intake.ActionDryRun) && (s.Phase == manifest.PhasePreCheck || s.DryRun) {
		step.Do = steps.Run
	}
	return step
}

// here is where the steps run.
func (r *found) here() steps.Here {
	return steps.Here{Dir: r.dir, Files: r.files, Masker: r.hides.Masker, Limits: r.exec.Scripts, Keeper: r.exec.Keeper, Spawn: r.exec.Spawn}
}

// timeSuffices refuses a package that says it needs more time than is left: it would be stopped half way.
func (r *decided) timeSuffices(ctx context.Context, plan *manifest.Plan) error {
	need, has := plan.Manifest().Timeout+undoShare(ctx, plan), left(ctx)
	if plan.Manifest().Timeout == 0 || need <= has {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "step.deadline", Where: "/timeout",
		Message: fmt.Sprintf("the package may need %s, undo included, and the invocation has %s left for it",
			need.Round(time.Second), has.Round(time.Second)),
		Hint: r.exec.moreTime(r.killAt, "the package's"),
	}, nil)
}

// undoShare is the part of the time that is left which is kept for undo.
func undoShare(ctx context.Context, plan *manifest.Plan) time.Duration {
	m := plan.Manifest()
	if m.OnFailure == manifest.OnFailureStop || !plan.Undoable() {
		return 0
	}
	return cmp.Or(m.RollbackTimeout, min(left(ctx)/4, maxUndoTime))
}

// left is the time that steps may take.
func left(ctx context.Context) time.Duration {
	end, _ := ctx.Deadline() // bound has set it
	return time.Until(end)
}

// undoTime is how long a package's undo may take.
func undoTime(m *manifest.Manifest) time.Duration { return cmp.Or(m.RollbackTimeout, maxUndoTime) }

// maxUndoTime bounds the time for undo where the manifest does not say.
const maxUndoTime = 5 * time.Minute

// grace is the part of a step's time in which it is stopped.
const grace = steps.Grace

// withoutResult refuses to run under a run id that has a result already.
func (r *held) withoutResult(ctx context.Context) error {
	object := evidence.ResultObject(r.result.RunID)
	_, err := r.exec.Results.Head(ctx, object)
	switch {
	case errors.Is(err, store.ErrNotFound):
		r.mayHaveResult = false
		return nil
	case err != nil:
		return err
	}
	return store.Error(store.ErrExists, "start run", r.exec.Results.Name(), object, errHasResult)
}

// provable makes sure, before anything is executed, that the run can leave evidence whatever the package
// contains: the result with its manifest in it, and the report, are encoded once. Where they cannot be, or
// would be too large, the run ends without what is in their way.
func (r *decided) provable() error {
	trial := *r
	trial.result.Steps, trial.result.Evidence = r.listed(), r.stored.Listed()
	trial.hides.Mask(&trial.result)
	doc, err := trial.result.Encode()
	if err == nil && len(doc) > evidence.MaxDocument {
		err = fmt.Errorf("it would have %d bytes, and at most %d are kept", len(doc), evidence.MaxDocument)
	}
	if err == nil {
		_, err = trial.result.JUnit()
	}
	if err == nil {
		return nil
	}
	r.result.Manifest, r.result.Trigger.Raw, r.result.Parameters = nil, nil, nil
	return problem.New(problem.Problem{
		Code: "manifest.evidence", Where: manifest.Name, Message: "the result that has the manifest and the parameters in it cannot be stored, so nothing was executed: " + err.Error(),
		Hint: "take large values out of the manifest and the request, into files of the package",
	}, err)
}

// listed are the steps of the job as a result lists them before they are run.
func (r *decided) listed() []evidence.Step {
	var all []evidence.Step
	for _, s := range r.job.Plan {
		all = append(all, s.Describe(evidence.StepNotRun))
	}
	return all
}

// planned are the layers that the scripts will be in.
func (r *decided) planned() sandbox.Layers { return confinement.Planned(r.level, r.job.Network) }

// confinedBy says in the result what is in force.
func (r *decided) confinedBy(l sandbox.Layers) {
	r.result.Sandbox = confinement.Describe(r.level, r.job.Network, l)
}

// mayReadSecrets refuses secrets where there is no vault, or where scripts could also take the function's identity and
// the environment's policy has not accepted that.
func (r *decided) mayReadSecrets() error {
	if r.exec.Secrets == nil {
		return secrets.NoVault()
	}
	if r.accepted {
		return nil
	}
	return confinement.ForSecrets(r.planned().Level())
}

// readSecrets fetches the secrets of a plan and makes sure that none of them is shown.
func (r *decided) readSecrets(ctx context.Context, plan *manifest.Plan) error {
	hide, problems := hiding.Sensitive(plan.Arguments())
	if wanted := plan.Manifest().Secrets; len(wanted) > 0 {
		if err := r.mayReadSecrets(); err != nil {
			return err
		}
		all, bad, err := secrets.All(ctx, r.exec.Secrets, wanted, r.log)
		if err != nil {
			return err
		}
		problems = append(problems, bad...)
		for _, s := range all {
			r.job.Secrets = append(r.job.Secrets, steps.Variable{Name: s.Env, Value: string(s.Value)})
			r.result.Secrets = append(r.result.Secrets, evidence.Secret{Env: s.Env, SecretID: s.ID, Version: s.Version})
			hide = append(hide, string(s.Value))
		}
	}
	r.hides = r.hides.And(hide)
	return problem.Join(append(problems, r.hides.TooMuch()...))
}

// onlyChecked ends a run that was to validate and admit.
func (r *run) onlyChecked(ctx context.Context) error {
	if err := r.provable(); err != nil {
		return err
	}
	r.result.Steps = r.listed()
	r.result.Execution.Note = "the package was checked and may run; nothing was executed"
	return errors.Join(r.withoutResult(ctx), r.fetcher().Current(ctx, fetch.Found{Request: r.request, Created: r.created}, r.history))
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
		return r.tooLong(r.exec.NoTime(r.killAt))
	case len(r.job.Plan) == 0:
		r.result.Execution.Note = "the package has no scripts; nothing was executed"
	}
	if err == nil && r.result.Action == string(intake.ActionRollback) && !outcome.Began {
		r.result.Execution.Note = "nothing of that run has an undo that is left to be done; nothing was executed"
	}
	return err
}

// decide makes the job go by the run that this one goes back to, if there is one.
func (r *run) decide(ctx context.Context) error {
	switch {
	case r.result.Action == string(intake.ActionRollback):
		return r.back.RollBack(ctx, &r.job)
	case r.request.ResumeFrom != "":
		r.back.LeaveOut(&r.job)
	}
	return nil
}

// progress notes, right before a step starts, that it does: if the executor dies, this is what is
// known. A claim that is lost, or whose lease has ended, stops the run: another may have begun.
func (r *held) progress(ctx context.Context, b steps.Beginning) error {
	first := !r.started
	checkpoint, err := r.checkpoint(b)
	if err != nil {
		return err
	}
	ok := false
	note := func(ctx context.Context) (err error) {
		ok, err = r.noteStart(ctx, first, checkpoint)
		return err
	}
	if first {
		err = note(ctx) // else nothing has been started, and the request is tried again
	} else {
		err = r.unnotable(b.Step, r.untilTooLate(ctx, note))
	}
	if err != nil || !ok {
		return cmp.Or(err, r.lostLease(first))
	}
	r.started, r.request.Pinned = true, r.result.Package.SHA256
	return nil
}

// checkpoint is the result as it would be if the executor died during a step.
func (r *held) checkpoint(b steps.Beginning) ([]byte, error) {
	dying := r.snapshot(b.Interrupted)
	result := &dying.result
	result.Execution.ReturnCode = -1
	result.Status, result.Message = evidence.StatusInterrupted, "the executor ended while the step "+b.Step.Name+" ran, or right before it began"
	result.Error = &evidence.Error{
		Code: "step.interrupted", Message: result.Message,
		Hint: "see which parts took effect; then send rerun_of or resume_from with a reason",
	}
	result.End = r.exec.Now()
	return dying.encodeCheckpoint()
}

// snapshot is the run as it is now, with what has come of the job, for a result that somebody else may have
// to store.
func (r *held) snapshot(o steps.Outcome) *held {
	dying := *r
	dying.result.Evidence = r.stored.Listed()
	dying.take(o)
	dying.result.Steps = nil
	for _, s := range o.Steps {
		s.StdoutTail, s.StderrTail = "", ""
		dying.result.Steps = append(dying.result.Steps, s)
	}
	dying.result.Execution = evidence.Execution{Ran: true, ReturnCode: dying.result.Execution.ReturnCode, Note: "the output is in the steps' logs, as far as they were stored"}
	return &dying
}

// take puts what has come of the job into the result.
func (r *decided) take(o steps.Outcome) {
	r.outcome = o
	r.result.Steps, r.result.Rollback = o.Steps, o.Rollback
	if o.Layers != (sandbox.Layers{}) {
		r.confinedBy(o.Layers)
	}
	if undo := o.Rollback; undo != nil && undo.Status != evidence.StepSuccess {
		undo.Request = r.request.FinishUndo(r.result)
	}
	r.result.SumUp()
}

// encodeCheckpoint encodes a snapshot for the claim.
func (r *held) encodeCheckpoint() ([]byte, error) {
	r.result.Outputs = r.outcome.Outputs
	r.hides.Mask(&r.result)
	doc, err := r.result.Encode()
	if err == nil && len(doc) > maxCheckpoint {
		r.result.Manifest, r.result.Trigger.Raw = nil, nil // the package has the one, and the pending request the other
		return r.result.Encode()
	}
	return doc, err
}

// maxCheckpoint is how large a checkpoint may be that has the manifest in it: a claim is written before each step.
const maxCheckpoint = 1 << 20

// noteStart notes that a step starts. False: the claim or the group is another's by now, or may be.
func (r *held) noteStart(ctx context.Context, first bool, checkpoint []byte) (bool, error) {
	if r.exec.Now().After(r.claim.Lease) {
		return false, nil
	}
	if ok, err := r.renew(ctx, first); err != nil || !ok {
		return false, err
	}
	if r.until.IsZero() {
		r.until = r.exec.Now().Add(r.need + r.exec.Reserve + leaseMargin).UTC()
	}
	start := claim.Start{Lease: r.longest(), Group: r.claim.Group, Applies: r.doing, SHA256: r.result.Package.SHA256, Checkpoint: checkpoint}
	if r.group != nil {
		start.Group = r.group.Name
	}
	if r.need > 0 && r.until.Before(start.Lease) {
		start.Lease = r.until // if the executor dies, nobody waits for what it had to prepare and to store
	}
	return r.claim.Progress(ctx, start)
}

// renew makes the lease of the group last for the steps, where preparing them took long. False: the group
// is another's by now.
func (r *held) renew(ctx context.Context, first bool) (bool, error) {
	if !first || r.group == nil || r.group.Holder.Lease.After(r.lease().Add(-preparing/2)) {
		return true, nil
	}
	return r.group.Renew(ctx, r.lease())
}

// longest is the lease that the claim may have: the one of the group, so that both end together.
func (r *held) longest() time.Time {
	if r.group != nil {
		return r.group.Holder.Lease
	}
	return r.claim.Lease
}
