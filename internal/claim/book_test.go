package claim_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"

	"github.com/google/go-cmp/cmp"
)

const key = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// book is a state bucket as an invocation uses it.
func book(b store.Bucket, environment string) claim.Book {
	return claim.Book{State: b, Environment: environment, Clock: time.Now, Log: slog.New(slog.DiscardHandler)}
}

// shelf is an empty state bucket that a test looks into.
type shelf struct {
	claim.Book
	t      *testing.T
	logged *bytes.Buffer
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	b, err := store.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{Book: book(b, "prod"), t: t, logged: &bytes.Buffer{}}
	s.Log = slog.New(slog.NewTextHandler(s.logged, nil))
	return s
}

func (s *shelf) write(object, doc string) {
	s.t.Helper()
	_, err := s.State.Put(s.t.Context(), object, strings.NewReader(doc), int64(len(doc)), store.PutOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
}

// has lists the objects with a prefix.
func (s *shelf) has(prefix string) (names []string) {
	s.t.Helper()
	page, err := s.State.List(s.t.Context(), store.ListOptions{Prefix: prefix})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, o := range page.Objects {
		names = append(names, o.Name)
	}
	return names
}

func (s *shelf) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// done checks whether a change was made.
func (s *shelf) done(what string, ok bool, err error, want bool) {
	s.t.Helper()
	if err != nil || ok != want {
		s.t.Fatalf("%s: %v, %v; want %v", what, ok, err, want)
	}
}

func (s *shelf) code(what string, err error, want string) {
	s.t.Helper()
	if got := problem.CodeOf(err); got != want {
		s.t.Errorf("%s: %v; want the code %q", what, err, want)
	}
}

// acquire claims the key with a lease, which is in the past if it is negative.
func (s *shelf) acquire(run string, lease time.Duration, want claim.Finding) *claim.Held {
	s.t.Helper()
	h, found, err := s.Acquire(s.t.Context(),
		claim.Claim{Key: key, RunID: run, Package: "gl", Object: "gl.zip", Repeatable: true}, in(lease))
	if err != nil || found != want {
		s.t.Fatalf("acquire for %s: found %d, %v; want %d", run, found, err, want)
	}
	return h
}

func (s *shelf) find() *claim.Held {
	s.t.Helper()
	h, err := s.Find(s.t.Context(), key)
	s.ok(err)
	if h == nil {
		s.t.Fatal("nobody has claimed the key")
	}
	return h
}

func in(d time.Duration) func() time.Time {
	return func() time.Time { return time.Now().Add(d).UTC() }
}

// failing is a store that fails to do what a test names.
type failing struct {
	store.Bucket
	put, remove string // prefixes of objects
}

func (f failing) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, o store.PutOptions,
) (store.Info, error) {
	if f.put != "" && strings.HasPrefix(name, f.put) {
		return store.Info{}, store.Error(store.ErrUnavailable, "put", "state", name, nil)
	}
	return f.Bucket.Put(ctx, name, body, size, o)
}

func (f failing) Delete(ctx context.Context, name, etag string) error {
	if f.remove != "" && strings.HasPrefix(name, f.remove) {
		return store.Error(store.ErrUnavailable, "delete", "state", name, nil)
	}
	return f.Bucket.Delete(ctx, name, etag)
}

// onStore reads the claim through another store.
func (s *shelf) onStore(b store.Bucket) *claim.Held {
	s.t.Helper()
	s.State = b
	return s.find()
}

func (s *shelf) group(name string) *claim.Group {
	s.t.Helper()
	g, err := s.Group(s.t.Context(), name)
	s.ok(err)
	return g
}

func (s *shelf) wait(group string, who claim.Waiting) {
	s.t.Helper()
	ok, err := s.group(group).Wait(s.t.Context(), who)
	s.done("wait", ok, err, true)
}

// sameDocument compares what documents say, and not who wrote them.
var sameDocument = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".header" }, cmp.Ignore())
