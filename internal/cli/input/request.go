// Package input is what people give to commands that take a package: a path, which is that of a package or gets an
// answer that says what was most likely meant; the flags that say what to do with the package; and the file of an
// admission policy.
//
// It refuses only what can be judged without the executor. The executor reports what is wrong with the package itself,
// everywhere in the same words.
package input

import (
	"encoding/json"
	"fmt"
	"regexp"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"cemli-executor/executor"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// RequestFlags say what to do with a package, wherever it runs.
type RequestFlags struct {
	Environment, Policy string
	Sets, Params        []string
	DryRun              bool
}

// Add gives a command the flags.
func (f *RequestFlags) Add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.Sets, "set", nil,
		"parameter `SET` to run; may be repeated (default: all, one after the other)")
	flags.StringArrayVar(&f.Params, "param", nil, "value of a parameter, as `NAME=VALUE`; may be repeated")
	flags.BoolVar(&f.DryRun, "dry-run", false, "run only the pre-checks, and steps that say that they can be run dry")
	flags.StringVar(&f.Environment, "env", "local", "`ENVIRONMENT` that the package is told it runs in")
	flags.StringVar(&f.Policy, "policy", "", "`FILE` with the admission policy (default: none)")
}

// Action returns the action that the flags ask for; "" if they name none.
func (f RequestFlags) Action() executor.Action {
	if f.DryRun {
		return executor.ActionDryRun
	}
	return ""
}

// Check refuses flags that contradict themselves or are malformed.
func (f RequestFlags) Check() error {
	for _, set := range f.Sets {
		switch {
		case set == "":
			return usage.Wrong("--set: the name of the set is missing", "leave the flag out for all sets")
		case strings.Contains(set, ","):
			return usage.Wrong("--set "+set+" names more than one",
				"repeat it: --set "+strings.ReplaceAll(set, ",", " --set "))
		}
	}
	return EnvironmentName(f.Environment)
}

// Chosen returns the sets to run one after the other; one without a name stands for all.
func (f RequestFlags) Chosen() []string {
	if len(f.Sets) == 0 {
		return []string{""}
	}
	return f.Sets
}

// GoesOn reports whether the sets after one that did not succeed run all the same.
func (f RequestFlags) GoesOn(path string, written ...string) bool {
	if len(f.Sets) < 2 {
		return false
	}
	m, err := ManifestOf(path, written...)
	return err == nil && m.OnSetFailure == manifest.OnSetFailureContinue
}

// Parameters returns the values of --param, in the types that the package at path declares. If path is empty, what is
// JSON is taken as it is, and everything else as text.
func (f RequestFlags) Parameters(path string, written ...string) (map[string]json.RawMessage, error) {
	if len(f.Params) == 0 {
		return nil, nil //nolint:nilnil // there are none
	}
	types := map[string]manifest.Parameter{}
	if path != "" {
		m, err := ManifestOf(path, written...)
		if err != nil {
			return nil, err
		}
		types = m.Parameters
	}
	values := map[string]json.RawMessage{}
	for _, param := range f.Params {
		name, text, ok := strings.Cut(param, "=")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, usage.WrongAt("--param", fmt.Sprintf("%.100q is not NAME=VALUE", param),
				"write it like LEDGER=4711, without blanks around =", nil)
		}
		value, err := parameter(text, types[name].Type)
		if err != nil {
			return nil, fmt.Errorf("encode parameter %s: %w", name, err)
		}
		values[name] = value
	}
	return values, nil
}

// parameter returns a value as JSON: as it is written if that is JSON and the parameter is not declared to be text.
func parameter(text string, declared manifest.ParameterType) (json.RawMessage, error) {
	if declared != manifest.TypeString && json.Valid([]byte(text)) {
		return json.RawMessage(text), nil
	}
	return json.Marshal(text)
}

// environmentRule is the form of an environment's name.
var environmentRule = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)

// EnvironmentName refuses names that no environment can have.
func EnvironmentName(name string) error {
	if environmentRule.MatchString(name) {
		return nil
	}
	return usage.WrongAt("--env", fmt.Sprintf("%.100q is no name of an environment", name),
		"use letters, digits, dots, hyphens and underscores, such as dev", nil)
}

// RunsHere refuses systems on which functions cannot run.
func RunsHere() error {
	if runtime.GOOS == "linux" {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "sandbox.platform", Message: "packages cannot run on " + runtime.GOOS,
		Hint: "run them on Linux, in a Linux virtual machine or in a Linux container",
	}, nil)
}
