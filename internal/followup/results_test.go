package followup_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/store"
)

// A result is read back with the digest of its bytes, and only as the result of its own run.
func TestReadResult(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	want := d.store(applied())
	if r, digest, err := d.ReadResult(t.Context(), runID); err != nil || digest != want || r.Package.SHA256 != "aa" {
		t.Errorf("%+v, %s, %v; want the digest %s", r.Package, digest, err, want)
	}
	if _, _, err := d.ReadResult(t.Context(), "another"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	for name, doc := range map[string]string{
		"of another run": d.object(evidence.ResultObject(runID)), "no document": "{",
		"of a newer version": `{"schema_version":99}`,
	} {
		id := strings.ReplaceAll(name, " ", "-")
		d.put(d.Results, evidence.ResultObject(id), doc)
		r, digest, err := d.ReadResult(t.Context(), id)
		if d.code(err, "state.result"); digest != "" || r.RunID != "" {
			t.Errorf("%s: %+v, %s", name, r, digest)
		}
	}
}

// A result is vouched for by its claim. One that no claim knows, or none with a digest, passes.
func TestVouched(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.ok(d.Vouched(t.Context(), runID, "digest"))
	held := d.claimed(claim.Claim{}, time.Hour)
	d.ok(d.Vouched(t.Context(), runID, "digest"))
	d.Conclude(t.Context(), held, claim.End{Outcome: claim.Outcome{Status: "success", Result: "digest"}})
	d.ok(d.Vouched(t.Context(), runID, "digest"))
	d.code(d.Vouched(t.Context(), runID, "another"), "request.altered")
	d.ok(d.Vouched(t.Context(), "no-run-of-ours", "another"))
	d.Book.State = silent{d.Book.State}
	if err := d.Vouched(t.Context(), runID, "digest"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("without an answer of the store: %v", err)
	}
}

// What an earlier version noted without sets is sorted by the results of its runs; a success whose result is gone, or
// is none, stays known by its key.
func TestRecordOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	const ofSet, lost, damaged = "run-of-a-set", "run-that-is-lost", "run-that-is-damaged"
	d := newDesk(t)
	d.put(d.Book.State, "packages/test/sample.json", `{"schema_version":1,"writer":"w",
		"environment":"test","name":"sample",
		"versions":[],"current":"1.0.0","done":[
			{"key":"k0","run_id":"`+lost+`","version":"0.9.0","end":"2026-01-01T00:00:00Z"},
			{"key":"k1","run_id":"`+ofSet+`","version":"1.0.0","end":"2026-01-02T00:00:00Z"},
			{"key":"k2","run_id":"`+damaged+`","version":"1.0.0","end":"2026-01-03T00:00:00Z"}]}`)
	r := applied()
	r.RunID, r.ParameterSet, r.Manifest = ofSet, "FR", []byte(`{"parameter_sets":{"FR":{},"DE":{}}}`)
	digest := d.store(r)
	d.put(d.Results, evidence.ResultObject(damaged), "{")
	record, err := d.Record(t.Context(), "sample")
	d.ok(err)
	e := record.Applied("FR")
	if e == nil || e.RunID != ofSet || e.Key != "k1" || e.Result != digest {
		t.Errorf("entry %+v", e)
	}
	if diff := cmp.Diff([]string{"DE", "FR"}, record.Declared["h1:a"]); diff != "" {
		t.Error("declared sets (-want +got):\n" + diff)
	}
	if record.Forgotten("k0") != lost || record.Forgotten("k2") != damaged || record.Forgotten("k1") != "" {
		t.Errorf("forgotten: %+v", record.Done)
	}
	d.Results = faulty{Bucket: d.Results, get: "runs/"}
	_, err = d.Record(t.Context(), "sample")
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "sample") {
		t.Errorf("results that cannot be read: %v", err)
	}
}

// A run has changed something when a step of its run phase began, here or in the run that it goes on from.
func TestWhatBegan(t *testing.T) {
	t.Parallel()
	type said struct{ Began, RanAny, UndoBegan bool }
	step := func(phase string, attempts int, status evidence.StepStatus) []evidence.Step {
		return []evidence.Step{{Phase: phase, Attempts: attempts, Status: status}}
	}
	for name, c := range map[string]struct {
		result evidence.Result
		want   said
	}{
		"nothing": {evidence.Result{}, said{}},
		"a check": {evidence.Result{Steps: step("pre_check", 1, evidence.StepFailed)}, said{RanAny: true}},
		"a step":  {evidence.Result{Steps: step("run", 2, evidence.StepFailed)}, said{Began: true, RanAny: true}},
		"a step before": {
			evidence.Result{Steps: step("run", 0, evidence.StepSkipped)}, said{Began: true, RanAny: true},
		},
		"no step": {evidence.Result{Steps: step("run", 0, evidence.StepNotRun)}, said{}},
		"an undo": {
			evidence.Result{Rollback: &evidence.Rollback{Steps: step("run", 1, "")}}, said{UndoBegan: true},
		},
		"an undo to be run": {evidence.Result{Rollback: &evidence.Rollback{Steps: step("run", 0, "")}}, said{}},
	} {
		got := said{followup.Began(c.result), followup.RanAny(c.result), followup.UndoBegan(c.result)}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
