package store

import (
	"context"
	"crypto/md5" // #nosec G501 -- the same checksum that Object Storage has
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"
)

// private is the folder of a bucket that holds what is not an object: descriptions of
// objects, files that are being written, the lock.
const private = ".cemli-store"

// Folder is a bucket that is a folder: the object a/b is the file a/b in it, for people
// to look at. What a file cannot hold (ETag, metadata, checksum) is in a description
// beside, which counts only while the file has the size and the time it was written
// with: a file that somebody put there or edited is an object too, with an ETag of its
// contents.
//
// Writers, also of several processes, take a lock. A file is written elsewhere,
// synced, and renamed into place, and the folder is synced; then its description is. A crash between the two
// leaves the new contents with an ETag of their own, which no reader has seen: a
// condition on the old one fails, as it must.
type Folder struct {
	name string
	root *os.Root
	mu   sync.Mutex
	lock *flock.Flock
	sync func(dir string) error // makes names in a folder last
}

var _ Bucket = (*Folder)(nil)

// OpenFolder opens an existing folder as a bucket named like it.
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
	f := &Folder{name: name, root: root, lock: flock.New(filepath.Join(abs, private, "lock"))}
	f.sync = f.syncFolder
	f.clean()
	return f, nil
}

// Name returns the folder's own name.
func (f *Folder) Name() string { return f.name }

// description is what is kept of an object beside its file.
type description struct {
	ETag        string            `json:"etag"`
	MD5         string            `json:"md5"`
	ContentType string            `json:"content_type,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Created     time.Time         `json:"created"`
	Size        int64             `json:"size"`
	Modified    int64             `json:"modified_ns"` // of the file
}

// descriptionOf names the file that describes an object, by the name's hash: it is in
// no other object's way, whatever the names.
func descriptionOf(name string) string {
	return fmt.Sprintf("%s/objects/%x.json", private, sha256.Sum256([]byte(name)))
}

// locked runs f as the only writer.
func (f *Folder) locked(ctx context.Context, run func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.lock.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return Error(ErrUnavailable, "lock", f.name, "", err)
	}
	defer f.lock.Unlock() //nolint:errcheck // the descriptor is closed with it
	return run()
}

// check refuses names that cannot be files here.
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

// Head describes an object.
func (f *Folder) Head(ctx context.Context, name string) (Info, error) {
	file, info, err := f.open(ctx, "head", name)
	if err != nil {
		return Info{}, err
	}
	return info, file.Close()
}

// Get opens an object or a range of it. What is read stays the same version, even when
// the object is overwritten meanwhile.
func (f *Folder) Get(ctx context.Context, name string, opts GetOptions) (io.ReadCloser, Info, error) {
	file, info, err := f.open(ctx, "get", name)
	if err != nil {
		return nil, Info{}, err
	}
	refused := func(kind error) (io.ReadCloser, Info, error) {
		_ = file.Close()
		return nil, Info{}, Error(kind, "get", f.name, name, nil)
	}
	switch {
	case opts.VersionID != "":
		return refused(ErrNotFound)
	case opts.IfMatch != "" && opts.IfMatch != info.ETag:
		return refused(ErrChanged)
	case opts.Offset > 0 && opts.Offset >= info.Size:
		return refused(ErrRange)
	}
	length := info.Size - opts.Offset
	if opts.Length > 0 {
		length = min(length, opts.Length)
	}
	return struct {
		io.Reader
		io.Closer
	}{&exact{ctx: ctx, r: io.NewSectionReader(file, opts.Offset, length), left: length}, file}, info, nil
}

// exact fails when a file ends before the bytes that were promised, or ctx does.
type exact struct {
	ctx  context.Context
	r    io.Reader
	left int64
}

func (e *exact) Read(p []byte) (int, error) {
	if err := context.Cause(e.ctx); err != nil {
		return 0, err
	}
	n, err := e.r.Read(p)
	if e.left -= int64(n); errors.Is(err, io.EOF) && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// open opens an object's file and describes it. A file whose description is not its own
// is looked at again when no writer is between the two: only then has it none.
func (f *Folder) open(ctx context.Context, op, name string) (*os.File, Info, error) {
	if err := f.check(ctx, op, name); err != nil {
		return nil, Info{}, err
	}
	file, info, err := f.openOnce(op, name)
	if !errors.Is(err, errUndescribed) {
		return file, info, err
	}
	err = f.locked(ctx, func() (err error) {
		file, info, err = f.openHeld(op, name)
		return err
	})
	return file, info, err
}

// errUndescribed says that a file's description is not, or not yet, its own.
var errUndescribed = errors.New("the file has no description")

// openHeld is open for who holds the lock: a file without a description of its own was
// put or edited by hand, and its contents describe it.
func (f *Folder) openHeld(op, name string) (*os.File, Info, error) {
	file, info, err := f.openOnce(op, name)
	if !errors.Is(err, errUndescribed) {
		return file, info, err
	}
	if file, err = f.root.Open(name); err != nil {
		return nil, Info{}, f.fileError(op, name, err)
	}
	d, err := describe(file)
	if err != nil {
		_ = file.Close()
		return nil, Info{}, f.fileError(op, name, err)
	}
	return file, d.info(name), nil
}

// openOnce opens a file with the description that it was written with.
func (f *Folder) openOnce(op, name string) (*os.File, Info, error) {
	file, err := f.root.Open(name)
	if err != nil {
		return nil, Info{}, f.fileError(op, name, err)
	}
	stat, err := file.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = file.Close()
		return nil, Info{}, f.fileError(op, name, err)
	}
	d, ok := f.described(name, stat)
	if !ok {
		_ = file.Close()
		return nil, Info{}, errUndescribed
	}
	return file, d.info(name), nil
}

func (d description) info(name string) Info {
	return Info{Name: name, Size: d.Size, ETag: d.ETag, MD5: d.MD5, Created: d.Created, Metadata: d.Metadata}
}

// described reads the description that was written with a file.
func (f *Folder) described(name string, stat fs.FileInfo) (description, bool) {
	var d description
	text, err := f.root.ReadFile(descriptionOf(name))
	if err != nil || json.Unmarshal(text, &d) != nil {
		return d, false
	}
	return d, d.Size == stat.Size() && d.Modified == stat.ModTime().UnixNano()
}

// describe makes the description of a file that has none of its own.
func describe(file *os.File) (description, error) {
	stat, err := file.Stat()
	if err != nil {
		return description{}, err
	}
	sum := md5.New() // #nosec G401 -- see the import
	if _, err := io.Copy(sum, io.NewSectionReader(file, 0, stat.Size())); err != nil {
		return description{}, err
	}
	hash := base64.StdEncoding.EncodeToString(sum.Sum(nil))
	return description{
		ETag: fmt.Sprintf("%x-%x", sum.Sum(nil), stat.ModTime().UnixNano()), MD5: hash,
		Created: stat.ModTime().UTC(), Size: stat.Size(), Modified: stat.ModTime().UnixNano(),
	}, nil
}

// fileError gives an error of the file system its place in the contract.
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

// Put writes an object.
func (f *Folder) Put(ctx context.Context, name string, body io.ReadSeeker, size int64, opts PutOptions) (Info, error) {
	if err := f.check(ctx, "put", name); err != nil {
		return Info{}, err
	}
	temp := private + "/tmp/" + uuid.NewString()
	d, err := f.stage(temp, body, size)
	if err != nil {
		return Info{}, err
	}
	defer f.root.Remove(temp) //nolint:errcheck // gone once it is in place
	d.ContentType, d.Metadata = opts.ContentType, opts.Metadata
	err = f.locked(ctx, func() error {
		if err := f.condition("put", name, opts.IfNoneMatch, opts.IfMatch); err != nil {
			return err
		}
		return f.place(name, temp, d)
	})
	if err != nil {
		return Info{}, err
	}
	return d.info(name), nil
}

// stage writes the body to a file beside the objects and describes it.
func (f *Folder) stage(temp string, body io.Reader, size int64) (description, error) {
	file, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return description{}, f.fileError("put", "", err)
	}
	defer file.Close()
	sum := md5.New() // #nosec G401 -- see the import
	n, err := io.Copy(io.MultiWriter(file, sum), io.LimitReader(body, size))
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		_ = f.root.Remove(temp)
		return description{}, Error(ErrUnavailable, "put", f.name, "", err)
	}
	// Clocks of file systems tick slowly: two writes must not share a time by chance.
	now := time.Now()
	if err := f.root.Chtimes(temp, now, now); err != nil {
		return description{}, f.fileError("put", "", err)
	}
	stat, err := f.root.Stat(temp)
	if err != nil {
		return description{}, f.fileError("put", "", err)
	}
	return description{
		ETag: uuid.NewString(), MD5: base64.StdEncoding.EncodeToString(sum.Sum(nil)), Created: time.Now().UTC(),
		Size: size, Modified: stat.ModTime().UnixNano(),
	}, nil
}

// condition checks what a write depends on; the lock is held.
func (f *Folder) condition(op, name string, ifNoneMatch bool, ifMatch string) error {
	if !ifNoneMatch && ifMatch == "" {
		return nil
	}
	info, err := f.headHeld(op, name)
	switch {
	case err == nil && ifNoneMatch:
		return Error(ErrExists, op, f.name, name, nil)
	case err == nil && info.ETag != ifMatch:
		return Error(ErrChanged, op, f.name, name, nil)
	case err != nil && !(ifNoneMatch && errors.Is(err, ErrNotFound)):
		return err
	}
	return nil
}

// headHeld is Head for who holds the lock.
func (f *Folder) headHeld(op, name string) (Info, error) {
	file, info, err := f.openHeld(op, name)
	if err != nil {
		return Info{}, err
	}
	return info, file.Close()
}

// place renames the staged file into place and then describes it; the lock is held.
func (f *Folder) place(name, temp string, d description) error {
	text, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	if err := f.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return Error(ErrName, "put", f.name, name, err)
	}
	if stat, err := f.root.Lstat(name); err == nil && !stat.Mode().IsRegular() {
		return Error(ErrName, "put", f.name, name, errors.New("something that is no file is in its place"))
	}
	if err := f.root.Rename(temp, name); err != nil {
		return f.fileError("put", name, err)
	}
	if err := f.syncUp(name); err != nil {
		return f.fileError("put", name, err)
	}
	staged := temp + ".json"
	if err := f.root.WriteFile(staged, text, 0o600); err != nil {
		return f.fileError("put", name, err)
	}
	if err := f.root.Rename(staged, descriptionOf(name)); err != nil {
		return f.fileError("put", name, err)
	}
	return nil
}

// Delete removes an object and the folders that are empty then.
func (f *Folder) Delete(ctx context.Context, name, ifMatch string) error {
	if err := f.check(ctx, "delete", name); err != nil {
		return err
	}
	return f.locked(ctx, func() error {
		info, err := f.headHeld("delete", name)
		if err != nil {
			return err
		}
		if ifMatch != "" && ifMatch != info.ETag {
			return Error(ErrChanged, "delete", f.name, name, nil)
		}
		if err := f.root.Remove(name); err != nil {
			return f.fileError("delete", name, err)
		}
		_ = f.root.Remove(descriptionOf(name)) // of no file, it counts for nothing
		f.prune(path.Dir(name))
		return nil
	})
}

// prune removes empty folders from dir up.
func (f *Folder) prune(dir string) {
	for ; dir != "."; dir = path.Dir(dir) {
		if f.root.Remove(dir) != nil {
			return // not empty
		}
	}
}

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
		case errors.Is(err, fs.ErrNotExist) && name == start && start != ".":
			return fs.SkipAll
		case err != nil:
			return err
		case name == private:
			return fs.SkipDir
		case entry.Type().IsRegular() && strings.HasPrefix(name, opts.Prefix) && name >= opts.Start && f.check(ctx, "list", name) == nil:
			names = append(names, name)
		}
		return nil
	})
	return names, err
}
