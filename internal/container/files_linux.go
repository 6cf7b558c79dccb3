package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"cemli-executor/internal/workdir"
)

// places are folders that scripts can write to, and the one that is cleaned by others: the work folder.
type places struct {
	folders []string
	work    string
}

// contents are files, by path, as they were at a time.
type contents map[string]unix.Stat_t

// mostFiles bounds what is there before a run: an image's home folder has a few.
const mostFiles = 20_000

// look notes what is in the places, without following links.
func (p places) look() (contents, error) {
	found := contents{}
	for _, folder := range p.folders {
		if unwritable(folder) {
			continue
		}
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
				return nil // another user's
			case err != nil:
				return err
			case path == p.work:
				return fs.SkipDir
			case len(found) == mostFiles:
				return fmt.Errorf("there are more than %d files in %s", mostFiles, folder)
			}
			var stat unix.Stat_t
			if unix.Lstat(path, &stat) == nil {
				found[path] = stat
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// unwritable reports whether nobody can write to a folder, as below an image's root that is mounted so.
func unwritable(folder string) bool {
	var about unix.Statfs_t
	return unix.Statfs(folder, &about) != nil || about.Flags&unix.ST_RDONLY != 0
}

// clean removes what was not in the places before, of this user, and returns what is not as it was then.
func (p places) clean(before contents) (problems []string) {
	paths := make([]string, 0, len(before))
	for path := range before {
		paths = append(paths, path)
	}
	slices.Sort(paths) // folders before what is in them
	for _, path := range paths {
		if problem := p.restore(path, before); problem != "" {
			problems = append(problems, problem)
		}
	}
	return problems
}

// restore makes one path what it was.
func (p places) restore(path string, before contents) string {
	var now unix.Stat_t
	was := before[path]
	switch err := unix.Lstat(path, &now); {
	case err != nil:
		return path + " is gone"
	case now.Dev != was.Dev || now.Ino != was.Ino || now.Mode&unix.S_IFMT != was.Mode&unix.S_IFMT:
		return path + " is another file than before"
	case was.Mode&unix.S_IFMT == unix.S_IFREG && (now.Size != was.Size || now.Ctim != was.Ctim):
		return path + " was changed"
	case was.Mode&unix.S_IFMT != unix.S_IFDIR:
		return ""
	case now.Mode != was.Mode:
		if err := unix.Chmod(path, was.Mode&0o7777); err != nil {
			return path + " has another mode than before"
		}
	}
	return p.empty(path, before)
}

// empty removes what is new in a folder.
func (p places) empty(folder string, before contents) string {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrPermission) && int(before[folder].Uid) != os.Geteuid() {
		return "" // another user's
	}
	if err != nil {
		return fmt.Sprintf("%s cannot be listed: %v", folder, err)
	}
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		var now unix.Stat_t
		if _, known := before[path]; known || path == p.work || unix.Lstat(path, &now) != nil ||
			int(now.Uid) != os.Geteuid() {
			continue
		}
		if err := workdir.Clear(path); err != nil {
			return fmt.Sprintf("%s cannot be removed: %v", path, err)
		}
	}
	return ""
}
