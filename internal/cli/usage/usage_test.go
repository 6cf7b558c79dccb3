package usage_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/problem"
)

// called calls a program with a command and one below it.
func called(t *testing.T, line string) error {
	t.Helper()
	t.Chdir(t.TempDir())
	nothing := func(*cobra.Command, []string) error { return nil }
	root := &cobra.Command{Use: "program", Args: usage.OnlyCommands, RunE: nothing}
	root.SilenceErrors, root.SilenceUsage = true, true
	usage.Helpful(root)
	maker := &cobra.Command{Use: "make PATH", SuggestFor: []string{"build"}, Args: usage.OnePath, RunE: nothing}
	maker.Flags().String("param", "", "")
	maker.Flags().Bool("force", false, "")
	group := &cobra.Command{Use: "group", Args: usage.OnlyCommands, RunE: nothing}
	list := &cobra.Command{Use: "list", Args: usage.NoArguments, RunE: nothing}
	list.Flags().Duration("every", 0, "")
	group.AddCommand(list)
	root.AddCommand(maker, group)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(strings.Fields(line))
	return root.Execute()
}

// A wrong call is answered with the right one.
func TestWrongCalls(t *testing.T) {
	for line, want := range map[string]string{
		"make":                    "see program make --help",
		"make a b":                "see program make --help",
		"make a LEDGER=1":         "did you mean --param LEDGER=1?",
		"mkae a":                  "did you mean program make?",
		"build a":                 "did you mean program make?",
		"list":                    "did you mean program group list?",
		"group lst":               "did you mean program group list?",
		"group unheard-of":        "see program group --help",
		"help unheard-of":         "see program --help",
		"make a --forc":           "did you mean --force?",
		"make a --every 1m":       "--every is a flag of program group list",
		"make a --force=perhaps":  "see program make --help",
		"group list --every soon": "see program group list --help",
		"group list now":          "see program group list --help",
	} {
		var wrong *problem.Error
		err := called(t, line)
		if !errors.As(err, &wrong) || wrong.Problems[0].Code != "usage" || wrong.Problems[0].Hint != want {
			t.Errorf("%s: %v; want the hint %q", line, err, want)
		}
	}
	for _, line := range []string{"", "make a", "make a --force", "group", "group list --every 1m", "help make"} {
		if err := called(t, line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}
