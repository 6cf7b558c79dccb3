package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cemli-executor/executor"
	"cemli-executor/internal/buildinfo"
	"cemli-executor/internal/cli/input"
	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/scratch"
	"cemli-executor/internal/store"
)

// runHelp is the help of cemli run.
var runHelp = usage.Help{
	Use:     "run PATH",
	Short:   "Run a package on this machine, for real",
	Group:   usage.GroupAuthors,
	Suggest: []string{"exec", "execute", "apply", "try"},
	Long: `Run a package on this machine with the executor that the function uses.

PATH is a package folder or a zip. The scripts run for real: they change
whatever they can reach, confined as far as this machine's kernel can. The
buckets are folders; the evidence is kept only where --results says. The secret
that scripts see as DB_PASSWORD is taken from the variable
CEMLI_SECRET_DB_PASSWORD of this program.

With --results a run can go back to an earlier one, whose evidence is there;
then everything is taken from that run, and PATH can be left out.`,
	Example: `  cemli run examples/hello-cemli --results evidence
  cemli run examples/localization --set DE --set FR
  cemli run --results evidence --rollback-of RUN --reason "wrong ledger"`,
}

func newRunCommand(t *terminal.Terminal) *cobra.Command {
	var f runFlags
	cmd := runHelp.Command(f.mayRun, func(cmd *cobra.Command, args []string) error {
		return runHere(cmd.Context(), t, strings.Join(args, ""), f)
	})
	f.RequestFlags.Add(cmd)
	f.backFlags.add(cmd)
	cmd.Flags().StringVar(&f.results, "results", "", "`FOLDER` to keep the evidence in (default: not kept)")
	cmd.Flags().StringVar(&f.sandbox, "sandbox", "basic",
		"least confinement, `LEVEL` full, isolated, basic or none; all that the kernel has is used, but with none")
	return cmd
}

// runFlags are the flags of cemli run.
type runFlags struct {
	input.RequestFlags
	backFlags
	results, sandbox string
}

// reserveHere is the time for evidence of a run on this machine.
const reserveHere = 15 * time.Second

// runHere runs a package in this process.
func runHere(ctx context.Context, t *terminal.Terminal, path string, f runFlags) error {
	if err := input.RunsHere(); err != nil {
		return err
	}
	if err := f.RequestFlags.Check(); err != nil {
		return err
	}
	level, err := sandboxLevel(f.sandbox)
	if err != nil {
		return err
	}
	dir, remove, err := workHere()
	if err != nil {
		return err
	}
	defer remove() //nolint:errcheck // what stays is removed by the next
	policy, err := input.Policy(f.Policy)
	if err != nil {
		return err
	}
	config := configHere(f.Environment, level, policy, dir)
	if config.Packages, err = bucketAt(filepath.Join(dir, "packages")); err != nil {
		return err
	}
	if config.State, err = bucketAt(filepath.Join(dir, "state")); err != nil {
		return err
	}
	results := cmp.Or(f.results, filepath.Join(dir, "results"))
	request, err := f.request(ctx, config.Packages, path, results)
	if err != nil {
		return err
	}
	if config.Results, err = bucketAt(results); err != nil { // only now is it known to be no part of the package
		return err
	}
	shown := terminal.NewProgress(t)
	config.Log = slog.New(slog.NewJSONHandler(shown, nil))
	list, err := runSets(ctx, t, executor.New(config), request, f.Chosen(), f.GoesOn(path, results))
	shown.ShowFailed()
	ended := t.ShowResults(list, f.results, len(f.Sets) != 1 && !request.GoesBack())
	if err != nil {
		return err
	}
	return ended
}

// workHere makes the folder of a run, with permissions that let scripts pass through.
func workHere() (dir string, remove func() error, err error) {
	dir, remove, err = scratch.Dir("cemli-run-")
	if err != nil {
		return "", nil, fmt.Errorf("make a scratch folder: %w", err)
	}
	if os.Geteuid() == 0 {
		// Scripts run as a user of their own, which has to pass through.
		if err := os.Chmod(dir, 0o711); err != nil { // #nosec G302 -- see above
			return "", nil, errors.Join(fmt.Errorf("make a scratch folder: %w", err), remove())
		}
	}
	return dir, remove, nil
}

// configHere returns the configuration for this machine, still without buckets and log.
func configHere(environment string, level sandbox.Level, policy *executor.Policy, dir string) executor.Config {
	return executor.Config{
		Policy: policy, Environment: environment, Sandbox: level, Limits: executor.DefaultLimits(),
		Namespace: func(context.Context) (string, error) { return "", nil },
		WorkDir:   filepath.Join(dir, "work"), KeepPackages: true, Reserve: reserveHere, Output: executor.OutputAll,
		Identity: evidence.Identity{ExecutorVersion: buildinfo.String()},
		Secrets:  secretsHere, Children: executor.Children{Keeper: true},
	}
}

// request returns the request that the flags ask for. It puts the package at path, if there is one, into packages.
func (f runFlags) request(ctx context.Context, packages store.Bucket, path, results string) (executor.Request, error) {
	parameters, err := f.Parameters(path, results)
	if err != nil {
		return executor.Request{}, err
	}
	request := executor.Request{
		Bucket: packages.Name(), Action: f.Action(), Parameters: parameters,
		Trigger: executor.Trigger{Kind: executor.TriggerCLI}, Caller: executor.Caller{RequestedBy: person()},
	}
	f.apply(&request)
	if path == "" {
		return request, nil
	}
	object, err := input.Upload(ctx, packages, path, nil, results)
	if err != nil {
		return executor.Request{}, err
	}
	request.Object = object.Name
	if !request.GoesBack() {
		request.ETag = object.ETag
	}
	return request, nil
}

// runSets runs the request for each chosen set. After one that does not succeed the others do not run, unless the
// package says so.
func runSets(
	ctx context.Context, t *terminal.Terminal, run *executor.Executor, request executor.Request,
	sets []string, goesOn bool,
) ([]evidence.Result, error) {
	var results []evidence.Result
	for i, set := range sets {
		request.ParameterSet = set
		list, err := run.Run(ctx, request)
		results = append(results, list...)
		if err != nil {
			return results, err
		}
		if rest := sets[i+1:]; len(rest) > 0 && !goesOn && !succeeded(list) {
			t.Notef("not run, because %s did not succeed: %s", set, strings.Join(rest, ", "))
			return results, nil
		}
	}
	return results, nil
}

// succeeded reports whether all runs did.
func succeeded(results []evidence.Result) bool {
	return !slices.ContainsFunc(results, func(r evidence.Result) bool {
		return terminal.StatusCode(r.Status) != codes.ExitSuccess
	})
}

// secretsHere takes secrets from this program's environment: on a laptop there is no vault.
func secretsHere(_ context.Context, env, ref string) (executor.Secret, error) {
	variable := "CEMLI_SECRET_" + env
	value, ok := os.LookupEnv(variable)
	if !ok {
		return executor.Secret{}, problem.New(problem.Problem{
			Code: "secret.unavailable", Where: env, Hint: "set the variable " + variable,
			Message: "the package needs the secret " + ref + ", and there is no vault here",
		}, nil)
	}
	return executor.Secret{Value: []byte(value), ID: "environment:" + variable, Version: "0"}, nil
}

func sandboxLevel(name string) (sandbox.Level, error) {
	if level := sandbox.Level(name); slices.Contains(sandbox.Levels, level) {
		return level, nil
	}
	return "", usage.WrongAt("--sandbox", fmt.Sprintf("%.100q is no sandbox level", name),
		"use full, isolated, basic or none", nil)
}

// person returns who runs this program, according to the operating system.
func person() []evidence.Requester {
	u, err := user.Current()
	if err != nil {
		return nil
	}
	return []evidence.Requester{{Subject: u.Username, Type: "user", Source: "operating system"}}
}

// bucketAt opens a folder as a bucket, and creates it if need be.
func bucketAt(path string) (store.Bucket, error) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return nil, usage.WrongAt(path, "it is no folder",
			"name a folder for the evidence; it is made if it is not there", nil)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	return store.OpenFolder(path)
}
