package workdir

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
)

// ErrNotRegular says that a name is a link, a pipe, a folder, or something else that is not a regular file.
var ErrNotRegular = errors.New("not a regular file")

// errUnread names no path, because it goes into evidence, and paths tell where this program works.
var errUnread = errors.New("it could not be read")

// OpenRegular opens a regular file. It neither follows a link nor waits for the other end of a pipe.
func OpenRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, nil, errUnread
	}
	if !before.Mode().IsRegular() {
		return nil, nil, ErrNotRegular
	}
	f, err := root.OpenFile(name, os.O_RDONLY|withoutWaiting, 0)
	if err != nil {
		return nil, nil, errUnread
	}
	after, err := f.Stat()
	if err != nil || !os.SameFile(before, after) {
		_ = f.Close()
		return nil, nil, ErrNotRegular
	}
	return f, after, nil
}

// Digest is the SHA-256, in hexadecimal, of a file's first size bytes. A shorter file is an error.
func Digest(f io.Reader, size int64) (string, error) {
	sum := sha256.New()
	if _, err := io.CopyN(sum, f, size); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Space is the free space of a file system.
type Space struct{ Bytes, Inodes int64 }

// Free measures what an unprivileged process may still write below a folder; ok is false if the system does not tell.
func Free(folder string) (free Space, ok bool, err error) { return freeSpace(folder) }
