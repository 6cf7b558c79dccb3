package localcmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cemli-executor/internal/cli/input"
	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
)

// stackFlags are the flags of commands that start a local OCI.
type stackFlags struct {
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

func (f *stackFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&f.memory, "memory", 512, "memory that the function is told it has, in `MB`")
	flags.DurationVar(&f.timeout, "timeout", 5*time.Minute, "`DURATION` that one invocation may take")
	flags.DurationVar(&f.detached, "detached-timeout", time.Hour, "`DURATION` that one detached invocation may take")
	flags.StringArrayVar(&f.settings, "config", nil, "configuration of the function, `KEY=VALUE`; may be repeated")
	flags.StringArrayVar(&f.faults, "fault", nil,
		"`FAULT` that happens on purpose, such as unavailable=0.1; may be repeated")
	flags.StringArrayVar(&f.secrets, "secret", nil, "secret in the vault, `NAME=FILE` with its value; may be repeated")
	flags.StringVar(&f.function, "function", "",
		"`FILE` with the function's binary (default: beside cemli, or built from the sources around)")
	flags.BoolVar(&f.unversioned, "unversioned", false,
		"make buckets that keep no versions, unlike those that Terraform makes")
	flags.BoolVar(&f.verbose, "verbose", false, "show the function's whole log and the services' own")
}

// check refuses flags with which no function could run, and reads --config.
func (f stackFlags) check() (map[string]string, error) {
	wrong := func(message string) error { return usage.Wrong(message, "see the command's --help") }
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
	return f.readSettings()
}

// readSettings reads --config.
func (f stackFlags) readSettings() (map[string]string, error) {
	settings := map[string]string{}
	for _, setting := range f.settings {
		key, value, ok := strings.Cut(setting, "=")
		if !ok || key == "" {
			return nil, usage.Wrong("--config "+setting+" is not KEY=VALUE", "write it like CEMLI_LOG_LEVEL=debug")
		}
		settings[key] = value
	}
	return settings, nil
}

// start starts the stack with the state in dir; stop ends it.
func (f stackFlags) start(
	ctx context.Context, t *terminal.Terminal, dir string, functionLog io.Writer, o local.Options,
) (stack *local.Stack, stop func(), err error) {
	if err := input.RunsHere(); err != nil {
		return nil, nil, err
	}
	if o.Settings, err = f.check(); err != nil {
		return nil, nil, err
	}
	if err := f.parseFaults(&o); err != nil {
		return nil, nil, err
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
		level, functionLog = slog.LevelDebug, io.MultiWriter(functionLog, t.Stderr)
	}
	o.Dir, o.Binary, o.MemoryMB, o.Timeout = dir, binary, f.memory, f.timeout
	o.Unversioned, o.Detached, o.Sweep = f.unversioned, f.detached, f.sweep
	o.FunctionLog, o.Log = functionLog, slog.New(slog.NewTextHandler(t.Stderr, &slog.HandlerOptions{Level: level}))
	if stack, err = local.Start(o); err != nil {
		done()
		return nil, nil, err
	}
	stop = func() {
		if err := stack.Close(); err != nil {
			t.Errorf("%s", err)
		}
		done()
	}
	if err := putSecrets(stack, secrets); err != nil {
		stop()
		return nil, nil, err
	}
	return stack, stop, nil
}

// parseFaults reads --fault.
func (f stackFlags) parseFaults(o *local.Options) error {
	for _, fault := range f.faults {
		if err := localoci.ParseFault(fault, &o.Faults); err != nil {
			return usage.Wrong(err.Error(), "docs/platform/local-oci.md lists the faults")
		}
	}
	return nil
}

// putSecrets puts secrets into the vault.
func putSecrets(stack *local.Stack, secrets map[string][]byte) error {
	for name, value := range secrets {
		if stack.Server().HasSecret(name, value) {
			continue // it is from the last time; another version would be a rotation
		}
		if _, err := stack.Server().PutSecret(name, value); err != nil {
			return usage.WrongAt("--secret "+name, "the vault does not take the secret", "see the cause", err)
		}
	}
	return nil
}

// readSecrets reads the files of --secret: values are not given as arguments, which other users can see.
func (f stackFlags) readSecrets(t *terminal.Terminal) (map[string][]byte, error) {
	secrets := map[string][]byte{}
	for _, flag := range f.secrets {
		name, path, ok := strings.Cut(flag, "=")
		if !ok || name == "" {
			return nil, usage.WrongAt("--secret", fmt.Sprintf("%.100q is not NAME=FILE", name), valueInFile, nil)
		}
		value, err := readSecret(name, path)
		if err != nil {
			return nil, err
		}
		if bytes.IndexByte(value, '\n') == len(value)-1 { // echo and editors add it, and the vault would keep it
			t.Notef("note: the line end of %s is part of the secret %s; printf %%s writes a file without", path, name)
		}
		secrets[name] = value
	}
	return secrets, nil
}

const valueInFile = "write the value into a file, and name that"

// readSecret reads the value of one secret.
func readSecret(name, path string) ([]byte, error) {
	value, err := os.ReadFile(path)
	if err != nil {
		return nil, usage.WrongAt("--secret", "the file with the secret "+name+" cannot be read", valueInFile, err)
	}
	if len(value) == 0 {
		message := "the file with the secret " + name + " is empty"
		return nil, usage.WrongAt("--secret", message, "write the value into it", nil)
	}
	return value, nil
}
