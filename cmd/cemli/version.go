package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"cemli-executor/internal/buildinfo"
)

func newVersionCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print which build this is",
		Example: "  cemli version -o json",
		GroupID: groupProgram,
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			if t.format == "json" {
				return t.printJSON(map[string]string{
					"version": buildinfo.String(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				})
			}
			_, err := fmt.Fprintf(t.stdout, "cemli %s %s %s/%s\n", buildinfo.String(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
