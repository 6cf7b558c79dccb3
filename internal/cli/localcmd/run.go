package localcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cemli-executor/executor"
	"cemli-executor/internal/cli/input"
	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/scratch"
	"cemli-executor/internal/store"
)

// runHelp is the help of cemli local run.
var runHelp = usage.Help{
	Use:     "run PATH",
	Short:   "Upload a package to a local OCI and show the result",
	Suggest: []string{"local-run", "localrun"},
	Long: `Start a local OCI, upload the package, whose event invokes the real function,
and show the result that the function wrote to the results bucket.

PATH is a package folder or a zip. With --param, or several --set, which no
upload can say, the function is invoked by hand. Everything ends with the
command.`,
	Example: `  cemli local run examples/hello-cemli
  cemli local run examples/localization --set DE --env dev`,
}

func newRun(t *terminal.Terminal) *cobra.Command {
	var f runFlags
	cmd := runHelp.Command(usage.OnePath, func(cmd *cobra.Command, args []string) error {
		return run(cmd.Context(), t, args[0], f)
	})
	f.stackFlags.add(cmd)
	f.RequestFlags.Add(cmd)
	return cmd
}

// runFlags are the flags of cemli local run.
type runFlags struct {
	stackFlags
	input.RequestFlags
}

// byHand reports whether an upload cannot ask for what the flags say.
func (f runFlags) byHand() bool { return len(f.Params) > 0 || len(f.Sets) > 1 }

// metadata is what an upload can ask for.
func (f runFlags) metadata() map[string]string {
	metadata := map[string]string{}
	if f.DryRun {
		metadata["cemli-action"] = string(executor.ActionDryRun)
	}
	if len(f.Sets) == 1 {
		metadata["cemli-parameter-set"] = f.Sets[0]
	}
	return metadata
}

// policiesBucket is the local OCI's bucket for policies, and policyObject the object there that --policy becomes.
const (
	policiesBucket = "cemli-policies"
	policyObject   = "admission.json"
)

// run takes one package all the way.
func run(ctx context.Context, t *terminal.Terminal, path string, f runFlags) error {
	dir, remove, err := scratch.Dir("cemli-local-")
	if err != nil {
		return fmt.Errorf("make a folder for the state: %w", err)
	}
	defer remove() //nolint:errcheck // what stays is removed by the next
	if err := f.RequestFlags.Check(); err != nil {
		return err
	}
	if _, err := input.LookAt(path); err != nil {
		return err
	}
	parameters, err := f.Parameters(path)
	if err != nil {
		return err
	}
	policy, err := input.ReadPolicy(f.Policy)
	if err != nil {
		return err
	}
	t.Local = true
	shown := terminal.NewProgress(t)
	w := &waiting{t: t, finished: make(chan invocation, 16), log: &lastLines{}, configured: len(f.settings) > 0}
	stack, stop, err := f.startFor(ctx, t, dir, policy, shown, w)
	if err != nil {
		return err
	}
	defer stop()
	a := &asker{runFlags: f, stack: stack, waiting: w, path: path, parameters: parameters}
	answers, err := a.ask(ctx)
	if err != nil {
		return err
	}
	shown.ShowFailed()
	return showAnswers(ctx, t, stack, answers, len(f.Sets) != 1)
}

// startFor starts the stack for one package, with the policy; nil: none.
func (f runFlags) startFor(
	ctx context.Context, t *terminal.Terminal, dir string, policy []byte, shown io.Writer, w *waiting,
) (*local.Stack, func(), error) {
	o := local.Options{Instances: 1, Answered: w.answered}
	f.instances = 1
	if f.byHand() {
		o.Faults.EventLose = 1 // the upload's event would run it, too
	}
	f.settings = append([]string{"CEMLI_ENVIRONMENT=" + f.Environment}, f.settings...)
	if policy != nil {
		f.settings = append([]string{"CEMLI_POLICY=" + policiesBucket + "/" + policyObject}, f.settings...)
	}
	stack, stop, err := f.start(ctx, t, dir, io.MultiWriter(shown, w.log), o)
	if err != nil || policy == nil {
		return stack, stop, err
	}
	policies := stack.Person().Bucket(policiesBucket)
	_, err = policies.Put(ctx, policyObject, bytes.NewReader(policy), int64(len(policy)), store.PutOptions{})
	if err != nil {
		stop()
		return nil, nil, err
	}
	return stack, stop, nil
}

// asker asks the function to run the package at path.
type asker struct {
	runFlags
	*waiting
	stack      *local.Stack
	path       string
	parameters map[string]json.RawMessage
}

// ask uploads the package and has the function run it, and returns its answers.
func (a *asker) ask(ctx context.Context) ([]functionAnswer, error) {
	packages := a.stack.Person().Bucket(a.stack.Buckets().Packages)
	if !a.byHand() {
		if _, err := input.Upload(ctx, packages, a.path, a.metadata()); err != nil {
			return nil, err
		}
		return a.wait(ctx)
	}
	object, err := input.Upload(ctx, packages, a.path, nil)
	if err != nil {
		return nil, err
	}
	var all []functionAnswer
	sets, goesOn := a.Chosen(), a.GoesOn(a.path)
	for i, set := range sets {
		answers, err := a.request(ctx, object.Name, set)
		all = append(all, answers...)
		if err != nil {
			return nil, err
		}
		rest := sets[i+1:]
		if len(rest) > 0 && !goesOn && slices.ContainsFunc(answers, functionAnswer.unsuccessful) {
			a.t.Notef("not run, because %s did not succeed: %s", set, strings.Join(rest, ", "))
			break
		}
	}
	return all, nil
}

// request asks for one parameter set by hand, and waits for the answers.
func (a *asker) request(ctx context.Context, object, set string) ([]functionAnswer, error) {
	body, err := json.Marshal(manualRequest{object, string(a.Action()), set, a.parameters})
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	if err := a.stack.Person().InvokeDetached(ctx, localoci.FunctionID, body); err != nil {
		return nil, err
	}
	return a.wait(ctx)
}

// manualRequest is a request by hand.
type manualRequest struct {
	Object       string                     `json:"object"`
	Action       string                     `json:"action,omitempty"`
	ParameterSet string                     `json:"parameter_set,omitempty"`
	Parameters   map[string]json.RawMessage `json:"parameters,omitempty"`
}
