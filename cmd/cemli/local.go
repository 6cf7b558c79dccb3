package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/problem"
)

// localFlags are what both local commands take.
type localFlags struct {
	dir         string
	port        int
	instances   int
	sharedUID   bool
	memory      int
	timeout     time.Duration
	detached    time.Duration
	sweep       time.Duration
	settings    []string
	faults      []string
	secrets     []string
	function    string
	unversioned bool
	verbose     bool
}

func (f *localFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&f.memory, "memory", 512, "memory that the function is told it has, in `MB`")
	flags.DurationVar(&f.timeout, "timeout", 5*time.Minute, "`DURATION` that one invocation may take")
	flags.DurationVar(&f.detached, "detached-timeout", time.Hour, "`DURATION` that one detached invocation may take")
	flags.StringArrayVar(&f.settings, "config", nil, "configuration of the function, `KEY=VALUE`; may be repeated")
	flags.StringArrayVar(&f.faults, "fault", nil, "`FAULT` that happens on purpose, such as unavailable=0.1; may be repeated")
	flags.StringArrayVar(&f.secrets, "secret", nil, "secret in the vault, `NAME=FILE` with its value; may be repeated")
	flags.StringVar(&f.function, "function", "", "`FILE` with the function's binary (default: beside cemli, or built from the sources around)")
	flags.BoolVar(&f.unversioned, "unversioned", false, "make buckets that keep no versions, unlike those that Terraform makes")
	flags.BoolVar(&f.verbose, "verbose", false, "show the function's whole log and the services' own")
}

func newLocalCommand(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "local",
		Short: "Run packages in a local OCI",
		Long: `Run packages in a local OCI: buckets, events and the real function, on this
machine and without a cloud account.`,
		Example: `  cemli local run examples/hello-cemli
  cemli local up --dir state
  eval "$(cemli local credentials --dir state)"`,
		GroupID: groupLocal,
		Args:    onlyCommands,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLocalRunCommand(t), newLocalUpCommand(t), newLocalCredentialsCommand(t))
	return cmd
}

// needsLinux refuses where functions cannot be run.
func needsLinux() error {
	if runtime.GOOS == "linux" {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "sandbox.platform", Message: "packages cannot run on " + runtime.GOOS,
		Hint: "run them on Linux, in a Linux virtual machine or in a Linux container",
	}, nil)
}

// check refuses flags that no function could be run with, and reads --config.
func (f localFlags) check() (map[string]string, error) {
	wrong := func(message string) error { return wrongCall(message, "see the command's --help") }
	switch {
	case f.port < 0 || f.port > 65535:
		return nil, wrong("--port must be 0 to 65535; 0 takes any free one")
	case f.instances < 1 || f.instances > 100:
		return nil, wrong("--instances must be 1 to 100")
	case f.timeout < 5*time.Second || f.timeout > time.Hour:
		return nil, wrong("--timeout must be 5s to 1h")
	case f.detached < 5*time.Second || f.detached > time.Hour:
		return nil, wrong("--detached-timeout must be 5s to 1h")
	case f.sweep < 0 || f.sweep > 0 && f.sweep < time.Second:
		return nil, wrong("--sweep-every must be 0, for never, or at least 1s")
	case f.memory < 128 || f.memory > 3072:
		return nil, wrong("--memory must be 128 to 3072")
	}
	settings := map[string]string{}
	for _, setting := range f.settings {
		key, value, ok := strings.Cut(setting, "=")
		if !ok || key == "" {
			return nil, wrongCall("--config "+setting+" is not KEY=VALUE", "write it like CEMLI_LOG_LEVEL=debug")
		}
		settings[key] = value
	}
	return settings, nil
}

// start starts the stack with the state in dir.
func (f localFlags) start(ctx context.Context, t *terminal, dir string, functionLog io.Writer, o local.Options) (*local.Stack, func(), error) {
	if err := needsLinux(); err != nil {
		return nil, nil, err
	}
	settings, err := f.check()
	if err != nil {
		return nil, nil, err
	}
	for _, fault := range f.faults {
		if err := localoci.ParseFault(fault, &o.Faults); err != nil {
			return nil, nil, problem.New(problem.Problem{
				Code: "usage", Message: err.Error(), Hint: "docs/platform/local-oci.md lists the faults",
			}, nil)
		}
	}
	secrets, err := f.readSecrets(t)
	if err != nil {
		return nil, nil, err
	}
	binary, done, err := findFunction(ctx, t, f.function)
	if err != nil {
		return nil, nil, err
	}
	level := slog.LevelError
	if f.verbose {
		level, functionLog = slog.LevelDebug, io.MultiWriter(functionLog, t.stderr)
	}
	o.Dir, o.Binary, o.MemoryMB, o.Timeout, o.Settings = dir, binary, f.memory, f.timeout, settings
	o.Unversioned, o.Detached, o.Sweep = f.unversioned, f.detached, f.sweep
	o.FunctionLog, o.Log = functionLog, slog.New(slog.NewTextHandler(t.stderr, &slog.HandlerOptions{Level: level}))
	stack, err := local.Start(o)
	if err != nil {
		done()
		return nil, nil, err
	}
	stop := func() {
		if err := stack.Close(); err != nil {
			t.errorf("%s", err)
		}
		done()
	}
	for name, value := range secrets {
		if stack.Server().HasSecret(name, value) {
			continue // of the last time: another version would be a rotation
		}
		if _, err := stack.Server().PutSecret(name, value); err != nil {
			stop()
			return nil, nil, problem.New(problem.Problem{Code: "usage", Where: "--secret " + name, Message: "the vault does not take the secret", Hint: "see the cause"}, err)
		}
	}
	return stack, stop, nil
}

// readSecrets reads the files of --secret: values are no arguments, which other users see.
func (f localFlags) readSecrets(t *terminal) (map[string][]byte, error) {
	secrets := map[string][]byte{}
	for _, flag := range f.secrets {
		name, path, ok := strings.Cut(flag, "=")
		if !ok || name == "" {
			return nil, problem.New(problem.Problem{Code: "usage", Where: "--secret", Message: fmt.Sprintf("%.100q is not NAME=FILE", name), Hint: "write the value into a file, and name that"}, nil)
		}
		value, err := os.ReadFile(path)
		if err != nil {
			return nil, problem.New(problem.Problem{Code: "usage", Where: "--secret", Message: "the file with the secret " + name + " cannot be read", Hint: "write the value into a file, and name that"}, err)
		}
		if len(value) == 0 {
			return nil, problem.New(problem.Problem{Code: "usage", Where: "--secret", Message: "the file with the secret " + name + " is empty", Hint: "write the value into it"}, nil)
		}
		if bytes.IndexByte(value, '\n') == len(value)-1 { // echo and editors make it; a vault would keep it, too
			t.notef("note: the line end of %s is part of the secret %s; printf %%s writes a file without", path, name)
		}
		secrets[name] = value
	}
	return secrets, nil
}
