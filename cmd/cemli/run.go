package main

import (
	"context"
	"fmt"
	"io"
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
	"cemli-executor/internal/bundle"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/scratch"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

func newRunCommand(t *terminal) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:        "run PATH",
		Short:      "Run a package on this machine, for real",
		GroupID:    groupAuthors,
		SuggestFor: []string{"exec", "execute", "apply", "try"},
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
		Args: func(cmd *cobra.Command, args []string) error { return f.mayRun(cmd, args) },
		RunE: func(cmd *cobra.Command, args []string) error {
			return runHere(cmd.Context(), t, strings.Join(args, ""), f)
		},
	}
	f.requestFlags.add(cmd)
	f.backFlags.add(cmd)
	cmd.Flags().StringVar(&f.results, "results", "", "`FOLDER` to keep the evidence in (default: not kept)")
	cmd.Flags().StringVar(&f.sandbox, "sandbox", "basic", "least confinement, `LEVEL` full, isolated, basic or none; all that the kernel has is used, but with none")
	return cmd
}

// runFlags are the flags of cemli run.
type runFlags struct {
	requestFlags
	backFlags
	results, sandbox string
}

// reserveHere is the time for evidence of a run on this machine.
const reserveHere = 15 * time.Second

// runHere runs a package in this process.
func runHere(ctx context.Context, t *terminal, path string, f runFlags) error {
	if err := needsLinux(); err != nil {
		return err
	}
	if err := f.requestFlags.check(); err != nil {
		return err
	}
	level, err := sandboxLevel(f.sandbox)
	if err != nil {
		return err
	}
	scratch, remove, err := scratch.Dir("cemli-run-")
	if err != nil {
		return fmt.Errorf("make a scratch folder: %w", err)
	}
	defer remove() //nolint:errcheck // what stays is removed by the next
	if os.Geteuid() == 0 {
		// Scripts run as a user of their own, who has to pass through.
		if err := os.Chmod(scratch, 0o711); err != nil { // #nosec G302 -- see above
			return fmt.Errorf("make a scratch folder: %w", err)
		}
	}
	results, where := f.results, f.results
	if results == "" {
		results = filepath.Join(scratch, "results")
	}
	policy, err := policyFile(f.policy)
	if err != nil {
		return err
	}
	packages, err := bucketAt(filepath.Join(scratch, "packages"))
	if err != nil {
		return err
	}
	state, err := bucketAt(filepath.Join(scratch, "state"))
	if err != nil {
		return err
	}
	parameters, err := f.parameters(path, results)
	if err != nil {
		return err
	}
	request := executor.Request{
		Bucket: packages.Name(), Action: f.action(), Parameters: parameters,
		Trigger: executor.Trigger{Kind: executor.TriggerCLI}, Caller: executor.Caller{RequestedBy: person()},
	}
	f.apply(&request)
	if path != "" {
		object, err := upload(ctx, packages, path, results)
		if err != nil {
			return err
		}
		request.Object = object.Name
		if !request.GoesBack() {
			request.ETag = object.ETag
		}
	}
	kept, err := bucketAt(results) // not before it is known to be no part of the package
	if err != nil {
		return err
	}
	shown := &progress{t: t}
	run := executor.New(executor.Config{
		Packages: packages, Results: kept, State: state, Policy: policy,
		Namespace:   func(context.Context) (string, error) { return "", nil },
		Environment: f.environment, WorkDir: filepath.Join(scratch, "work"), KeepPackages: true, Reserve: reserveHere,
		Limits: executor.DefaultLimits(), Sandbox: level, Output: executor.OutputAll,
		Identity: evidence.Identity{ExecutorVersion: buildinfo.String()},
		Log:      slog.New(slog.NewJSONHandler(shown, nil)),
		Secrets:  secretsHere, Children: executor.Children{Keeper: true},
	})
	list, err := runSets(ctx, t, run, request, f.chosen(), f.goesOn(path, results))
	shown.showFailed()
	ended := t.showResults(list, where, len(f.sets) != 1 && !request.GoesBack())
	if err != nil {
		return err
	}
	return ended
}

// runSets makes the request for each of the sets that were chosen. After one that did not succeed the
// others are not run, unless the package goes on.
func runSets(ctx context.Context, t *terminal, run *executor.Executor, request executor.Request, sets []string, goesOn bool) ([]evidence.Result, error) {
	var results []evidence.Result
	for i, set := range sets {
		request.ParameterSet = set
		list, err := run.Run(ctx, request)
		results = append(results, list...)
		if err != nil {
			return results, err
		}
		if rest := sets[i+1:]; len(rest) > 0 && !goesOn && !succeeded(list) {
			t.notef("not run, because %s did not succeed: %s", set, strings.Join(rest, ", "))
			return results, nil
		}
	}
	return results, nil
}

// succeeded reports whether all runs did.
func succeeded(results []evidence.Result) bool {
	return !slices.ContainsFunc(results, func(r evidence.Result) bool { return statusCode(r.Status) != codes.ExitSuccess })
}

// secretsHere takes secrets from this program's environment: on a laptop there is no vault.
func secretsHere(_ context.Context, env, ref string) (executor.Secret, error) {
	variable := "CEMLI_SECRET_" + env
	value, ok := os.LookupEnv(variable)
	if !ok {
		return executor.Secret{}, problem.New(problem.Problem{
			Code: "secret.unavailable", Where: env, Message: "the package needs the secret " + ref + ", and there is no vault here", Hint: "set the variable " + variable,
		}, nil)
	}
	return executor.Secret{Value: []byte(value), ID: "environment:" + variable, Version: "0"}, nil
}

// manifestOf reads the manifest of a package; what is wrong with the package itself the run says.
func manifestOf(path string, written ...string) (*manifest.Manifest, error) {
	zip, _, err := openPackage(path, written...)
	if err != nil {
		return nil, err
	}
	defer zip.Close()
	size, err := zip.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	archive, err := bundle.Check(zip, size, bundle.DefaultLimits())
	if err != nil {
		return nil, err
	}
	doc, err := archive.ReadFile(manifest.Name, manifest.MaxBytes)
	if err != nil {
		return nil, manifest.Missing()
	}
	return manifest.Parse(doc)
}

func sandboxLevel(name string) (sandbox.Level, error) {
	if level := sandbox.Level(name); slices.Contains(sandbox.Levels, level) {
		return level, nil
	}
	return "", problem.New(problem.Problem{
		Code: "usage", Where: "--sandbox", Message: fmt.Sprintf("%.100q is no sandbox level", name), Hint: "use full, isolated, basic or none",
	}, nil)
}

// policyFile reads a policy; nil for no file.
func policyFile(path string) (*executor.Policy, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no policy is no error
	}
	doc, err := readPolicy(path)
	if err != nil {
		return nil, err
	}
	return executor.InlinePolicy(filepath.Base(path), doc), nil
}

// readPolicy reads the file of --policy; nil: none was given.
func readPolicy(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, noPolicy(path, "the policy cannot be read", err)
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, manifest.MaxBytes+1))
	if err != nil {
		return nil, noPolicy(path, "the policy cannot be read", err)
	}
	if _, err := manifest.Parse(doc); err == nil {
		return nil, noPolicy(path, "this is a package's manifest, and no admission policy", nil)
	}
	return doc, nil
}

func noPolicy(path, message string, cause error) error {
	return problem.New(problem.Problem{
		Code: "usage", Where: path, Message: message, Hint: "--policy is a file with an admission policy",
	}, cause)
}

// person is who runs this program, as the operating system says.
func person() []evidence.Requester {
	u, err := user.Current()
	if err != nil {
		return nil
	}
	return []evidence.Requester{{Subject: u.Username, Type: "user", Source: "operating system"}}
}

// bucketAt opens a folder as a bucket, making it if need be.
func bucketAt(path string) (store.Bucket, error) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return nil, problem.New(problem.Problem{Code: "usage", Where: path, Message: "it is no folder", Hint: "name a folder for the evidence; it is made if it is not there"}, nil)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	return store.OpenFolder(path)
}

// upload puts the package at path, a folder or a zip, into a bucket. written is what the command
// writes, which is no part of a folder.
func upload(ctx context.Context, to store.Bucket, path string, written ...string) (store.Info, error) {
	return uploadWith(ctx, to, path, nil, written...)
}

// uploadWith is upload with metadata of the object.
func uploadWith(ctx context.Context, to store.Bucket, path string, metadata map[string]string, written ...string) (store.Info, error) {
	zip, name, err := openPackage(path, written...)
	if err != nil {
		return store.Info{}, err
	}
	defer zip.Close()
	size, err := zip.Seek(0, io.SeekEnd)
	if err != nil {
		return store.Info{}, fmt.Errorf("read %s: %w", path, err)
	}
	if _, err := zip.Seek(0, io.SeekStart); err != nil {
		return store.Info{}, fmt.Errorf("read %s: %w", path, err)
	}
	return to.Put(ctx, name, zip, size, store.PutOptions{ContentType: "application/zip", Metadata: metadata})
}
