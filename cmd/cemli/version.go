package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"cemli-executor/internal/buildinfo"
	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
)

// versionHelp is the help of cemli version.
var versionHelp = usage.Help{
	Use:     "version",
	Short:   "Print which build this is",
	Group:   usage.GroupProgram,
	Example: "  cemli version -o json",
}

func newVersionCommand(t *terminal.Terminal) *cobra.Command {
	return versionHelp.Command(usage.NoArguments, func(*cobra.Command, []string) error { return showVersion(t) })
}

// showVersion prints which build this is, and what it was made with and for.
func showVersion(t *terminal.Terminal) error {
	version, platform := buildinfo.String(), runtime.GOOS+"/"+runtime.GOARCH
	if t.JSON() {
		return t.PrintJSON(map[string]string{"version": version, "go": runtime.Version(), "platform": platform})
	}
	_, err := fmt.Fprintf(t.Stdout, "cemli %s %s %s\n", version, runtime.Version(), platform)
	return err
}
