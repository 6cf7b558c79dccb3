package intake_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
)

// Metadata decides nothing for a person's request, for one that goes back, and which set an event's request is of.
func TestMetadataThatDoesNotCount(t *testing.T) {
	t.Parallel()
	metadata := map[string]string{"cemli-action": "check", "cemli-parameter-set": "FR"}
	back, byEvent := intake.Request{Back: intake.Back{RerunOf: "a"}}, intake.Request{OnEvent: true}
	byHand := intake.Request{Trigger: intake.Trigger{Kind: intake.TriggerCLI}}
	type chosen struct {
		Action intake.Action
		Set    string
	}
	for name, c := range map[string]struct {
		request intake.Request
		want    chosen
	}{
		"an upload": {intake.Request{}, chosen{intake.ActionCheck, "FR"}},
		"by hand":   {byHand, chosen{intake.ActionApply, "FR"}},
		"back":      {back, chosen{}},
		"an event":  {byEvent, chosen{intake.ActionCheck, ""}},
	} {
		q := c.request
		if err := q.ReadMetadata(metadata); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, chosen{q.Action, q.ParameterSet}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if err := back.ReadMetadata(map[string]string{"cemli-acton": "check"}); err != nil {
		t.Errorf("a request that goes back is refused for metadata that it does not read: %v", err)
	}
	for _, key := range []string{"cemli-not-before", "cemli-", "CEMLI-other"} {
		q := intake.Request{}
		if err := q.ReadMetadata(map[string]string{key: "x"}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// The store tells the second of a single object; the listing or the event is believed within it, and no further.
func TestCreatedAt(t *testing.T) {
	t.Parallel()
	second := time.Date(2026, 3, 1, 12, 0, 7, 0, time.UTC)
	in := func(d time.Duration) time.Time { return second.Add(d) }
	for name, c := range map[string]struct {
		told, listed, event, want time.Time
	}{
		"nothing is told": {want: time.Time{}, event: second},
		"nothing closer":  {told: second, want: second},
		"a listing": {
			told: second, listed: in(250 * time.Millisecond), event: in(time.Millisecond),
			want: in(250 * time.Millisecond),
		},
		"an event": {
			told: second, event: in(123456 * time.Microsecond), want: in(123 * time.Millisecond),
		},
		"an event of long ago":       {told: second, event: in(-time.Hour), want: second},
		"an event of a later second": {told: second, event: in(time.Hour), want: in(999 * time.Millisecond)},
		"told to the millisecond": {
			told: in(time.Millisecond), event: in(5 * time.Millisecond), want: in(time.Millisecond),
		},
	} {
		q := intake.Request{Fixed: intake.Fixed{Created: c.listed}, Trigger: intake.Trigger{EventTime: c.event}}
		if got := q.CreatedAt(c.told); !got.Equal(c.want) {
			t.Errorf("%s: %s; want %s", name, got, c.want)
		}
	}
}

func TestIsPackage(t *testing.T) {
	t.Parallel()
	for object, want := range map[string]bool{
		"a.zip": true, "in/A.ZIP": true, "a.zip.sig": false, "zip": false, "": false,
	} {
		if got := intake.IsPackage(object); got != want {
			t.Errorf("IsPackage(%q) = %t", object, got)
		}
	}
}

// Who asks by hand is a person; what comes again and again is told what kind of package it wants.
func TestKindsOfRequests(t *testing.T) {
	t.Parallel()
	for kind, byHand := range map[intake.TriggerKind]bool{
		intake.TriggerRequest: true, intake.TriggerCLI: true, intake.TriggerEvent: false,
		intake.TriggerCloudEvent: false,
		intake.TriggerSweep:      false,
	} {
		if got := (intake.Request{Trigger: intake.Trigger{Kind: kind}}).ByHand(); got != byHand {
			t.Errorf("ByHand of %s is %t", kind, got)
		}
	}
	if got := intake.PolicyKind(intake.TriggerSweep); got != "event" {
		t.Errorf("policies know an upload that a sweep found as %q", got)
	}
	for want, q := range map[string]intake.Request{
		"is to run regularly": {OncePer: time.Hour}, "to run by every such event": {OnEvent: true},
	} {
		if got := q.RepeatsHint(); !strings.Contains(got, want) || !strings.Contains(got, "idempotent") {
			t.Errorf("%q does not say %q", got, want)
		}
	}
	if got := (intake.Request{}).RepeatsHint(); got != "" {
		t.Errorf("a hint to repeat what comes once: %q", got)
	}
}

// A result quotes a trigger up to its limit, with times in UTC.
func TestDescribe(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("CET", 3600))
	utc := at.UTC()
	raw := json.RawMessage(`"` + strings.Repeat("x", evidence.MaxTrigger-2) + `"`)
	trigger := intake.Trigger{Kind: intake.TriggerEvent, EventID: "id", EventType: "type", EventTime: at, Raw: raw}
	want := evidence.Trigger{Kind: "event", EventID: "id", EventType: "type", EventTime: &utc, Raw: raw}
	if diff := cmp.Diff(want, trigger.Describe()); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	trigger.EventTime, trigger.Raw = time.Time{}, append(raw, ' ')
	if got := trigger.Describe(); got.EventTime != nil || got.Raw != nil {
		t.Errorf("time %v, %d bytes", got.EventTime, len(got.Raw))
	}
}

// What is left to be undone is asked for with a request of its own, also after a rollback that did not do it.
func TestFinishUndo(t *testing.T) {
	t.Parallel()
	q := intake.Request{Object: "a.zip", ParameterSet: "FR"}
	run := evidence.Result{RunID: "run-1", Action: "apply", Package: evidence.Package{VersionID: "v1"}}
	want := &evidence.UndoRequest{
		Action: "rollback", Object: "a.zip", VersionID: "v1", ParameterSet: "FR", RollbackOf: "run-1",
		Reason: "finish the undo of run-1",
	}
	if diff := cmp.Diff(want, q.FinishUndo(run)); diff != "" {
		t.Error("of a run (-want +got):\n" + diff)
	}
	q.RollbackOf, run.RunID, run.Action = "run-1", "run-2", "rollback"
	want.Reason = "finish the undo of run-1, which run-2 did not"
	if diff := cmp.Diff(want, q.FinishUndo(run)); diff != "" {
		t.Error("of a rollback (-want +got):\n" + diff)
	}
}

// Doing the same again does what that run did; the other ways back apply unless they say something else.
func TestActionAfter(t *testing.T) {
	t.Parallel()
	was := evidence.Result{Action: "check"}
	for _, c := range []struct {
		request intake.Request
		want    intake.Action
	}{
		{intake.Request{Back: intake.Back{RerunOf: "a"}}, intake.ActionCheck},
		{intake.Request{Back: intake.Back{RollbackOf: "a"}}, intake.ActionApply},
		{intake.Request{Action: intake.ActionRollback, Back: intake.Back{RollbackOf: "a"}}, intake.ActionRollback},
	} {
		if got := c.request.ActionAfter(was); got != c.want {
			t.Errorf("%+v: %s; want %s", c.request, got, c.want)
		}
	}
}

// An upload whose metadata is wrong is the same request at each delivery, whatever else its uploader chose.
func TestWrongMetadataChoosesNothing(t *testing.T) {
	t.Parallel()
	metadata := map[string]string{
		"cemli-action": "dry_run", "cemli-parameter-set": "FR", "cemli-reason": "r", "cemli-zzz": "x", "cemli-bbb": "y",
	}
	for range 50 {
		q := intake.Request{Object: "a.zip", Trigger: intake.Trigger{Kind: intake.TriggerEvent}}
		before := q
		err := q.ReadMetadata(metadata)
		if err == nil || !strings.Contains(err.Error(), "unknown metadata key") ||
			problem.Of(err, problem.Problem{}).Problems[0].Where != "opc-meta-cemli-bbb" {
			t.Fatalf("%v; want that cemli-bbb, the first, is unknown", err)
		}
		if diff := cmp.Diff(before, q); diff != "" {
			t.Fatal("the request has changed (-before +after):\n" + diff)
		}
	}
}
