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
	runner      string
	ofRunner    []string // settings
	unversioned bool
	verbose     bool
}

// The values of --runner.
const (
	runnerFunction = "function"
	runnerHere     = "here"
)

// defaultRunner is where steps run unless --runner says it.
const defaultRunner = runnerFunction

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
	flags.StringVar(&f.runner, "runner", defaultRunner,
		"where steps run: `function`, a second one that is granted nothing, or here, in the function itself")
	flags.StringArrayVar(&f.ofRunner, "runner-config", nil,
		"configuration of the function that --runner starts, `KEY=VALUE`; may be repeated")
	flags.BoolVar(&f.unversioned, "unversioned", false,
		"make buckets that keep no versions, unlike those that Terraform makes")
	flags.BoolVar(&f.verbose, "verbose", false, "show the function's whole log and the services' own")
}

// check refuses flags with which no function could run.
func (f stackFlags) check() error {
	wrong := func(message string) error { return usage.Wrong(message, "see the command's --help") }
	switch {
	case f.runner != runnerFunction && f.runner != runnerHere:
		return wrong("--runner must be " + runnerFunction + " or " + runnerHere)
	case f.runner == runnerHere && len(f.ofRunner) > 0:
		return wrong("--runner-config needs --runner " + runnerFunction)
	case f.port < 0 || f.port > 65535:
		return wrong("--port must be 0 to 65535; 0 takes any free one")
	case f.instances < 1 || f.instances > 100:
		return wrong("--instances must be 1 to 100")
	case f.timeout < 5*time.Second || f.timeout > 5*time.Minute:
		return wrong("--timeout must be 5s to 5m; what takes longer goes on in detached invocations")
	case f.detached < 5*time.Second || f.detached > time.Hour:
		return wrong("--detached-timeout must be 5s to 1h")
	case f.sweep < 0 || f.sweep > 0 && f.sweep < time.Second:
		return wrong("--sweep-every must be 0, for never, or at least 1s")
	case f.memory < 128 || f.memory > 3072:
		return wrong("--memory must be 128 to 3072")
	}
	return nil
}

// readSettings reads --config, or --runner-config.
func readSettings(flag string, entries []string) (map[string]string, error) {
	settings := map[string]string{}
	for _, setting := range entries {
		key, value, ok := strings.Cut(setting, "=")
		if !ok || key == "" {
			return nil, usage.Wrong(flag+" "+setting+" is not KEY=VALUE", "write it like CEMLI_LOG_LEVEL=debug")
		}
		settings[key] = value
	}
	return settings, nil
}

// settle reads the functions' configuration, after the other flags were checked.
func (f stackFlags) settle(o *local.Options) (err error) {
	if err = f.check(); err != nil {
		return err
	}
	if o.Settings, err = readSettings("--config", f.settings); err != nil || f.runner == runnerHere {
		return err
	}
	o.Runner = &local.Runner{Log: io.Discard}
	o.Runner.Settings, err = readSettings("--runner-config", f.ofRunner)
	return err
}

// start starts the stack with the state in dir; stop ends it.
func (f stackFlags) start(
	ctx context.Context, t *terminal.Terminal, dir string, functionLog io.Writer, o local.Options,
) (stack *local.Stack, stop func(), err error) {
	if err := input.RunsHere(); err != nil {
		return nil, nil, err
	}
	if err := f.settle(&o); err != nil {
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
		if o.Runner != nil {
			o.Runner.Log = labelled{"runner: ", t.Stderr}
		}
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

// labelled puts a label before what is written, which is whole lines.
type labelled struct {
	label string
	to    io.Writer
}

// Write writes one line.
func (l labelled) Write(line []byte) (int, error) {
	if _, err := l.to.Write(append([]byte(l.label), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
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
