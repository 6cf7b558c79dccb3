package uploader_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
	"cemli-executor/internal/uploader"
)

// flood fills the log with other writes, one a second before an upload.
func (d *desk) flood(todo *claim.Todo, n int) {
	for i := range n {
		w := write(todo)
		w.ETag, w.VersionID, w.Time = fmt.Sprint(i), "", todo.Uploaded.Add(-time.Duration(n-i)*time.Second)
		d.log.entries = append(d.log.entries, w)
	}
	d.log.page = 1
}

// Uploads that are near each other are looked for in one range of the log; others have one of their own.
func TestOneRangeForUploadsThatAreNear(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var todos []*claim.Todo
	for id, hours := range map[string]time.Duration{"a": 1, "b": 3, "c": 9, "old": 200} {
		todo := d.todo(id, hours*time.Hour)
		todos, d.log.entries = append(todos, todo), append(d.log.entries, write(todo))
	}
	if diff := cmp.Diff([]string{"old", "c", "b", "a"}, d.identified(todos...)); diff != "" {
		t.Error("done, the earliest upload first (-want +got):\n" + diff)
	}
	if d.log.reads != 2 {
		t.Errorf("the log was read %d times; want 2", d.log.reads)
	}
	d.log.reads = 0
	if done := d.identified(); len(done) != 0 || d.log.reads != 0 {
		t.Errorf("nothing to look for: %v, the log was read %d times", done, d.log.reads)
	}
}

// However many writes are logged around an upload, one sweep after another gets to its entry. None reads without end,
// and none says that there is no entry before the log was read to its end.
func TestManyEntriesHideNoUploader(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	todo := d.todo(runID, 48*time.Hour)
	d.flood(todo, 100)
	d.log.entries = append(d.log.entries, write(todo))
	sweeps := 0
	for ; sweeps < 10 && d.stored(runID) == ""; sweeps++ {
		d.log.reads = 0
		if d.identified(d.kept(runID)); d.log.reads > 50 {
			t.Fatalf("one sweep reads %d pages", d.log.reads)
		}
	}
	d.says(todo, found(alice, "user", false))
	if sweeps < 3 {
		t.Errorf("%d sweeps have read 101 pages", sweeps)
	}
}

// Where one range is not read to its end, each upload in it is looked for from where its own entry may still come: one
// whose time was read comes late, and may have any time in that.
func TestUploadsInARangeThatIsReadInPart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	early, late := d.todo("early", 5*time.Hour), d.todo("late", 2*time.Hour)
	d.flood(late, 100)
	if done := d.identified(early, late); len(done) != 0 {
		t.Errorf("done with %v", done)
	}
	if read := d.kept("early").Read; !read.IsZero() {
		t.Errorf("the early one is looked for from %s on", read)
	}
	if read := d.kept("late").Read; !read.After(late.Uploaded.Add(-100*time.Second)) || !read.Before(late.Uploaded) {
		t.Errorf("the late one is looked for from %s on; it was uploaded at %s", read, late.Uploaded)
	}
}

// In a log that is not in the order of its times it is not known until when it was read: the next sweep begins anew.
func TestALogWithoutAnOrder(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	todo := d.todo(runID, 48*time.Hour)
	d.flood(todo, 100)
	d.log.entries[0], d.log.entries[1] = d.log.entries[1], d.log.entries[0]
	if done := d.identified(todo); len(done) != 0 || d.stored(runID) != "" || !d.kept(runID).Read.IsZero() {
		t.Errorf("done with %v, read until %s: %s", done, d.kept(runID).Read, d.stored(runID))
	}
}

// An entry that comes late may have a time at which the log was read before.
func TestAnEntryThatIsLate(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	todo := d.todo(runID, time.Minute)
	for range 2 {
		if done := d.identified(d.kept(runID)); len(done) != 0 {
			t.Errorf("done with %v", done)
		}
		d.now = d.now.Add(time.Minute)
	}
	d.log.entries = append(d.log.entries, write(todo))
	d.identified(d.kept(runID))
	d.says(todo, found(alice, "user", false))
}

// A range of the log that is refused keeps nobody from another; with a log that cannot be read, nothing else is tried,
// and nothing is said. The error is told.
func TestALogThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind error
		done []string
	}{
		"refused": {store.ErrRefused, []string{"new"}}, "unavailable": {store.ErrUnavailable, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			old, recent := d.todo("old", 300*24*time.Hour), d.todo("new", time.Hour)
			d.log.entries = []uploader.LoggedWrite{write(old), write(recent)}
			d.log.fails = func(from time.Time) error {
				if from.Before(d.now.Add(-200 * 24 * time.Hour)) {
					return store.Error(c.kind, "search", "log", "", nil)
				}
				return nil
			}
			done, err := d.Identify(t.Context(), []*claim.Todo{recent, old})
			if diff := cmp.Diff(c.done, runsOf(done)); diff != "" || !errors.Is(err, c.kind) {
				t.Errorf("error %v; done (-want +got):\n%s", err, diff)
			}
			if d.stored("old") != "" && name == "unavailable" {
				t.Errorf("of what was not read it is said: %s", d.stored("old"))
			}
		})
	}
}

// brittle is a bucket that stores, or does not, and loses the answer.
type brittle struct {
	store.Bucket
	stores bool
}

func (b brittle) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, o store.PutOptions,
) (store.Info, error) {
	if b.stores {
		if _, err := b.Bucket.Put(ctx, name, body, size, o); err != nil {
			return store.Info{}, err
		}
	}
	return store.Info{}, store.Error(store.ErrUnavailable, "put", b.Name(), name, nil)
}

// A document is done when it is there, whether that was answered or not; what could not be stored is not done.
func TestDocumentsThatCannotBeStored(t *testing.T) {
	t.Parallel()
	for name, stores := range map[string]bool{"the answer was lost": true, "it was not stored": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			todo := d.todo(runID, time.Minute)
			d.log.entries = []uploader.LoggedWrite{write(todo)}
			d.Results = brittle{d.Results, stores}
			done, err := d.Identify(t.Context(), []*claim.Todo{todo})
			if (len(done) == 1) != stores || (err == nil) != stores {
				t.Errorf("done with %v, %v", runsOf(done), err)
			}
			if stored := d.stored(runID); strings.Contains(stored, alice) != stores {
				t.Errorf("stored: %s", stored)
			}
		})
	}
}

// What is stored of an upload stands, whatever is found later.
func TestWhatIsStoredStands(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	todo := d.todo(runID, time.Minute)
	d.log.entries = []uploader.LoggedWrite{write(todo)}
	d.identified(todo)
	before := d.stored(runID)
	d.log.entries[0].Principal = "ocid1.user.oc1..another"
	if diff := cmp.Diff([]string{runID}, d.identified(todo)); diff != "" || before != d.stored(runID) {
		t.Errorf("%s; done (-want +got):\n%s", d.stored(runID), diff)
	}
	if _, err := d.Results.Head(t.Context(), evidence.UploaderObject(runID)); err != nil {
		t.Error(err)
	}
}

// Reading the log leaves some of the time that there is for what comes after it.
func TestPartly(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(time.Hour)
	whole, cancel := context.WithDeadline(t.Context(), end)
	defer cancel()
	part, cancel := uploader.Partly(whole, 3, 4)
	defer cancel()
	if got, ok := part.Deadline(); !ok || got.Before(end.Add(-16*time.Minute)) || got.After(end.Add(-14*time.Minute)) {
		t.Errorf("three quarters of an hour end at %s, %t; the hour at %s", got, ok, end)
	}
	free, cancel := uploader.Partly(context.Background(), 3, 4)
	if _, ok := free.Deadline(); ok {
		t.Error("time without an end has one")
	}
	cancel()
	if free.Err() == nil {
		t.Error("it cannot be cancelled")
	}
}
