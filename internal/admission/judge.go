package admission

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/leaks"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// Subject is a package whose contents are known, and what the request asks for.
type Subject struct {
	Manifest *manifest.Manifest
	Contents bundle.Extracted
	Root     *os.Root // of the contents
	Inputs   manifest.Inputs
	Policy   *manifest.Policy // nil: none
	Facts    manifest.Case    // for the policy, besides manifest and contents
	// Others reads the record of another package in the environment; nil if there are no records, so that the packages
	// that this one requires are not checked.
	Others func(ctx context.Context, name string) (*claim.Package, error)
}

// Judge makes the plan and lists everything against running it: problems with the package itself, and violations of the
// policy. The error says that something could not be checked.
func (s Subject) Judge(ctx context.Context) (plan *manifest.Plan, problems, violations []problem.Problem, err error) {
	note := func(err error) { problems = append(problems, problemsOf(err)...) }
	arguments, err := s.Manifest.Resolve(s.Inputs)
	note(err)
	plan, err = s.Manifest.Plan(digests(s.Contents), arguments)
	note(err)
	names, here := s.Manifest.Environments, s.Inputs.Environment
	if names != nil && here != "" && !slices.Contains(names, here) {
		problems = append(problems, problem.Problem{
			Code: "manifest.environment", Where: "/environments",
			Message: fmt.Sprintf("the package may not run in %s", s.Inputs.Environment),
			Hint:    "it may run in: " + problem.Names(names),
		})
	}
	missing, err := s.requirements(ctx) // of an undo there are none
	if err != nil {
		return nil, nil, nil, err
	}
	problems = append(problems, missing...)
	if s.Policy != nil {
		violations, err = s.violations(ctx)
	}
	return plan, problems, violations, err
}

// problemsOf splits an error into its problems.
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
func (s Subject) requirements(ctx context.Context) ([]problem.Problem, error) {
	if s.Others == nil || s.Facts.Action == string(intake.ActionRollback) {
		return nil, nil
	}
	var problems []problem.Problem
	for _, name := range slices.Sorted(maps.Keys(s.Manifest.Requires)) {
		wanted := s.Manifest.Requires[name]
		history, err := s.Others(ctx, name)
		if err != nil {
			return nil, err
		}
		state := unmet(history, s.Inputs.Set, wanted, s.Inputs.Environment)
		if state == "" {
			continue
		}
		problems = append(problems, problem.Problem{
			Code: "manifest.requires", Where: "/requires/" + name,
			Message: fmt.Sprintf("the package needs %s %s: %s", name, wanted, state),
			Hint:    "run that package first",
		})
	}
	return problems, nil
}

// violations checks the package against the policy.
func (s Subject) violations(ctx context.Context) ([]problem.Problem, error) {
	facts := s.Facts
	facts.Manifest, facts.DirHash = s.Manifest, s.Contents.DirHash
	if s.Policy.ScansFiles() {
		found, err := leaks.Scan(ctx, s.Root, names(s.Contents))
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			facts.Embedded = append(facts.Embedded, f.String())
		}
	}
	return s.Policy.Admit(facts), nil
}

// Limited returns the first problems, as the package decides how many there are.
func Limited(problems []problem.Problem) []problem.Problem {
	return problem.Limit(problems, problem.Most, "request.more")
}

// MayChange reports whether a refusal depends only on what is applied, which another run may be about to change.
func MayChange(refused error) bool {
	var refusal *problem.Error
	return errors.As(refused, &refusal) && !slices.ContainsFunc(refusal.Problems, func(p problem.Problem) bool {
		return !codes.Of(p.Code).ByRecord
	})
}
