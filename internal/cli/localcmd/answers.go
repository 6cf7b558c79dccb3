package localcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/fnhost"
	"cemli-executor/internal/local"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// invocation is the end of one, as waiting waits for it.
type invocation struct {
	answer fnhost.Answer
	err    error
}

// waiting waits for the ends of invocations.
type waiting struct {
	t          *terminal.Terminal
	finished   chan invocation
	log        *lastLines
	configured bool // by --config
}

// answered notes the end of an invocation.
func (w *waiting) answered(answer fnhost.Answer, err error) {
	select {
	case w.finished <- invocation{answer, err}:
	default: // a repetition, after what was waited for
	}
}

// wait returns the answers of the next invocation that leaves nothing to another one.
func (w *waiting) wait(ctx context.Context) ([]functionAnswer, error) {
	for {
		select {
		case <-ctx.Done():
			w.t.Errorf("interrupted: the function is killed")
			w.t.Hintf("see which parts of the package took effect before you run it again")
			return nil, &terminal.EndedError{Code: codes.ExitFailed}
		case end := <-w.finished:
			answers, err := w.answers(end)
			if err != nil || !slices.ContainsFunc(answers, functionAnswer.goesOn) {
				return answers, err
			}
		}
	}
}

// answers returns the answers of an invocation that did not fail.
func (w *waiting) answers(i invocation) ([]functionAnswer, error) {
	if i.err == nil {
		return readAnswers(i.answer.Body)
	}
	if last := w.log.lastError(); strings.Contains(last, "(config.") {
		message := "the function does not start: " + last
		if w.configured {
			const hint = "see docs/operations/configuration.md for the variables and their values"
			return nil, usage.WrongAt("--config", message, hint, nil)
		}
		return nil, problem.New(problem.Problem{
			Code: "config.function", Message: message, Hint: "docs/operations/configuration.md lists its configuration",
		}, nil)
	}
	return nil, problem.New(problem.Problem{
		Code: "store.invocation", Message: "the invocation failed: " + i.err.Error(),
		Hint: "the function's log says why; see it with --verbose" + w.log.hint(),
	}, nil)
}

// showAnswers reads the results that the answers name from the bucket.
func showAnswers(
	ctx context.Context, t *terminal.Terminal, stack *local.Stack, answers []functionAnswer, allSets bool,
) error {
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
	return t.ShowResults(results, "", allSets)
}

// functionAnswer is what the function answers for a run, or for a request that became no run.
type functionAnswer struct {
	evidence.Summary
	Reason string `json:"reason"`
}

// goesOn reports whether another invocation serves the run, with an answer of its own.
func (a functionAnswer) goesOn() bool { return a.Status == evidence.StatusInProgress }

// unsuccessful reports whether the run did not do what was requested.
func (a functionAnswer) unsuccessful() bool {
	return terminal.StatusCode(a.Status) != codes.ExitSuccess
}

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

// noRun returns the error for an answer without a run.
func noRun(t *terminal.Terminal, status string, e *evidence.Error, reason string) error {
	if e == nil {
		return fmt.Errorf("the function did not run the package: %s %s", status, reason)
	}
	t.ShowResultError(e)
	return &terminal.EndedError{Code: codes.ExitInfrastructure}
}

// logLine is the part of a line of the function's log that is read.
type logLine struct {
	Level string `json:"level"`
	Msg   string `json:"msg"`
	Error string `json:"error"`
}

// lastLines remembers the last error of the function's log, for the hint.
type lastLines struct {
	mu   sync.Mutex
	last logLine
}

// Write takes whole lines of the log; it never fails.
func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(p) {
		var entry logLine
		if json.Unmarshal(line, &entry) == nil && entry.Level == "ERROR" {
			l.last = entry
		}
	}
	return len(p), nil
}

// lastError returns the last error of the log; "" if there was none.
func (l *lastLines) lastError() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last.Error
}

// hint goes on with the last error, if there was one.
func (l *lastLines) hint() string {
	if l.lastError() == "" {
		return ""
	}
	return "; its last error: " + l.last.Msg + ": " + l.lastError()
}
