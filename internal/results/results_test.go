package results_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/results"
	"cemli-executor/internal/store"
)

// faulty is a bucket whose next requests fail as told: a Put that is lost has stored all the same.
type faulty struct {
	store.Bucket
	puts, gets []error
	lost       bool
	asked      []string
}

func (f *faulty) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, o store.PutOptions,
) (store.Info, error) {
	f.asked = append(f.asked, "put")
	if len(f.puts) == 0 {
		return f.Bucket.Put(ctx, name, body, size, o)
	}
	err := f.puts[0]
	f.puts = f.puts[1:]
	if f.lost {
		if _, err := f.Bucket.Put(ctx, name, body, size, o); err != nil {
			return store.Info{}, err
		}
	}
	return store.Info{}, err
}

func (f *faulty) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	f.asked = append(f.asked, "get")
	if len(f.gets) == 0 {
		return f.Bucket.Get(ctx, name, o)
	}
	err := f.gets[0]
	f.gets = f.gets[1:]
	return nil, store.Info{}, err
}

func failing(kind error) error { return store.Error(kind, "put", "results", "x", nil) }

func newWriter(t *testing.T, f *faulty) *results.Writer {
	t.Helper()
	folder, err := store.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if f.Bucket == nil {
		f.Bucket = folder
	}
	return results.NewWriter(f, func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, time.Minute)
	})
}

func document(name, text string) results.Document {
	return results.Document{Object: name, Type: "text/plain", Size: int64(len(text)), Body: strings.NewReader(text)}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func listed(w *results.Writer) []string {
	var names []string
	for _, o := range w.Listed() {
		names = append(names, o.Object)
	}
	return names
}

func TestCreateOnce(t *testing.T) {
	t.Parallel()
	f := &faulty{}
	w := newWriter(t, f)
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"a", "one", nil},
		{"a", "one", nil},
		{"a", "two", store.ErrExists},
		{"a", "longer", store.ErrExists},
		{"b", "two", nil},
	} {
		if err := w.Create(t.Context(), document(c.name, c.text)); !errors.Is(err, c.want) {
			t.Errorf("%s %q: %v; want %v", c.name, c.text, err, c.want)
		}
	}
	want := []evidence.Object{
		{Object: "a", Size: 3, SHA256: digest("one")}, {Object: "b", Size: 3, SHA256: digest("two")},
	}
	if diff := cmp.Diff(want, w.Listed()); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	o, err := results.Describe(t.Context(), f, "a")
	if diff := cmp.Diff(want[0], o); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// An object that was created without an answer is no conflict, whatever the store said, also when it is created
// again.
func TestTheAnswerWasLost(t *testing.T) {
	t.Parallel()
	for _, kind := range []error{store.ErrUnavailable, store.ErrExists} {
		f := &faulty{puts: []error{failing(kind)}, lost: true}
		w := newWriter(t, f)
		if err := w.Create(t.Context(), document("a", "one")); err != nil || len(w.Listed()) != 1 {
			t.Errorf("%v: %v, listed %v", kind, err, w.Listed())
		}
	}
	// Where it cannot be found out yet, it is tried again.
	f := &faulty{puts: []error{failing(store.ErrExists)}, lost: true, gets: []error{failing(store.ErrUnavailable)}}
	w := newWriter(t, f)
	if err := w.Insist(t.Context(), document("a", "one")); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"put", "get", "put", "get"}, f.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// A copy that is named by its digest is not read back: it may be large, and its name says what is in it.
func TestNamedByItsDigest(t *testing.T) {
	t.Parallel()
	f := &faulty{}
	w := newWriter(t, f)
	zip := document(results.KeptPackage(digest("zip")), "zip")
	zip.SHA256 = digest("zip")
	for range 2 {
		if err := w.Create(t.Context(), zip); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"put", "put"}, f.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	short := document(results.KeptPolicy(digest("{}")), "{")
	if err := w.Create(t.Context(), short); err != nil {
		t.Fatal(err)
	}
	whole := document(short.Object, "{}")
	whole.SHA256 = digest("{}")
	if err := w.Create(t.Context(), whole); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("%v; want that it is damaged", err)
	}
}

// closing notes that it was closed.
type closing struct {
	*bytes.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestWhatCannotBeStoredBesideIsStoredAtTheEnd(t *testing.T) {
	t.Parallel()
	f := &faulty{puts: []error{failing(store.ErrUnavailable), failing(store.ErrUnavailable)}}
	w := newWriter(t, f)
	body := &closing{Reader: bytes.NewReader([]byte("log"))}
	told := make(chan error, 1)
	w.Beside(t.Context(), results.Document{Object: "log", Size: 3, Body: body}, func(err error) { told <- err })
	if err := <-told; !errors.Is(err, store.ErrUnavailable) || body.closed {
		t.Errorf("told %v, closed: %t", err, body.closed)
	}
	if err := w.Rest(t.Context()); err != nil || !body.closed {
		t.Errorf("%v, closed: %t", err, body.closed)
	}
	if diff := cmp.Diff([]string{"log"}, listed(w)); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}

func TestCloseGivesUp(t *testing.T) {
	t.Parallel()
	f := &faulty{puts: []error{failing(store.ErrDenied)}}
	w := newWriter(t, f)
	body := &closing{Reader: bytes.NewReader(nil)}
	w.Beside(t.Context(), results.Document{Object: "log", Body: body}, func(error) {})
	if w.Close(); !body.closed || len(w.Listed()) != 0 {
		t.Errorf("closed: %t, listed %v", body.closed, w.Listed())
	}
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	f := &faulty{}
	w := newWriter(t, f)
	if err := w.Adopt(t.Context(), "none"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if _, err := f.Bucket.Put(t.Context(), "a", strings.NewReader("x"), 1, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.Adopt(t.Context(), "a"); err != nil || len(w.Listed()) != 1 {
		t.Errorf("%v, listed %v", err, w.Listed())
	}
}
