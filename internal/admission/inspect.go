package admission

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/leaks"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/steps"
	"cemli-executor/manifest"
)

// Inspection is what a package turned out to be.
type Inspection struct {
	Package evidence.Package // as a result names it, without ETag and version
	Plan    *manifest.Plan
	Files   []bundle.File
	// Leaks are places in the files that look like secrets.
	Leaks []leaks.Finding
	// Unset are the parameters for which a request has to give a value, at least for some sets.
	Unset []string
	// Skipped are the objects that the policy's triggers start repeatedly and that are this package by their name,
	// although neither the package nor the policy lets it run twice.
	Skipped []string
}

// InspectOptions say for which environment and trigger a package is inspected.
type InspectOptions struct {
	Limits      Limits
	Environment string // empty: none in particular
	Policy      []byte // the document; nil: none
	Object      string // the name that the package would be uploaded under
	Kind        intake.TriggerKind
}

// Inspect takes a package through the stages of a run up to the verdict: the policy, Open, ReadManifest, Extract,
// Judge. It writes the contents into root, which should be empty. It does not check what depends on the machine, such
// as interpreters and free space, on earlier runs, or on a request's parameters.
func Inspect(
	ctx context.Context, zip io.ReaderAt, size int64, root *os.Root, opts InspectOptions,
) (found Inspection, err error) {
	policy, err := opts.policy(ctx)
	if err != nil {
		return found, err
	}
	limits := opts.Limits
	if policy != nil {
		limits = limits.Within(policy)
	}
	archive, err := Open(opts.Object, zip, size, limits)
	if err != nil {
		return found, err
	}
	found.Files = archive.Files()
	found.Package.Entries, found.Package.Size = len(found.Files), size
	if found.Package.SHA256, err = digestOf(zip, size); err != nil {
		return found, err
	}
	m, err := ReadManifest(archive)
	if err != nil {
		return found, err
	}
	found.Package.Name, found.Package.Version, found.Package.Type = m.Name, m.Version, m.Type
	if problems := hiding.Of(nil, m).TooMuch(); problems != nil {
		return found, problem.Join(problems)
	}
	contents, err := archive.Extract(ctx, root)
	if err != nil {
		return found, err
	}
	found.Package.DirHash = contents.DirHash
	if found.Leaks, err = leaks.Scan(ctx, root, names(contents)); err != nil {
		return found, err
	}
	err = found.judge(ctx, Subject{
		Manifest: m, Contents: contents, Root: root, Inputs: manifest.Inputs{Environment: opts.Environment},
		Policy: policy,
		Facts: manifest.Case{
			Object: opts.Object, Action: string(intake.ActionApply), Kind: intake.PolicyKind(opts.Kind),
			Now: time.Now().UTC(),
		},
	})
	return found, err
}

// policy reads the policy; nil if there is none.
func (o InspectOptions) policy(ctx context.Context) (*manifest.Policy, error) {
	if o.Policy == nil {
		return nil, nil //nolint:nilnil // no policy is no error
	}
	policy, _, err := InlinePolicy("policy", o.Policy).Parse(ctx, o.Environment)
	return policy, err
}

// digestOf returns the SHA-256 of a package that was not fetched.
func digestOf(zip io.ReaderAt, size int64) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(zip, 0, size)); err != nil {
		return "", fmt.Errorf("read package: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// judge adds the verdict on the package to the inspection. A parameter that a request has yet to give is no problem.
func (i *Inspection) judge(ctx context.Context, s Subject) error {
	plan, problems, broken, err := s.Judge(ctx)
	if err != nil {
		return err
	}
	i.Plan, i.Skipped = plan, skippedByTriggers(s.Manifest, s.Policy, s.Facts.Object)
	problems = slices.DeleteFunc(problems, func(p problem.Problem) bool {
		unset := p.Code == "trigger.parameter_missing"
		if unset && !everySetGives(s.Manifest, p.Where) {
			i.Unset = append(i.Unset, p.Where)
		}
		return unset
	})
	// As in a run, scripts are checked only when the rest is right.
	if problems = append(problems, broken...); len(problems) == 0 {
		problems, err = steps.Unreadable(s.Root, plan)
	}
	if err != nil {
		return err
	}
	return problem.Join(Limited(problems))
}

// skippedByTriggers returns the objects of triggers that are this package by their name, if it may not run again.
func skippedByTriggers(m *manifest.Manifest, policy *manifest.Policy, object string) []string {
	if policy == nil || policy.AllowsRepeat() || m.Idempotent {
		return nil
	}
	var objects []string
	for _, t := range policy.Triggers() {
		if (t.Object == object || intake.PackageName(t.Object) == m.Name) && !slices.Contains(objects, t.Object) {
			objects = append(objects, t.Object)
		}
	}
	return objects
}

// everySetGives reports whether the package has parameter sets and all of them give a value for a parameter: a request
// without a set runs each.
func everySetGives(m *manifest.Manifest, parameter string) bool {
	for _, set := range m.ParameterSets {
		if _, ok := set[parameter]; !ok {
			return false
		}
	}
	return len(m.ParameterSets) > 0
}
