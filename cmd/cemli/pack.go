package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"cemli-executor/executor"
	"cemli-executor/internal/admission"
	"cemli-executor/internal/bundle"
	"cemli-executor/internal/cli/input"
	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/folder"
)

// packed is the answer of cemli pack.
type packed struct {
	File    string `json:"file"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
	DirHash string `json:"dirhash"`
	Entries int    `json:"entries"`
}

// packHelp is the help of cemli pack.
var packHelp = usage.Help{
	Use:     "pack DIR",
	Short:   "Make the zip of a package folder",
	Group:   usage.GroupAuthors,
	Suggest: []string{"build", "zip", "package", "make"},
	Long: `Make the zip of a package folder that is valid.

The same files give the same bytes on every machine, whatever their modes and
times. The zip is named NAME-VERSION.zip unless -O says otherwise.

Left out are .git, .hg, .svn, .DS_Store, __MACOSX, editors' backups, the
package's own zips, folders with evidence, and what .cemliignore names as
.gitignore would. validate, run and local run see a folder the same way.`,
	Example: "  cemli pack examples/hello-cemli\n  cemli pack examples/hello-cemli -O /tmp/hello.zip",
}

func newPackCommand(t *terminal.Terminal) *cobra.Command {
	var file string
	var force bool
	cmd := packHelp.Command(usage.One("DIR is needed: a package folder"),
		func(cmd *cobra.Command, args []string) error {
			return packTo(cmd.Context(), t, args[0], file, force)
		})
	cmd.Flags().StringVarP(&file, "output-file", "O", "",
		"`FILE` to write (default: NAME-VERSION.zip in the working folder)")
	cmd.Flags().BoolVar(&force, "force", false, "replace a file with other contents")
	return cmd
}

// packTo packs the folder dir and prints what it made.
func packTo(ctx context.Context, t *terminal.Terminal, dir, file string, force bool) error {
	var written []string
	if file != "" {
		written = append(written, file)
	}
	files, err := input.OpenFolder(dir, written...)
	if err != nil {
		return err
	}
	defer files.Close()
	m, err := input.ReadManifest(files)
	if err != nil {
		return err
	}
	if file == "" {
		file = m.Name + "-" + m.Version + ".zip"
	}
	made, err := writeZip(ctx, files, file, force)
	if err != nil {
		return err
	}
	return showPacked(t, packed{
		File: file, Size: made.Size, SHA256: made.SHA256, DirHash: made.DirHash, Entries: made.Entries,
	})
}

// showPacked prints what was made.
func showPacked(t *terminal.Terminal, p packed) error {
	if t.JSON() {
		return t.PrintJSON(p)
	}
	_, err := fmt.Fprintf(t.Stdout, "%-8s %s\n%-8s %s, %s\n%-8s %s\n%-8s %s\n",
		"file", terminal.Visible(p.File), "size", terminal.Count(int(p.Size), "byte"),
		terminal.Count(p.Entries, "file"),
		"sha256", p.SHA256, "content", p.DirHash)
	return err
}

// writeZip packs into a temporary file and renames it when it is complete. It keeps a file with other contents, unless
// force is set.
func writeZip(ctx context.Context, files fs.FS, file string, force bool) (bundle.Created, error) {
	temp, err := os.CreateTemp(filepath.Dir(file), folder.TempPattern)
	if errors.Is(err, fs.ErrNotExist) {
		return bundle.Created{}, usage.WrongAt(filepath.Dir(file), "there is no such folder",
			"make it first, or name another file with -O", nil)
	}
	if err != nil {
		return bundle.Created{}, fmt.Errorf("write zip: %w", err)
	}
	defer os.Remove(temp.Name()) //nolint:errcheck // gone once it is in place
	made, err := bundle.Create(temp, files)
	if err == nil {
		err = mustBeValid(ctx, temp, made.Size)
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return bundle.Created{}, err
	}
	if !force {
		if err := replaceable(file, made.SHA256); err != nil {
			return bundle.Created{}, err
		}
	}
	return made, moveTo(file, temp.Name())
}

// moveTo gives a finished zip its name.
func moveTo(file, temp string) error {
	if err := os.Chmod(temp, 0o644); err != nil { // #nosec G302 -- a zip is for everyone
		return fmt.Errorf("write zip: %w", err)
	}
	if err := os.Rename(temp, file); err != nil {
		return fmt.Errorf("write zip: %w", err)
	}
	return nil
}

// mustBeValid refuses a zip that the function would refuse.
func mustBeValid(ctx context.Context, zip io.ReaderAt, size int64) error {
	root, remove, err := input.ScratchRoot()
	if err != nil {
		return err
	}
	defer remove()
	_, err = admission.Inspect(ctx, zip, size, root, admission.InspectOptions{Limits: executor.DefaultLimits()})
	return err
}

// replaceable refuses to replace a file that is not the very same zip.
func replaceable(file, sum string) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write zip: %w", err)
	}
	defer f.Close()
	have := sha256.New()
	if _, err := io.Copy(have, f); err != nil {
		return fmt.Errorf("write zip: %w", err)
	}
	if hex.EncodeToString(have.Sum(nil)) == sum {
		return nil
	}
	return usage.WrongAt(file, "the file exists and has other contents",
		"raise the manifest's version, name another file with -O, or replace it with --force", nil)
}
