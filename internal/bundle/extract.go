package bundle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"cemli-executor/internal/problem"
)

// Modes of all that is extracted, regardless of the umask. The zip's own modes are ignored, because the dirhash does
// not cover them. Nothing is executable.
const (
	fileMode   = 0o644
	folderMode = 0o755
)

// fixedTime is the time of all that is extracted or packed, one that a zip can hold in every time zone.
var fixedTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// FileDigest identifies one extracted file.
type FileDigest struct {
	Name   string
	Size   int64  // bytes
	SHA256 string // hexadecimal
}

// Extracted is what Extract wrote, in byte order of the names.
type Extracted struct {
	Files   []FileDigest
	DirHash string // "h1:…"
}

// mostWorkers bounds the memory of an extraction: half a megabyte for each worker.
const mostWorkers = 8

// Extract writes the archive's files into root, which should be empty: it never overwrites anything and follows no
// links. Modes and times are fixed. The error is a *problem.Error with every entry whose data is not what its headers
// promise, or wraps an error of the source, of root, or the cause of ctx; root then has some of the files, and the
// caller must remove it.
func (a *Archive) Extract(ctx context.Context, root *os.Root) (Extracted, error) {
	for _, dir := range a.folders {
		if err := makeFolder(root, dir); err != nil {
			return Extracted{}, writeError(dir, err)
		}
	}
	x := &extraction{
		archive: a, root: root, order: a.byOffset(), digests: make([]FileDigest, len(a.files)),
		refused: make([]*problem.Problem, len(a.files)),
	}
	if err := x.run(ctx); err != nil {
		return Extracted{}, err
	}
	for _, dir := range a.folders {
		if err := root.Chtimes(dir, fixedTime, fixedTime); err != nil {
			return Extracted{}, writeError(dir, err)
		}
	}
	return Extracted{Files: x.digests, DirHash: hash1(x.digests)}, nil
}

// extraction is one call of Extract. Its slices have the indexes of the archive's files.
type extraction struct {
	archive *Archive
	root    *os.Root
	order   []int
	next    atomic.Int64 // index into order
	digests []FileDigest
	refused []*problem.Problem
}

// byOffset is the order of the data in the zip, in which it is read.
func (a *Archive) byOffset() []int {
	order := make([]int, len(a.files))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(a.files[i].data, a.files[j].data) })
	return order
}

// run extracts all files, several at a time, and lists those that were refused.
func (x *extraction) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), mostWorkers) {
		group.Go(func() error { return x.work(ctx) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("extract: %w", err)
	}
	var problems []problem.Problem
	for _, p := range x.refused {
		if p != nil {
			problems = append(problems, *p)
		}
	}
	return problem.Join(problems)
}

// work extracts files until none is left.
func (x *extraction) work(ctx context.Context) error {
	in := readers.Get().(*reader)
	defer in.release()
	for {
		n := int(x.next.Add(1)) - 1
		if n >= len(x.order) {
			return nil
		}
		i := x.order[n]
		var err error
		if x.digests[i], x.refused[i], err = x.file(ctx, in, x.archive.files[i]); err != nil {
			return err
		}
	}
}

// file extracts one file.
func (x *extraction) file(ctx context.Context, in *reader, e entry) (FileDigest, *problem.Problem, error) {
	out, err := x.root.OpenFile(e.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return FileDigest{}, nil, writeError(e.name, err)
	}
	sum := sha256.New()
	refused, err := in.copy(ctx, io.MultiWriter(out, sum), x.archive.r, e)
	if err == nil {
		err = out.Chmod(fileMode)
	}
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = x.root.Chtimes(e.name, fixedTime, fixedTime)
	}
	if err != nil {
		return FileDigest{}, nil, writeError(e.name, err)
	}
	return FileDigest{Name: e.name, Size: e.file().Size, SHA256: hex.EncodeToString(sum.Sum(nil))}, refused, nil
}

func makeFolder(root *os.Root, dir string) error {
	if err := root.Mkdir(dir, folderMode); err != nil {
		return err
	}
	return root.Chmod(dir, folderMode)
}

// writeError explains a full disk.
func writeError(name string, err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return problem.New(refusal("archive.no_space", name, "there is no space left to write it"), err)
	}
	return err
}
