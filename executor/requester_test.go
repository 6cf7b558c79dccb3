package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

const uploaderID = "ocid1.user.oc1..aaaaalice"

// writeLog is a log of writes that a test fills.
type writeLog struct {
	entries []executor.LoggedWrite
	page    int   // entries of one; 0: all
	err     error // that it answers
	reads   int
}

func (l *writeLog) read(_ context.Context, from, to time.Time, page string) ([]executor.LoggedWrite, string, error) {
	l.reads++
	if l.err != nil {
		return nil, "", l.err
	}
	var found []executor.LoggedWrite
	for _, w := range l.entries {
		if !w.Time.Before(from) && !w.Time.After(to) {
			found = append(found, w)
		}
	}
	start := 0
	_, _ = fmt.Sscan(page, &start)
	if l.page == 0 || start+l.page >= len(found) {
		return found[min(start, len(found)):], "", nil
	}
	return found[start : start+l.page], fmt.Sprint(start + l.page), nil
}

// logged is the entry of a run's upload, to the millisecond, as the log has it.
func logged(r evidence.Result) executor.LoggedWrite {
	return executor.LoggedWrite{
		Time: time.Now().Truncate(time.Millisecond), Bucket: "packages", ETag: r.Package.ETag,
		VersionID: r.Package.VersionID, Principal: uploaderID, Authentication: "user",
	}
}

// withLog is a bench whose runs are to say who uploaded.
func withLog(t *testing.T) (*bench, *writeLog) {
	b, l := newBench(t), &writeLog{}
	b.config.WriteLog = l.read
	return b, l
}

// requester reads what is stored of who uploaded; "" if that is nothing.
func (b *bench) requester(r evidence.Result) (u evidence.Uploader, doc string) {
	b.t.Helper()
	if !slices.Contains(b.names(b.results, "runs/"), evidence.UploaderObject(r.RunID)) {
		return u, ""
	}
	doc = b.object(evidence.UploaderObject(r.RunID))
	testkit.CheckRequester(b.t, []byte(doc))
	if err := json.Unmarshal([]byte(doc), &u); err != nil {
		b.t.Fatal(err)
	}
	return u, doc
}

// aDayLater lets the time pass of everything that waits for an entry.
func (b *bench) aDayLater() {
	b.t.Helper()
	for _, name := range b.stateNames("todo/") {
		var doc map[string]any
		if err := json.Unmarshal([]byte(b.stateText(name)), &doc); err != nil {
			b.t.Fatal(err)
		}
		for _, key := range []string{"created", "uploaded"} {
			at, err := time.Parse(time.RFC3339Nano, doc[key].(string))
			if err != nil {
				b.t.Fatal(err)
			}
			doc[key] = at.Add(-25 * time.Hour)
		}
		b.overwrite(name, doc)
	}
}

// A run of an upload says who uploaded, as the log has it; then nothing is looked for any more.
func TestARunSaysWhoUploaded(t *testing.T) {
	b, l := withLog(t)
	b.config.Packages = versioned{b.packages}
	r := b.ran(files{"steps/run.sh": "true"})
	l.entries = []executor.LoggedWrite{logged(r)}
	if swept := b.sweep(); swept.Todo != 0 {
		t.Errorf("%+v", swept)
	}
	got, _ := b.requester(r)
	no := false
	want := evidence.Uploader{
		SchemaVersion: 1, RunID: r.RunID, Found: true, Principal: uploaderID, Authentication: "user",
		PreAuthenticated: &no,
		ETag:             r.Package.ETag, VersionID: "v1", Recorded: got.Recorded,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("requester.json (-want +got):\n" + diff)
	}
	if left := b.stateNames("todo/"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	reads := l.reads
	if b.sweep(); l.reads != reads {
		t.Error("the log was read although nothing is looked for")
	}
}

// versioned is a bucket whose objects have a version.
type versioned struct{ store.Bucket }

func (v versioned) Get(
	ctx context.Context, name string, o store.GetOptions,
) (body io.ReadCloser, info store.Info, err error) {
	o.VersionID = ""
	body, info, err = v.Bucket.Get(ctx, name, o)
	info.VersionID = "v1"
	return body, info, err
}

// A late entry counts, and after a day without one that is said. A log that cannot be read says nothing.
func TestLateAndLostEntries(t *testing.T) {
	b, l := withLog(t)
	r := b.ran(files{"steps/run.sh": "true"})
	if swept := b.sweep(); swept.Todo != 1 || swept.Status != evidence.StatusSuccess || swept.More ||
		swept.Message != "what follows the result is left of 1 run" {
		t.Errorf("no entry yet: %+v", swept)
	}
	if _, doc := b.requester(r); doc != "" {
		t.Errorf("too early: %s", doc)
	}
	b.aDayLater()
	l.err = store.Error(store.ErrUnavailable, "search", "log", "", nil)
	if swept, err := executor.New(b.config).Sweep(t.Context(), ""); err == nil || swept.Todo != 1 ||
		len(b.stateNames("todo/")) != 1 {
		t.Errorf("the log cannot be read: %+v, %v", swept, err)
	}
	l.err = nil
	b.sweep()
	if got, doc := b.requester(r); doc == "" || got.Found || got.Principal != "" {
		t.Errorf("a day without an entry: %s", doc)
	}
	l.entries = []executor.LoggedWrite{logged(r)} // too late
	b.sweep()
	if got, _ := b.requester(r); got.Found || len(b.stateNames("todo/")) != 0 {
		t.Errorf("what is stored is never changed: %+v", got)
	}
}

// Whatever happens after the commit, a run has its entry or its document in the end.
func TestADeathAfterTheCommit(t *testing.T) {
	for name, fails := range map[string]func() error{
		"death": func() error { panic(death{"todo"}) },
		"503":   func() error { return store.Error(store.ErrUnavailable, "put", "state", "todo", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			b, l := withLog(t)
			state := b.config.State
			b.config.State = faulty{Bucket: state, put: func(name string) error {
				if strings.HasPrefix(name, "todo/") {
					return fails()
				}
				return nil
			}}
			info := b.uploadOf("sample")
			dies(func() { _, _ = executor.New(b.config).Run(t.Context(), event(info.Name, info.ETag)) })
			r, ok := b.resultOf("sample")
			if !ok || len(b.stateNames("todo/")) != 0 || len(b.stateNames("open/")) != 1 {
				t.Fatalf("result %v, todo %v, open %v", ok, b.stateNames("todo/"), b.stateNames("open/"))
			}
			b.config.State = state
			l.entries = []executor.LoggedWrite{logged(r)}
			b.age()
			b.sweep()
			if got, _ := b.requester(r); got.Principal != uploaderID || len(b.stateNames("")) == 0 {
				t.Errorf("%+v, todo %v, open %v", got, b.stateNames("todo/"), b.stateNames("open/"))
			}
		})
	}
}

// A document whose answer was lost is found there.
func TestADocumentWhoseAnswerWasLost(t *testing.T) {
	b, l := withLog(t)
	r := b.ran(files{"steps/run.sh": "true"})
	l.entries = []executor.LoggedWrite{logged(r)}
	state := b.config.State
	b.config.State = keeps{state}
	if swept, err := executor.New(b.config).Sweep(t.Context(), ""); err == nil {
		t.Errorf("%+v", swept)
	}
	b.config.State = state
	l.entries[0].Principal = "ocid1.user.oc1..another"
	b.sweep()
	if got, _ := b.requester(r); got.Principal != uploaderID || len(b.stateNames("todo/")) != 0 {
		t.Errorf("%+v", got)
	}
}

// keeps is a bucket that deletes nothing.
type keeps struct{ store.Bucket }

func (k keeps) Delete(context.Context, string, string) error {
	return store.Error(store.ErrUnavailable, "delete", "state", "", nil)
}

// One time range is read for many runs, and each of a request's sets has a document.
func TestOneRangeForManyRuns(t *testing.T) {
	b, l := withLog(t)
	zip := pack(t, files{
		"manifest.json": `{"name":"sample","version":"1.0.0","type":"extension","parameter_sets":{"DE":{},"FR":{},` +
			`"IT":{}}}`, "steps/run.sh": "true",
	})
	var runs []evidence.Result
	for n := range 4 {
		info := b.upload(fmt.Sprintf("%d.zip", n), zip, store.PutOptions{})
		results, err := executor.New(b.config).Run(t.Context(), event(info.Name, info.ETag))
		if err != nil || len(results) != 3 {
			t.Fatalf("%d results, %v", len(results), err)
		}
		runs = append(runs, results...)
		l.entries = append(l.entries, logged(results[0]))
	}
	l.page = 1
	b.sweep()
	for _, r := range runs {
		if got, _ := b.requester(r); got.Principal != uploaderID {
			t.Errorf("%s: %+v", r.RunID, got)
		}
	}
	if l.reads != len(l.entries) {
		t.Errorf("%d pages were read of %d", l.reads, len(l.entries))
	}
}

// What is left for later comes after requests, and has a third of the sweep's time.
func TestWhatIsLeftForLaterWaits(t *testing.T) {
	const sweepTime = 12 * time.Second
	b, _ := withLog(t)
	b.ran(files{"steps/run.sh": "true"})
	info := b.uploadOf("next")
	if _, err := executor.New(b.config).Later(t.Context(), event(info.Name, info.ETag)); err != nil {
		t.Fatal(err)
	}
	b.config.WriteLog = func(ctx context.Context, _, _ time.Time, _ string) ([]executor.LoggedWrite, string, error) {
		if _, ok := b.resultOf("next"); !ok {
			t.Error("the log is read before the request is done")
		}
		if end, bounded := ctx.Deadline(); !bounded || time.Until(end) > sweepTime/3 {
			t.Errorf("the log may be read until %s, which is more than a third of the sweep's time", end)
		}
		<-ctx.Done() // it hangs
		return nil, "", ctx.Err()
	}
	swept, err := executor.New(b.config).Sweep(within(t, sweepTime), "")
	if !errors.Is(err, context.DeadlineExceeded) || len(swept.Runs) != 1 {
		t.Errorf("%v, %+v", err, swept)
	}
}

// A run makes one request more to the state bucket, however much is left for later.
func TestRequestsOfARunThatSaysWhoUploaded(t *testing.T) {
	count := func(log executor.WriteLog) int {
		b := newBench(t)
		b.sweep()
		var requests []string
		b.config.WriteLog, b.config.State = log, counter{b.state, &requests}
		b.ran(files{"steps/run.sh": "true"})
		return len(requests)
	}
	if with, without := count((&writeLog{}).read), count(nil); with != without+1 {
		t.Errorf("%d requests; without a log %d", with, without)
	}
}

// Without a log nothing is looked for, and what a newer version left stays.
func TestNobodyIsLookedFor(t *testing.T) {
	b := newBench(t)
	r := b.ran(files{"steps/run.sh": "true"})
	if left := b.stateNames("todo/"); len(left) != 0 {
		t.Errorf("left for later: %v", left)
	}
	b.putState("todo/test/other.json",
		`{"schema_version":1,"environment":"test","run_id":"other","kinds":["unheard_of"],`+
			`"etag":"e","uploaded":"2026-01-01T00:00:00Z","created":"2026-01-01T00:00:00Z"}`)
	b.sweep()
	b.config.WriteLog = (&writeLog{}).read
	b.sweep()
	if _, doc := b.requester(r); doc != "" || len(b.stateNames("todo/")) != 1 {
		t.Errorf("%s; %v", doc, b.stateNames("todo/"))
	}
}
