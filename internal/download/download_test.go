package download_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"cemli-executor/internal/download"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// bucket has one object, whose ranges may change.
type bucket struct {
	store.Bucket
	info   store.Info
	ranges int
	change func(body []byte) []byte
}

func newBucket(t *testing.T, contents []byte) *bucket {
	t.Helper()
	folder, err := store.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bucket{Bucket: folder}
	b.put(t, contents)
	return b
}

func (b *bucket) put(t *testing.T, contents []byte) {
	t.Helper()
	var err error
	if b.info, err = b.Bucket.Put(t.Context(), "a.zip", bytes.NewReader(contents), int64(len(contents)),
		store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (b *bucket) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	body, info, err := b.Bucket.Get(ctx, name, o)
	if o.Length > 0 {
		b.ranges++
	}
	if err != nil || b.change == nil {
		return body, info, err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	return io.NopCloser(bytes.NewReader(b.change(text))), info, err
}

func (b *bucket) open(t *testing.T) *download.Object {
	t.Helper()
	o, _, err := download.Open(t.Context(), b, "a.zip", store.GetOptions{}, func(store.Info) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// contents are bytes that do not repeat.
func contents(size int) []byte {
	all := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(all) // it does not fail
	return all
}

// Reads in any order return what was downloaded; a small object is fetched only once.
func TestReadAt(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 5 << 20, 40 << 20} {
		want := contents(size)
		b := newBucket(t, want)
		o := b.open(t)
		if sum := sha256.Sum256(want); o.SHA256() != hex.EncodeToString(sum[:]) || o.Size() != int64(size) {
			t.Errorf("%d bytes: %d, %s", size, o.Size(), o.SHA256())
		}
		got, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d read, %v", size, len(got), err)
		}
		if again := b.ranges > 0; again != (size > 32<<20) {
			t.Errorf("%d bytes: %d chunks were read again", size, b.ranges)
		}
		for _, off := range []int64{0, 2<<20 - 3, 4 << 20, int64(size) - 2} {
			p := make([]byte, 6)
			n, err := o.ReadAt(p, max(off, 0))
			end := min(max(off, 0)+6, int64(size))
			if off < int64(size) && !bytes.Equal(p[:n], want[max(off, 0):end]) || n < 6 && !errors.Is(err, io.EOF) {
				t.Errorf("%d bytes at %d: %d, %v", size, off, n, err)
			}
		}
	}
}

func TestKnownMayRefuse(t *testing.T) {
	t.Parallel()
	no := errors.New("too large")
	_, info, err := download.Open(t.Context(), newBucket(t, contents(10)), "a.zip", store.GetOptions{},
		func(store.Info) error { return no })
	if !errors.Is(err, no) || info.Size != 10 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestABodyOfAnotherSize(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func([]byte) []byte{
		"longer":  func(all []byte) []byte { return append(all, 'x') },
		"shorter": func(all []byte) []byte { return all[:len(all)-1] },
	} {
		b := newBucket(t, contents(10))
		b.change = change
		_, _, err := download.Open(t.Context(), b, "a.zip", store.GetOptions{}, func(store.Info) error { return nil })
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A chunk that is fetched again must be the same as before.
func TestALargeObjectThatChanges(t *testing.T) {
	t.Parallel()
	b := newBucket(t, contents(40<<20))
	o := b.open(t)
	p := make([]byte, 1)
	b.change = func(all []byte) []byte { all[0]++; return all }
	if _, err := o.ReadAt(p, 0); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("other bytes: %v", err)
	}
	b.change = nil
	b.put(t, []byte("another"))
	if _, err := o.ReadAt(p, 0); problem.CodeOf(err) != "trigger.stale" {
		t.Errorf("another version: %v", err)
	}
}
