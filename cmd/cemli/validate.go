package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"cemli-executor/executor"
	"cemli-executor/internal/admission"
	"cemli-executor/internal/cli/advice"
	"cemli-executor/internal/cli/input"
	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// verdict is the answer of cemli validate.
type verdict struct {
	Valid    bool              `json:"valid"`
	Problems []problem.Problem `json:"problems"`
	Advice   []advice.Advice   `json:"advice"`
	Package  evidence.Package  `json:"package"`
}

// validateHelp is the help of cemli validate.
var validateHelp = usage.Help{
	Use:     "validate PATH",
	Short:   "Say everything that the function would say against a package",
	Group:   usage.GroupAuthors,
	Suggest: []string{"check", "lint", "test", "verify"},
	Long: `Check a package folder or zip as the function does before the first step, and
give advice about its scripts. Nothing is run.

Problems make the package invalid: the function refuses it with the same codes.
Advice does not, but with --strict. What ran before, and the parameters of a
request, are not known here.`,
	Example: `  cemli validate examples/hello-cemli
  cemli validate examples/hello-cemli --policy examples/policies/prod.json
  cemli validate --strict examples/integration-smoketests`,
}

func newValidateCommand(t *terminal.Terminal) *cobra.Command {
	var environment, policy string
	var strict bool
	cmd := validateHelp.Command(usage.OnePath, func(cmd *cobra.Command, args []string) error {
		return validate(cmd.Context(), t, args[0], environment, policy, strict)
	})
	cmd.Flags().StringVar(&environment, "env", "",
		"`ENVIRONMENT` the package is for (default: the policy's, or none in particular)")
	cmd.Flags().StringVar(&policy, "policy", "", "`FILE` with the admission policy (default: none)")
	cmd.Flags().BoolVar(&strict, "strict", false, "fail for advice, too")
	return cmd
}

// validate inspects the package at path and prints the verdict.
func validate(ctx context.Context, t *terminal.Terminal, path, environment, policy string, strict bool) error {
	opts, err := inspectOptions(ctx, environment, policy)
	if err != nil {
		return err
	}
	root, remove, err := input.ScratchRoot()
	if err != nil {
		return err
	}
	defer remove()
	found, err := inspect(ctx, path, root, opts)
	v := verdict{Valid: err == nil, Problems: []problem.Problem{}, Advice: []advice.Advice{}, Package: found.Package}
	var refused *problem.Error
	switch {
	case err == nil:
		v.Advice = append(v.Advice, advice.Of(found, root)...)
	case errors.As(err, &refused) && terminal.ExitCode(err) == codes.ExitRejected:
		v.Problems = refused.Problems
	default:
		return err
	}
	if err := showVerdict(t, v); err != nil {
		return err
	}
	if strict && v.Valid && len(v.Advice) > 0 {
		t.Errorf("--strict: there is advice; follow it, or validate without --strict")
	}
	if !v.Valid || strict && len(v.Advice) > 0 {
		return &terminal.EndedError{Code: codes.ExitRejected}
	}
	return nil
}

// inspect opens the package as a zip and inspects it as the executor does.
func inspect(
	ctx context.Context, path string, root *os.Root, opts admission.InspectOptions,
) (admission.Inspection, error) {
	zip, name, err := input.OpenPackage(path)
	if err != nil {
		return admission.Inspection{}, err
	}
	defer zip.Close()
	size, err := zip.Seek(0, io.SeekEnd)
	if err != nil {
		return admission.Inspection{}, fmt.Errorf("read %s: %w", path, err)
	}
	opts.Object = name
	return admission.Inspect(ctx, zip, size, root, opts)
}

// inspectOptions returns for whom the package is judged: as if its zip were uploaded to the environment whose policy is
// given.
func inspectOptions(ctx context.Context, environment, policy string) (admission.InspectOptions, error) {
	opts := admission.InspectOptions{
		Limits: executor.DefaultLimits(), Environment: environment, Kind: executor.TriggerEvent,
	}
	if environment != "" {
		if err := input.EnvironmentName(environment); err != nil {
			return opts, err
		}
	}
	source, err := input.Policy(policy)
	if err != nil || source == nil {
		return opts, err
	}
	if opts.Policy, err = source.Read(ctx); err != nil {
		return opts, err
	}
	if environment == "" {
		opts.Environment = environmentOf(opts.Policy)
	}
	return opts, nil
}

// environmentOf returns the environment that a policy names; "" if it cannot be read, which the executor reports.
func environmentOf(policy []byte) string {
	var named struct {
		Environment string `json:"environment"`
	}
	if json.Unmarshal(policy, &named) != nil {
		return ""
	}
	return named.Environment
}

// showVerdict prints the verdict on stdout, and the reasons beside it.
func showVerdict(t *terminal.Terminal, v verdict) error {
	if t.JSON() {
		return t.PrintJSON(v)
	}
	for _, p := range v.Problems {
		t.ShowProblem(p)
	}
	for _, a := range v.Advice {
		t.Line(t.Paint(terminal.Yellow, "advice:") + " " + terminal.Visible(a.Where+": "+a.Message))
	}
	if !v.Valid {
		_, err := fmt.Fprintf(t.Stdout, "not valid: %s\n", terminal.Count(len(v.Problems), "problem"))
		return err
	}
	p := v.Package
	files := terminal.Count(p.Entries, "file")
	_, err := fmt.Fprintf(t.Stdout, "valid: %s %s, %s, %s\n", p.Name, p.Version, files, p.DirHash)
	return err
}
