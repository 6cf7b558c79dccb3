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
	"time"
)

// description is what is stored about an object beside its file.
type description struct {
	ETag        string            `json:"etag"`
	MD5         string            `json:"md5"`
	ContentType string            `json:"content_type,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Created     time.Time         `json:"created"`
	Size        int64             `json:"size"`
	Modified    int64             `json:"modified_ns"` // of the file
}

// descriptionOf names the description of an object by the hash of the object's name, so that it conflicts with no
// other object.
func descriptionOf(name string) string {
	return fmt.Sprintf("%s/objects/%x.json", private, sha256.Sum256([]byte(name)))
}

func (d description) info(name string) Info {
	return Info{Name: name, Size: d.Size, ETag: d.ETag, MD5: d.MD5, Created: d.Created, Metadata: d.Metadata}
}

// Head describes an object.
func (f *Folder) Head(ctx context.Context, name string) (Info, error) {
	o, err := f.open(ctx, "head", name)
	if err != nil {
		return Info{}, err
	}
	return o.info(name), o.file.Close()
}

// Get opens an object or a range of it. The reader keeps reading the same version, even if the object is overwritten
// meanwhile.
func (f *Folder) Get(ctx context.Context, name string, opts GetOptions) (io.ReadCloser, Info, error) {
	o, err := f.open(ctx, "get", name)
	if err != nil {
		return nil, Info{}, err
	}
	info := o.info(name)
	refused := func(kind error) (io.ReadCloser, Info, error) {
		_ = o.file.Close()
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
	}{&exact{untilDone{ctx, io.NewSectionReader(o.file, opts.Offset, length)}, length}, o.file}, info, nil
}

// exact fails if a file ends before the promised number of bytes.
type exact struct {
	io.Reader
	left int64
}

func (e *exact) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if e.left -= int64(n); errors.Is(err, io.EOF) && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// untilDone fails when ctx ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := context.Cause(u.ctx); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// opened is an object's open file with its description.
type opened struct {
	description
	file *os.File
	stat fs.FileInfo
	// described: the description is known. A file without a valid one was put or edited by hand, and must be hashed.
	described bool
}

// open opens an object's file and describes it. If the description does not belong to the file, it looks again while
// no writer is between writing the two.
func (f *Folder) open(ctx context.Context, op, name string) (*opened, error) {
	if err := f.check(ctx, op, name); err != nil {
		return nil, err
	}
	o, err := f.openOnce(op, name)
	if err == nil && !o.described {
		_ = o.file.Close()
		err = f.locked(ctx, func() (err error) {
			o, err = f.openOnce(op, name)
			return err
		})
	}
	if err != nil || o.described {
		return o, err
	}
	if err := f.hash(ctx, o); err != nil {
		_ = o.file.Close()
		return nil, f.fileError(op, name, err)
	}
	return o, nil
}

// openOnce opens a file with the description that was written with it, if there is one.
func (f *Folder) openOnce(op, name string) (*opened, error) {
	file, err := f.root.Open(name)
	if err != nil {
		return nil, f.fileError(op, name, err)
	}
	stat, err := file.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = file.Close()
		return nil, f.fileError(op, name, err)
	}
	d, ok := f.described(name, stat)
	return &opened{d, file, stat, ok}, nil
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

// hash describes a file by its contents.
func (f *Folder) hash(ctx context.Context, o *opened) error {
	sum := md5.New() // #nosec G401 -- see the import
	if _, err := f.copy(sum, untilDone{ctx, io.NewSectionReader(o.file, 0, o.stat.Size())}); err != nil {
		return err
	}
	modified := o.stat.ModTime()
	o.description, o.described = description{
		ETag:    fmt.Sprintf("%x-%x", sum.Sum(nil), modified.UnixNano()),
		MD5:     base64.StdEncoding.EncodeToString(sum.Sum(nil)),
		Created: modified.UTC(), Size: o.stat.Size(), Modified: modified.UnixNano(),
	}, true
	return nil
}

// same reports whether two files are one that has not changed between.
func (o *opened) same(other *opened) bool {
	return other != nil && os.SameFile(o.stat, other.stat) &&
		o.stat.Size() == other.stat.Size() && o.stat.ModTime().Equal(other.stat.ModTime())
}
