// Package workdir is the folder of one run: what its scripts find there, where they may write, and how it
// goes away again.
//
//	run-…/package        the package's files, the working directory of the scripts
//	run-…/home tmp       HOME and TMPDIR
//	run-…/artifacts      CEMLI_ARTIFACTS
//	run-…/out            CEMLI_OUTPUT, CEMLI_SUMMARY, CEMLI_MASK
//
// It is created in a work folder that belongs to one executor alone, and that is emptied first. Scripts are hostile:
// whatever they have made of these folders, this program follows no link out of them, waits for no pipe, and removes
// folders that are closed, deeper than a path can be long, or with more levels than there are descriptors.
package workdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"cemli-executor/internal/problem"
)

// Places in a run's folder.
const (
	Package     = "package"
	Home        = "home"
	Tmp         = "tmp"
	Artifacts   = "artifacts"
	SummaryFile = "out/summary.md"
	MaskFile    = "out/mask"

	out = "out"
)

// folders are the scripts' folders; they are in a folder that is not the scripts'.
var folders = []string{Package, Home, Tmp, Artifacts, out}

// MaxDepth is how many levels of scripts' folders are looked at, as many as a package may have.
const MaxDepth = 32

// Dir is the folder of one run.
type Dir struct {
	path     string
	root     *os.Root // of path
	contents *os.Root // of path/package
	owner    int      // the id of the scripts' user; 0: this program's user
}

// Make removes what earlier runs left in the work folder, and creates a run's folder in it, for scripts that run as
// this user; 0: as this program's user.
func Make(work string, user int) (*Dir, error) {
	if err := empty(work); err != nil {
		return nil, unusable(work, err)
	}
	made, err := os.MkdirTemp(work, "run-")
	if err != nil {
		return nil, unusable(work, err)
	}
	d := &Dir{path: made, owner: user}
	if err := d.furnish(); err != nil {
		_ = d.Remove() // the first error says more
		return nil, unusable(work, err)
	}
	return d, nil
}

// Prepare creates the work folder if it does not exist; it does not empty it.
func Prepare(work string) error {
	if err := os.MkdirAll(work, 0o700); err != nil {
		return unusable(work, err)
	}
	return nil
}

func unusable(work string, err error) error {
	return problem.New(problem.Problem{
		Code: "sandbox.workdir", Message: "cannot prepare the work folder " + work,
		Hint: "make it a folder that only the executor's user can write, with space left",
	}, err)
}

// empty makes sure that the work folder belongs to this user alone and is empty. It refuses a link, or a folder of
// another user, as somebody could put into a shared /tmp.
func empty(work string) error {
	if err := os.Mkdir(work, 0o700); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(work)
	if err != nil {
		return err
	}
	if !info.IsDir() || !ownedByUs(info) {
		return errors.New("it is not a folder that belongs to this user")
	}
	if err := os.Chmod(work, 0o700); err != nil { // #nosec G302 -- a folder
		return err
	}
	entries, err := os.ReadDir(work)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		// What cannot be removed does no harm: each run has a folder of its own, and the space left is checked.
		_ = removeContents(work)
	}
	return nil
}

func (d *Dir) furnish() (err error) {
	if d.root, err = os.OpenRoot(d.path); err != nil {
		return err
	}
	if d.owner != 0 {
		for _, folder := range []string{filepath.Dir(d.path), d.path} {
			// The scripts' user may pass through; what is below belongs to that user alone.
			if err := os.Chmod(folder, 0o711); err != nil { // #nosec G302 -- see above
				return err
			}
		}
	}
	for _, name := range folders {
		if err := d.root.Mkdir(name, 0o700); err != nil {
			return err
		}
	}
	d.contents, err = d.root.OpenRoot(Package)
	return err
}

// Root is the folder itself, with all its places.
func (d *Dir) Root() *os.Root { return d.root }

// Contents is the folder with the package's files.
func (d *Dir) Contents() *os.Root { return d.contents }

// OutputFile is where an attempt at a step writes its outputs.
func OutputFile(step, attempt int) string { return fmt.Sprintf(out+"/output-%02d-%d", step, attempt) }

// Path is the absolute path of a place in the folder; "" is the folder itself.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// Writable are the absolute paths of the folders that scripts may change.
func (d *Dir) Writable() []string {
	var paths []string
	for _, folder := range folders {
		paths = append(paths, d.Path(folder))
	}
	return paths
}

// Give makes the scripts' user the owner of the scripts' folders.
func (d *Dir) Give() error {
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
			return unusable(filepath.Dir(d.path), err)
		}
	}
	return nil
}

// Reopen restores access rights that a script may have taken from the folders that belong to its user.
func (d *Dir) Reopen() {
	mode := os.FileMode(0o700)
	if d.owner != 0 {
		mode = 0o711
	}
	_ = os.Chmod(d.path, mode) // if that fails, starting the next script fails
	for _, folder := range folders {
		_ = d.root.Chmod(folder, 0o700)
	}
}

// NewArtifact creates an artifact's file; the name must not exist yet.
func (d *Dir) NewArtifact(name string) (*os.File, error) {
	name = Artifacts + "/" + name
	if err := d.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return nil, err
	}
	return d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// NewLog creates a file for a log. It is in memory, so that it has no path that a script could find, and takes no
// space on a file system that scripts can fill.
func (d *Dir) NewLog(name string) (*os.File, error) {
	file, err := newLogFile(name)
	if err != nil {
		return nil, unusable(filepath.Dir(d.path), err)
	}
	return file, nil
}

// Remove removes the folder and all that is in it.
func (d *Dir) Remove() error {
	for _, root := range []*os.Root{d.contents, d.root} {
		if root != nil {
			_ = root.Close()
		}
	}
	return removeFolder(d.path)
}
