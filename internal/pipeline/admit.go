package pipeline

import (
	"context"
	"maps"
	"slices"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/apart"
	"cemli-executor/internal/bundle"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/goback"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/verdict"
	"cemli-executor/manifest"
)

// admit decides whether the package may run, and makes the plan, which is all that execute takes. The error lists every
// reason against the package.
func (r *run) admit(
	ctx context.Context, m *manifest.Manifest, contents bundle.Extracted, policy *manifest.Policy,
) (*manifest.Plan, error) {
	if r.back != nil {
		if err := r.back.SameContents(contents.DirHash); err != nil {
			return nil, err
		}
	}
	inputs, err := r.request.Inputs(r.exec.Environment)
	if err != nil {
		return nil, err
	}
	history, err := r.exec.Follower.Record(ctx, m.Name)
	if err != nil {
		return nil, err
	}
	r.history = history
	if err := r.checkNotRun(history); err != nil {
		return nil, err
	}
	plan, problems, broken, err := r.subject(m, contents, inputs, policy).Judge(ctx)
	if err != nil {
		return nil, err
	}
	runner, err := admission.RunnerFor(r.exec.Runners, m)
	if err != nil {
		problems = append(problems, problem.Of(err, problem.Problem{}).Problems...)
	}
	r.runner = apart.Runner(runner)
	r.result.Policy.Violations = admission.Limited(broken)
	if err := problem.Join(admission.Limited(append(problems, broken...))); err != nil {
		return nil, err
	}
	r.result.Parameters = hiding.Shown(plan.Arguments())
	if r.back != nil {
		return plan, r.back.Check(plan, goback.Now{History: history, DirHash: contents.DirHash, Key: r.claim.Key})
	}
	return plan, r.skipApplied(plan, policy)
}

// checkNotRun refuses a first attempt if the package's record says that the request has run: then its claim was lost.
func (r *acquired) checkNotRun(history *claim.Package) error {
	if r.claim.Attempt > 1 {
		return nil
	}
	if id := history.Ran(r.claim.Key); id != "" {
		return problem.New(problem.Problem{
			Code:  "state.lost",
			Where: r.exec.State.Name() + "/claims/" + r.exec.Environment + "/" + r.claim.Key + ".json",
			Message: "the same request was executed as run " + id +
				", and its claim is gone: nothing is run, as it would run again",
			Hint: "restore the claim, or send rerun_of with that run and a reason",
		}, nil)
	}
	return nil
}

// subject returns what there is to judge about the run.
func (r *found) subject(
	m *manifest.Manifest, contents bundle.Extracted, inputs manifest.Inputs, policy *manifest.Policy,
) admission.Subject {
	return admission.Subject{
		Manifest: m, Contents: contents, Root: r.dir.Contents(), Inputs: inputs, Policy: policy, Others: r.others(),
		Facts: manifest.Case{
			Object: r.request.Object, Action: r.result.Action, Kind: intake.PolicyKind(r.request.Trigger.Kind),
			Now:      r.exec.Now(),
			Rollback: r.request.RollbackOf != "" && r.request.Reason != "", Reference: r.request.Reference,
			Current: admission.Applied(r.history, r.request.ParameterSet), Seen: r.history.Seen(m.Version),
		},
	}
}

// others returns a function that reads the record of another package; nil on a laptop, which keeps no records.
func (r *asked) others() func(ctx context.Context, name string) (*claim.Package, error) {
	if r.request.Trigger.Kind == intake.TriggerCLI {
		return nil
	}
	return r.exec.Follower.Record
}

// skipApplied ends a run if what it would apply is applied already and must not be repeated.
func (r *found) skipApplied(plan *manifest.Plan, policy *manifest.Policy) error {
	if r.result.Action != string(intake.ActionApply) || plan.Manifest().Idempotent ||
		policy != nil && policy.AllowsRepeat() {
		return nil
	}
	runID := admission.AppliedBy(r.history, plan, r.result.Package.DirHash, r.request.ParameterSet)
	if runID == "" {
		return nil
	}
	why := "the same content and parameters are applied already, by run " + runID + r.request.RepeatsHint()
	return verdict.Needless(why, runID)
}

// entryOf returns the record entry of what a plan applies, as far as it is known before the plan runs.
func (r *found) entryOf(plan *manifest.Plan) *claim.Entry {
	p := r.result.Package
	return &claim.Entry{
		RunID: r.result.RunID, Key: admission.ContentKey(plan, p.DirHash, r.request.ParameterSet), Version: p.Version,
		DirHash: p.DirHash, SHA256: p.SHA256,
		Kept: r.kept, Object: r.request.Object, Uploaded: r.created,
		Declares: slices.Sorted(maps.Keys(plan.Manifest().ParameterSets)), Start: r.result.Start,
		Resumes: r.request.ResumeFrom,
	}
}
