package claim_test

import (
	"slices"
	"testing"
	"time"

	"cemli-executor/internal/claim"
)

const aRun = "20260101T000000Z-sample-0123456789ab"

// Of two that write how far a run is, the second is told that there is something else to read.
func TestProgressIsWrittenByOne(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	all := s.Progress()
	if p, err := all.Of(t.Context(), aRun); p != nil || err != nil {
		t.Fatalf("%+v, %v", p, err)
	}
	mine, theirs := all.New(aRun), all.New(aRun)
	mine.Step = "load"
	ok, err := mine.Put(t.Context())
	s.done("the first write", ok, err, true)
	ok, err = mine.Put(t.Context())
	s.done("over its own", ok, err, true)
	ok, err = theirs.Put(t.Context())
	s.done("over another's that was not read", ok, err, false)
	theirs, err = all.Of(t.Context(), aRun)
	s.ok(err)
	theirs.Cancel, theirs.Reason, theirs.By = true, "wrong", []byte(`[]`)
	ok, err = theirs.Put(t.Context())
	s.done("over what was read", ok, err, true)
	ok, err = mine.Put(t.Context())
	s.done("over a cancel", ok, err, false)
	mine, err = all.Of(t.Context(), aRun)
	s.ok(err)
	if !mine.Cancel || mine.Reason != "wrong" || mine.Step != "load" || mine.At.IsZero() {
		t.Errorf("%+v", mine)
	}
	if runs, err := all.List(t.Context(), 10); err != nil || !slices.Equal(runs, []string{aRun}) {
		t.Errorf("%v, %v", runs, err)
	}
	all.Remove(t.Context(), aRun)
	all.Remove(t.Context(), aRun)
	if left := s.has("progress/"); len(left) > 0 || s.logged.Len() > 0 {
		t.Errorf("left: %q, logged: %s", left, s.logged)
	}
	ok, err = mine.Put(t.Context())
	s.done("after it was removed", ok, err, false)
	s.write("progress/prod/"+aRun+".json", `{"schema_version":1,"environment":"prod","run_id":"another"}`)
	_, err = all.Of(t.Context(), aRun)
	s.code("one of another run", err, "state.corrupt")
}

// A claim that waits can be taken over, by one; so can one whose holder died.
func TestAClaimThatWaitsIsTakenOver(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	held := s.acquire("run-1", time.Minute, claim.Acquired)
	s.ok(held.Release(t.Context(), false, nil))
	first, second := s.find(), s.find()
	ok, err := first.TakeOver(t.Context(), time.Now().Add(time.Minute))
	s.done("take over", ok, err, true)
	ok, err = second.TakeOver(t.Context(), time.Now().Add(time.Minute))
	s.done("take over at the same time", ok, err, false)
	if c := s.find(); c.Tries != 0 || c.Holder != first.Holder {
		t.Errorf("%+v", c.Claim)
	}
}

// The document of a run goes with its pending request.
func TestTheDocumentGoesWithTheRequest(t *testing.T) {
	t.Parallel()
	for _, left := range [][]string{nil, {"announce"}} {
		s := newShelf(t)
		held := s.acquire("run-1", time.Minute, claim.Acquired)
		p := s.Progress().New(held.RunID)
		ok, err := p.Put(t.Context())
		s.done("write", ok, err, true)
		held.Watched = true
		ok, err = held.Conclude(t.Context(), claim.End{Outcome: claim.Outcome{Status: "success", FollowUps: left}})
		s.done("conclude", ok, err, true)
		if stays := len(s.has("progress/")) > 0; stays != (left != nil) {
			t.Errorf("with %v to follow it stays: %t", left, stays)
		}
	}
}
