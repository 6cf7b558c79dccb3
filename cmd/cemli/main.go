// Command cemli writes, tries and runs CEMLI packages.
//
// Data goes to stdout and everything else to stderr. The exit codes are 0 success,
// 1 the run failed, 2 wrong usage, 3 the package was rejected, 4 infrastructure,
// 5 verification failed and 130 interrupted.
//
// A command is a file here, with a function that makes it, which newRoot lists; a command that has
// commands of its own is a package of its own, as internal/cli/localcmd is. What several commands
// need is in the packages of internal/cli.
package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"cemli-executor/internal/buildinfo"
	"cemli-executor/internal/cli/localcmd"
	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/sandbox"
)

func main() {
	sandbox.Dispatch()
	localcmd.Dispatch()
	ctx, end := interruptible()
	os.Exit(run(ctx, os.Args[1:], newPipe(os.Stdout, end), newPipe(os.Stderr, end)))
}

// exitInterrupted is the exit code of a command that was interrupted, unless it succeeded.
const exitInterrupted = 130

// run is the program: it returns the exit code, which is exitInterrupted if ctx ended before the command succeeded.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	t := terminal.New(stdout, stderr)
	root := newRoot(t)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	code := execute(ctx, t, root)
	if code != codes.ExitSuccess && ctx.Err() != nil {
		return exitInterrupted
	}
	return code
}

// execute runs the command that the arguments name.
func execute(ctx context.Context, t *terminal.Terminal, root *cobra.Command) int {
	err := root.ExecuteContext(ctx)
	if err == nil {
		return codes.ExitSuccess
	}
	var ended *terminal.EndedError
	if errors.As(err, &ended) {
		return ended.Code
	}
	t.ShowError(err)
	return terminal.ExitCode(err)
}

// rootHelp is the help of the program.
var rootHelp = usage.Help{
	Use:   "cemli",
	Short: "Write, try and run CEMLI packages",
	Long: `cemli writes, tries and runs CEMLI packages: configurations, extensions,
modifications, localizations and integrations of an ERP, as zip files.

Exit codes: 0 success, 1 the run failed, 2 wrong usage, 3 the package was
rejected, 4 infrastructure, 5 verification failed, 130 interrupted.`,
	Example: `  cemli init my-change          # a folder with a package that already runs
  cemli validate my-change      # what the function would say against it
  cemli run my-change           # here, for real
  cemli pack my-change          # the zip to upload`,
}

func newRoot(t *terminal.Terminal) *cobra.Command {
	root := rootHelp.Command(usage.OnlyCommands, func(cmd *cobra.Command, _ []string) error { return cmd.Help() })
	root.Version, root.SilenceErrors, root.SilenceUsage = buildinfo.String(), true, true
	root.PersistentFlags().StringVarP(&t.Format, "output", "o", "text", "output `FORMAT`: text or json")
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return t.CheckFormat() }
	usage.Helpful(root)
	root.AddCommand( // within a group, help lists them in this order
		newInitCommand(t), newValidateCommand(t), newPackCommand(t), newRunCommand(t),
		localcmd.New(t),
		newVersionCommand(t), newCompletionCommand(t),
	)
	return root
}
