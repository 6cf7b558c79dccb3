package executor

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/leaks"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// subject is a package whose contents are known, and what is asked of it.
type subject struct {
	manifest *manifest.Manifest
	contents bundle.Extracted
	root     *os.Root // of the contents
	inputs   manifest.Inputs
	policy   *manifest.Policy // nil: none
	facts    manifest.Case    // for the policy, besides manifest and contents
	// others returns what is known of another package; nil where nothing is.
	others func(ctx context.Context, name string) (*claim.Package, error)
}

// judge makes the plan and lists everything against running it: problems with the
// package itself, and violations of the policy. The error is that something could not
// be looked at.
func (s subject) judge(ctx context.Context) (plan *manifest.Plan, problems, violations []problem.Problem, err error) {
	note := func(err error) { problems = append(problems, problemsOf(err)...) }
	arguments, err := s.manifest.Resolve(s.inputs)
	note(err)
	plan, err = s.manifest.Plan(digests(s.contents), arguments)
	note(err)
	if names := s.manifest.Environments; names != nil && s.inputs.Environment != "" && !slices.Contains(names, s.inputs.Environment) {
		problems = append(problems, problem.Problem{
			Code: "manifest.environment", Where: "/environments", Message: fmt.Sprintf("the package may not run in %s", s.inputs.Environment),
			Hint: "it may run in: " + problem.Names(names),
		})
	}
	missing, err := s.requirements(ctx) // of an undo there are none
	if err != nil {
		return nil, nil, nil, err
	}
	problems = append(problems, missing...)
	if s.policy != nil {
		violations, err = s.violations(ctx)
	}
	return plan, problems, violations, err
}

// problemsOf takes an error of problems apart.
func problemsOf(err error) []problem.Problem {
	if err == nil {
		return nil
	}
	return problem.Of(err, problem.Problem{Code: codes.Internal, Message: "the package could not be judged"}).Problems
}

// requirements checks the packages that must have succeeded before.
func (s subject) requirements(ctx context.Context) ([]problem.Problem, error) {
	if s.others == nil || s.facts.Action == string(ActionRollback) {
		return nil, nil
	}
	var problems []problem.Problem
	for _, name := range slices.Sorted(maps.Keys(s.manifest.Requires)) {
		wanted := s.manifest.Requires[name]
		history, err := s.others(ctx, name)
		if err != nil {
			return nil, err
		}
		state := unmet(history, s.inputs.Set, wanted, s.inputs.Environment)
		if state == "" {
			continue
		}
		problems = append(problems, problem.Problem{
			Code: "manifest.requires", Where: "/requires/" + name, Message: fmt.Sprintf("the package needs %s %s: %s", name, wanted, state),
			Hint: "run that package first",
		})
	}
	return problems, nil
}

// violations asks the policy.
func (s subject) violations(ctx context.Context) ([]problem.Problem, error) {
	facts := s.facts
	facts.Manifest, facts.DirHash = s.manifest, s.contents.DirHash
	if s.policy.ScansFiles() {
		found, err := leaks.Scan(ctx, s.root, names(s.contents))
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			facts.Embedded = append(facts.Embedded, f.String())
		}
	}
	return s.policy.Admit(facts), nil
}

func names(e bundle.Extracted) []string {
	list := make([]string, len(e.Files))
	for i, f := range e.Files {
		list[i] = f.Name
	}
	return list
}

// admit decides whether the package may run, and makes the plan: the only thing that
// execute takes. The error lists every reason against it.
func (r *run) admit(ctx context.Context, m *manifest.Manifest, contents bundle.Extracted, policy *manifest.Policy) (*manifest.Plan, error) {
	if err := r.sameContents(contents.DirHash); err != nil {
		return nil, err
	}
	inputs, err := r.inputs()
	if err != nil {
		return nil, err
	}
	history, err := r.exec.readRecord(ctx, m.Name)
	if err != nil {
		return nil, err
	}
	r.history = history
	if err := r.remembered(history); err != nil {
		return nil, err
	}
	plan, problems, broken, err := r.subject(m, contents, r.dir.Contents(), inputs, policy).judge(ctx)
	if err != nil {
		return nil, err
	}
	r.result.Policy.Violations = limited(broken)
	if err := problem.Join(limited(append(problems, broken...))); err != nil {
		return nil, err
	}
	r.result.Parameters = shown(plan.Arguments())
	if err := r.mayGoBack(plan); err != nil {
		return nil, err
	}
	return plan, r.notAgain(plan, policy)
}

// subject is the run's package, for judgement. Without the package's record nothing of what ran before is looked at.
func (r *found) subject(m *manifest.Manifest, contents bundle.Extracted, root *os.Root, inputs manifest.Inputs, policy *manifest.Policy) subject {
	s := subject{manifest: m, contents: contents, root: root, inputs: inputs, policy: policy}
	s.facts = manifest.Case{
		Object: r.request.Object, Action: r.result.Action, Kind: kindFor(r.request.Trigger.Kind), Now: r.exec.now(),
		Rollback: r.request.RollbackOf != "" && r.request.Reason != "", Reference: r.request.Reference,
	}
	if r.history != nil {
		s.facts.Current, s.facts.Seen = applied(r.history, r.request.ParameterSet), r.history.Seen(m.Version)
		s.others = r.others()
	}
	return s
}

// limited keeps the first problems with a package: it decides itself how many there are.
func limited(problems []problem.Problem) []problem.Problem {
	return problem.Limit(problems, problem.Most, "request.more")
}

// remembered refuses a first attempt that the package's record knows as run: its claim was lost.
func (r *held) remembered(history *claim.Package) error {
	if r.claim.Attempt > 1 {
		return nil
	}
	if id := history.Ran(r.claim.Key); id != "" {
		return problem.New(problem.Problem{
			Code: "state.lost", Where: r.exec.State.Name() + "/claims/" + r.exec.Environment + "/" + r.claim.Key + ".json",
			Message: "the same request was executed as run " + id + ", and its claim is gone: nothing is run, as it would run again",
			Hint:    "restore the claim, or send rerun_of with that run and a reason",
		}, nil)
	}
	return nil
}

// kindFor is the kind of trigger as policies know it: an upload that a sweep found is one like any.
func kindFor(kind TriggerKind) string {
	if kind == TriggerSweep {
		return string(TriggerEvent)
	}
	return string(kind)
}

// others returns how to find out what is applied of other packages; nil on a laptop, where nothing is
// known.
func (r *asked) others() func(ctx context.Context, name string) (*claim.Package, error) {
	if r.request.Trigger.Kind == TriggerCLI {
		return nil
	}
	return r.exec.readRecord
}

// inputs are what the request adds to the manifest.
func (r *asked) inputs() (manifest.Inputs, error) {
	in := manifest.Inputs{Environment: r.exec.Environment, Set: r.request.ParameterSet, Parameters: map[string]manifest.Value{}}
	var problems []problem.Problem
	for _, name := range slices.Sorted(maps.Keys(r.request.Parameters)) {
		value, err := manifest.ParseValue(r.request.Parameters[name])
		if err != nil {
			problems = append(problems, problem.Problem{Code: "trigger.parameter", Where: name, Message: err.Error(), Hint: "see the package's manifest"})
		}
		in.Parameters[name] = value
	}
	return in, problem.Join(problems)
}
