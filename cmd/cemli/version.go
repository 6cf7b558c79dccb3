package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"cemli-executor/internal/buildinfo"
	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
)

func newVersionCommand(t *terminal.Terminal) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print which build this is",
		Example: "  cemli version -o json",
		GroupID: usage.GroupProgram,
		Args:    usage.NoArguments,
		RunE: func(*cobra.Command, []string) error {
			platform := runtime.GOOS + "/" + runtime.GOARCH
			if t.JSON() {
				return t.PrintJSON(map[string]string{
					"version": buildinfo.String(), "go": runtime.Version(), "platform": platform,
				})
			}
			_, err := fmt.Fprintf(t.Stdout, "cemli %s %s %s\n", buildinfo.String(), runtime.Version(), platform)
			return err
		},
	}
}
