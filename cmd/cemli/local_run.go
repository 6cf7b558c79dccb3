package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/fnhost"
	"cemli-executor/internal/local"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/scratch"
	"cemli-executor/internal/store"
)

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

// invocation is the end of one, as localRun waits for it.
type invocation struct {
	answer fnhost.Answer
	err    error
}

// localRun takes one package the whole way.
func localRun(ctx context.Context, t *terminal, path string, f localFlags) error {
	dir, remove, err := scratch.Dir("cemli-local-")
	if err != nil {
		return fmt.Errorf("make a folder for the state: %w", err)
	}
	defer remove() //nolint:errcheck // what stays is removed by the next
	finished := make(chan invocation, 16)
	f.instances = 1
	log := &lastLines{}
	stack, stop, err := f.start(ctx, t, dir, io.MultiWriter(&progress{t: t}, log), local.Options{
		Instances: 1,
		Answered: func(answer fnhost.Answer, err error) {
			select {
			case finished <- invocation{answer, err}:
			default: // a repetition, after what was waited for
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
	for {
		select {
		case <-ctx.Done():
			t.errorf("interrupted: the function is killed")
			t.hintf("see which parts of the package took effect before you run it again")
			return &endedError{codes.ExitFailed}
		case end := <-finished:
			answers, err := end.answers(log)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(answers, functionAnswer.goesOn) {
				return showAnswers(ctx, t, stack, answers)
			}
		}
	}
}

// answers are those of an invocation that did not fail.
func (i invocation) answers(log *lastLines) ([]functionAnswer, error) {
	if i.err != nil {
		return nil, problem.New(problem.Problem{
			Code: "store.invocation", Message: "the invocation failed: " + i.err.Error(),
			Hint: "the function's log says why; see it with --verbose" + log.hint(),
		}, nil)
	}
	return readAnswers(i.answer.Body)
}

// showAnswers reads the results that the answers name from the bucket.
func showAnswers(ctx context.Context, t *terminal, stack *local.Stack, answers []functionAnswer) error {
	var results []evidence.Result
	for _, answer := range answers {
		if answer.RunID == "" {
			return noRun(t, string(answer.Status), answer.Error, answer.Reason)
		}
		result, err := readResult(ctx, stack, answer)
		if err != nil {
			return err
		}
		results = append(results, result)
	}
	return t.showResults(results, "", true)
}

// functionAnswer is what the function answers for a run, or for what became none.
type functionAnswer struct {
	evidence.Summary
	Reason string `json:"reason"`
}

// goesOn reports whether the run goes on in another invocation, which has an answer of its own.
func (a functionAnswer) goesOn() bool { return a.Status == evidence.StatusInProgress }

// readAnswers reads one answer, or those of several parameter sets.
func readAnswers(body []byte) ([]functionAnswer, error) {
	var several []functionAnswer
	if json.Unmarshal(body, &several) == nil && len(several) > 0 {
		return several, nil
	}
	var one functionAnswer
	if err := json.Unmarshal(body, &one); err != nil {
		return nil, fmt.Errorf("read the function's answer: %w", err)
	}
	return []functionAnswer{one}, nil
}

// readResult reads the result that an answer names.
func readResult(ctx context.Context, stack *local.Stack, answer functionAnswer) (evidence.Result, error) {
	body, _, err := stack.Person().Bucket(answer.Result.Bucket).Get(ctx, answer.Result.Object, store.GetOptions{})
	if err != nil {
		return evidence.Result{}, err
	}
	defer body.Close()
	doc, err := io.ReadAll(body)
	if err != nil {
		return evidence.Result{}, fmt.Errorf("read result: %w", err)
	}
	return evidence.Decode(doc)
}

// noRun is the error for an answer without a run.
func noRun(t *terminal, status string, e *evidence.Error, reason string) error {
	if e == nil {
		return fmt.Errorf("the function did not run the package: %s %s", status, reason)
	}
	t.showResultError(e)
	return &endedError{codes.ExitInfrastructure}
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
