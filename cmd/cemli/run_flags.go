package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"cemli-executor/executor"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// requestFlags say what is asked of a package, wherever it runs.
type requestFlags struct {
	environment, policy string
	sets, params        []string
	dryRun              bool
}

func (f *requestFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.sets, "set", nil, "parameter `SET` to run; may be repeated (default: all, one after the other)")
	flags.StringArrayVar(&f.params, "param", nil, "value of a parameter, as `NAME=VALUE`; may be repeated")
	flags.BoolVar(&f.dryRun, "dry-run", false, "run only the pre-checks, and steps that say that they can be run dry")
	flags.StringVar(&f.environment, "env", "local", "`ENVIRONMENT` that the package is told it runs in")
	flags.StringVar(&f.policy, "policy", "", "`FILE` with the admission policy (default: none)")
}

func (f requestFlags) action() executor.Action {
	if f.dryRun {
		return executor.ActionDryRun
	}
	return ""
}

// check refuses what no package can be asked.
func (f requestFlags) check() error {
	for _, set := range f.sets {
		switch {
		case set == "":
			return wrongCall("--set: the name of the set is missing", "leave the flag out for all sets")
		case strings.Contains(set, ","):
			return wrongCall("--set "+set+" names more than one", "repeat it: --set "+strings.Join(strings.Split(set, ","), " --set "))
		}
	}
	return environmentName(f.environment)
}

// chosen are the sets to ask for one after the other; one without a name stands for all.
func (f requestFlags) chosen() []string {
	if len(f.sets) == 0 {
		return []string{""}
	}
	return f.sets
}

// goesOn reports whether the sets that were chosen go on after one that did not succeed.
func (f requestFlags) goesOn(path string, written ...string) bool {
	if len(f.sets) < 2 {
		return false
	}
	m, err := manifestOf(path, written...)
	return err == nil && m.OnSetFailure == manifest.OnSetFailureContinue
}

// parameters are the values of --param, in the types that the package declares.
func (f requestFlags) parameters(path string, written ...string) (map[string]json.RawMessage, error) {
	if len(f.params) == 0 {
		return nil, nil //nolint:nilnil // there are none
	}
	types := map[string]manifest.Parameter{}
	if path != "" {
		m, err := manifestOf(path, written...)
		if err != nil {
			return nil, err
		}
		types = m.Parameters
	}
	values := map[string]json.RawMessage{}
	for _, param := range f.params {
		name, text, ok := strings.Cut(param, "=")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, problem.New(problem.Problem{Code: "usage", Where: "--param", Message: fmt.Sprintf("%.100q is not NAME=VALUE", param), Hint: "write it like LEDGER=4711, without blanks around ="}, nil)
		}
		values[name] = json.RawMessage(text)
		if t := types[name].Type; t == manifest.TypeString || !json.Valid(values[name]) {
			doc, err := json.Marshal(text)
			if err != nil {
				return nil, fmt.Errorf("encode parameter %s: %w", name, err)
			}
			values[name] = doc
		}
	}
	return values, nil
}

// backFlags name an earlier run whose evidence is in --results.
type backFlags struct {
	rerunOf, resumeFrom, rollbackOf string
	reason, reference               string
	force                           bool
}

func (f *backFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.rerunOf, "rerun-of", "", "`RUN` in --results to do once more, with its contents, set and parameters")
	flags.StringVar(&f.resumeFrom, "resume-from", "", "`RUN` in --results to go on with, after the steps that succeeded")
	flags.StringVar(&f.rollbackOf, "rollback-of", "", "`RUN` in --results to undo, by its undo scripts")
	flags.StringVar(&f.reason, "reason", "", "`TEXT` that says why, for the evidence")
	flags.StringVar(&f.reference, "reference", "", "`TEXT` that names an incident or change, for the evidence")
	flags.BoolVar(&f.force, "force", false, "go back although a later run would be underneath; needs --reason")
}

// run is the earlier run; "" where there is none.
func (f backFlags) run() string { return cmp.Or(f.rerunOf, f.resumeFrom, f.rollbackOf) }

// mayRun refuses calls that contradict themselves.
func (f runFlags) mayRun(cmd *cobra.Command, args []string) error {
	if f.run() == "" {
		if f.force {
			return wrongCall("--force goes with --rerun-of, --resume-from or --rollback-of", "leave it out, or name the run to go back to")
		}
		return onePath(cmd, args)
	}
	given := 0
	for _, id := range []string{f.rerunOf, f.resumeFrom, f.rollbackOf} {
		if id != "" {
			given++
		}
	}
	switch {
	case len(args) > 1:
		return onePath(cmd, args)
	case given > 1:
		return usageError(cmd, errors.New("only one of --rerun-of, --resume-from and --rollback-of can be given"))
	case f.results == "":
		return usageError(cmd, errors.New("--results is needed: the folder with the evidence of the run "+f.run()))
	case len(f.sets) > 0 || f.dryRun:
		return usageError(cmd, errors.New("--set and --dry-run are taken from the run that is named; leave them out"))
	case f.resumeFrom == "" && !manifest.Visible(f.reason):
		return usageError(cmd, errors.New("--reason is needed to go back to a run"))
	}
	return nil
}

// apply makes a request one that goes back, where that was asked for.
func (f backFlags) apply(request *executor.Request) {
	request.RerunOf, request.ResumeFrom, request.RollbackOf = f.rerunOf, f.resumeFrom, f.rollbackOf
	request.Reason, request.Reference, request.Force = f.reason, f.reference, f.force
	if f.rollbackOf != "" {
		request.Action = executor.ActionRollback
	}
}
