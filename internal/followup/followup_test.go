package followup_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/store"
)

// After all that follows a result nothing is left to be done: the record knows the run, somebody was told, the claim
// is done, and its pending request is gone.
func TestWhatFollowsAResult(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Requesters = true
	held, r := d.claimed(claim.Claim{}, time.Hour), applied()
	digest := d.store(r)
	end := d.Do(t.Context(), held, r, digest, change(), nil)
	if !followup.Recorded(end) || end.FollowUps != nil || end.Status != "success" || end.Result != digest {
		t.Fatalf("%+v", end)
	}
	d.Conclude(t.Context(), held, end)
	want := claim.Entry{
		RunID: runID, Standing: claim.Applied, Key: "content-key", Version: "1.0.0", DirHash: "h1:a", SHA256: "aa",
		Object: "sample.zip", Start: r.Start, End: r.End, Result: digest,
	}
	if diff := cmp.Diff(&want, d.entry(runID)); diff != "" {
		t.Error("record (-want +got):\n" + diff)
	}
	if diff := cmp.Diff([]string{runID}, d.told); diff != "" {
		t.Error("announced (-want +got):\n" + diff)
	}
	if c := d.find(); c.State != claim.Done || c.Status != "success" || c.Result != digest || d.pending() != nil {
		t.Errorf("claim %+v; pending %v", c.Claim, d.pending())
	}
	todo, err := d.Book.Todo(t.Context(), runID)
	if err != nil || todo == nil {
		t.Fatalf("the entry for later: %v, %v", todo, err)
	}
	if diff := cmp.Diff([]string{followup.TodoRequester}, todo.Kinds); diff != "" || todo.ETag != "etag" {
		t.Errorf("for later is %+v (-want +got):\n%s", todo, diff)
	}
}

// The record has what is applied: not what began no step, and not what only looked.
func TestWhatTheRecordSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*evidence.Result)
		want   claim.Standing // "" if there is no entry
	}{
		"a success":        {func(*evidence.Result) {}, claim.Applied},
		"a failure":        {func(r *evidence.Result) { r.Status = evidence.StatusFailed }, claim.Partial},
		"undone by itself": {func(r *evidence.Result) { r.Status = evidence.StatusRolledBack }, claim.Undone},
		"cancelled":        {func(r *evidence.Result) { r.Status = evidence.StatusCancelled }, claim.Partial},
		"cancelled, undone": {
			func(r *evidence.Result) {
				r.Status, r.Rollback = evidence.StatusCancelled, &evidence.Rollback{Status: evidence.StepSuccess}
			}, claim.Undone,
		},
		"cancelled, and its undo failed": {
			func(r *evidence.Result) {
				r.Status, r.Rollback = evidence.StatusCancelled, &evidence.Rollback{Status: evidence.StepFailed}
			}, claim.Partial,
		},
		"a dry run":         {func(r *evidence.Result) { r.Action = "dry_run" }, ""},
		"nothing began":     {func(r *evidence.Result) { r.Steps[0].Attempts = 0 }, ""},
		"only checks began": {func(r *evidence.Result) { r.Steps[0].Phase = "pre_check" }, ""},
		"resumed, done before": {
			func(r *evidence.Result) { r.Steps[0].Attempts, r.Steps[0].Status = 0, evidence.StepSkipped },
			claim.Applied,
		},
	} {
		d := newDesk(t)
		r := applied()
		c.change(&r)
		if end := d.Do(t.Context(), d.claimed(claim.Claim{}, time.Hour), r, "digest", change(),
			nil); end.FollowUps != nil {
			t.Errorf("%s: left %v", name, end.FollowUps)
		}
		var got claim.Standing
		if e := d.entry(runID); e != nil {
			got = e.Standing
		}
		if got != c.want {
			t.Errorf("%s: %q; want %q", name, got, c.want)
		}
	}
}

// A rollback that succeeded, or has begun, changes what the record says of the run that it is of; another does not.
func TestWhatTheRecordSaysOfRollbacks(t *testing.T) {
	t.Parallel()
	began := &evidence.Rollback{Steps: []evidence.Step{{Name: "run", Attempts: 1}}}
	for name, c := range map[string]struct {
		status   evidence.Status
		rollback *evidence.Rollback
		want     claim.Standing
		by       []string
	}{
		"a success":        {evidence.StatusSuccess, began, claim.Undone, []string{"rollback-1"}},
		"nothing was left": {evidence.StatusSuccess, &evidence.Rollback{}, claim.Undone, []string{"rollback-1"}},
		"a failure":        {evidence.StatusFailed, began, claim.Partial, []string{"rollback-1"}},
		"it did not begin": {evidence.StatusFailed, &evidence.Rollback{}, claim.Applied, nil},
		"it was refused":   {evidence.StatusRejected, nil, claim.Applied, nil},
	} {
		for _, noted := range []bool{true, false} { // an earlier version may not have noted the run
			d := newDesk(t)
			held := d.claimed(claim.Claim{}, time.Hour)
			if noted {
				d.Do(t.Context(), held, applied(), "digest", change(), nil)
			}
			undoes := followup.Entry(applied(), *change())
			r := applied()
			r.RunID, r.Action, r.PreviousRunID, r.Status, r.Rollback = "rollback-1", "rollback", runID, c.status,
				c.rollback
			end := d.Do(t.Context(), held, r, "other", &undoes, nil)
			if end.FollowUps != nil {
				t.Errorf("%s: left %v", name, end.FollowUps)
			}
			e := d.entry(runID)
			if e == nil {
				if noted || c.by != nil {
					t.Errorf("%s, noted %t: there is no entry", name, noted)
				}
				continue
			}
			if diff := cmp.Diff(c.by, e.RolledBackBy); diff != "" || e.Standing != c.want {
				t.Errorf("%s, noted %t: %s, want %s; rolled back by (-want +got):\n%s", name, noted, e.Standing, c.want,
					diff)
			}
		}
	}
}

// What cannot be done is left, in its order; Finish does it, once it can be, and no more than that.
func TestWhatIsLeftIsFinished(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Requesters = true
	announce, state := d.Announce, d.Book.State
	held, r := d.claimed(claim.Claim{}, time.Hour), applied()
	d.Announce = func(context.Context, evidence.Result) error { return errors.New("no topic") }
	d.Book.State = faulty{Bucket: state, put: "packages/"}
	digest := d.store(r)
	end := d.Do(t.Context(), held, r, digest, change(), nil)
	if diff := cmp.Diff([]string{"record", "announce"}, end.FollowUps); diff != "" || followup.Recorded(end) {
		t.Fatalf("recorded %t; left (-want +got):\n%s", followup.Recorded(end), diff)
	}
	d.Conclude(t.Context(), held, end)
	if d.pending() == nil {
		t.Fatal("nobody will find what is left")
	}
	d.code(followup.Unrecorded(held), "state.record")
	d.Announce, d.Book.State = announce, state
	held = d.find()
	d.ok(d.Finish(t.Context(), held))
	if c := d.find(); c.FollowUps != nil || c.Status != "success" || c.Result != digest || d.pending() != nil {
		t.Errorf("claim %+v; pending %v", c.Claim, d.pending())
	}
	if e := d.entry(runID); e == nil || e.Standing != claim.Applied || e.Result != digest || len(d.told) != 1 {
		t.Errorf("entry %+v, announced %v", e, d.told)
	}
}

// Nothing follows a result that is not the one that was stored, or cannot be read.
func TestFinishOfAnotherResult(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*desk)
		code  string
	}{
		"changed":     {func(d *desk) { r := applied(); r.Reason = "another"; d.store(r) }, "state.result"},
		"no document": {func(d *desk) { d.put(d.Results, evidence.ResultObject(runID), "{") }, "state.result"},
		"gone": {func(d *desk) {
			d.ok(d.Results.Delete(d.t.Context(), evidence.ResultObject(runID), ""))
		}, "store.not_found"},
	} {
		d := newDesk(t)
		held, r := d.claimed(claim.Claim{}, time.Hour), applied()
		digest := d.store(r)
		d.Conclude(t.Context(), held, claim.End{
			Outcome: claim.Outcome{Status: "success", Result: digest, FollowUps: []string{"record"}}, Applies: change(),
		})
		c.spoil(d)
		err := d.Finish(t.Context(), d.find())
		d.code(err, c.code)
		if e := d.entry(runID); e != nil || len(d.find().FollowUps) != 1 {
			t.Errorf("%s: entry %+v, left %v", name, e, d.find().FollowUps)
		}
	}
}

// A run that has no claim is announced, and leaves nothing else.
func TestTell(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Tell(t.Context(), applied())
	if diff := cmp.Diff([]string{runID}, d.told); diff != "" || d.entry(runID) != nil {
		t.Errorf("entry %v; announced (-want +got):\n%s", d.entry(runID), diff)
	}
	d.Announce = nil
	d.Tell(t.Context(), applied()) // nobody is to be told
	if len(d.told) != 1 {
		t.Errorf("announced %v", d.told)
	}
}

// When a package was uploaded is believed of the claim, and of the event only where it may be so.
func TestWhenAPackageWasUploaded(t *testing.T) {
	t.Parallel()
	r := applied()
	at := func(d time.Duration) time.Time { return r.Start.Add(d).Truncate(time.Millisecond) }
	for name, c := range map[string]struct{ claim, event, want time.Time }{
		"the claim says it":      {at(-time.Hour), at(-2 * time.Hour), at(-time.Hour)},
		"the event says it":      {time.Time{}, at(-2 * time.Hour), at(-2 * time.Hour)},
		"an event of the past":   {time.Time{}, time.Date(1, 1, 1, 0, 1, 0, 0, time.UTC), r.Start},
		"an event of the future": {time.Time{}, at(time.Hour), r.Start},
		"nobody says it":         {time.Time{}, time.Time{}, r.Start},
	} {
		d := newDesk(t)
		d.Requesters = true
		r := r
		if !c.event.IsZero() {
			r.Trigger.EventTime = &c.event
		}
		held := d.claimed(claim.Claim{Uploaded: c.claim}, time.Hour)
		d.Do(t.Context(), held, r, "digest", nil, nil)
		todo, err := d.Book.Todo(t.Context(), runID)
		if err != nil || todo == nil {
			t.Fatalf("%s: %v, %v", name, todo, err)
		}
		if !todo.Uploaded.Equal(c.want) {
			t.Errorf("%s: %s; want %s", name, todo.Uploaded, c.want)
		}
	}
}

// A run that was put off after it had stored a result has its effect noted; one without a result had none.
func TestAdoptStored(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Do(t.Context(), d.claimed(claim.Claim{}, time.Hour), applied(), "digest", change(), nil)
	const other = "ffff456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	back := d.claimed(claim.Claim{Key: other, RunID: "20260102T000000Z-sample-ffff456789ab"}, time.Hour)
	d.ok(d.AdoptStored(t.Context(), back))
	if e := d.entry(runID); e.Standing != claim.Applied || back.State != claim.Claimed {
		t.Errorf("without a result: entry %+v, claim %s", e, back.State)
	}
	r := applied()
	r.RunID, r.Action, r.PreviousRunID, r.Rollback, r.Steps = back.RunID, "rollback", runID, &evidence.Rollback{}, nil
	digest := d.store(r)
	d.ok(d.AdoptStored(t.Context(), back))
	if e := d.entry(runID); e.Standing != claim.Undone || back.State != claim.Done || back.Result != digest {
		t.Errorf("entry %+v, claim %+v", e, back.Claim)
	}
	d.Results = faulty{Bucket: d.Results, get: "runs/"}
	if err := d.AdoptStored(t.Context(), back); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a result that cannot be read: %v", err)
	}
}
