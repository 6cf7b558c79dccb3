// Package localcmd is cemli local: packages in a local OCI, with the real function, on this machine.
//
// A file is a command; stack.go is the flags that all of them take which start a local OCI, and
// answers.go what the function says of its runs.
package localcmd

import (
	"github.com/spf13/cobra"

	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/local"
)

// localHelp is the help of cemli local.
var localHelp = usage.Help{
	Use:   "local",
	Short: "Run packages in a local OCI",
	Group: usage.GroupLocal,
	Long: `Run packages in a local OCI: buckets, events and the real function, on this
machine and without a cloud account.`,
	Example: `  cemli local run examples/hello-cemli
  cemli local up --dir state
  eval "$(cemli local credentials --dir state)"`,
}

// Dispatch is this program's way if it was started as the init of a local function. It must be called first in main.
func Dispatch() { local.Dispatch() }

// New makes the command, with its own commands.
func New(t *terminal.Terminal) *cobra.Command {
	cmd := localHelp.Command(usage.OnlyCommands, func(cmd *cobra.Command, _ []string) error { return cmd.Help() })
	cmd.AddCommand(newRun(t), newUp(t), newCredentials(t))
	return cmd
}
