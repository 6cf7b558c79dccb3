package executor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// hostileNames are names that objects of a bucket have, and that no package can have.
var hostileNames = []string{
	"/x.zip", "a//b.zip", "../c.zip", "in/./d.zip", "tab\t.zip", "nul\x00.zip", "a\u202epiz.zip", "\u200f.zip",
	"\u0085.zip",
}

// shelf is a bucket that has objects whose names cannot be asked for.
type shelf struct {
	store.Bucket
	hostile []store.Info
}

func (s shelf) List(ctx context.Context, o store.ListOptions) (store.Page, error) {
	page, err := s.Bucket.List(ctx, o)
	page.Objects = append(page.Objects, s.hostile...)
	return page, err
}

func (s shelf) ListVersions(ctx context.Context, o store.VersionOptions) (store.VersionPage, error) {
	return store.ListOnly(ctx, s, o)
}

func (b *bench) hostile(names ...string) {
	s := shelf{Bucket: b.packages}
	for i, name := range names {
		s.hostile = append(s.hostile, store.Info{Name: name, Size: 1, ETag: fmt.Sprintf("e%d", i), Created: time.Now()})
	}
	b.config.Packages = s
}

// refusedForItsName checks that a run was refused, and that its evidence shows the name as it is.
func (b *bench) refusedForItsName(r evidence.Result, name string) {
	b.t.Helper()
	if r.Status != evidence.StatusRejected || code(r) != "trigger.object" || r.SourceObject != name {
		b.t.Errorf("%q: status %s, %+v, object %q", name, r.Status, r.Error, r.SourceObject)
	}
	nothingRan(b.t, r)
	if doc := strings.ReplaceAll(b.object(evidence.ResultObject(r.RunID)), "\n", ""); strings.ContainsFunc(doc,
		evidence.Deceptive) {
		b.t.Errorf("%q: the evidence looks different from what it says: %q", name, doc)
	}
}

// An upload that cannot be a package, by its name, has a result and is announced, once, however often its
// event comes.
func TestAnUploadWithAHostileName(t *testing.T) {
	b := newBench(t)
	b.hostile(hostileNames...)
	told := 0
	b.config.Announce = func(_ context.Context, r evidence.Result) error { told++; return nil }
	for i, name := range hostileNames {
		q := request(name, fmt.Sprintf("e%d", i))
		q.Trigger = executor.Trigger{Kind: executor.TriggerEvent, EventID: "id", Raw: json.RawMessage(`{}`)}
		first := b.again(q)
		b.refusedForItsName(b.stored(first.RunID), name)
		if second := b.again(q); second.RunID != first.RunID || second.Status != evidence.StatusRejected {
			t.Errorf("%q again: run %s, status %s; want that of %s", name, second.RunID, second.Status, first.RunID)
		}
	}
	if told != len(hostileNames) || b.resultsStored() != len(hostileNames) {
		t.Errorf("announced %d times, %d results; want %d", told, b.resultsStored(), len(hostileNames))
	}
	if marks := b.stateNames("open/"); len(marks) != 0 {
		t.Errorf("left open: %v", marks)
	}
	if swept := b.sweep(); len(swept.Runs) != 0 || b.resultsStored() != len(hostileNames) {
		t.Errorf("a sweep runs them again: %+v", swept)
	}
}

// The same if the events never came.
func TestASweepRefusesHostileNames(t *testing.T) {
	b := newBench(t)
	if swept := b.sweep(); swept.Uploads != 0 {
		t.Fatalf("%+v", swept)
	}
	b.hostile(hostileNames...)
	swept := b.sweep()
	if swept.Status != evidence.StatusSuccess || len(swept.Runs) != len(hostileNames) {
		t.Fatalf("%+v", swept)
	}
	for i, run := range swept.Runs {
		b.refusedForItsName(b.stored(run.RunID), hostileNames[i])
	}
	if swept := b.sweep(); len(swept.Runs) != 0 || b.resultsStored() != len(hostileNames) {
		t.Errorf("once more: %+v", swept)
	}
}

// An upload with metadata that is not known is refused once, by whichever invocation finds it first.
func TestWrongMetadataIsRefusedOnce(t *testing.T) {
	b := newBench(t)
	b.sweep() // uploads are looked after from now on
	metadata := map[string]string{"cemli-action": "dry_run", "cemli-a": "x", "cemli-z": "y", "cemli-reason": "r"}
	info := b.upload("a.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{Metadata: metadata})
	first, err := b.run(t.Context(), event(info.Name, info.ETag))
	if err != nil || code(first) != "trigger.metadata" {
		t.Fatalf("%+v, %v", first.Error, err)
	}
	for range 8 {
		if again, err := b.run(t.Context(), event(info.Name, info.ETag)); err != nil || again.RunID != first.RunID {
			t.Fatalf("once more it is run %s, %v; want %s", again.RunID, err, first.RunID)
		}
		if swept := b.sweep(); len(swept.Runs) != 0 || swept.More {
			t.Fatalf("a sweep: %+v", swept)
		}
	}
	if n := b.resultsStored(); n != 1 {
		t.Errorf("%d results", n)
	}
}
