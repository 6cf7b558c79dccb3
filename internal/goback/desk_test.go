package goback_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/goback"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

const (
	runID  = "20260101T000000Z-sample-0123456789ab"
	newKey = "ffff456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// desk has the buckets that a way back leads through, all folders.
type desk struct {
	followup.Follower
	t *testing.T
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
	quiet := slog.New(slog.DiscardHandler)
	book := claim.Book{State: open(), Environment: "test", Clock: time.Now, Log: quiet}
	return &desk{followup.Follower{Book: book, Results: open(), Attempts: 10, Now: time.Now, Log: quiet}, t}
}

func (d *desk) ok(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// put stores an object in the results bucket, and returns its digest.
func (d *desk) put(name, text string) string {
	d.t.Helper()
	_, err := d.Results.Put(d.t.Context(), name, strings.NewReader(text), int64(len(text)), store.PutOptions{})
	d.ok(err)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
}

// store stores a result, and returns its digest.
func (d *desk) store(r evidence.Result) string {
	d.t.Helper()
	doc, err := r.Encode()
	d.ok(err)
	return d.put(evidence.ResultObject(r.RunID), string(doc))
}

// began is when the run began that requests go back to.
var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// failed is the result of a run that failed in its second step of three.
func failed() evidence.Result {
	step := func(name string, attempts int, status evidence.StepStatus) evidence.Step {
		return evidence.Step{Name: name, Phase: "run", Run: "steps/" + name + ".sh", Attempts: attempts, Status: status}
	}
	return evidence.Result{
		RunID: runID, Status: evidence.StatusFailed, Action: "apply", Environment: "test",
		Start: began, End: began.Add(time.Minute),
		SourceObject: "in/sample.zip", Manifest: []byte(`{}`),
		Parameters: map[string]any{"LEDGER": "GL", "N": json.Number("1.50")},
		Package: evidence.Package{
			Name: "sample", Version: "1.0.0", SHA256: "aa", DirHash: "h1:a", ETag: "etag", VersionID: "v1",
		},
		Steps: []evidence.Step{
			step("1", 1, evidence.StepSuccess), step("2", 2, evidence.StepFailed), step("3", 0, evidence.StepNotRun),
		},
	}
}

func rerun(change ...func(*intake.Request)) intake.Request {
	q := intake.Request{Bucket: "packages", Reason: "because", Back: intake.Back{RerunOf: runID}}
	for _, c := range change {
		c(&q)
	}
	return q
}

func resume(change ...func(*intake.Request)) intake.Request {
	q := rerun(change...)
	q.RerunOf, q.ResumeFrom = "", runID
	return q
}

// undo is a request to undo the run.
func undo(change ...func(*intake.Request)) intake.Request {
	q := rerun(change...)
	q.RerunOf, q.RollbackOf, q.Action = "", runID, intake.ActionRollback
	return q
}

// takeBack is a request to apply again what the run applied, in the place of what is applied now.
func takeBack(change ...func(*intake.Request)) intake.Request {
	q := undo(change...)
	q.Action = intake.ActionApply
	return q
}

func (d *desk) recalled(q intake.Request) *goback.Way {
	d.t.Helper()
	w, err := goback.Recall(d.t.Context(), d.Follower, q)
	if err != nil {
		d.t.Fatal(err)
	}
	return w
}

// refused checks an error for its code, and for a hint that says what to do.
func (d *desk) refused(what string, err error, code string) {
	d.t.Helper()
	if got := problem.CodeOf(err); got != code {
		d.t.Errorf("%s: %v; want the code %q", what, err, code)
		return
	}
	if code != "" && problem.Of(err, problem.Problem{}).Problems[0].Hint == "" {
		d.t.Errorf("%s: %v does not say what to do", what, err)
	}
}

// record changes the package's record, and returns it.
func (d *desk) record(change func(*claim.Package)) *claim.Package {
	d.t.Helper()
	record, err := d.Record(d.t.Context(), "sample")
	d.ok(err)
	d.ok(record.Update(d.t.Context(), change))
	return record
}

// planOf is the plan of the package of the run, for a request's parameters.
func planOf(t *testing.T, q intake.Request) *manifest.Plan {
	t.Helper()
	m, err := manifest.Parse([]byte(`{"name":"sample","version":"1.0.0","type":"extension","parameters":{
		"LEDGER":{"type":"string"},"N":{"type":"number"},"PW":{"type":"string","sensitive":true}},
		"steps":[{"run":"steps/1.sh","rollback":"rollback/1.sh"},{"run":"steps/2.sh","rollback":"rollback/2.sh"},
			{"run":"steps/3.sh"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	in, err := q.Inputs("test")
	if err != nil {
		t.Fatal(err)
	}
	arguments, err := m.Resolve(in)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range []string{"steps/1.sh", "steps/2.sh", "steps/3.sh", "rollback/1.sh", "rollback/2.sh"} {
		files[name] = "digest-of-" + name
	}
	plan, err := m.Plan(files, arguments)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// entry is what the record says of a run that did the same as the plan.
func entry(plan *manifest.Plan, id string, standing claim.Standing, start time.Time) claim.Entry {
	return claim.Entry{
		RunID: id, Standing: standing, Key: admission.ContentKey(plan, "h1:a", ""), Version: "1.0.0", DirHash: "h1:a",
		Object: "in/sample.zip", Start: start, End: start.Add(time.Minute),
	}
}

// unavailable is a bucket of which objects cannot be read that have a word in their name.
type unavailable struct {
	store.Bucket
	word string
}

func (u unavailable) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	if strings.Contains(name, u.word) {
		return nil, store.Info{}, store.Error(store.ErrUnavailable, "get", u.Name(), name, nil)
	}
	return u.Bucket.Get(ctx, name, o)
}
