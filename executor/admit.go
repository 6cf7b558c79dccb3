package executor

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/leaks"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

// admit decides whether the package may run, and makes the plan: the only thing that
// execute takes. The error lists every reason against it.
func (r *run) admit(ctx context.Context, m *manifest.Manifest, contents bundle.Extracted, policy *manifest.Policy) (*manifest.Plan, error) {
	if r.previous != nil {
		if err := r.sameContents(contents.DirHash); err != nil {
			return nil, err
		}
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
	r.result.Parameters = hiding.Shown(plan.Arguments())
	if r.previous != nil {
		return plan, r.mayGoBack(plan)
	}
	return plan, r.notAgain(plan, policy)
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

// readRecord reads a package's record, and sorts what an earlier version has noted in it.
func (e *environment) readRecord(ctx context.Context, name string) (*claim.Package, error) {
	record, err := e.book.Package(ctx, name)
	if err != nil {
		return nil, err
	}
	unsorted := record.Unsorted()
	if len(unsorted) == 0 {
		return record, nil
	}
	results := make([]*claim.Sorted, len(unsorted))
	var all errgroup.Group
	all.SetLimit(8)
	for i, d := range unsorted {
		all.Go(func() error {
			result, digest, err := e.readResult(ctx, d.RunID)
			switch {
			case errors.Is(err, store.ErrNotFound) || problem.CodeOf(err) == "state.result":
				return nil
			case err != nil:
				return err
			}
			of := entry(result, claim.Entry{Key: d.Key, Declares: declaredSets(result.Manifest), Result: digest})
			of.Standing = claim.Applied // else that version would have taken it out
			results[i] = &claim.Sorted{Set: result.ParameterSet, Entry: of}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return nil, fmt.Errorf("read the runs of %s: %w", name, err)
	}
	entries := map[string]claim.Sorted{}
	for i, d := range unsorted {
		if results[i] != nil {
			entries[d.RunID] = *results[i]
		}
	}
	record.Sort(entries)
	return record, nil
}

// declaredSets are the parameter sets of a manifest that a result quotes.
func declaredSets(doc []byte) []string {
	var m struct {
		Sets map[string]json.RawMessage `json:"parameter_sets"`
	}
	if json.Unmarshal(doc, &m) != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(m.Sets))
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

// subject is the run's package, for judgement. Without the package's record nothing of what ran before is looked at.
func (r *earlier) subject(m *manifest.Manifest, contents bundle.Extracted, root *os.Root, inputs manifest.Inputs, policy *manifest.Policy) subject {
	s := subject{manifest: m, contents: contents, root: root, inputs: inputs, policy: policy}
	s.facts = manifest.Case{
		Object: r.request.Object, Action: r.result.Action, Kind: intake.PolicyKind(r.request.Trigger.Kind), Now: r.exec.now(),
		Rollback: r.request.RollbackOf != "" && r.request.Reason != "", Reference: r.request.Reference,
	}
	if r.history != nil {
		s.facts.Current, s.facts.Seen = applied(r.history, r.request.ParameterSet), r.history.Seen(m.Version)
		s.others = r.others()
	}
	return s
}

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

// digests maps the files that were written to their SHA-256.
func digests(e bundle.Extracted) map[string]string {
	byName := make(map[string]string, len(e.Files))
	for _, f := range e.Files {
		byName[f.Name] = f.SHA256
	}
	return byName
}

func names(e bundle.Extracted) []string {
	list := make([]string, len(e.Files))
	for i, f := range e.Files {
		list[i] = f.Name
	}
	return list
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

// others returns how to find out what is applied of other packages; nil on a laptop, where nothing is
// known.
func (r *asked) others() func(ctx context.Context, name string) (*claim.Package, error) {
	if r.request.Trigger.Kind == TriggerCLI {
		return nil
	}
	return r.exec.readRecord
}

// applied is the version that is applied of a parameter set; "" where none is. A success of an earlier version
// whose set is not known any more counts for sets of which nothing else is known.
func applied(history *claim.Package, set string) string {
	if e := history.Applied(set); e != nil {
		return e.Version
	}
	if len(history.Sets[set]) == 0 {
		return history.Lost()
	}
	return ""
}

// unmet says why what is applied of a package does not meet a range of versions, for a run of a
// parameter set: in the same set where the package has it, else in all that it declares. "" if it does.
func unmet(history *claim.Package, set, wanted, environment string) string {
	newest := history.Newest()
	if newest == nil && history.Lost() == "" {
		return "nothing of it is applied in " + environment
	}
	var sets []string
	if newest != nil {
		sets = history.Declared[newest.DirHash]
	}
	switch {
	case len(sets) == 0:
		sets = []string{""}
	case slices.Contains(sets, set):
		sets = []string{set}
	}
	for _, set := range sets {
		of := ""
		if set != "" {
			of = " of its parameter set " + set
		}
		switch have := applied(history, set); {
		case have == "":
			return "nothing" + of + " is applied in " + environment
		case !manifest.Satisfies(have, wanted):
			return environment + " has " + have + of
		}
	}
	return ""
}

// limited keeps the first problems with a package: it decides itself how many there are.
func limited(problems []problem.Problem) []problem.Problem {
	return problem.Limit(problems, problem.Most, "request.more")
}

// shown are the parameters for the result; a sensitive one is only said to be there.
func shown(arguments manifest.Arguments) map[string]any {
	if len(arguments) == 0 {
		return nil
	}
	values := map[string]any{}
	for _, a := range arguments {
		if values[a.Name] = a.Value; a.Sensitive {
			values[a.Name] = redact.Mask
		}
	}
	return values
}

// notAgain ends a run of what is applied already, where that is not to be done again.
func (r *found) notAgain(plan *manifest.Plan, policy *manifest.Policy) error {
	if r.result.Action != string(ActionApply) || plan.Manifest().Idempotent || policy != nil && policy.AllowsRepeat() {
		return nil
	}
	set, dirHash := r.request.ParameterSet, r.result.Package.DirHash
	keys := keysOf(plan, dirHash, set)
	if e := r.history.Applied(set); e != nil && slices.Contains(keys, e.Key) {
		return r.alreadyApplied(e.RunID)
	}
	for _, key := range keys {
		if id := r.history.Forgotten(key); id != "" && r.history.Latest(set) == nil {
			return r.alreadyApplied(id)
		}
	}
	return nil
}

// keysOf are all keys that a plan may have in a record.
func keysOf(plan *manifest.Plan, dirHash, set string) []string {
	return []string{contentKey(plan, dirHash, set), writtenKey(plan, dirHash, set)}
}

// contentKey identifies what a plan does: contents, parameter set and parameters. Numbers count by their
// value: 1.0 is 1.
func contentKey(plan *manifest.Plan, dirHash, set string) string {
	return keyOf(plan, dirHash, set, manifest.Value.Canonical)
}

// writtenKey is the content key as records have it that were made when numbers counted as they were
// written.
func writtenKey(plan *manifest.Plan, dirHash, set string) string {
	return keyOf(plan, dirHash, set, func(v manifest.Value) manifest.Value { return v })
}

func keyOf(plan *manifest.Plan, dirHash, set string, form func(manifest.Value) manifest.Value) string {
	values := map[string]manifest.Value{}
	for _, a := range plan.Arguments() {
		values[a.Name] = form(a.Value)
	}
	doc, err := json.Marshal([]any{dirHash, set, values})
	if err != nil {
		panic(err) // values are valid JSON
	}
	return fmt.Sprintf("%x", sha256.Sum256(doc))
}

// change is the entry of what a plan applies, as far as it is known before it runs.
func (r *found) change(plan *manifest.Plan) *claim.Entry {
	p := r.result.Package
	return &claim.Entry{
		RunID: r.result.RunID, Key: contentKey(plan, p.DirHash, r.request.ParameterSet), Version: p.Version, DirHash: p.DirHash, SHA256: p.SHA256,
		Kept: r.copies.zip, Object: r.request.Object, Uploaded: r.created, Declares: slices.Sorted(maps.Keys(plan.Manifest().ParameterSets)), Start: r.result.Start, Resumes: r.request.ResumeFrom,
	}
}
