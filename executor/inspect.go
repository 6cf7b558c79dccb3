package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/leaks"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
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
	// Skipped are the objects that are this package, by their name, and that the policy's triggers start again and
	// again, although neither the package nor the policy lets it run twice.
	Skipped []string
}

// InspectOptions say for whom a package is looked at.
type InspectOptions struct {
	Limits      Limits
	Environment string // empty: none in particular
	Policy      []byte // the document; nil: none
	Object      string // the name that the package would be uploaded under
	Kind        TriggerKind
}

// Inspect takes a package through the stages of a run as far as its verdict: readPolicy, open, read, unpack, judge.
// It writes the contents into root, which should be empty. What depends on the machine, as interpreters and free
// space do, on what ran before, or on a request's parameters, is not looked at.
func Inspect(ctx context.Context, zip io.ReaderAt, size int64, root *os.Root, opts InspectOptions) (found Inspection, err error) {
	r := opts.run()
	defer func() { found.Package = r.result.Package }()
	policy, err := r.readPolicy(ctx)
	if err != nil {
		return found, err
	}
	archive, err := r.open(zip, size)
	if err != nil {
		return found, err
	}
	found.Files = archive.Files()
	if r.result.Package.SHA256, err = digestOf(zip, size); err != nil {
		return found, err
	}
	r.result.Package.Size = size
	m, err := r.read(archive)
	if err != nil {
		return found, err
	}
	contents, err := r.unpack(ctx, archive, root)
	if err != nil {
		return found, err
	}
	if found.Leaks, err = leaks.Scan(ctx, root, names(contents)); err != nil {
		return found, err
	}
	err = found.judge(ctx, r.subject(m, contents, root, manifest.Inputs{Environment: opts.Environment}, policy))
	return found, err
}

// run is a run of the package that Inspect takes as far as its verdict. It has no buckets.
func (o InspectOptions) run() *run {
	config := Config{Environment: o.Environment, Limits: o.Limits, Sandbox: sandbox.LevelNone, Log: slog.New(slog.DiscardHandler)}
	if o.Policy != nil {
		config.Policy = InlinePolicy("policy", o.Policy)
	}
	return New(config).begin(Request{Object: o.Object, Trigger: Trigger{Kind: o.Kind}})
}

// digestOf is the SHA-256 of a package that was not fetched.
func digestOf(zip io.ReaderAt, size int64) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(zip, 0, size)); err != nil {
		return "", fmt.Errorf("read package: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// judge adds the verdict on the package to what was found. A parameter that a request has yet to give is no problem.
func (i *Inspection) judge(ctx context.Context, s subject) error {
	plan, problems, broken, err := s.judge(ctx)
	if err != nil {
		return err
	}
	i.Plan, i.Skipped = plan, skippedByTriggers(s.manifest, s.policy, s.facts.Object)
	problems = slices.DeleteFunc(problems, func(p problem.Problem) bool {
		unset := p.Code == "trigger.parameter_missing"
		if unset && !everySetGives(s.manifest, p.Where) {
			i.Unset = append(i.Unset, p.Where)
		}
		return unset
	})
	if problems = append(problems, broken...); len(problems) == 0 { // as a run does: scripts are looked at when the rest is right
		problems, err = steps.Unreadable(s.root, plan)
	}
	if err != nil {
		return err
	}
	return problem.Join(limited(problems))
}

// skippedByTriggers are the objects of triggers that are a package by their name, where it may not run again.
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

// everySetGives reports whether the package has parameter sets, and all of them a value for a parameter:
// a request without a set runs each.
func everySetGives(m *manifest.Manifest, parameter string) bool {
	for _, set := range m.ParameterSets {
		if _, ok := set[parameter]; !ok {
			return false
		}
	}
	return len(m.ParameterSets) > 0
}
