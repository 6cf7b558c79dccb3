package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"cemli-executor/internal/apart"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/confinement"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/fetch"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/progress"
	"cemli-executor/internal/secrets"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/timing"
	"cemli-executor/internal/verdict"
	"cemli-executor/manifest"
)

// apply runs what was admitted.
func (r *changing) apply(ctx context.Context, plan *manifest.Plan) error {
	r.job = r.jobOf(plan)
	if r.exec.Apart == nil {
		if err := errors.Join(r.here().Check(r.job), confinement.ForNetwork(r.level, r.job.Network)); err != nil {
			return err
		}
	}
	r.confinedBy(r.planned())
	if r.result.Action == string(intake.ActionCheck) {
		return r.onlyChecked(ctx)
	}
	if err := r.exec.Time.Suffices(ctx, plan, r.killAt); err != nil {
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
		r.change = r.entryOf(plan)
	case r.result.Action == string(intake.ActionRollback):
		r.change = r.back.Undoes
	}
	_, err := timed(&r.report, "execute", func() (struct{}, error) { return struct{}{}, r.execute(ctx, plan) })
	r.noteEnd(ctx, err)
	return err
}

// jobOf returns the plan as a job for the steps, still without its secrets.
func (r *changing) jobOf(plan *manifest.Plan) steps.Job {
	p, fence := r.result.Package, "" // larger than that of every earlier run of the group
	if r.group != nil {
		fence = fmt.Sprint(r.group.Fence)
	}
	job := steps.JobOf(plan, steps.World{
		RunID: r.result.RunID, Package: p.Name, Version: p.Version, Type: p.Type,
		Environment: r.exec.Environment, Action: r.result.Action, Fence: fence,
		DryRun: r.result.Action == string(intake.ActionDryRun),
	})
	job.Level, job.Limits = r.level, steps.Limits{
		LogBytes: r.limits.LogBytes, Artifacts: r.limits.Artifacts, ArtifactBytes: r.limits.ArtifactBytes,
	}
	return job
}

// provable checks, before anything is executed, that the run can leave evidence whatever the package contains: it
// encodes the result, with the manifest in it, and the report once. If they cannot be encoded or would be too large, it
// removes from the result what may be in the way, and fails.
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
		Code: "manifest.evidence", Where: manifest.Name,
		Message: "nothing was executed, as the result with the manifest and the parameters in it cannot be stored: " +
			err.Error(),
		Hint: "take large values out of the manifest and the request, into files of the package",
	}, err)
}

// listed lists the steps of the job as a result shows them before they run.
func (r *decided) listed() []evidence.Step {
	var all []evidence.Step
	for _, s := range r.job.Plan {
		all = append(all, s.Describe(evidence.StepNotRun))
	}
	return all
}

// mayReadSecrets refuses secrets if there is no vault, or if scripts could also take the function's identity and the
// environment's policy does not accept that.
func (r *decided) mayReadSecrets() error {
	if r.exec.Secrets == nil {
		return secrets.NoVault()
	}
	if r.lowLevelAccepted || r.exec.Apart != nil { // a runner decides it
		return nil
	}
	return confinement.ForSecrets(r.planned())
}

// readSecrets reads the secrets of a plan and hides them.
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

// onlyChecked ends a run whose action is check.
func (r *changing) onlyChecked(ctx context.Context) error {
	if err := r.provable(); err != nil {
		return err
	}
	r.result.Steps = r.listed()
	r.result.Execution.Note = "the package was checked and may run; nothing was executed"
	return errors.Join(r.withoutResult(ctx),
		r.fetcher().Current(ctx, fetch.Found{Request: r.request, Created: r.created}, r.history))
}

// execute runs the job.
func (r *changing) execute(ctx context.Context, plan *manifest.Plan) error {
	if r.group == nil {
		return errors.New("the run is not in its concurrency group") // enter lets none pass that is going to execute
	}
	if err := r.applyWayBack(ctx); err != nil {
		return err
	}
	r.job.Times.Kept = timing.UndoShare(ctx, plan)
	r.place = r.at()
	return r.follow(ctx, func(journal steps.Journal) (steps.Outcome, error) {
		return r.place.Run(ctx, r.job, journal)
	})
}

// follow has the job done, tells meanwhile how far it is, and takes what comes of it.
func (r *changing) follow(ctx context.Context, do func(steps.Journal) (steps.Outcome, error)) error {
	if r.away() == nil {
		defer r.exec.enter()()
	}
	watch := progress.Begin(ctx, progress.Run{
		Book: r.exec.Book, ID: r.result.RunID, Begun: r.begun, Mask: r.hides.Masker.String, Log: r.log,
		Undoes: r.job.Undo == steps.UndoOnly,
	})
	probed := claim.RunnersOf(r.exec.Book).Ask(ctx, r.runner.Label, r.runner.ID)
	outcome, err := do(watch.Journal(r.journal(ctx)))
	r.probed = <-probed
	written, by := watch.Stop()
	r.claim.Watched = written || r.claim.Watched
	switch {
	case r.away() != nil && errors.Is(err, steps.ErrNoTime):
		return r.withdrawn(ctx, by, r.tooLong(r.exec.Time.NoTime(r.killAt)))
	case errors.Is(err, apart.ErrWithdrawn):
		return r.withdrawn(ctx, by, err)
	case errors.Is(err, apart.ErrLeft):
		return r.left(ctx)
	case verdict.Of(err).Kind == verdict.Later:
		return err
	}
	r.takeOutcome(outcome)
	if problem.CodeOf(err) == "step.cancelled" {
		r.result.Cancelled = cmp.Or(by, r.cancelledBefore(ctx))
	}
	switch {
	case errors.Is(err, steps.ErrNoTime):
		return r.tooLong(r.exec.Time.NoTime(r.killAt))
	case len(r.job.Plan) == 0:
		r.result.Execution.Note = "the package has no scripts; nothing was executed"
	}
	if err == nil && r.result.Action == string(intake.ActionRollback) && !outcome.Began {
		r.result.Execution.Note = "nothing of that run has an undo that is left to be done; nothing was executed"
	}
	return err
}

// applyWayBack adapts the job to the run that this one goes back to, if there is one.
func (r *changing) applyWayBack(ctx context.Context) error {
	switch {
	case r.result.Action == string(intake.ActionRollback):
		return r.back.RollBack(ctx, &r.job)
	case r.request.ResumeFrom != "":
		r.back.LeaveOut(&r.job)
	}
	return nil
}
