package followup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

const (
	key   = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	runID = "20260101T000000Z-sample-0123456789ab"
)

// desk is a follower with its buckets, both folders.
type desk struct {
	followup.Follower
	t    *testing.T
	told []string // the runs that were announced
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
	d := &desk{t: t}
	now := func() time.Time { return time.Now().UTC() }
	quiet := slog.New(slog.DiscardHandler)
	d.Follower = followup.Follower{
		Book:    claim.Book{State: open(), Environment: "test", Clock: now, Log: quiet},
		Results: open(), Attempts: 10, Now: now, Log: quiet,
		Announce: func(_ context.Context, r evidence.Result) error {
			d.told = append(d.told, r.RunID)
			return nil
		},
	}
	return d
}

func (d *desk) ok(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) code(err error, want string) {
	d.t.Helper()
	if got := problem.CodeOf(err); got != want {
		d.t.Errorf("%v; want the code %q", err, want)
	}
}

// applied is the result of a run that applied a package.
func applied() evidence.Result {
	start := time.Now().UTC().Add(-time.Minute)
	return evidence.Result{
		SchemaVersion: 1, RunID: runID, Status: evidence.StatusSuccess, Action: "apply", Environment: "test",
		Start: start, End: start,
		SourceObject: "sample.zip", Trigger: evidence.Trigger{Kind: "event"},
		Package: evidence.Package{Name: "sample", Version: "1.0.0", SHA256: "aa", DirHash: "h1:a", ETag: "etag"},
		Steps:   []evidence.Step{{Name: "run", Phase: "run", Status: evidence.StepSuccess, Attempts: 1}},
	}
}

// change is the entry of what that run applies.
func change() *claim.Entry { return &claim.Entry{RunID: runID, Key: "content-key"} }

// claimed claims the key of a run that was accepted, for some time, which has passed where it is negative.
func (d *desk) claimed(c claim.Claim, lease time.Duration) *claim.Held {
	d.t.Helper()
	if c.Key == "" {
		c.Key = key
	}
	if c.RunID == "" {
		c.RunID = runID
	}
	request := []byte(`{"trigger":{"kind":"event","raw":{"a":1}}}`)
	_, err := d.Book.Accept(d.t.Context(), claim.PendingName(c.Key, 1), request)
	d.ok(err)
	held, found, err := d.Book.Acquire(d.t.Context(), c, func() time.Time { return time.Now().UTC().Add(lease) })
	if err != nil || found != claim.Acquired {
		d.t.Fatalf("acquire: found %d, %v", found, err)
	}
	return held
}

// running notes that a step of a run is about to begin; the checkpoint is the result if it is its last.
func (d *desk) running(held *claim.Held, lease time.Duration, checkpoint []byte, applies *claim.Entry) *claim.Held {
	d.t.Helper()
	ok, err := held.Progress(d.t.Context(), claim.Start{
		Lease: time.Now().UTC().Add(lease), Group: held.Group, Applies: applies, SHA256: "aa", Checkpoint: checkpoint,
	})
	if err != nil || !ok {
		d.t.Fatalf("progress: %t, %v", ok, err)
	}
	return held
}

// died is the claim of a run that died in its step; change tells what the checkpoint says otherwise.
func (d *desk) died(c claim.Claim, otherwise func(*evidence.Result)) *claim.Held {
	d.t.Helper()
	r := applied()
	r.Status, r.Steps[0].Status = evidence.StatusInterrupted, evidence.StepInterrupted
	if c.RunID != "" {
		r.RunID = c.RunID
	}
	otherwise(&r)
	doc, err := r.Encode()
	d.ok(err)
	return d.running(d.claimed(c, -time.Hour), -time.Hour, doc, change())
}

func asItIs(*evidence.Result) {}

// store stores a result, and returns its digest.
func (d *desk) store(r evidence.Result) string {
	d.t.Helper()
	doc, err := r.Encode()
	d.ok(err)
	d.put(d.Results, evidence.ResultObject(r.RunID), string(doc))
	return fmt.Sprintf("%x", sha256.Sum256(doc))
}

func (d *desk) put(b store.Bucket, name, text string) {
	d.t.Helper()
	_, err := b.Put(d.t.Context(), name, strings.NewReader(text), int64(len(text)), store.PutOptions{})
	d.ok(err)
}

// find reads the claim of the run.
func (d *desk) find() *claim.Held {
	d.t.Helper()
	held, err := d.Book.Find(d.t.Context(), key)
	d.ok(err)
	return held
}

// entry is what the package's record says of a run; nil: nothing.
func (d *desk) entry(id string) *claim.Entry {
	d.t.Helper()
	record, err := d.Record(d.t.Context(), "sample")
	d.ok(err)
	return record.Find("", id)
}

// pending are the names of the pending requests.
func (d *desk) pending() []string {
	d.t.Helper()
	names, _, err := d.Book.ListPending(d.t.Context(), "", 100)
	d.ok(err)
	return names
}

// faulty is a bucket that fails to write, or to read, objects with a prefix.
type faulty struct {
	store.Bucket
	put, get string
}

func (f faulty) fault(op, name, prefix string) error {
	if prefix != "" && strings.HasPrefix(name, prefix) {
		return store.Error(store.ErrUnavailable, op, f.Name(), name, nil)
	}
	return nil
}

func (f faulty) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, o store.PutOptions,
) (store.Info, error) {
	if err := f.fault("put", name, f.put); err != nil {
		return store.Info{}, err
	}
	return f.Bucket.Put(ctx, name, body, size, o)
}

func (f faulty) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	if err := f.fault("get", name, f.get); err != nil {
		return nil, store.Info{}, err
	}
	return f.Bucket.Get(ctx, name, o)
}

// object reads an object of the results bucket.
func (d *desk) object(name string) string {
	d.t.Helper()
	body, _, err := d.Results.Get(d.t.Context(), name, store.GetOptions{})
	d.ok(err)
	defer body.Close()
	var text bytes.Buffer
	_, err = text.ReadFrom(body)
	d.ok(err)
	return text.String()
}
