package bundle

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"
)

// Modes and times of everything that is extracted: the zip's own are not covered by
// the dirhash and so do not count.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

var fixedTime = time.Unix(0, 0)

// FileDigest identifies one extracted file.
type FileDigest struct {
	Name   string
	Size   int64
	SHA256 string // hexadecimal
}

// Extracted is what Extract wrote, in byte order of the names.
type Extracted struct {
	Files   []FileDigest
	DirHash string // "h1:…"
}

// Extract writes the archive's files into root, which should be empty: nothing is ever
// overwritten. On an error some files may have been written; the caller removes them.
func (a *Archive) Extract(ctx context.Context, root *os.Root) (Extracted, error) {
	var done Extracted
	summary := sha256.New()
	left := a.limits.TotalBytes
	buf := make([]byte, 256<<10)
	for _, f := range a.files {
		digest, err := extractFile(ctx, root, f, min(left, a.limits.FileBytes), buf)
		if err != nil {
			return Extracted{}, err
		}
		left -= digest.Size
		fmt.Fprintf(summary, "%s  %s\n", digest.SHA256, digest.Name)
		done.Files = append(done.Files, digest)
	}
	done.DirHash = hash1(summary)
	return done, nil
}

// hash1 is dirhash.Hash1 over lines of digests that were written in order of names.
func hash1(lines hash.Hash) string {
	return "h1:" + base64.StdEncoding.EncodeToString(lines.Sum(nil))
}

func extractFile(ctx context.Context, root *os.Root, f *zip.File, limit int64, buf []byte) (FileDigest, error) {
	if dir := parent(f.Name); dir != "" {
		if err := root.MkdirAll(dir, dirMode); err != nil {
			return FileDigest{}, fmt.Errorf("make folder: %w", err)
		}
	}
	in, err := f.Open()
	if err != nil {
		return FileDigest{}, corrupt(f.Name, err)
	}
	defer in.Close()
	out, err := root.OpenFile(f.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return FileDigest{}, fmt.Errorf("make file: %w", err)
	}
	sum := sha256.New()
	size, err := copyBounded(ctx, io.MultiWriter(out, sum), in, limit, buf)
	if err == nil && uint64(size) != f.UncompressedSize64 { //nolint:gosec // not negative
		err = io.ErrUnexpectedEOF
	}
	if closed := out.Close(); err == nil && closed != nil {
		return FileDigest{}, fmt.Errorf("write file: %w", closed)
	}
	if err != nil {
		var write *os.PathError
		if errors.As(err, &write) || ctx.Err() != nil {
			return FileDigest{}, fmt.Errorf("write file: %w", err)
		}
		return FileDigest{}, corrupt(f.Name, err)
	}
	if err := root.Chtimes(f.Name, fixedTime, fixedTime); err != nil {
		return FileDigest{}, fmt.Errorf("set time: %w", err)
	}
	return FileDigest{Name: f.Name, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

var errTooLarge = errors.New("more data than the limits allow")

// copyBounded copies until the end, at most limit bytes, while ctx lasts.
func copyBounded(ctx context.Context, to io.Writer, from io.Reader, limit int64, buf []byte) (int64, error) {
	var size int64
	for {
		if err := ctx.Err(); err != nil {
			return size, err
		}
		n, err := from.Read(buf)
		if size += int64(n); size > limit {
			return size, errTooLarge
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return size, err
		}
		if errors.Is(err, io.EOF) {
			return size, nil
		}
		if err != nil {
			return size, err
		}
	}
}
