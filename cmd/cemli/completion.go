package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
)

// shells are those that completions can be made for.
var shells = []string{"bash", "fish", "powershell", "zsh"}

// completionHelp is the help of cemli completion.
var completionHelp = usage.Help{
	Use:   "completion SHELL",
	Short: "Print the script that completes cemli's commands in a shell",
	Group: usage.GroupProgram,
	Long: `Print the script that completes cemli's commands and flags in a shell: bash,
fish, powershell or zsh. A new shell has it once the script is where the shell
looks for it; bash needs its package bash-completion for that.`,
	Example: `  cemli completion bash >~/.local/share/bash-completion/completions/cemli
  cemli completion fish >~/.config/fish/completions/cemli.fish
  cemli completion zsh >~/.zfunc/_cemli    # with ~/.zfunc in fpath
  cemli completion powershell >>$PROFILE`,
}

func newCompletionCommand(t *terminal.Terminal) *cobra.Command {
	cmd := completionHelp.Command(oneShell, func(cmd *cobra.Command, args []string) error {
		return writeCompletion(t.Stdout, cmd.Root(), args[0])
	})
	cmd.ValidArgs = shells
	return cmd
}

// oneShell accepts one of the shells.
func oneShell(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || !slices.Contains(shells, args[0]) {
		return usage.Error(cmd, fmt.Errorf("one SHELL is needed, of %v", shells))
	}
	return nil
}

// writeCompletion writes the script for a shell.
func writeCompletion(w io.Writer, root *cobra.Command, shell string) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(w, true)
	case "fish":
		return root.GenFishCompletion(w, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(w)
	default:
		return root.GenZshCompletion(w)
	}
}
