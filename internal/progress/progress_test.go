package progress_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/progress"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
)

const runID = "20260101T000000Z-sample-0123456789ab"

// bench watches a run whose steps the test plays.
type bench struct {
	t       *testing.T
	book    claim.Book
	state   *state
	masker  *redact.Masker
	log     bytes.Buffer
	watch   *progress.Watch
	journal steps.Journal
	told    []string
}

// state is a bucket of which writes can be made to fail.
type state struct {
	store.Bucket
	broken atomic.Bool
	writes atomic.Int64
}

func (s *state) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, o store.PutOptions,
) (store.Info, error) {
	if s.writes.Add(1); s.broken.Load() {
		return store.Info{}, store.Error(store.ErrRefused, "put", s.Name(), name, errors.New("broken"))
	}
	return s.Bucket.Put(ctx, name, body, size, o)
}

// play plays a run in a time of its own.
func play(t *testing.T, undoes bool, run func(b *bench)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		folder, err := store.OpenFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{t: t, state: &state{Bucket: folder}, masker: redact.New([]string{"secret1"})}
		log := slog.New(slog.NewTextHandler(&b.log, nil))
		b.book = claim.Book{State: b.state, Environment: "test", Clock: time.Now, Log: log}
		b.watch = progress.Begin(t.Context(), progress.Run{
			Book: b.book, ID: runID, Begun: time.Now(), Mask: b.masker.String, Log: log, Undoes: undoes,
		})
		b.journal = b.watch.Journal(steps.Journal{
			Begins: func(_ context.Context, begins steps.Beginning) error {
				b.told = append(b.told, begins.Step.Name)
				return nil
			},
		})
		run(b)
	})
}

// begins begins a step.
func (b *bench) begins(name string, undo *evidence.Rollback) {
	b.t.Helper()
	err := b.journal.Begins(b.t.Context(), steps.Beginning{
		Step: evidence.Step{Name: name, Phase: "run"}, Number: 2, Interrupted: steps.Outcome{Rollback: undo},
	})
	if err != nil || b.told[len(b.told)-1] != name {
		b.t.Fatal(err, b.told)
	}
}

func (b *bench) prints(lines ...string) { b.journal.Lines("load", evidence.Stdout)(lines) }

// after lets time pass, and reads the document.
func (b *bench) after(d time.Duration) *claim.Progress {
	b.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	p, err := b.book.Progress().Of(b.t.Context(), runID)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// wants writes into the document that the run is to end.
func (b *bench) wants() {
	b.t.Helper()
	p := b.after(0)
	if p == nil {
		p = b.book.Progress().New(runID)
	}
	p.Cancel, p.Reason, p.Reference, p.By = true, "wrong", "INC1", []byte(`[{"subject":"anna","source":"test"}]`)
	if ok, err := p.Put(b.t.Context()); err != nil || !ok {
		b.t.Fatal(ok, err)
	}
}

func (b *bench) isCancelled() bool {
	select {
	case <-b.journal.Cancelled:
		return true
	default:
		return false
	}
}

// ends ends the run, and wants to know who cancelled it.
func (b *bench) ends(cancelled bool) {
	b.t.Helper()
	switch written, by := b.watch.Stop(); {
	case !written:
		b.t.Error("nothing was written")
	case !cancelled && by != nil:
		b.t.Errorf("it was cancelled: %+v", by)
	case cancelled && (by == nil || by.Reason != "wrong" || by.Reference != "INC1" || len(by.RequestedBy) != 1):
		b.t.Errorf("it was cancelled by %+v", by)
	}
}

func TestAShortRunIsNotWritten(t *testing.T) {
	play(t, false, func(b *bench) {
		b.begins("load", nil)
		if p := b.after(4900 * time.Millisecond); p != nil {
			t.Errorf("%+v", p)
		}
		if written, by := b.watch.Stop(); written || by != nil || b.state.writes.Load() != 0 {
			t.Error(written, by, b.state.writes.Load())
		}
	})
}

func TestHowFarARunIs(t *testing.T) {
	play(t, false, func(b *bench) {
		b.begins("load", nil)
		b.prints("with a later-secret", "and secret1")
		p := b.after(5 * time.Second)
		if p == nil || p.Step != "load" || p.Phase != "run" || p.Number != 2 || p.Elapsed != 5000 || p.Undoing ||
			p.Tail != "with a later-secret\nand ***\n" || p.SchemaVersion != 1 {
			t.Fatalf("%+v", p)
		}
		b.masker.Add("later-secret")
		b.begins("next", nil)
		if p = b.after(5 * time.Second); p.Tail != "with a ***\nand ***\n" || p.Step != "next" || p.Elapsed != 10_000 {
			t.Errorf("%+v", p)
		}
		b.ends(false)
		if n := b.state.writes.Load(); n != 2 {
			t.Errorf("%d writes", n)
		}
	})
}

func TestTheTailIsBounded(t *testing.T) {
	play(t, false, func(b *bench) {
		b.begins("load", nil)
		for range 5000 {
			b.prints(strings.Repeat("ü", 40), "\xff\xfe")
		}
		b.prints("last")
		tail := b.after(5 * time.Second).Tail
		if len(tail) > evidence.RecentBytes || len(tail) < evidence.RecentBytes-4 || !utf8.ValidString(tail) ||
			!strings.HasSuffix(tail, "\nlast\n") {
			t.Errorf("%d bytes, ending in %q", len(tail), tail[max(0, len(tail)-20):])
		}
		b.ends(false)
	})
}

func TestARunIsCancelled(t *testing.T) {
	for name, before := range map[string]time.Duration{
		"before the first write": time.Second, "after it": 7 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			play(t, false, func(b *bench) {
				b.begins("load", nil)
				b.after(before)
				b.wants()
				p := b.after(5 * time.Second)
				if !b.isCancelled() || !p.Cancel || p.Reason != "wrong" || p.Step != "load" {
					t.Errorf("%t, %+v", b.isCancelled(), p)
				}
				b.begins("undo", &evidence.Rollback{}) // the wish stays known
				if p = b.after(time.Second); !p.Cancel || !p.Undoing {
					t.Errorf("%+v", p)
				}
				b.ends(true)
			})
		})
	}
}

// That undo begins is written at once; a cancel that comes all the same is not followed, and does not stay.
func TestAnUndoIsNotCancelled(t *testing.T) {
	play(t, false, func(b *bench) {
		b.begins("load", nil)
		b.after(6 * time.Second)
		b.begins("load", &evidence.Rollback{})
		if p := b.after(time.Millisecond); !p.Undoing {
			t.Errorf("%+v", p)
		}
		b.wants()
		if p := b.after(5 * time.Second); b.isCancelled() || p.Cancel || p.Reason != "" || !p.Undoing {
			t.Errorf("%t, %+v", b.isCancelled(), p)
		}
		b.ends(false)
	})
	play(t, true, func(b *bench) {
		b.wants()
		if p := b.after(5 * time.Second); b.isCancelled() || p.Cancel || !p.Undoing {
			t.Errorf("a rollback: %t, %+v", b.isCancelled(), p)
		}
		b.ends(false)
	})
}

// What cannot be written is written with the next, and a document that somebody removed is there again.
func TestWritesThatFail(t *testing.T) {
	play(t, false, func(b *bench) {
		b.begins("load", nil)
		b.state.broken.Store(true)
		if p := b.after(5 * time.Second); p != nil || !strings.Contains(b.log.String(), "could not be stored") {
			t.Errorf("%+v, %s", p, &b.log)
		}
		b.state.broken.Store(false)
		if p := b.after(5 * time.Second); p == nil || p.Elapsed != 10_000 {
			t.Errorf("%+v", p)
		}
		b.book.Progress().Remove(b.t.Context(), runID)
		if p := b.after(5 * time.Second); p == nil || p.Elapsed != 15_000 {
			t.Errorf("%+v", p)
		}
		b.ends(false)
	})
}

// A document that nobody can read does not matter to the run.
func TestADamagedDocument(t *testing.T) {
	play(t, false, func(b *bench) {
		b.begins("load", nil)
		_, err := b.state.Bucket.Put(b.t.Context(), "progress/test/"+runID+".json", strings.NewReader("{"), 1,
			store.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if !strings.Contains(b.log.String(), "damaged") || b.isCancelled() {
			t.Error(b.log.String())
		}
		b.ends(false)
	})
}
