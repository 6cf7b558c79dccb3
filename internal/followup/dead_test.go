package followup_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// A run whose executor died gets the result that it left for that case, with all that it has stored besides; then
// follows what follows any result.
func TestEndDead(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	held := d.died(claim.Claim{}, func(r *evidence.Result) {
		r.Evidence = []evidence.Object{{Object: evidence.Dir(runID) + "policy.json", Size: 2, SHA256: "known"}}
	})
	for _, name := range []string{"policy.json", "steps/01-run.log"} {
		d.put(d.Results, evidence.Dir(runID)+name, "ab")
	}
	ended, err := d.EndDead(t.Context(), held)
	if err != nil || !ended {
		t.Fatalf("%t, %v", ended, err)
	}
	r, digest, err := d.ReadResult(t.Context(), runID)
	d.ok(err)
	const sumOfAB = "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603"
	want := []evidence.Object{
		{Object: evidence.Dir(runID) + "policy.json", Size: 2, SHA256: "known"},
		{Object: evidence.Dir(runID) + "steps/01-run.log", Size: 2, SHA256: sumOfAB},
	}
	if diff := cmp.Diff(want, r.Evidence); diff != "" || r.Status != evidence.StatusInterrupted ||
		!r.End.After(r.Start) {
		t.Errorf("status %s, end %s; evidence (-want +got):\n%s", r.Status, r.End, diff)
	}
	var raw map[string]int
	if err := json.Unmarshal(r.Trigger.Raw, &raw); err != nil || raw["a"] != 1 {
		t.Errorf("the trigger of the pending request is %s, %v", r.Trigger.Raw, err)
	}
	if e := d.entry(runID); e == nil || e.Standing != claim.Partial || e.Result != digest || len(d.told) != 1 {
		t.Errorf("entry %+v, announced %v", e, d.told)
	}
	if c := d.find(); c.State != claim.Done || c.Status != "interrupted" || c.Result != digest || d.pending() != nil {
		t.Errorf("claim %+v, pending %v", c.Claim, d.pending())
	}
}

// Of several that find a run dead, one ends it; what it has stored itself stands.
func TestEndDeadOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	held := d.died(claim.Claim{}, asItIs)
	own := applied()
	digest := d.store(own)
	other := d.find()
	if ended, err := d.EndDead(t.Context(), held); err != nil || !ended {
		t.Fatalf("%t, %v", ended, err)
	}
	if c := d.find(); c.Status != "success" || c.Result != digest {
		t.Errorf("it had stored a success: %+v", c.Claim)
	}
	if ended, err := d.EndDead(t.Context(), other); err != nil || ended {
		t.Errorf("the second one: %t, %v", ended, err)
	}
	if e := d.entry(runID); e == nil || e.Standing != claim.Applied {
		t.Errorf("entry %+v", e)
	}
}

// An idempotent package that was interrupted is tried again, as often as it may be: its next attempt is accepted.
func TestEndDeadOfWhatMayRepeat(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		repeatable bool
		attempts   int
		status     evidence.Status
		want       []string
	}{
		"idempotent":         {true, 2, evidence.StatusInterrupted, []string{claim.PendingName(key, 2)}},
		"not idempotent":     {false, 2, evidence.StatusInterrupted, nil},
		"the last attempt":   {true, 1, evidence.StatusInterrupted, nil},
		"it was no accident": {true, 2, evidence.StatusFailed, nil},
	} {
		d := newDesk(t)
		d.Attempts = c.attempts
		held := d.died(claim.Claim{Repeatable: c.repeatable}, func(r *evidence.Result) { r.Status = c.status })
		if ended, err := d.EndDead(t.Context(), held); err != nil || !ended {
			t.Fatalf("%s: %t, %v", name, ended, err)
		}
		if diff := cmp.Diff(c.want, d.pending()); diff != "" {
			t.Errorf("%s: pending (-want +got):\n%s", name, diff)
		}
	}
}

// A run that was cancelled, and whose executor died, is not tried again: not by whoever finds it dead, nor later.
func TestEndDeadOfWhatWasCancelled(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	held := d.died(claim.Claim{Repeatable: true}, asItIs)
	p := d.Book.Progress().New(runID)
	p.Cancel, p.Reason = true, "wrong"
	if ok, err := p.Put(t.Context()); err != nil || !ok {
		t.Fatal(ok, err)
	}
	state := d.Book.State
	d.Book.State = faulty{Bucket: state, get: "progress/"}
	again, err := d.Book.Find(t.Context(), key)
	d.ok(err)
	if ended, err := d.EndDead(t.Context(), again); err == nil || ended {
		t.Errorf("without knowing whether it was cancelled: %t, %v", ended, err)
	}
	d.Book.State = state
	if ended, err := d.EndDead(t.Context(), held); err != nil || !ended {
		t.Fatalf("%t, %v", ended, err)
	}
	if c := d.find(); d.MayRepeat(c, c.Status) || c.Status != "interrupted" || d.pending() != nil {
		t.Errorf("claim %+v, pending %v", c.Claim, d.pending())
	}
	if p, err := d.Book.Progress().Of(t.Context(), runID); p != nil || err != nil {
		t.Errorf("its document is still there: %+v, %v", p, err)
	}
}

// A run of which it is not known what it did, or that cannot be ended, stays as it is.
func TestADeadRunThatCannotBeEnded(t *testing.T) {
	t.Parallel()
	whole := func(*desk) {}
	for name, c := range map[string]struct {
		checkpoint string
		spoil      func(*desk)
		code       string
	}{
		"no checkpoint":       {`{}`, whole, "state.corrupt"},
		"of another run":      {`{"schema_version":1,"run_id":"another"}`, whole, "state.corrupt"},
		"nothing can be read": {"", func(d *desk) { d.Results = silent{d.Results} }, "store.unavailable"},
		"its request cannot be read": {
			"", func(d *desk) { d.Book.State = faulty{Bucket: d.Book.State, get: "open/"} }, "store.unavailable",
		},
		"its result cannot be stored": {
			"", func(d *desk) { d.Results = faulty{Bucket: d.Results, put: "runs/"} }, "store.unavailable",
		},
		"its result is no document": {
			"", func(d *desk) { d.put(d.Results, evidence.ResultObject(runID), "{") }, "state.result",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			held := d.died(claim.Claim{}, asItIs)
			if c.checkpoint != "" {
				held = d.running(held, -time.Hour, []byte(c.checkpoint), nil)
			}
			state := d.Book.State
			c.spoil(d)
			ended, err := d.EndDead(t.Context(), held)
			if d.code(err, c.code); ended {
				t.Error("it is ended")
			}
			d.Book.State = state
			if found := d.find(); found.State != claim.Running || d.told != nil {
				t.Errorf("claim %s, announced %v", found.State, d.told)
			}
		})
	}
}

// silent is a bucket that lists nothing.
type silent struct{ store.Bucket }

func (s silent) List(context.Context, store.ListOptions) (store.Page, error) {
	return store.Page{}, store.Error(store.ErrUnavailable, "list", s.Name(), "", nil)
}

const nextKey = "ffff456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// entered makes a claim's run the holder of a group, whose lease has passed, and returns the group as the next run
// finds it.
func (d *desk) entered(held *claim.Held) *claim.Group {
	d.t.Helper()
	g, err := d.Book.Group(d.t.Context(), "gl")
	d.ok(err)
	_, ok, err := g.Enter(d.t.Context(), claim.Waiting{Key: held.Key}, held.RunID, time.Now().UTC().Add(-time.Hour))
	if err != nil || !ok {
		d.t.Fatalf("enter: %t, %v", ok, err)
	}
	g, err = d.Book.Group(d.t.Context(), "gl")
	d.ok(err)
	return g
}

// The next run of a group knows what the one before it did, which is ended first if it died.
func TestEndFormer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		former func(*desk) *claim.Held
		want   claim.Standing // of the former run in the record; "" if nothing
		state  claim.State
	}{
		"it died": {func(d *desk) *claim.Held { return d.died(claim.Claim{}, asItIs) }, claim.Partial, claim.Done},
		"it is alive": {func(d *desk) *claim.Held {
			return d.running(d.claimed(claim.Claim{}, time.Hour), time.Hour, nil, nil)
		}, "", claim.Running},
		"its effect was not noted": {func(d *desk) *claim.Held {
			held := d.claimed(claim.Claim{}, time.Hour)
			outcome := claim.Outcome{Status: "success", Result: d.store(applied()), FollowUps: []string{"record"}}
			d.Conclude(d.t.Context(), held, claim.End{Outcome: outcome, Applies: change()})
			return held
		}, claim.Applied, claim.Done},
		"it stored a result and died": {func(d *desk) *claim.Held {
			held := d.claimed(claim.Claim{}, time.Hour)
			r := applied()
			r.Status = evidence.StatusFailed
			d.store(r)
			return held
		}, "", claim.Done},
		"it began nothing": {
			func(d *desk) *claim.Held { return d.claimed(claim.Claim{}, time.Hour) }, "", claim.Claimed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			g := d.entered(c.former(d))
			d.ok(d.EndFormer(t.Context(), g, nextKey))
			var got claim.Standing
			if e := d.entry(runID); e != nil {
				got = e.Standing
			}
			if state := d.find().State; got != c.want || state != c.state {
				t.Errorf("%q, %s; want %q, %s", got, state, c.want, c.state)
			}
			d.ok(d.EndFormer(t.Context(), g, key)) // the holder itself has none before it
		})
	}
}

// Nobody enters a group while it cannot be noted, or found out, what the run before has done.
func TestAFormerRunThatIsNotKnown(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	g := d.entered(d.died(claim.Claim{}, asItIs))
	state := d.Book.State
	d.Book.State = faulty{Bucket: state, put: "packages/"}
	for range 2 { // it is ended, then it is found ended
		d.code(d.EndFormer(t.Context(), g, nextKey), "state.record")
	}
	d.Book.State = state
	d.ok(d.EndFormer(t.Context(), g, nextKey))
	if e := d.entry(runID); e == nil || e.Standing != claim.Partial {
		t.Errorf("entry %+v", e)
	}
}
