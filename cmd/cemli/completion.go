package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
)

// shells are those that completions can be made for.
var shells = []string{"bash", "fish", "powershell", "zsh"}

func newCompletionCommand(t *terminal.Terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the script that completes cemli's commands in a shell",
		Long: `Print the script that completes cemli's commands and flags in a shell: bash,
fish, powershell or zsh. A new shell has it once the script is where the shell
looks for it; bash needs its package bash-completion for that.`,
		Example: `  cemli completion bash >~/.local/share/bash-completion/completions/cemli
  cemli completion fish >~/.config/fish/completions/cemli.fish
  cemli completion zsh >~/.zfunc/_cemli    # with ~/.zfunc in fpath
  cemli completion powershell >>$PROFILE`,
		GroupID:   usage.GroupProgram,
		ValidArgs: shells,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(shells, args[0]) {
				return usage.Error(cmd, fmt.Errorf("one SHELL is needed, of %v", shells))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(t.Stdout, true)
			case "fish":
				return root.GenFishCompletion(t.Stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(t.Stdout)
			default:
				return root.GenZshCompletion(t.Stdout)
			}
		},
	}
}
