package buckets_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/index"
)

// recorded are the types of recorded events.
type recorded []string

func (r *recorded) Record(_ *bolt.Tx, eventType, _ string, _ time.Time, data map[string]any) error {
	kind := eventType[strings.LastIndexByte(eventType, '.')+1:]
	*r = append(*r, kind+" "+data["resourceName"].(string))
	return nil
}

func (r *recorded) Committed() {}

// open opens the buckets in a folder; the returned function closes them.
func open(t *testing.T, dir string, events buckets.Events) (*buckets.Store, func()) {
	t.Helper()
	db, err := index.Open(filepath.Join(dir, "index.db"), buckets.Tables)
	if err != nil {
		t.Fatal(err)
	}
	s, err := buckets.Open(dir, db, events, time.Now, func() bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.EnsureBucket("b", true, buckets.VersioningOn); err != nil {
		t.Fatal(err)
	}
	return s, func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func put(t *testing.T, s *buckets.Store, name, text string) buckets.Object {
	t.Helper()
	blob, size, err := s.Write(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.Put(buckets.Change{Bucket: "b", Name: name}, buckets.Object{Blob: blob, Size: size})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// read reads an object; "none" if it does not exist.
func read(t *testing.T, s *buckets.Store, name, version string) string {
	t.Helper()
	f, _, err := s.Open("b", name, version)
	if errors.Is(err, buckets.ErrNoObject) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The object is always the newest version, and each change is an event.
func TestVersionsFollowEachOther(t *testing.T) {
	t.Parallel()
	var events recorded
	s, end := open(t, t.TempDir(), &events)
	defer end()
	first, second := put(t, s, "x", "1"), put(t, s, "x", "2")
	marker, err := s.Delete(buckets.Change{Bucket: "b", Name: "x"})
	if err != nil || !marker.Marker {
		t.Fatalf("%+v, %v; want a marker", marker, err)
	}
	if got := read(t, s, "x", "") + read(t, s, "x", first.Version) + read(t, s, "x", second.Version); got != "none12" {
		t.Errorf("deleted: %s; want that the versions stay", got)
	}
	gone := func(version string) {
		t.Helper()
		allow := func(bool) error { return nil }
		if err := s.DeleteVersion(buckets.Change{Bucket: "b", Name: "x", Allow: allow}, version); err != nil {
			t.Fatal(err)
		}
	}
	gone(marker.Version)
	if got := read(t, s, "x", ""); got != "2" {
		t.Errorf("without the marker: %s; want the version before", got)
	}
	gone(second.Version)
	if got := read(t, s, "x", ""); got != "1" {
		t.Errorf("without the newest: %s; want the version before", got)
	}
	if diff := cmp.Diff(recorded{"createobject x", "updateobject x", "deleteobject x"}, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A change that a condition or a permission refuses writes nothing, and leaves no file.
func TestRefusedChangesLeaveNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, end := open(t, dir, &recorded{})
	defer func() { end() }() // the one that is open then
	put(t, s, "x", "1")
	denied := errors.New("denied")
	for name, c := range map[string]buckets.Change{
		"create only":   {IfNoneMatch: true},
		"another ETag":  {IfMatch: "other"},
		"not permitted": {Allow: func(bool) error { return denied }},
	} {
		c.Bucket, c.Name = "b", "x"
		blob, size, err := s.Write(strings.NewReader("2"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(c, buckets.Object{Blob: blob, Size: size}); err == nil {
			t.Errorf("%s: it was written", name)
		}
	}
	if got := read(t, s, "x", ""); got != "1" {
		t.Errorf("the object is %s", got)
	}
	end()
	s, end = open(t, dir, &recorded{}) // a failure that is no refusal leaves its file to the next start
	files, err := os.ReadDir(filepath.Join(dir, "blobs"))
	if err != nil || len(files) != 1 || read(t, s, "x", "") != "1" {
		t.Errorf("%d files, %v; want one", len(files), err)
	}
}
