package claim_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/problem"
)

// The first to acquire a key holds the claim; every other finds that claim.
func TestAcquireOnce(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	h := s.acquire("run-1", time.Minute, claim.Acquired)
	if h.State != claim.Claimed || h.Attempt != 1 || h.Environment != "prod" || h.Tries != 0 {
		t.Errorf("acquired: %+v", h.Claim)
	}
	if other := s.acquire("run-2", time.Minute, claim.Theirs); other.RunID != "run-1" {
		t.Errorf("another finds the claim of %q", other.RunID)
	}
}

// A claim whose holder died before its first step is taken over, and the death counts.
func TestAcquireTakesOver(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	late := s.acquire("run-1", -time.Minute, claim.Acquired)
	h := s.acquire("run-2", time.Minute, claim.TakenOver)
	if h.RunID != "run-1" || h.Tries != 1 || !h.Lease.After(time.Now()) {
		t.Errorf("taken over: %+v", h.Claim)
	}
	ok, err := late.Progress(t.Context(), claim.Start{Lease: in(time.Minute)()})
	s.done("a step of the holder that was believed dead", ok, err, false)
	s.ok(late.Release(t.Context(), true, nil))
	if now := s.find(); now.Tries != 1 || now.Lease.IsZero() {
		t.Errorf("the holder that lost the claim has changed it: %+v", now.Claim)
	}
}

// A claim that was released is taken over without counting a death.
func TestAcquireAfterRelease(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.ok(s.acquire("run-1", time.Minute, claim.Acquired).Release(t.Context(), true,
		&problem.Problem{Code: "store.unavailable", Message: "the store"}))
	h := s.acquire("run-2", time.Minute, claim.TakenOver)
	if h.Tries != 1 || h.LastError == nil || h.LastError.Code != "store.unavailable" {
		t.Errorf("%d tries, last error %v", h.Tries, h.LastError)
	}
	s.ok(h.Release(t.Context(), false, nil))
	if h := s.find(); h.Tries != 1 || h.LastError == nil || !h.Expired(time.Now()) || h.DiedBeforeStart(time.Now()) {
		t.Errorf("released: %+v", h.Claim)
	}
}

// If the holder of a claim died while its steps ran, the claim is not taken over: the run must be ended first.
func TestAcquireFindsADeath(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	h := s.acquire("run-1", time.Minute, claim.Acquired)
	ok, err := h.Progress(t.Context(),
		claim.Start{
			Lease: in(-time.Minute)(), Group: "gl", SHA256: "a", Checkpoint: []byte(`{"a":1}`),
			Applies: &claim.Entry{Key: "k"},
		})
	s.done("a step", ok, err, true)
	found := s.acquire("run-2", time.Minute, claim.DiedRunning)
	if found.RunID != "run-1" || found.Pinned != "a" || string(found.Checkpoint) != `{"a":1}` ||
		found.Change().Key != "k" {
		t.Errorf("found: %+v", found.Claim)
	}
}

// The bytes with which the first step of any attempt began stay pinned.
func TestProgressPinsOnce(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	h := s.acquire("run-1", time.Minute, claim.Acquired)
	for _, sha := range []string{"first", "second"} {
		ok, err := h.Progress(t.Context(), claim.Start{Lease: in(time.Minute)(), SHA256: sha})
		s.done("a step", ok, err, true)
	}
	if h := s.find(); h.Pinned != "first" || h.Change() != nil || h.State != claim.Running {
		t.Errorf("%+v", h.Claim)
	}
}

// The holder recognises its own change whose answer was lost.
func TestProgressAfterALostAnswer(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	h := s.acquire("run-1", time.Minute, claim.Acquired)
	stale := *h
	ok, err := h.Progress(t.Context(), claim.Start{Lease: in(time.Minute)(), SHA256: "a"})
	s.done("a step", ok, err, true)
	ok, err = stale.Progress(t.Context(), claim.Start{Lease: in(time.Minute)(), SHA256: "a"})
	s.done("the same step once more", ok, err, true)
}

// If others change the claim at each try, nothing is started.
func TestAClaimThatIsAlwaysChanged(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.State = &racing{s.State, 0}
	h := s.acquire("run-1", time.Minute, claim.Acquired)
	s.State.(*racing).left = 1000
	_, err := h.Progress(t.Context(), claim.Start{})
	s.code("a step", err, "state.conflict")
	s.State.(*racing).left = 1000
	_, _, err = s.Acquire(t.Context(), claim.Claim{Key: key[1:] + "0", RunID: "run-2"}, in(time.Minute))
	s.code("a claim", err, "state.conflict")
}

// Concluding a claim removes its pending request once no follow-up is left.
func TestConclude(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	h := s.acquire("run-1", time.Minute, claim.Acquired)
	_, err := s.Accept(t.Context(), h.Pending(), []byte(`{}`))
	s.ok(err)
	ok, err := h.Conclude(t.Context(),
		claim.End{Outcome: claim.Outcome{Status: "success", Result: "r", FollowUps: []string{"announce"}}})
	s.done("conclude", ok, err, true)
	if now := s.find(); now.State != claim.Done || now.Status != "success" ||
		!slices.Equal(now.FollowUps, []string{"announce"}) || now.Expired(in(time.Hour)()) {
		t.Errorf("concluded: %+v", now.Claim)
	}
	if left := s.has("open/"); len(left) != 1 {
		t.Errorf("while something is left to follow, the pending requests are %q", left)
	}
	ok, err = h.Conclude(t.Context(), claim.End{Outcome: claim.Outcome{Status: "success", Result: "r"}})
	s.done("conclude", ok, err, true)
	if left := s.has("open/"); left != nil {
		t.Errorf("left: %q", left)
	}
	s.acquire("run-2", time.Minute, claim.Theirs)
}

// A run is concluded even if its pending request cannot be removed.
func TestConcludeWithoutRemoving(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.State = failing{Bucket: s.State, remove: "open/"}
	h := s.acquire("run-1", time.Minute, claim.Acquired)
	_, err := s.Accept(t.Context(), h.Pending(), []byte(`{}`))
	s.ok(err)
	ok, err := h.Conclude(t.Context(), claim.End{Outcome: claim.Outcome{Status: "success"}})
	s.done("conclude", ok, err, true)
	if s.logged.Len() == 0 {
		t.Error("it is not said that the request is still there")
	}
}

// Of two who conclude the same claim only one succeeds.
func TestConcludeOnce(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	h := s.acquire("run-1", time.Minute, claim.Acquired)
	other := s.find()
	ok, err := h.Conclude(t.Context(), claim.End{Outcome: claim.Outcome{Status: "success"}})
	s.done("the first", ok, err, true)
	ok, err = other.Conclude(t.Context(), claim.End{Outcome: claim.Outcome{Status: "interrupted"}})
	s.done("the second", ok, err, false)
	if s.find().Status != "success" {
		t.Error("the second has overwritten the first")
	}
}

// A run that ends while it waits leaves its queue; if it cannot, that becomes a follow-up.
func TestConcludeLeavesTheQueue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fails string
		want  []string
	}{{"", nil}, {"groups/", []string{claim.FollowQueue}}} {
		s := newShelf(t)
		h := s.acquire("run-1", time.Minute, claim.Acquired)
		ok, err := h.Join(t.Context(), "gl")
		s.done("join", ok, err, true)
		ok, err = h.Join(t.Context(), "gl")
		s.done("join again", ok, err, true)
		s.wait("gl", claim.Waiting{Key: key})
		working := s.State
		h = s.onStore(failing{Bucket: s.State, put: c.fails})
		ok, err = h.Conclude(t.Context(), claim.End{Outcome: claim.Outcome{Status: "rejected"}})
		s.done("conclude", ok, err, true)
		if diff := cmp.Diff(c.want, s.find().FollowUps); diff != "" {
			t.Errorf("follow-ups (-want +got):\n%s", diff)
		}
		h = s.onStore(working)
		ok, err = h.Conclude(t.Context(), claim.End{Outcome: claim.Outcome{Status: "rejected"}})
		s.done("conclude again", ok, err, true)
		if g := s.group("gl"); len(g.Queue) != 0 || s.find().FollowUps != nil {
			t.Errorf("the queue has %v", g.Queue)
		}
	}
}

// The next attempt of a run has a pending request before it has the claim, and begins like a new one.
func TestNextAttempt(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	h := s.acquire("run-1", time.Minute, claim.Acquired)
	_, err := s.Accept(t.Context(), h.Pending(), []byte(`{"object":"gl.zip"}`))
	s.ok(err)
	s.ok(h.AcceptNext(t.Context()))
	s.ok(h.AcceptNext(t.Context())) // another invocation may have
	ok, err := h.Progress(t.Context(),
		claim.Start{Lease: in(time.Minute)(), Group: "gl", SHA256: "a", Applies: &claim.Entry{Key: "k"}})
	s.done("a step", ok, err, true)
	ok, err = h.Conclude(t.Context(),
		claim.End{Outcome: claim.Outcome{Status: "interrupted", FollowUps: []string{"announce"}}})
	s.done("conclude", ok, err, true)
	if !h.MayRepeat(2) || h.MayRepeat(1) {
		t.Error("whether it may be tried again is told wrongly")
	}
	other := s.find()
	ok, err = h.NextAttempt(t.Context(), []byte(`{}`), in(time.Minute), "run-1-2")
	s.done("next attempt", ok, err, true)
	want := claim.Claim{
		Key: key, Environment: "prod", Object: "gl.zip", Package: "gl", RunID: "run-1-2", Attempt: 2,
		State:  claim.Claimed,
		Holder: h.Holder, Repeatable: true, Pinned: "a", Lease: h.Lease, Created: h.Created, Updated: h.Updated,
	}
	if diff := cmp.Diff(want, s.find().Claim, sameDocument); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	ok, err = other.NextAttempt(t.Context(), []byte(`{}`), in(time.Minute), "run-1-2")
	s.done("by another, too", ok, err, false)
	p, err := s.Pending(t.Context(), h.Pending())
	if err != nil || p == nil || string(p.Request) != `{"object":"gl.zip"}` {
		t.Errorf("its pending request: %+v, %v", p, err)
	}
}

// A failure is counted only for a key that nobody holds.
func TestCountFailure(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	failure := &problem.Problem{Code: "oci.denied", Message: "no"}
	s.ok(s.CountFailure(t.Context(), key, failure)) // nobody has claimed it
	h := s.acquire("run-1", time.Minute, claim.Acquired)
	s.ok(s.CountFailure(t.Context(), key, failure))
	if s.find().Tries != 0 {
		t.Error("a try of the holder was counted")
	}
	s.ok(h.Release(t.Context(), false, nil))
	s.ok(s.CountFailure(t.Context(), key, failure))
	if h := s.find(); h.Tries != 1 || h.LastError.Code != "oci.denied" {
		t.Errorf("%+v", h.Claim)
	}
}

// The claim of a run is found by the run's id.
func TestOfRun(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	run := "20260101T000000Z-gl-" + key[:12]
	s.acquire(run, time.Minute, claim.Acquired)
	for id, want := range map[string]bool{
		run: true, run + "-2": false, "20260101T000000Z-gl-ffffffffffff": false, "no id": false,
	} {
		if h, err := s.OfRun(t.Context(), id); err != nil || (h != nil) != want {
			t.Errorf("%s: %v, %v; want %v", id, h, err, want)
		}
	}
}

// A claim that no invocation can have written stops the run.
func TestAClaimThatCannotBe(t *testing.T) {
	t.Parallel()
	const fields = `"schema_version":1,"key":"` + key + `","environment":"prod","run_id":"r","attempt":1`
	for name, c := range map[string]struct{ doc, code string }{
		"no JSON":            {`{`, "state.corrupt"},
		"of a newer version": {`{"schema_version":9}`, "state.newer"},
		"in no state":        {`{` + fields + `,"state":"other"}`, "state.corrupt"},
		"of another key": {
			`{"schema_version":1,"key":"k","environment":"prod","run_id":"r","attempt":1,"state":"done"}`,
			"state.corrupt",
		},
		"leased for ever":     {`{` + fields + `,"state":"running","lease":"2999-01-01T00:00:00Z"}`, "state.lease"},
		"of no known version": {`{"key":"` + key + `"}`, "state.corrupt"},
	} {
		s := newShelf(t)
		s.write("claims/prod/"+key+".json", c.doc)
		_, _, err := s.Acquire(t.Context(), claim.Claim{Key: key, RunID: "run"}, in(time.Minute))
		s.code(name, err, c.code)
	}
}

// Leases do not hold where clocks are far apart: nothing is claimed.
func TestAClockThatIsFarOff(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.acquire("run-1", -time.Minute, claim.Acquired)
	s.Clock = in(time.Hour)
	_, _, err := s.Acquire(t.Context(), claim.Claim{Key: key, RunID: "run-2"}, in(2*time.Hour))
	s.code("an expired claim", err, "state.clock")
	_, _, err = s.Acquire(t.Context(), claim.Claim{Key: key[1:] + "0", RunID: "run-3"}, in(2*time.Hour))
	s.code("a new claim", err, "state.clock")
}
