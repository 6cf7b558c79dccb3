package workdir

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
)

// ErrNotRegular says that a name is a link, a pipe, a folder, or another thing that is not read.
var ErrNotRegular = errors.New("not a regular file")

// errUnread does not tell more: what it says goes into evidence, and a path says where this program works.
var errUnread = errors.New("it could not be read")

// OpenRegular opens a regular file without following a link and without waiting for the other end of a
// pipe.
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

// Digest is the SHA-256 of the first size bytes of a file, in hexadecimal. A file that is shorter is an error.
func Digest(f io.Reader, size int64) (string, error) {
	sum := sha256.New()
	if _, err := io.CopyN(sum, f, size); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Space is what a file system has left.
type Space struct{ Bytes, Inodes int64 }

// Free measures what an unprivileged process may still write below a folder; ok is false where the system
// does not tell.
func Free(folder string) (free Space, ok bool, err error) { return freeSpace(folder) }
