package executor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cemli-executor/internal/problem"
)

// rundir is the directory of one run: its contents as packed, and the places that
// scripts may write to. The logs lie beside them, not below.
//
//	run-…/package    the package's files, the working directory of the scripts
//	run-…/home tmp   HOME and TMPDIR
//	run-…/artifacts  CEMLI_ARTIFACTS
//	run-…/summary.md CEMLI_SUMMARY
//	run-…/logs       one file per step
type rundir struct {
	path     string
	root     *os.Root // of path
	contents *os.Root // of path/package
}

// summaryFile is where a run's scripts write Markdown for the report.
const summaryFile = "summary.md"

// newRundir empties the work folder of what earlier runs left and makes a directory.
func newRundir(workdir string) (*rundir, error) {
	if err := clearWorkDir(workdir); err != nil {
		return nil, workdirError(workdir, err)
	}
	path, err := os.MkdirTemp(workdir, "run-")
	if err != nil {
		return nil, workdirError(workdir, err)
	}
	d := &rundir{path: path}
	if err := d.furnish(); err != nil {
		d.remove()
		return nil, workdirError(workdir, err)
	}
	return d, nil
}

func workdirError(workdir string, err error) error {
	return problem.New(problem.Problem{
		Code: "sandbox.workdir", Message: "cannot prepare the work folder " + workdir,
		Hint: "make it a folder that only the executor's user can write, with space left",
	}, err)
}

// clearWorkDir makes sure that workdir is a directory of ours alone and empty. Someone
// else's folder or a link in its place, as can be put into a shared /tmp, is refused.
func clearWorkDir(workdir string) error {
	if err := os.Mkdir(workdir, 0o700); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(workdir)
	if err != nil {
		return err
	}
	if !info.IsDir() || !ownedByUs(info) {
		return errors.New("it is not a folder that belongs to this user")
	}
	if err := os.Chmod(workdir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(workdir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := removeAll(filepath.Join(workdir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (d *rundir) furnish() (err error) {
	if d.root, err = os.OpenRoot(d.path); err != nil {
		return err
	}
	for _, name := range []string{"package", "home", "tmp", "artifacts", "logs"} {
		if err := d.root.Mkdir(name, 0o700); err != nil {
			return err
		}
	}
	d.contents, err = d.root.OpenRoot("package")
	return err
}

func (d *rundir) join(name string) string { return filepath.Join(d.path, name) }

// remove deletes the directory.
func (d *rundir) remove() error {
	for _, root := range []*os.Root{d.contents, d.root} {
		if root != nil {
			_ = root.Close()
		}
	}
	return removeAll(d.path)
}

// removeAll deletes path also where a script has taken the permissions to.
func removeAll(path string) error {
	if err := os.RemoveAll(path); err == nil {
		return nil
	}
	walk := func(p string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() {
			_ = os.Chmod(p, 0o700) // what stays closed fails below
		}
		return nil
	}
	_ = filepath.WalkDir(path, walk)
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// cleanUp removes the run's directory; what cannot be removed is logged and will be
// tried again by the next run.
func (r *run) cleanUp() {
	if r.dir == nil {
		return
	}
	for _, log := range r.kept {
		_ = log.file.Close() // it has been stored, or the run has said why not
	}
	if err := r.dir.remove(); err != nil {
		r.log.Error("cannot remove the run's directory", "error", err.Error())
	}
}
