// Package download holds one version of an object for random access.
//
// The object is downloaded once from end to end, which gives its digest. A small one stays in memory; of a large one
// only the chunks read last stay, and others are fetched again. A chunk that is fetched again must have the digest
// that it had the first time, so that every byte read is part of the bytes that SHA256 names. Nothing is written to
// disk: /tmp is small, its files count as memory, and the contents need it.
package download

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

const (
	chunkBytes = 2 << 20
	// holdBytes is the size up to which an object stays in memory as a whole.
	holdBytes = 32 << 20
	// holdChunks is how many chunks of a larger object stay in memory.
	holdChunks = 8
)

// Object is one version of an object. It may be read by several goroutines.
type Object struct {
	ctx    context.Context
	bucket store.Bucket
	name   string
	opts   store.GetOptions
	size   int64
	sha256 string

	mu     sync.Mutex
	sums   [][sha256.Size]byte // of each chunk
	chunks map[int64][]byte
	recent []int64 // chunks in memory, oldest first; unused if all are held
}

// Open downloads an object. Before the bytes are read, known is called and may refuse them. The context also bounds
// later reads.
func Open(
	ctx context.Context, bucket store.Bucket, name string, opts store.GetOptions, known func(store.Info) error,
) (*Object, store.Info, error) {
	body, info, err := bucket.Get(ctx, name, opts)
	if err != nil {
		return nil, info, err
	}
	defer body.Close()
	if err := known(info); err != nil {
		return nil, info, err
	}
	opts.IfMatch = info.ETag
	o := &Object{ctx: ctx, bucket: bucket, name: name, opts: opts, size: info.Size, chunks: map[int64][]byte{}}
	return o, info, o.download(body)
}

// Size is the object's size in bytes.
func (o *Object) Size() int64 { return o.size }

// SHA256 is the object's digest, in hexadecimal.
func (o *Object) SHA256() string { return o.sha256 }

// download reads the whole body, and keeps all digests, and as many bytes as fit.
func (o *Object) download(body io.Reader) error {
	whole := sha256.New()
	for read := int64(0); read < o.size; {
		chunk := make([]byte, min(chunkBytes, o.size-read))
		if _, err := io.ReadFull(body, chunk); err != nil {
			return store.Unread(o.bucket, o.name, err)
		}
		whole.Write(chunk)
		o.keep(int64(len(o.sums)), chunk)
		o.sums = append(o.sums, sha256.Sum256(chunk))
		read += int64(len(chunk))
	}
	if n, err := io.ReadFull(body, make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return store.Unread(o.bucket, o.name, fmt.Errorf("the object does not end at %d bytes: %w", o.size, err))
	}
	o.sha256 = hex.EncodeToString(whole.Sum(nil))
	return nil
}

// keep holds a chunk in memory; of a large object it replaces the oldest one.
func (o *Object) keep(index int64, chunk []byte) {
	o.chunks[index] = chunk
	if o.size <= holdBytes {
		return
	}
	o.recent = append(o.recent, index)
	if len(o.recent) > holdChunks {
		delete(o.chunks, o.recent[0])
		o.recent = o.recent[1:]
	}
}

// ReadAt reads as io.ReaderAt describes.
func (o *Object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read before the start")
	}
	n := 0
	for n < len(p) && off < o.size {
		chunk, err := o.chunk(off / chunkBytes)
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

// chunk returns a chunk from memory or from the store. It fetches one at a time: the readers of an archive go through
// it side by side, and mostly want the same chunk.
func (o *Object) chunk(index int64) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if chunk, ok := o.chunks[index]; ok {
		return chunk, nil
	}
	chunk, err := o.fetch(index * chunkBytes)
	switch {
	case errors.Is(err, store.ErrChanged), errors.Is(err, store.ErrNotFound):
		return nil, problem.New(problem.Problem{
			Code: "trigger.stale", Where: o.name,
			Message: "the object was replaced or deleted while it was read; nothing ran",
			Hint:    "what is there now has an event of its own",
		}, err)
	case err != nil:
		return nil, err
	case sha256.Sum256(chunk) != o.sums[index]:
		other := errors.New("the same version gave other bytes than before")
		return nil, store.Error(store.ErrCorrupt, "read", o.bucket.Name(), o.name, other)
	}
	o.keep(index, chunk)
	return chunk, nil
}

// fetch reads a chunk from the store.
func (o *Object) fetch(offset int64) ([]byte, error) {
	opts := o.opts
	opts.Offset, opts.Length = offset, min(chunkBytes, o.size-offset)
	body, _, err := o.bucket.Get(o.ctx, o.name, opts)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	chunk := make([]byte, opts.Length)
	if _, err := io.ReadFull(body, chunk); err != nil {
		return nil, store.Unread(o.bucket, o.name, err)
	}
	return chunk, nil
}
