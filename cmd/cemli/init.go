package main

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/folder"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// templates are the packages that init makes, each in a folder of its own, and the file ignore, which all get.
//
//go:embed all:template
var templates embed.FS

// kinds are the templates by name, with the type of change that each is most likely to be.
var kinds = map[string]string{
	"plain": "extension", "sql": "modification", "rest": "integration", "localization": "localization",
}

// schemaFile is what "$schema" in a new manifest names: beside it, so that editors find it offline.
const schemaFile = "manifest.schema.json"

// initHelp is the help of cemli init.
var initHelp = usage.Help{
	Use:     "init NAME",
	Short:   "Make a package folder that already runs",
	Group:   usage.GroupAuthors,
	Suggest: []string{"new", "create"},
	Long: `Make the folder NAME with a package that already runs: a manifest with a
parameter, a check before, a step, its undo, and a test after. Nothing that
exists is touched.

Templates: plain, sql (a change of a database, in SQL files), rest (data that is
loaded by an API), localization (parameter sets, one run for each country).`,
	Example: `  cemli init invoice-layout
  cemli init ledger-codes --template sql --type configuration`,
}

func newInitCommand(t *terminal.Terminal) *cobra.Command {
	var change, kind string
	needsName := usage.One("NAME is needed: the new package's")
	cmd := initHelp.Command(needsName, func(cmd *cobra.Command, args []string) error {
		usual, ok := kinds[kind]
		if !ok {
			return noTemplate(kind, "see "+cmd.CommandPath()+" --help")
		}
		return makePackage(t, args[0], kind, cmp.Or(change, usual))
	})
	cmd.Flags().StringVar(&change, "type", "",
		"`KIND` of change: "+strings.Join(manifest.Types, ", ")+" (default: the template's)")
	cmd.Flags().StringVar(&kind, "template", "plain", "`TEMPLATE` it begins with: plain, sql, rest or localization")
	return cmd
}

// noTemplate says which templates there are; hint is for a name that is near none of them.
func noTemplate(kind, hint string) error {
	names := slices.Sorted(maps.Keys(kinds))
	if near := problem.Nearest(kind, names); near != "" {
		hint = "did you mean " + near + "?"
	}
	return usage.Wrong(fmt.Sprintf("there is no template %.40q; there are %s", kind, strings.Join(names, ", ")), hint)
}

// makePackage makes the folder at path; its last element is the package's name.
func makePackage(t *terminal.Terminal, path, kind, change string) error {
	if name := filepath.Base(path); name == "." || name == ".." {
		return problem.New(problem.Problem{
			Code: "manifest.name", Where: path, Message: "this is no name for a package",
			Hint: "name a folder that does not exist yet; init makes it",
		}, nil)
	}
	doc, err := newManifest(kind, filepath.Base(path), change)
	if err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil { // #nosec G301 -- a folder of sources
		return noFolder(path, err)
	}
	if err := fillPackage(path, kind, doc); err != nil {
		return fmt.Errorf("make package: %w", err)
	}
	if t.JSON() {
		return t.PrintJSON(map[string]string{"dir": path})
	}
	const next = "%[1]s is a package that runs. Next:\n\n" +
		"  cemli run %[1]s\n  cemli validate %[1]s\n  cemli pack %[1]s\n"
	_, err = fmt.Fprintf(t.Stdout, next, terminal.Visible(path))
	return err
}

// noFolder says why the folder at path cannot be made.
func noFolder(path string, err error) error {
	hint := "choose a folder that you may write to"
	switch {
	case errors.Is(err, fs.ErrExist):
		hint, err = "there is something of that name; choose another", nil
	case errors.Is(err, fs.ErrNotExist):
		hint, err = "make the folder "+filepath.Dir(path)+" first", nil
	}
	return usage.WrongAt(path, "the folder cannot be made", hint, err)
}

// newManifest returns a template's manifest for a package of that name; it is valid.
func newManifest(kind, name, change string) ([]byte, error) {
	doc, err := templates.ReadFile("template/" + kind + "/" + manifest.Name)
	if err != nil {
		return nil, fmt.Errorf("make manifest: %w", err)
	}
	for placeholder, value := range map[string]string{`"NAME"`: name, `"TYPE"`: change} {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("make manifest: %w", err)
		}
		doc = bytes.Replace(doc, []byte(placeholder), text, 1)
	}
	_, err = manifest.Parse(doc)
	return doc, err
}

// fillPackage writes a template's files, the manifest among them, into an empty folder.
func fillPackage(path, kind string, doc []byte) error {
	files, err := fs.Sub(templates, "template/"+kind)
	if err != nil {
		return err
	}
	ignore, err := templates.ReadFile("template/ignore")
	if err != nil {
		return err
	}
	if err := os.CopyFS(path, files); err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		manifest.Name: doc, folder.IgnoreFile: ignore, schemaFile: manifest.Schema,
	} {
		if err := os.WriteFile(filepath.Join(path, name), text, 0o644); err != nil { // #nosec G306 -- a source file
			return err
		}
	}
	return nil
}
