package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// private is the folder of a bucket that holds what is not an object: descriptions of
// objects, files that are being written, the lock.
const private = ".cemli-store"

// Folder is a bucket that is a folder: the object a/b is the file a/b in it, for people to look at. What a file
// cannot hold (ETag, metadata, checksum) is in a description beside it, which counts only while the file has the size
// and the time with which it was written: a file that somebody put there or edited is an object, too, with an ETag of
// its contents.
//
// Writers, also of several processes, take a lock, but not while they read or write contents. A file is written
// elsewhere, synced and renamed into place, and the folder is synced; then the description is written. A crash
// between the two leaves the new contents with an ETag of their own, which no reader has seen, so that a condition on
// the old one fails, as it must.
type Folder struct {
	name string
	root *os.Root
	turn chan struct{}                             // holds one element while a goroutine of this process writes
	lock *flock.Flock                              // held by the one process that writes
	sync func(dir string) error                    // makes the names in a folder durable
	copy func(io.Writer, io.Reader) (int64, error) // io.Copy, which tests replace
}

var _ Bucket = (*Folder)(nil)

// OpenFolder opens an existing folder as a bucket of that name.
func OpenFolder(dir string) (*Folder, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	name := filepath.Base(abs)
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, Error(ErrNoBucket, "open", name, "", err)
	}
	for _, dir := range []string{private + "/tmp", private + "/objects"} {
		if err := root.MkdirAll(dir, 0o700); err != nil {
			return nil, Error(ErrDenied, "open", name, "", err)
		}
	}
	f := &Folder{
		name: name, root: root, copy: io.Copy,
		turn: make(chan struct{}, 1), lock: flock.New(filepath.Join(abs, private, "lock")),
	}
	f.sync = f.syncFolder
	f.clean()
	return f, nil
}

// Name returns the folder's own name.
func (f *Folder) Name() string { return f.name }

// locked runs a function as the only writer of the folder. The function must be short: object contents are read
// before.
func (f *Folder) locked(ctx context.Context, run func() error) error {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return Error(ErrUnavailable, "lock", f.name, "", context.Cause(ctx))
	}
	if _, err := f.lock.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return Error(ErrUnavailable, "lock", f.name, "", err)
	}
	defer f.lock.Unlock() //nolint:errcheck // closing the descriptor unlocks it as well
	return run()
}

// check refuses names that cannot be names of files.
func (f *Folder) check(ctx context.Context, op, name string) error {
	if err := context.Cause(ctx); err != nil {
		return Error(ErrUnavailable, op, f.name, name, err)
	}
	err := CheckName(name)
	first, _, _ := strings.Cut(name, "/")
	switch {
	case err != nil:
	case first == private:
		err = errors.New("the name is reserved")
	case !filepath.IsLocal(filepath.FromSlash(name)) || strings.Contains(name, `\`):
		err = errors.New("the name cannot be a file's")
	default:
		for segment := range strings.SplitSeq(name, "/") {
			if len(segment) > 255 {
				err = errors.New("a part of the name is too long for a file")
			}
		}
	}
	if err != nil {
		return Error(ErrName, op, f.name, "", err)
	}
	return nil
}

// fileError converts an error of the file system into one of the contract's.
func (f *Folder) fileError(op, name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist) || isNotDir(err):
		if _, gone := f.root.Stat("."); gone != nil {
			return Error(ErrNoBucket, op, f.name, "", gone)
		}
		return Error(ErrNotFound, op, f.name, name, err)
	case errors.Is(err, fs.ErrPermission):
		return Error(ErrDenied, op, f.name, name, err)
	}
	return Error(ErrUnavailable, op, f.name, name, err)
}

// isNotDir recognises that a part of a path is a file.
func isNotDir(err error) bool { return strings.Contains(err.Error(), "not a directory") }

// List returns one page.
func (f *Folder) List(ctx context.Context, opts ListOptions) (Page, error) {
	if err := context.Cause(ctx); err != nil {
		return Page{}, Error(ErrUnavailable, "list", f.name, "", err)
	}
	names, err := f.names(ctx, opts)
	if err != nil {
		return Page{}, f.fileError("list", "", err)
	}
	sort.Strings(names)
	limit := opts.Limit
	if limit <= 0 || limit > 1000 {
		limit = 1000
	}
	var page Page
	for _, name := range names {
		if len(page.Objects) == limit {
			page.Next = name
			break
		}
		info, err := f.Head(ctx, name)
		if errors.Is(err, ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return Page{}, err
		}
		page.Objects = append(page.Objects, Info{Name: name, Size: info.Size, ETag: info.ETag, Created: info.Created})
	}
	return page, nil
}

// ListVersions lists the objects: a folder keeps no other versions.
func (f *Folder) ListVersions(ctx context.Context, opts VersionOptions) (VersionPage, error) {
	return ListOnly(ctx, f, opts)
}

// names walks the folders that the prefix leaves. A file whose name no object can have
// is none.
func (f *Folder) names(ctx context.Context, opts ListOptions) ([]string, error) {
	var names []string
	start := path.Dir(opts.Prefix + "x")
	if opts.Prefix == "" || !fs.ValidPath(start) {
		start = "."
	}
	err := fs.WalkDir(f.root.FS(), start, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist) && name == start && start != ".":
			return fs.SkipAll
		case err != nil:
			return err
		case name == private:
			return fs.SkipDir
		case !entry.Type().IsRegular() || !strings.HasPrefix(name, opts.Prefix) || name < opts.Start:
		case f.check(ctx, "list", name) == nil:
			names = append(names, name)
		}
		return nil
	})
	return names, err
}
