// Package input is what people give to commands that take a package: a path, which means a package or
// gets an answer that says what it most likely was to be; the flags that say what is asked of the
// package; and the file of an admission policy.
//
// Only what can be said without the executor is refused here: what is wrong with the package itself is
// the executor's to say, everywhere in the same words.
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

// RequestFlags say what is asked of a package, wherever it runs.
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

// Action is what the flags ask for; "" is what a request without them asks for.
func (f RequestFlags) Action() executor.Action {
	if f.DryRun {
		return executor.ActionDryRun
	}
	return ""
}

// Check refuses what no package can be asked.
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

// Chosen are the sets to ask for one after the other; one without a name stands for all.
func (f RequestFlags) Chosen() []string {
	if len(f.Sets) == 0 {
		return []string{""}
	}
	return f.Sets
}

// GoesOn reports whether the sets that were chosen go on after one that did not succeed.
func (f RequestFlags) GoesOn(path string, written ...string) bool {
	if len(f.Sets) < 2 {
		return false
	}
	m, err := ManifestOf(path, written...)
	return err == nil && m.OnSetFailure == manifest.OnSetFailureContinue
}

// Parameters are the values of --param, in the types that the package at path declares; where path is empty,
// what is JSON is taken as it is, and all else as text.
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

// parameter is a value as JSON: as it is written if it can be, and is not declared to be text.
func parameter(text string, declared manifest.ParameterType) (json.RawMessage, error) {
	if declared != manifest.TypeString && json.Valid([]byte(text)) {
		return json.RawMessage(text), nil
	}
	return json.Marshal(text)
}

// environmentRule is what an environment may be called.
var environmentRule = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)

// EnvironmentName refuses what no environment can be called.
func EnvironmentName(name string) error {
	if environmentRule.MatchString(name) {
		return nil
	}
	return usage.WrongAt("--env", fmt.Sprintf("%.100q is no name of an environment", name),
		"use letters, digits, dots, hyphens and underscores, such as dev", nil)
}

// RunsHere refuses where functions cannot be run.
func RunsHere() error {
	if runtime.GOOS == "linux" {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "sandbox.platform", Message: "packages cannot run on " + runtime.GOOS,
		Hint: "run them on Linux, in a Linux virtual machine or in a Linux container",
	}, nil)
}
