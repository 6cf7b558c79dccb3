package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// How a package is held while it is read. The zip is never written to disk: /tmp is
// small and its files count as memory, and the contents need it.
const (
	chunkBytes = 2 << 20
	// holdBytes is the size up to which the whole zip stays in memory.
	holdBytes = 32 << 20
	// holdChunks is how many chunks of a larger one do.
	holdChunks = 8
)

// source is a package's zip: one version of one object, downloaded once from end to
// end to learn its digests, then read at random. Chunks that are no longer in memory
// are fetched again and must have the digest of the first time, so that whatever is
// read is part of the bytes that SHA256 names.
type source struct {
	ctx    context.Context
	bucket store.Bucket
	name   string
	opts   store.GetOptions
	size   int64
	sha256 string

	mu     sync.Mutex
	sums   [][sha256.Size]byte // of each chunk
	chunks map[int64][]byte
	recent []int64 // chunks in memory, oldest first; not kept where all are held
}

// fetch downloads the package and pins its version.
func (r *run) fetch(ctx context.Context) (*source, error) {
	opts := store.GetOptions{IfMatch: r.request.ETag, VersionID: r.request.reads()}
	body, info, err := r.Packages.Get(ctx, r.request.Object, opts)
	if err != nil {
		return nil, stale(err)
	}
	defer body.Close()
	r.request.ETag, r.created = info.ETag, r.request.createdAt(info.Created)
	if err := r.learn(info); err != nil {
		return nil, err
	}
	opts.IfMatch = info.ETag
	s := &source{ctx: ctx, bucket: r.Packages, name: r.request.Object, opts: opts, size: info.Size, chunks: map[int64][]byte{}}
	if err := s.download(body); err != nil {
		return nil, err
	}
	r.result.Package.SHA256 = s.sha256
	return s, nil
}

// learn takes what the object's description says, and refuses what it alone forbids.
func (r *run) learn(info store.Info) error {
	if err := r.request.fromMetadata(info.Metadata); err != nil {
		return err
	}
	r.result.Reason, r.result.Reference = r.request.Reason, r.request.Reference
	if r.request.Action != "" {
		r.result.Action = string(r.request.Action)
	}
	r.result.Package.Size, r.result.Package.ETag = info.Size, info.ETag
	r.result.Package.VersionID = info.VersionID
	if err := withinLimit(r.request.Object, info.Size, r.Limits.PackageBytes); err != nil {
		return err
	}
	return r.request.consistent()
}

// stale says of an object that changed after the trigger what it means for the run.
func stale(err error) error {
	if !errors.Is(err, store.ErrChanged) {
		return err
	}
	return problem.New(problem.Problem{
		Code: "trigger.stale", Message: "the object has changed since it was asked to be run",
		Hint: "nothing ran; the newer version has an event of its own, or send a request without an etag",
	}, err)
}

// download reads the whole body, keeping digests and as much as fits.
func (s *source) download(body io.Reader) error {
	whole := sha256.New()
	for read := int64(0); read < s.size; {
		chunk := make([]byte, min(chunkBytes, s.size-read))
		if _, err := io.ReadFull(body, chunk); err != nil {
			return unread(s.bucket.Name(), s.name, err)
		}
		whole.Write(chunk)
		s.keep(int64(len(s.sums)), chunk)
		s.sums = append(s.sums, sha256.Sum256(chunk))
		read += int64(len(chunk))
	}
	if n, err := io.ReadFull(body, make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return unread(s.bucket.Name(), s.name, fmt.Errorf("the object does not end at %d bytes: %w", s.size, err))
	}
	s.sha256 = hexSum(whole)
	return nil
}

// unread makes an error that the store did not make one of the store.
func unread(bucket, name string, err error) error {
	if problem.CodeOf(err) != "" {
		return err
	}
	return store.Error(store.ErrUnavailable, "read", bucket, name, err)
}

// keep holds a chunk in memory, for the place of the oldest one of a large zip.
func (s *source) keep(index int64, chunk []byte) {
	s.chunks[index] = chunk
	if s.size <= holdBytes {
		return
	}
	s.recent = append(s.recent, index)
	if len(s.recent) > holdChunks {
		delete(s.chunks, s.recent[0])
		s.recent = s.recent[1:]
	}
}

// ReadAt reads as io.ReaderAt says; it may be used by several goroutines.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read before the start")
	}
	n := 0
	for n < len(p) && off < s.size {
		chunk, err := s.chunk(off / chunkBytes)
		if err != nil {
			return n, err
		}
		copied := copy(p[n:], chunk[off%chunkBytes:])
		n, off = n+copied, off+int64(copied)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// chunk returns a chunk from memory or from the store. One is fetched at a time: the
// readers of an archive go through it side by side and mostly want the same one.
func (s *source) chunk(index int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if chunk, ok := s.chunks[index]; ok {
		return chunk, nil
	}
	opts := s.opts
	opts.Offset = index * chunkBytes
	opts.Length = min(chunkBytes, s.size-opts.Offset)
	body, _, err := s.bucket.Get(s.ctx, s.name, opts)
	if err != nil {
		return nil, stale(err)
	}
	defer body.Close()
	chunk := make([]byte, opts.Length)
	if _, err := io.ReadFull(body, chunk); err != nil {
		return nil, unread(s.bucket.Name(), s.name, err)
	}
	if sha256.Sum256(chunk) != s.sums[index] {
		return nil, store.Error(store.ErrCorrupt, "read", s.bucket.Name(), s.name, errors.New("the same version gave other bytes than before"))
	}
	s.keep(index, chunk)
	return chunk, nil
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
