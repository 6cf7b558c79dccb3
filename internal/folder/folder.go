// Package folder is a package's folder as every command sees it: without the files that do not belong to the package,
// so that two clones of a repository are the same package, whether packed, validated or run.
//
// It leaves out the folders of version control (.git, .hg, .svn), what desktops and editors leave behind (.DS_Store,
// __MACOSX, *~, *.swp, #*#), what .cemliignore at the root names in the language of gitignore, .cemliignore itself,
// and what this program writes: the package's zips NAME-VERSION.zip at the root, temporary files, folders with
// evidence, and whatever else the current command writes.
package folder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"cemli-executor/internal/problem"
)

// IgnoreFile, at a package's root, names what is not packed.
const IgnoreFile = ".cemliignore"

// TempPattern is the pattern, for os.CreateTemp, of the file that a zip is written to until it is complete.
const TempPattern = ".cemli-pack-*"

// evidenceMark is in every folder that this program uses as a bucket.
const evidenceMark = ".cemli-store"

// Bounds of the files that decide what is left out.
const (
	maxIgnore   = 1 << 20
	maxManifest = 1 << 20
)

// Folder is the open folder of a package, as a file system without what is left out.
type Folder struct {
	root    *os.Root
	files   fs.FS
	rules   ignored
	name    string   // the package's name, if its manifest has one
	written []string // paths from the root
}

var _ fs.ReadDirFS = (*Folder)(nil)

// Close closes the folder; its files cannot be opened any more.
func (f *Folder) Close() error { return f.root.Close() }

// Open opens the package folder dir. Written are the files and folders that the command writes, whether they exist
// yet or not. Those inside dir are left out; dir itself is refused.
func Open(dir string, written ...string) (*Folder, error) {
	inside, err := pathsInside(dir, written)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	rules, err := readIgnore(root)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Folder{root, root.FS(), rules, nameOf(root), inside}, nil
}

// pathsInside returns those of the paths that are inside dir, relative to it, and os.TempDir if that is.
func pathsInside(dir string, written []string) ([]string, error) {
	var inside []string
	root, err := realPath(dir)
	if err != nil {
		return nil, err
	}
	if scratch, err := realPath(os.TempDir()); err == nil && scratch != root {
		written = append(slices.Clone(written), scratch)
	}
	for _, path := range written {
		real, err := realPath(path)
		if err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(root, real)
		switch {
		case err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)):
		case rel == ".":
			return nil, problem.New(problem.Problem{
				Code: "usage", Where: path, Message: "this is the package's own folder, and cannot be written to",
				Hint: "name a folder inside it or beside it",
			}, nil)
		default:
			inside = append(inside, filepath.ToSlash(rel))
		}
	}
	return inside, nil
}

// realPath is the absolute path, without links, of what exists or will exist.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", path, err)
	}
	rest := ""
	for at := abs; ; at = filepath.Dir(at) {
		real, err := filepath.EvalSymlinks(at)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if at == filepath.Dir(at) {
			return abs, nil
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

// readIgnore reads the root's IgnoreFile, if there is one.
func readIgnore(root *os.Root) (ignored, error) {
	info, err := root.Lstat(IgnoreFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxIgnore) {
		return nil, problem.New(problem.Problem{
			Code: "archive.ignore", Where: IgnoreFile, Message: "it is no file of at most 1 MB",
			Hint: "make it a text file with a pattern a line, as in .gitignore",
		}, nil)
	}
	text, err := readBounded(root, IgnoreFile, maxIgnore)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", IgnoreFile, err)
	}
	return parseIgnore(string(text))
}

// nameOf is the package's name, or "" if the manifest is bad, which others report.
func nameOf(root *os.Root) string {
	var m struct {
		Name string `json:"name"`
	}
	doc, err := readBounded(root, "manifest.json", maxManifest)
	if err != nil || json.Unmarshal(doc, &m) != nil {
		return ""
	}
	return m.Name
}

func readBounded(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// Open opens a file of the package. What is left out does not exist.
func (f *Folder) Open(name string) (fs.File, error) {
	for at := name; at != "."; at = path.Dir(at) {
		info, err := f.root.Lstat(filepath.FromSlash(at))
		if err == nil && f.leaveOut(at, info.IsDir()) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
	}
	return f.files.Open(name)
}

// ReadDir lists a folder without what is left out.
func (f *Folder) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(f.files, name)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool {
		return f.leaveOut(path.Join(name, e.Name()), e.IsDir())
	}), err
}

// leaveOut reports whether a file or folder does not belong to the package. The folders above it must belong to it.
func (f *Folder) leaveOut(name string, folder bool) bool {
	return name == IgnoreFile || litter(path.Base(name)) || slices.Contains(f.written, name) ||
		!folder && f.packed(name) || folder && f.evidence(name) || f.rules.leaveOut(name, folder)
}

// litter recognises what tools leave behind in any folder.
func litter(base string) bool {
	switch base {
	case ".git", ".hg", ".svn", ".DS_Store", "__MACOSX":
		return true
	}
	backup := strings.HasSuffix(base, "~") || strings.HasSuffix(base, ".swp") ||
		len(base) > 1 && base[0] == '#' && base[len(base)-1] == '#'
	return backup || strings.HasPrefix(base, strings.TrimSuffix(TempPattern, "*"))
}

// packed recognises the package's own zips, of any version.
func (f *Folder) packed(name string) bool {
	version, ok := strings.CutPrefix(strings.TrimSuffix(name, ".zip"), f.name+"-")
	return ok && f.name != "" && strings.HasSuffix(name, ".zip") && semver.IsValid("v"+version)
}

// evidence recognises a folder that this program has used as a bucket, and the private folder in it.
func (f *Folder) evidence(name string) bool {
	if path.Base(name) == evidenceMark {
		return true
	}
	_, err := f.root.Lstat(filepath.Join(filepath.FromSlash(name), evidenceMark))
	return err == nil
}
