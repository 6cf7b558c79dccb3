package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

// shells are those that completions can be made for.
var shells = []string{"bash", "fish", "powershell", "zsh"}

func newCompletionCommand(t *terminal) *cobra.Command {
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
		GroupID:   groupProgram,
		ValidArgs: shells,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(shells, args[0]) {
				return usageError(cmd, fmt.Errorf("one SHELL is needed, of %v", shells))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(t.stdout, true)
			case "fish":
				return root.GenFishCompletion(t.stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(t.stdout)
			default:
				return root.GenZshCompletion(t.stdout)
			}
		},
	}
}
