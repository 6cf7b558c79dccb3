package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/fnhost"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// localFlags are what both local commands take.
type localFlags struct {
	dir       string
	port      int
	instances int
	memory    int
	timeout   time.Duration
	settings  []string
	function  string
	verbose   bool
}

func (f *localFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&f.memory, "memory", 512, "memory that the function is told it has, in MB")
	flags.DurationVar(&f.timeout, "timeout", 5*time.Minute, "timeout of one invocation")
	flags.StringArrayVar(&f.settings, "config", nil, "configuration of the function, KEY=VALUE; may be repeated")
	flags.StringVar(&f.function, "function", "", "the function's binary (default: beside cemli, or built from the sources around)")
	flags.BoolVar(&f.verbose, "verbose", false, "show the function's whole log and the services' own")
}

func newLocalCommand(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "local",
		Short: "Run packages in a local OCI",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLocalRunCommand(t), newLocalUpCommand(t))
	return cmd
}

func newLocalRunCommand(t *terminal) *cobra.Command {
	var f localFlags
	cmd := &cobra.Command{
		Use:   "run PATH",
		Short: "Upload a package to a local OCI and show the result",
		Long: `Start a local OCI, upload the package, whose event invokes the real function,
and show the result that the function wrote to the results bucket.

PATH is a package folder or a zip. Everything ends with the command.`,
		Example: "  cemli local run examples/hello-cemli\n  cemli local run examples/hello-cemli -o json",
		Args:    exactPath,
		RunE: func(cmd *cobra.Command, args []string) error {
			return localRun(cmd.Context(), t, args[0], f)
		},
	}
	f.add(cmd)
	return cmd
}

func newLocalUpCommand(t *terminal) *cobra.Command {
	var f localFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a local OCI that stays until it is interrupted",
		Long: `Start a local OCI on loopback and keep it until it is interrupted.

When it is ready it prints one line of JSON: the endpoint, the OCI configuration
file, and the names that clients need. State is kept in --dir.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return localUp(cmd.Context(), t, f)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.dir, "dir", "", "folder for the state (default: a new temporary one, removed at the end)")
	cmd.Flags().IntVar(&f.port, "port", 0, "port on 127.0.0.1; 0 takes any free one")
	cmd.Flags().IntVar(&f.instances, "instances", 1, "function instances that may run at the same time")
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
	wrong := func(message string) error {
		return problem.New(problem.Problem{Code: "usage", Message: message, Hint: "see cemli local up --help"}, nil)
	}
	switch {
	case f.instances < 1 || f.instances > 100:
		return nil, wrong("--instances must be 1 to 100")
	case f.timeout < 5*time.Second || f.timeout > time.Hour:
		return nil, wrong("--timeout must be 5s to 1h")
	case f.memory < 128 || f.memory > 3072:
		return nil, wrong("--memory must be 128 to 3072")
	}
	settings := map[string]string{}
	for _, setting := range f.settings {
		key, value, ok := strings.Cut(setting, "=")
		if !ok || key == "" {
			return nil, wrong("--config " + setting + " is not KEY=VALUE")
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
	binary, done, err := findFunction(ctx, t, f.function)
	if err != nil {
		return nil, nil, err
	}
	level := slog.LevelError
	if f.verbose {
		level, functionLog = slog.LevelDebug, io.MultiWriter(functionLog, t.stderr)
	}
	o.Dir, o.Binary, o.MemoryMB, o.Timeout, o.Settings = dir, binary, f.memory, f.timeout, settings
	o.FunctionLog, o.Log = functionLog, slog.New(slog.NewTextHandler(t.stderr, &slog.HandlerOptions{Level: level}))
	stack, err := local.Start(o)
	if err != nil {
		done()
		return nil, nil, err
	}
	return stack, func() {
		if err := stack.Close(); err != nil {
			t.errorf("%s", err)
		}
		done()
	}, nil
}

// invocation is the end of one, as localRun waits for it.
type invocation struct {
	answer fnhost.Answer
	err    error
}

// localRun takes one package the whole way.
func localRun(ctx context.Context, t *terminal, path string, f localFlags) error {
	dir, err := os.MkdirTemp("", "cemli-local-")
	if err != nil {
		return fmt.Errorf("make a folder for the state: %w", err)
	}
	defer os.RemoveAll(dir)
	finished := make(chan invocation, 1)
	f.instances = 1
	log := &lastLines{}
	stack, stop, err := f.start(ctx, t, dir, io.MultiWriter(&progress{t: t}, log), local.Options{
		Instances: 1,
		Answered: func(answer fnhost.Answer, err error) {
			select {
			case finished <- invocation{answer, err}:
			default: // a repetition, after the first has been taken
			}
		},
	})
	if err != nil {
		return err
	}
	defer stop()
	if _, err := upload(ctx, stack.Person().Bucket(stack.Buckets().Packages), path); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		t.errorf("interrupted: the function is killed")
		t.hintf("see which parts of the package took effect before you run it again")
		return &endedError{exitFailed}
	case end := <-finished:
		return showInvocation(ctx, t, stack, end, log)
	}
}

// showInvocation reads the result that the answer names from the bucket.
func showInvocation(ctx context.Context, t *terminal, stack *local.Stack, end invocation, log *lastLines) error {
	if end.err != nil {
		return problem.New(problem.Problem{
			Code: "store.invocation", Message: "the invocation failed: " + end.err.Error(),
			Hint: "the function's log says why; see it with --verbose" + log.hint(),
		}, nil)
	}
	var answer struct {
		evidence.Summary
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(end.answer.Body, &answer); err != nil {
		return fmt.Errorf("read the function's answer: %w", err)
	}
	if answer.RunID == "" {
		return noRun(t, string(answer.Status), answer.Error, answer.Reason)
	}
	body, _, err := stack.Person().Bucket(answer.Result.Bucket).Get(ctx, answer.Result.Object, store.GetOptions{})
	if err != nil {
		return err
	}
	defer body.Close()
	doc, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("read result: %w", err)
	}
	result, err := evidence.Decode(doc)
	if err != nil {
		return err
	}
	if err := t.showResult(result, ""); err != nil {
		return err
	}
	return ended(result.Status)
}

// noRun is the error for an answer without a run.
func noRun(t *terminal, status string, e *evidence.Error, reason string) error {
	if e == nil {
		return fmt.Errorf("the function did not run the package: %s %s", status, reason)
	}
	t.showResultError(e)
	return &endedError{exitInfrastructure}
}

// lastLines remembers the last error of the function's log, for the hint.
type lastLines struct{ last string }

func (l *lastLines) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		var entry logLine
		if json.Unmarshal(line, &entry) == nil && entry.Level == "ERROR" {
			l.last = entry.Msg + ": " + entry.Error
		}
	}
	return len(p), nil
}

func (l *lastLines) hint() string {
	if l.last == "" {
		return ""
	}
	return "; its last error: " + l.last
}

// ready is what localUp prints when clients may come.
type ready struct {
	Endpoint  string `json:"endpoint"`
	Config    string `json:"oci_config"`
	Namespace string `json:"namespace"`
	Packages  string `json:"packages_bucket"`
	Results   string `json:"results_bucket"`
	State     string `json:"state_bucket"`
	Function  string `json:"function_id"`
	Dir       string `json:"dir"`
}

// localUp serves until ctx ends.
func localUp(ctx context.Context, t *terminal, f localFlags) (err error) {
	dir := f.dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "cemli-local-"); err != nil {
			return fmt.Errorf("make a folder for the state: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("find the folder for the state: %w", err)
	}
	stack, stop, err := f.start(ctx, t, dir, &progress{t: t}, local.Options{
		Port: f.port, Instances: f.instances,
		Observe: func(a localoci.Activity) { t.showActivity(a) },
	})
	if err != nil {
		return err
	}
	defer stop()
	b := stack.Buckets()
	line, err := json.Marshal(ready{
		stack.Endpoint(), stack.ConfigFile(), localoci.Namespace, b.Packages, b.Results, b.State, localoci.FunctionID, dir,
	})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if _, err := fmt.Fprintf(t.stdout, "%s\n", line); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	<-ctx.Done()
	return nil
}

func (t *terminal) showActivity(a localoci.Activity) {
	text := t.paint(faint, a.Time.Format(time.TimeOnly)) + " " + visible(a.Kind+" "+a.Detail)
	if a.Err != nil {
		text += " " + t.paint(red, visible(a.Err.Error()))
	}
	t.raw(text)
}
