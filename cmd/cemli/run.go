package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"cemli-executor/executor"
	"cemli-executor/internal/buildinfo"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

func newRunCommand(t *terminal) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run PATH",
		Short: "Run a package on this machine, without any cloud",
		Long: `Run a package on this machine with the executor that the function uses.

PATH is a package folder or a zip. The scripts run for real, against systems that
you may change, confined as far as this machine's kernel can. The buckets are
folders; the evidence is kept only where --results says.`,
		Example: "  cemli run examples/hello-cemli --results evidence",
		Args:    exactPath,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runHere(cmd.Context(), t, args[0], f)
		},
	}
	cmd.Flags().StringVar(&f.environment, "env", "local", "environment the package is told it runs in")
	cmd.Flags().StringVar(&f.results, "results", "", "folder to keep the evidence in (default: not kept)")
	cmd.Flags().StringVar(&f.sandbox, "sandbox", "basic", "least confinement: full, basic or none; all that the kernel has is used, but with none")
	cmd.Flags().StringVar(&f.policy, "policy", "", "file with the admission policy (default: none)")
	return cmd
}

// runFlags are the flags of cemli run.
type runFlags struct{ environment, results, policy, sandbox string }

// reserveHere is the time for evidence of a run on this machine.
const reserveHere = 15 * time.Second

// runHere runs a package in this process.
func runHere(ctx context.Context, t *terminal, path string, f runFlags) error {
	if err := needsLinux(); err != nil {
		return err
	}
	level, err := sandboxLevel(f.sandbox)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "cemli-")
	if err != nil {
		return fmt.Errorf("make a scratch folder: %w", err)
	}
	defer os.RemoveAll(scratch)
	if os.Geteuid() == 0 {
		// Scripts run as a user of their own, who has to pass through.
		if err := os.Chmod(scratch, 0o711); err != nil { //nolint:gosec // see above
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
	packages, err := folder(filepath.Join(scratch, "packages"))
	if err != nil {
		return err
	}
	kept, err := folder(results)
	if err != nil {
		return err
	}
	state, err := folder(filepath.Join(scratch, "state"))
	if err != nil {
		return err
	}
	object, err := upload(ctx, packages, path)
	if err != nil {
		return err
	}
	run := executor.New(executor.Config{
		Packages: packages, Results: kept, State: state, Policy: policy,
		Namespace:   func(context.Context) (string, error) { return "", nil },
		Environment: f.environment, WorkDir: filepath.Join(scratch, "work"), Reserve: reserveHere,
		Limits: executor.DefaultLimits(), Sandbox: level, Output: executor.OutputAll,
		Identity: evidence.Identity{ExecutorVersion: buildinfo.String()},
		Log:      slog.New(slog.NewJSONHandler(&progress{t: t}, nil)),
	})
	result, err := run.Run(ctx, executor.Request{
		Bucket: packages.Name(), Object: object.Name, ETag: object.ETag,
		Trigger: executor.Trigger{Kind: executor.TriggerCLI}, RequestedBy: person(),
	})
	if err != nil {
		return err
	}
	if where != "" {
		where = filepath.Join(where, evidence.ResultObject(result.RunID))
	}
	if err := t.showResult(result, where); err != nil {
		return err
	}
	return ended(result.Status)
}

func sandboxLevel(name string) (sandbox.Level, error) {
	switch level := sandbox.Level(name); level {
	case sandbox.LevelFull, sandbox.LevelBasic, sandbox.LevelNone:
		return level, nil
	}
	return "", problem.New(problem.Problem{
		Code: "usage", Where: "--sandbox", Message: fmt.Sprintf("%.100q is no sandbox level", name), Hint: "use full, basic or none",
	}, nil)
}

// policyFile reads a policy; nil for no file.
func policyFile(path string) (*executor.Policy, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no policy is no error
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, problem.New(problem.Problem{
			Code: "usage", Where: path, Message: "the policy cannot be read", Hint: "--policy is a file with an admission policy",
		}, err)
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, manifest.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	return executor.InlinePolicy(filepath.Base(path), doc), nil
}

// person is who runs this program, as the operating system says.
func person() []evidence.Requester {
	u, err := user.Current()
	if err != nil {
		return nil
	}
	return []evidence.Requester{{Subject: u.Username, Source: "operating system"}}
}

// folder opens a folder as a bucket, making it if need be.
func folder(path string) (store.Bucket, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	return store.OpenFolder(path)
}

// upload puts the package at path, a folder or a zip, into a bucket.
func upload(ctx context.Context, to store.Bucket, path string) (store.Info, error) {
	zip, name, err := openPackage(path)
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
	return to.Put(ctx, name, zip, size, store.PutOptions{ContentType: "application/zip"})
}
