package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"cemli-executor/executor"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/fnhost"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/scratch"
	"cemli-executor/internal/store"
)

func newLocalRunCommand(t *terminal) *cobra.Command {
	var f localRunFlags
	cmd := &cobra.Command{
		Use:        "run PATH",
		SuggestFor: []string{"local-run", "localrun"},
		Short:      "Upload a package to a local OCI and show the result",
		Long: `Start a local OCI, upload the package, whose event invokes the real function,
and show the result that the function wrote to the results bucket.

PATH is a package folder or a zip. With --param, or several --set, which no
upload can say, the function is invoked by hand. Everything ends with the
command.`,
		Example: `  cemli local run examples/hello-cemli
  cemli local run examples/localization --set DE --env dev`,
		Args: onePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			return localRun(cmd.Context(), t, args[0], f)
		},
	}
	f.localFlags.add(cmd)
	f.requestFlags.add(cmd)
	return cmd
}

// localRunFlags are the flags of cemli local run.
type localRunFlags struct {
	localFlags
	requestFlags
}

// byHand reports whether an upload cannot ask for that.
func (f localRunFlags) byHand() bool { return len(f.params) > 0 || len(f.sets) > 1 }

// metadata is what an upload can ask for.
func (f localRunFlags) metadata() map[string]string {
	metadata := map[string]string{}
	if f.dryRun {
		metadata["cemli-action"] = string(executor.ActionDryRun)
	}
	if len(f.sets) == 1 {
		metadata["cemli-parameter-set"] = f.sets[0]
	}
	return metadata
}

// invocation is the end of one, as localRun waits for it.
type invocation struct {
	answer fnhost.Answer
	err    error
}

// policiesBucket is the one of a local OCI for policies, and localPolicy the object in the policies bucket that --policy becomes.
const (
	policiesBucket = "cemli-policies"
	localPolicy    = "admission.json"
)

// localRun takes one package the whole way.
func localRun(ctx context.Context, t *terminal, path string, f localRunFlags) error {
	dir, remove, err := scratch.Dir("cemli-local-")
	if err != nil {
		return fmt.Errorf("make a folder for the state: %w", err)
	}
	defer remove() //nolint:errcheck // what stays is removed by the next
	if err := f.requestFlags.check(); err != nil {
		return err
	}
	if _, err := lookAt(path); err != nil {
		return err
	}
	parameters, err := f.parameters(path)
	if err != nil {
		return err
	}
	policy, err := readPolicy(f.policy)
	if err != nil {
		return err
	}
	t.local = true
	w := &waiting{finished: make(chan invocation, 16), log: &lastLines{}, configured: len(f.settings) > 0}
	f.instances = 1
	o := local.Options{Instances: 1, Answered: w.answered}
	if f.byHand() {
		o.Faults.EventLose = 1 // the upload's event would run it, too
	}
	f.settings = append([]string{"CEMLI_ENVIRONMENT=" + f.environment}, f.settings...)
	if policy != nil {
		f.settings = append([]string{"CEMLI_POLICY=" + policiesBucket + "/" + localPolicy}, f.settings...)
	}
	shown := &progress{t: t}
	stack, stop, err := f.start(ctx, t, dir, io.MultiWriter(shown, w.log), o)
	if err != nil {
		return err
	}
	defer stop()
	if policy != nil {
		if _, err := stack.Person().Bucket(policiesBucket).Put(ctx, localPolicy, bytes.NewReader(policy), int64(len(policy)), store.PutOptions{}); err != nil {
			return err
		}
	}
	answers, err := f.ask(ctx, t, stack, w, path, parameters)
	if err != nil {
		return err
	}
	shown.showFailed()
	return showAnswers(ctx, t, stack, answers, len(f.sets) != 1)
}

// ask uploads the package and has the function run it, and returns its answers.
func (f localRunFlags) ask(ctx context.Context, t *terminal, stack *local.Stack, w *waiting, path string, parameters map[string]json.RawMessage) ([]functionAnswer, error) {
	packages := stack.Person().Bucket(stack.Buckets().Packages)
	if !f.byHand() {
		if _, err := uploadWith(ctx, packages, path, f.metadata()); err != nil {
			return nil, err
		}
		return w.wait(ctx, t)
	}
	object, err := upload(ctx, packages, path)
	if err != nil {
		return nil, err
	}
	var all []functionAnswer
	sets, goesOn := f.chosen(), f.goesOn(path)
	for i, set := range sets {
		body, err := json.Marshal(manualRequest{object.Name, string(f.action()), set, parameters})
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		if err := stack.Person().InvokeDetached(ctx, localoci.FunctionID, body); err != nil {
			return nil, err
		}
		answers, err := w.wait(ctx, t)
		all = append(all, answers...)
		if err != nil {
			return nil, err
		}
		if rest := sets[i+1:]; len(rest) > 0 && !goesOn && slices.ContainsFunc(answers, functionAnswer.unsuccessful) {
			t.notef("not run, because %s did not succeed: %s", set, strings.Join(rest, ", "))
			break
		}
	}
	return all, nil
}

// manualRequest is a request by hand.
type manualRequest struct {
	Object       string                     `json:"object"`
	Action       string                     `json:"action,omitempty"`
	ParameterSet string                     `json:"parameter_set,omitempty"`
	Parameters   map[string]json.RawMessage `json:"parameters,omitempty"`
}

// waiting waits for the ends of invocations.
type waiting struct {
	finished   chan invocation
	log        *lastLines
	configured bool // by --config
}

func (w *waiting) answered(answer fnhost.Answer, err error) {
	select {
	case w.finished <- invocation{answer, err}:
	default: // a repetition, after what was waited for
	}
}

// wait returns the answers of the next invocation after which nothing goes on.
func (w *waiting) wait(ctx context.Context, t *terminal) ([]functionAnswer, error) {
	for {
		select {
		case <-ctx.Done():
			t.errorf("interrupted: the function is killed")
			t.hintf("see which parts of the package took effect before you run it again")
			return nil, &endedError{codes.ExitFailed}
		case end := <-w.finished:
			answers, err := w.answers(end)
			if err != nil || !slices.ContainsFunc(answers, functionAnswer.goesOn) {
				return answers, err
			}
		}
	}
}

// answers are those of an invocation that did not fail.
func (w *waiting) answers(i invocation) ([]functionAnswer, error) {
	if i.err == nil {
		return readAnswers(i.answer.Body)
	}
	if last := w.log.lastError(); strings.Contains(last, "(config.") {
		p := problem.Problem{Code: "config.function", Message: "the function does not start: " + last, Hint: "docs/operations/configuration.md lists its configuration"}
		if w.configured {
			p.Code, p.Where, p.Hint = "usage", "--config", "see docs/operations/configuration.md for the variables and their values"
		}
		return nil, problem.New(p, nil)
	}
	return nil, problem.New(problem.Problem{
		Code: "store.invocation", Message: "the invocation failed: " + i.err.Error(),
		Hint: "the function's log says why; see it with --verbose" + w.log.hint(),
	}, nil)
}

// showAnswers reads the results that the answers name from the bucket.
func showAnswers(ctx context.Context, t *terminal, stack *local.Stack, answers []functionAnswer, allSets bool) error {
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
	return t.showResults(results, "", allSets)
}

// functionAnswer is what the function answers for a run, or for what became none.
type functionAnswer struct {
	evidence.Summary
	Reason string `json:"reason"`
}

// goesOn reports whether the run goes on in another invocation, which has an answer of its own.
func (a functionAnswer) goesOn() bool { return a.Status == evidence.StatusInProgress }

// unsuccessful reports whether the run did not do what was asked.
func (a functionAnswer) unsuccessful() bool { return statusCode(a.Status) != codes.ExitSuccess }

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
type lastLines struct {
	mu   sync.Mutex
	last logLine
}

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

// lastError is what went wrong last; "" for nothing.
func (l *lastLines) lastError() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last.Error
}

func (l *lastLines) hint() string {
	if l.lastError() == "" {
		return ""
	}
	return "; its last error: " + l.last.Msg + ": " + l.lastError()
}
