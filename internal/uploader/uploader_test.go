package uploader_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
	"cemli-executor/internal/uploader"
)

const (
	alice = "ocid1.user.oc1..aaaaalice"
	runID = "20260101T000000Z-sample-0123456789ab"
)

// writeLog is a log of writes that a test fills, the earliest first.
type writeLog struct {
	entries []uploader.LoggedWrite
	page    int // entries of one; 0: all
	reads   int
	fails   func(from time.Time) error // nil: it never does
}

func (l *writeLog) read(
	_ context.Context, from, to time.Time, page string,
) ([]uploader.LoggedWrite, string, error) {
	l.reads++
	if l.fails != nil {
		if err := l.fails(from); err != nil {
			return nil, "", err
		}
	}
	var found []uploader.LoggedWrite
	for _, w := range l.entries {
		if !w.Time.Before(from) && !w.Time.After(to) {
			found = append(found, w)
		}
	}
	start := 0
	_, _ = fmt.Sscan(page, &start) // the first page has no number
	if l.page == 0 || start+l.page >= len(found) {
		return found[min(start, len(found)):], "", nil
	}
	return found[start : start+l.page], fmt.Sprint(start + l.page), nil
}

// desk is a search with its log, its buckets, all folders, and its clock.
type desk struct {
	uploader.Search
	t    *testing.T
	log  *writeLog
	book claim.Book
	now  time.Time
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	open := func() store.Bucket {
		b, err := store.OpenFolder(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	d := &desk{t: t, log: &writeLog{}, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return d.now }
	d.Search = uploader.Search{
		Log: d.log.read, Bucket: "packages", Results: open(), Now: clock, Logger: slog.New(slog.DiscardHandler),
	}
	d.book = claim.Book{State: open(), Environment: "test", Clock: clock, Log: d.Logger}
	return d
}

// todo is the entry of a run whose package was uploaded some time ago.
func (d *desk) todo(id string, ago time.Duration) *claim.Todo {
	d.t.Helper()
	t := &claim.Todo{
		Environment: "test", RunID: id, Kinds: []string{"requester"}, ETag: "etag-of-" + id, VersionID: "v1",
		Uploaded: d.now.Add(-ago), Created: d.now.Add(-ago),
	}
	if err := t.Put(d.t.Context(), d.book.State); err != nil {
		d.t.Fatal(err)
	}
	return d.kept(id)
}

// kept reads the entry as the state bucket has it.
func (d *desk) kept(id string) *claim.Todo {
	d.t.Helper()
	t, err := d.book.Todo(d.t.Context(), id)
	if err != nil || t == nil {
		d.t.Fatalf("the entry of %s: %v, %v", id, t, err)
	}
	return t
}

// identified looks for the uploads of entries and returns the runs of which it is done.
func (d *desk) identified(todos ...*claim.Todo) []string {
	d.t.Helper()
	done, err := d.Identify(d.t.Context(), todos)
	if err != nil {
		d.t.Fatal(err)
	}
	return runsOf(done)
}

func runsOf(todos []*claim.Todo) []string {
	var runs []string
	for _, t := range todos {
		runs = append(runs, t.RunID)
	}
	return runs
}

// stored is what the results bucket says of who uploaded; "" if nothing.
func (d *desk) stored(id string) string {
	d.t.Helper()
	body, _, err := d.Results.Get(d.t.Context(), evidence.UploaderObject(id), store.GetOptions{})
	if errors.Is(err, store.ErrNotFound) {
		return ""
	}
	if err != nil {
		d.t.Fatal(err)
	}
	defer body.Close()
	doc, err := io.ReadAll(body)
	if err != nil {
		d.t.Fatal(err)
	}
	testkit.CheckRequester(d.t, doc)
	return string(doc)
}

// write is the log's entry of an upload.
func write(of *claim.Todo) uploader.LoggedWrite {
	return uploader.LoggedWrite{
		Time: of.Uploaded, Bucket: "packages", ETag: of.ETag, VersionID: of.VersionID,
		Principal: alice, Authentication: "user",
	}
}

// says checks the document about who uploaded.
func (d *desk) says(todo *claim.Todo, want evidence.Uploader) {
	d.t.Helper()
	want.RunID, want.ETag, want.VersionID, want.Recorded = todo.RunID, todo.ETag, todo.VersionID, d.now
	doc, err := want.Encode()
	if err != nil {
		d.t.Fatal(err)
	}
	if diff := cmp.Diff(string(doc), d.stored(todo.RunID)); diff != "" {
		d.t.Error("requester.json (-want +got):\n" + diff)
	}
}

func found(principal, authentication string, preAuthenticated bool) evidence.Uploader {
	return evidence.Uploader{
		Found: true, Principal: principal, Authentication: authentication, PreAuthenticated: &preAuthenticated,
	}
}

// Of an entry that is the upload's, no more is stored than identifiers of known form.
func TestWhatAnEntrySays(t *testing.T) {
	t.Parallel()
	const pipeline, instance = "ocid1.devopsbuildpipeline.oc1.phx.x", "ocid1.instance.oc1.phx.i"
	type change = func(*uploader.LoggedWrite)
	for name, c := range map[string]struct {
		change change
		want   evidence.Uploader
	}{
		"a person": {func(*uploader.LoggedWrite) {}, found(alice, "user", false)},
		"a resource": {
			func(w *uploader.LoggedWrite) { w.Principal, w.Authentication = pipeline, "resource" },
			found(pipeline, "resource", false),
		},
		"an instance": {
			func(w *uploader.LoggedWrite) { w.Principal, w.Authentication = instance, "instance" },
			found(instance, "instance", false),
		},
		"a pre-authenticated request": {
			func(w *uploader.LoggedWrite) { w.PreAuthenticated = true }, found(alice, "user", true),
		},
		"by its version alone": {func(w *uploader.LoggedWrite) { w.ETag = "" }, found(alice, "user", false)},
		"by its ETag alone":    {func(w *uploader.LoggedWrite) { w.VersionID = "" }, found(alice, "user", false)},
		"an ETag in capitals": {
			func(w *uploader.LoggedWrite) { w.ETag, w.VersionID = strings.ToUpper(w.ETag), "" },
			found(alice, "user", false),
		},
		"a principal with a name in it": {
			func(w *uploader.LoggedWrite) { w.Principal = "ocid1.saml2idp.oc1..x/alice@example.com" },
			found("", "user", false),
		},
		"a name for a kind": {
			func(w *uploader.LoggedWrite) { w.Authentication = "alice" }, found(alice, "other", false),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			todo := d.todo(runID, time.Minute)
			w := write(todo)
			c.change(&w)
			d.log.entries = []uploader.LoggedWrite{w}
			if diff := cmp.Diff([]string{runID}, d.identified(todo)); diff != "" {
				t.Error("done (-want +got):\n" + diff)
			}
			d.says(todo, c.want)
		})
	}
}

// An entry of another bucket, or of another write of the object, is none of the upload, and it is looked for again.
func TestAnotherEntryIsNone(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*uploader.LoggedWrite){
		"another bucket":                func(w *uploader.LoggedWrite) { w.Bucket = "others" },
		"another write":                 func(w *uploader.LoggedWrite) { w.ETag, w.VersionID = "another", "" },
		"the same ETag of version v0":   func(w *uploader.LoggedWrite) { w.VersionID = "v0" },
		"neither an ETag nor a version": func(w *uploader.LoggedWrite) { w.ETag, w.VersionID = "", "" },
		"long before the upload":        func(w *uploader.LoggedWrite) { w.Time = w.Time.Add(-2 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			todo := d.todo(runID, time.Minute)
			w := write(todo)
			change(&w)
			d.log.entries = []uploader.LoggedWrite{w}
			if done := d.identified(todo); len(done) != 0 || d.stored(runID) != "" {
				t.Errorf("done with %v: %s", done, d.stored(runID))
			}
		})
	}
}

// Of two entries of one upload the earlier counts.
func TestTheEarlierEntryCounts(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	todo := d.todo(runID, time.Minute)
	first, again := write(todo), write(todo)
	first.Time, again.Principal = first.Time.Add(-time.Second), "ocid1.user.oc1..aaaamallory"
	for _, order := range [][]uploader.LoggedWrite{{first, again}, {again, first}} {
		d.log.entries = order
		d.identified(todo)
		d.says(todo, found(alice, "user", false))
		if err := d.Results.Delete(t.Context(), evidence.UploaderObject(runID), ""); err != nil {
			t.Fatal(err)
		}
	}
}

// A late entry counts for a day. Then it is said that there is none, which is never changed again.
func TestLateAndLostEntries(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	todo := d.todo(runID, 2*time.Hour)
	for _, wait := range []time.Duration{0, 21 * time.Hour} {
		d.now = d.now.Add(wait)
		if done := d.identified(todo); len(done) != 0 || d.stored(runID) != "" {
			t.Errorf("%s after the upload: %s", d.now.Sub(todo.Uploaded), d.stored(runID))
		}
	}
	d.now = d.now.Add(2 * time.Hour)
	if diff := cmp.Diff([]string{runID}, d.identified(todo)); diff != "" {
		t.Error("done (-want +got):\n" + diff)
	}
	d.says(todo, evidence.Uploader{})
	before := d.stored(runID)
	d.log.entries = []uploader.LoggedWrite{write(todo)}
	d.now = d.now.Add(time.Hour)
	if diff := cmp.Diff([]string{runID}, d.identified(todo)); diff != "" || d.stored(runID) != before {
		t.Errorf("too late: %s; done (-want +got):\n%s", d.stored(runID), diff)
	}
}
