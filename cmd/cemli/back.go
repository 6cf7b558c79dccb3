package main

import (
	"cmp"
	"errors"

	"github.com/spf13/cobra"

	"cemli-executor/executor"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/manifest"
)

// backFlags name an earlier run whose evidence is in --results.
type backFlags struct {
	rerunOf, resumeFrom, rollbackOf string
	reason, reference               string
	force                           bool
}

func (f *backFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.rerunOf, "rerun-of", "",
		"`RUN` in --results to do once more, with its contents, set and parameters")
	flags.StringVar(&f.resumeFrom, "resume-from", "",
		"`RUN` in --results to go on with, after the steps that succeeded")
	flags.StringVar(&f.rollbackOf, "rollback-of", "", "`RUN` in --results to undo, by its undo scripts")
	flags.StringVar(&f.reason, "reason", "", "`TEXT` that says why, for the evidence")
	flags.StringVar(&f.reference, "reference", "", "`TEXT` that names an incident or change, for the evidence")
	flags.BoolVar(&f.force, "force", false, "go back although a later run would be underneath; needs --reason")
}

// run returns the earlier run; "" if none is named.
func (f backFlags) run() string { return cmp.Or(f.rerunOf, f.resumeFrom, f.rollbackOf) }

// mayRun refuses calls that contradict themselves.
func (f *runFlags) mayRun(cmd *cobra.Command, args []string) error {
	if f.run() == "" {
		if f.force {
			return usage.Wrong("--force goes with --rerun-of, --resume-from or --rollback-of",
				"leave it out, or name the run to go back to")
		}
		return usage.OnePath(cmd, args)
	}
	return f.mayGoBack(cmd, args)
}

// mayGoBack refuses calls that name an earlier run and contradict themselves.
func (f *runFlags) mayGoBack(cmd *cobra.Command, args []string) error {
	given := 0
	for _, id := range []string{f.rerunOf, f.resumeFrom, f.rollbackOf} {
		if id != "" {
			given++
		}
	}
	switch {
	case len(args) > 1:
		return usage.OnePath(cmd, args)
	case given > 1:
		return usage.Error(cmd, errors.New("only one of --rerun-of, --resume-from and --rollback-of can be given"))
	case f.results == "":
		return usage.Error(cmd, errors.New("--results is needed: the folder with the evidence of the run "+f.run()))
	case len(f.Sets) > 0 || f.DryRun:
		return usage.Error(cmd, errors.New("--set and --dry-run are taken from the run that is named; leave them out"))
	case f.resumeFrom == "" && !manifest.Visible(f.reason):
		return usage.Error(cmd, errors.New("--reason is needed to go back to a run"))
	}
	return nil
}

// apply makes the request go back, if the flags say so.
func (f backFlags) apply(request *executor.Request) {
	request.RerunOf, request.ResumeFrom, request.RollbackOf = f.rerunOf, f.resumeFrom, f.rollbackOf
	request.Reason, request.Reference, request.Force = f.reason, f.reference, f.force
	if f.rollbackOf != "" {
		request.Action = executor.ActionRollback
	}
}
