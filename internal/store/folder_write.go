package store

import (
	"context"
	"crypto/md5" // #nosec G501 -- the same checksum that Object Storage has
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"github.com/google/uuid"
)

// Put writes an object.
func (f *Folder) Put(ctx context.Context, name string, body io.ReadSeeker, size int64, opts PutOptions) (Info, error) {
	if err := f.check(ctx, "put", name); err != nil {
		return Info{}, err
	}
	temp := private + "/tmp/" + uuid.NewString()
	d, err := f.stage(ctx, temp, body, size)
	if err != nil {
		return Info{}, err
	}
	defer f.root.Remove(temp) //nolint:errcheck // it is gone once it is in place
	d.ContentType, d.Metadata = opts.ContentType, opts.Metadata
	place := func() error { return f.place(name, temp, d) }
	if opts.IfNoneMatch || opts.IfMatch != "" {
		err = f.change(ctx, "put", name, func(current Info, missing error) error {
			if err := f.condition(name, opts, current, missing); err != nil {
				return err
			}
			return place()
		})
	} else {
		err = f.locked(ctx, place)
	}
	if err != nil {
		return Info{}, err
	}
	return d.info(name), nil
}

// stage writes the body to a file beside the objects and describes it.
func (f *Folder) stage(ctx context.Context, temp string, body io.Reader, size int64) (description, error) {
	file, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return description{}, f.fileError("put", "", err)
	}
	defer file.Close()
	sum := md5.New() // #nosec G401 -- see the import
	n, err := f.copy(io.MultiWriter(file, sum), untilDone{ctx, io.LimitReader(body, size)})
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
	// File system clocks tick slowly: two writes must not have the same time by chance.
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

// change makes a change as the only writer. The function receives the current description of the object, or the error
// that there is none. A file that must be hashed for that is hashed before the lock is taken, and again if it has
// changed meanwhile.
func (f *Folder) change(ctx context.Context, op, name string, change func(current Info, missing error) error) error {
	var hashed *opened
	for {
		known := true
		err := f.locked(ctx, func() error {
			o, err := f.openOnce(op, name)
			if err != nil {
				return change(Info{}, err)
			}
			defer o.file.Close()
			switch {
			case o.described:
				return change(o.info(name), nil)
			case o.same(hashed):
				return change(hashed.info(name), nil)
			}
			known = false
			return nil
		})
		if known {
			return err
		}
		hashed, err = f.open(ctx, op, name)
		switch {
		case err == nil:
			_ = hashed.file.Close()
		case !errors.Is(err, ErrNotFound):
			return err
		}
	}
}

// condition checks the condition of a write.
func (f *Folder) condition(name string, opts PutOptions, current Info, missing error) error {
	switch {
	case missing == nil && opts.IfNoneMatch:
		return Error(ErrExists, "put", f.name, name, nil)
	case missing == nil && current.ETag != opts.IfMatch:
		return Error(ErrChanged, "put", f.name, name, nil)
	case missing != nil && !(opts.IfNoneMatch && errors.Is(missing, ErrNotFound)):
		return missing
	}
	return nil
}

// place renames the staged file into place and then writes its description; the lock is held.
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

// Delete removes an object, and folders that are then empty.
func (f *Folder) Delete(ctx context.Context, name, ifMatch string) error {
	if err := f.check(ctx, "delete", name); err != nil {
		return err
	}
	return f.change(ctx, "delete", name, func(current Info, missing error) error {
		if missing != nil {
			return missing
		}
		if ifMatch != "" && ifMatch != current.ETag {
			return Error(ErrChanged, "delete", f.name, name, nil)
		}
		if err := f.root.Remove(name); err != nil {
			return f.fileError("delete", name, err)
		}
		_ = f.root.Remove(descriptionOf(name)) // without a file it counts for nothing
		f.prune(path.Dir(name))
		return nil
	})
}

// prune removes empty folders from dir upwards.
func (f *Folder) prune(dir string) {
	for ; dir != "."; dir = path.Dir(dir) {
		if f.root.Remove(dir) != nil {
			return // not empty
		}
	}
}
