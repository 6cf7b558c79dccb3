package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// template is the package that init makes, without its manifest.
//
//go:embed all:template
var template embed.FS

func newInitCommand(t *terminal) *cobra.Command {
	var kind string
	cmd := &cobra.Command{
		Use:   "init NAME",
		Short: "Make a package folder that already runs",
		Long: `Make the folder NAME with a package that already runs: a manifest, a check
before, a step, and a test after. Nothing that exists is touched.`,
		Example: "  cemli init invoice-layout --type localization",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError(cmd, errors.New("one NAME is needed: the new package's"))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return makePackage(t, args[0], kind) },
	}
	cmd.Flags().StringVar(&kind, "type", "extension", "kind of change: "+strings.Join(manifest.Types, ", "))
	return cmd
}

// What the template's manifest says until its author does.
const (
	templateDescription = "What this package changes, and why"
	templateOwner       = "the team that answers for it"
	templateTicket      = "CHG0000000"
)

// makePackage makes the folder at path; its last element is the package's name.
func makePackage(t *terminal, path, kind string) error {
	doc, err := json.MarshalIndent(struct {
		Name         string `json:"name"`
		Version      string `json:"version"`
		Type         string `json:"type"`
		Description  string `json:"description"`
		Owner        string `json:"owner"`
		ChangeTicket string `json:"change_ticket"`
		Network      bool   `json:"network"`
	}{filepath.Base(path), "0.1.0", kind, templateDescription, templateOwner, templateTicket, true}, "", "  ")
	if err != nil {
		return fmt.Errorf("make manifest: %w", err)
	}
	if _, err := manifest.Parse(doc); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil { // #nosec G301 -- a folder of sources
		return problem.New(problem.Problem{
			Code: "usage", Where: path, Message: "the folder cannot be made", Hint: "choose a name that is free, in a folder that you may write to",
		}, err)
	}
	files, err := fs.Sub(template, "template")
	if err != nil {
		return fmt.Errorf("make package: %w", err)
	}
	if err := os.CopyFS(path, files); err != nil {
		return fmt.Errorf("make package: %w", err)
	}
	if err := os.WriteFile(filepath.Join(path, manifest.Name), append(doc, '\n'), 0o644); err != nil { // #nosec G306 -- a source file
		return fmt.Errorf("make package: %w", err)
	}
	if t.format == "json" {
		return t.printJSON(map[string]string{"dir": path})
	}
	_, err = fmt.Fprintf(t.stdout, "%s is a package that runs. Next:\n\n  cemli run %s\n  cemli validate %s\n  cemli pack %s\n", visible(path), visible(path), visible(path), visible(path))
	return err
}
