package localcmd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/problem"
)

// credentialsHelp is the help of cemli local credentials.
var credentialsHelp = usage.Help{
	Use:   "credentials",
	Short: "Print environment and keys for a function that another host runs",
	Long: `Print what a function needs in its environment to work with a local OCI that is
running: the endpoint, its buckets, and keys that do what the local function
may.

Text is for a shell to read; with -o json it is one object of names and values.
The keys are secret, and cannot be renewed: ask again when they have expired.`,
	Example: `  eval "$(cemli local credentials --dir state)"
  cemli local credentials --dir state --valid 12h -o json`,
}

func newCredentials(t *terminal.Terminal) *cobra.Command {
	var dir string
	var valid time.Duration
	cmd := credentialsHelp.Command(usage.NoArguments, func(cmd *cobra.Command, _ []string) error {
		return credentials(cmd.Context(), t, dir, valid)
	})
	cmd.Flags().StringVar(&dir, "dir", "",
		"`FOLDER` with the state of the local OCI, which cemli local up prints as dir")
	cmd.Flags().DurationVar(&valid, "valid", time.Hour, "`DURATION` for which the keys are valid, 1m to 168h")
	return cmd
}

// credentials prints what a function needs to work with the local OCI whose state is in dir.
func credentials(ctx context.Context, t *terminal.Terminal, dir string, valid time.Duration) error {
	if dir == "" {
		return problem.New(problem.Problem{
			Code: "usage", Message: "the local OCI's folder is needed: --dir", Hint: "cemli local up prints it as dir",
		}, nil)
	}
	environment, err := localoci.FetchCredentials(ctx, dir, valid)
	if err != nil {
		return err
	}
	return showCredentials(t, environment)
}

// showCredentials prints variables for a shell, or for machines.
func showCredentials(t *terminal.Terminal, environment map[string]string) error {
	if t.JSON() {
		return t.PrintJSON(environment)
	}
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		if _, err := fmt.Fprintf(t.Stdout, "export %s=%s\n", name, shellQuoted(environment[name])); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return nil
}

// shellQuoted is a word that a shell reads as the text.
func shellQuoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
