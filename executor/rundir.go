package executor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
)

// rundir is the directory of one run: its contents as packed, and the places that
// scripts may write to, all of them below one that they may not.
//
//	run-…/package        the package's files, the working directory of the scripts
//	run-…/home tmp       HOME and TMPDIR
//	run-…/artifacts      CEMLI_ARTIFACTS
//	run-…/out/summary.md CEMLI_SUMMARY
//	run-…/out/mask       CEMLI_MASK
type rundir struct {
	path     string
	root     *os.Root // of path
	contents *os.Root // of path/package
	owner    int      // id of the scripts' user; 0: this program's own
}

// folders are what a run's directory has, all for the scripts.
var folders = []string{"package", "home", "tmp", "artifacts", "out"}

// summaryFile is where a run's scripts write Markdown for the report.
const summaryFile = "out/summary.md"

// newRundir empties the work folder of what earlier runs left and makes a directory for
// scripts that are confined at level.
func newRundir(workdir string, level sandbox.Level) (*rundir, error) {
	if err := clearWorkDir(workdir); err != nil {
		return nil, workdirError(workdir, err)
	}
	path, err := os.MkdirTemp(workdir, "run-")
	if err != nil {
		return nil, workdirError(workdir, err)
	}
	d := &rundir{path: path}
	d.owner, _ = sandbox.User(level)
	if err := d.furnish(workdir); err != nil {
		_ = d.remove() // the first error says more
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
	if err := os.Chmod(workdir, 0o700); err != nil { // #nosec G302 -- a folder
		return err
	}
	entries, err := os.ReadDir(workdir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		// What cannot be removed is in nobody's way: each run has a folder of its own, and
		// whether there is space left is looked at.
		_ = removeContents(workdir)
	}
	return nil
}

func (d *rundir) furnish(workdir string) (err error) {
	if d.root, err = os.OpenRoot(d.path); err != nil {
		return err
	}
	if d.owner != 0 {
		// The scripts' user may pass through; what is below is that user's alone.
		if err := errors.Join(os.Chmod(workdir, 0o711), os.Chmod(d.path, 0o711)); err != nil { // #nosec G302 -- see above
			return err
		}
	}
	for _, name := range folders {
		if err := d.root.Mkdir(name, 0o700); err != nil {
			return err
		}
	}
	d.contents, err = d.root.OpenRoot("package")
	return err
}

// give makes the scripts' user the owner of all that is theirs.
func (d *rundir) give() error {
	if d.owner == 0 {
		return nil
	}
	for _, folder := range folders {
		err := fs.WalkDir(d.root.FS(), folder, func(name string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return d.root.Lchown(name, d.owner, d.owner)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// writable are the folders that scripts may change.
func (d *rundir) writable() []string {
	var paths []string
	for _, folder := range folders {
		paths = append(paths, d.join(folder))
	}
	return paths
}

// reopen gives the folders the modes again that a script may have taken: they belong to its user.
func (d *rundir) reopen() {
	mode := os.FileMode(0o700)
	if d.owner != 0 {
		mode = 0o711
	}
	_ = os.Chmod(d.path, mode) // what stays closed fails when the script starts
	for _, folder := range folders {
		_ = d.root.Chmod(folder, 0o700)
	}
}

func (d *rundir) join(name string) string { return filepath.Join(d.path, name) }

// remove deletes the directory.
func (d *rundir) remove() error {
	for _, root := range []*os.Root{d.contents, d.root} {
		if root != nil {
			_ = root.Close()
		}
	}
	return removeFolder(d.path)
}

// cleanUp removes the run's directory; what cannot be removed is logged and will be
// tried again by the next run.
func (r *run) cleanUp() {
	r.storing.Wait()
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
