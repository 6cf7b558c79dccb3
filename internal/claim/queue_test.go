package claim_test

import (
	"fmt"
	"testing"
	"time"

	"cemli-executor/internal/claim"
)

func (s *shelf) enter(group string, who claim.Waiting, run string, lease time.Duration) *claim.Group {
	s.t.Helper()
	g := s.group(group)
	_, ok, err := g.Enter(s.t.Context(), who, run, in(lease)())
	s.done("enter", ok, err, true)
	return g
}

// While a run is in a group all others wait, unless its claim says that it is done.
func TestOneInAGroup(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	h := s.acquire("run-1", time.Minute, claim.Acquired)
	s.enter("gl", claim.Waiting{Key: key}, "run-1", time.Minute)
	occupied := func(what, by string, want bool) {
		t.Helper()
		ok, err := s.group("gl").Occupied(t.Context(), by)
		s.done(what, ok, err, want)
	}
	occupied("for another", "k2", true)
	occupied("for itself", key, false)
	ok, err := h.Conclude(t.Context(), claim.End{Outcome: claim.Outcome{Status: "success"}})
	s.done("conclude", ok, err, true)
	occupied("once it is done", "k2", false)
	s.enter("gl", claim.Waiting{Key: "k2"}, "run-2", -time.Minute)
	occupied("once its lease has ended", "k3", false)
}

// A run that died keeps its group until its lease ends.
func TestAGroupOfAnUnknownRun(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.enter("gl", claim.Waiting{Key: key}, "run-1", time.Minute)
	ok, err := s.group("gl").Occupied(t.Context(), "k2")
	s.done("occupied", ok, err, true)
}

// Fences increase with every run that enters, and only the run that entered can leave.
func TestEnterRenewLeave(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	first := s.enter("gl", claim.Waiting{Key: "k1"}, "run-1", time.Minute)
	ok, err := first.Renew(t.Context(), in(time.Hour)())
	s.done("renew", ok, err, true)
	if left := time.Until(s.group("gl").Holder.Lease); left < 50*time.Minute {
		t.Errorf("its lease ends in %s", left)
	}
	second := s.enter("gl", claim.Waiting{Key: "k2"}, "run-2", time.Minute)
	if second.Fence <= first.Fence {
		t.Errorf("the fence %d is not after %d", second.Fence, first.Fence)
	}
	ok, err = first.Renew(t.Context(), in(time.Hour)())
	s.done("renew by the run before", ok, err, false)
	after, err := first.Leave(t.Context())
	s.ok(err)
	if after.Holder == nil || after.Holder.Key != "k2" {
		t.Fatalf("the run before has made another leave: %+v", after.Holder)
	}
	after, err = second.Leave(t.Context())
	s.ok(err)
	if after.Holder != nil || s.group("gl").Holder != nil {
		t.Error("the group is not free")
	}
}

// If two runs find a group free, only one of them enters.
func TestEnterOnce(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	other := s.group("gl")
	s.enter("gl", claim.Waiting{Key: "k1"}, "run-1", time.Minute)
	_, ok, err := other.Enter(t.Context(), claim.Waiting{Key: "k2"}, "run-2", in(time.Minute)())
	s.done("the second", ok, err, false)
}

// It is the turn of the first run in the queue, or of a run whose place is before that one; a run that enters after a
// run with a later place is late.
func TestTurnsInAGroup(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	early, middle, last := claim.Waiting{Key: "k1", Place: claim.Place{Created: at(1)}},
		claim.Waiting{Key: "k2", Place: claim.Place{Created: at(2)}},
		claim.Waiting{Key: "k3", Place: claim.Place{Created: at(3)}}
	if !s.group("gl").IsTurnOf(last) {
		t.Error("nobody waits, and it is not the run's turn")
	}
	s.wait("gl", middle)
	s.wait("gl", middle)
	g := s.group("gl")
	if len(g.Queue) != 1 || !g.Waits("k2") || g.Waits("k1") {
		t.Errorf("the queue has %v", g.Queue)
	}
	for who, want := range map[*claim.Waiting]bool{&early: true, &middle: true, &last: false} {
		if got := g.IsTurnOf(*who); got != want {
			t.Errorf("the turn of %s: %v", who.Key, got)
		}
	}
	s.enter("gl", last, "run-3", time.Minute)
	late, ok, err := s.group("gl").Enter(t.Context(), early, "run-1", in(time.Minute)())
	if s.done("enter", ok, err, true); !late {
		t.Error("it is not said that the run is late")
	}
}

// The length of a queue is bounded.
func TestAFullQueue(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	g := s.group("gl")
	for i := range 2000 {
		g.Queue = append(g.Queue, claim.Waiting{Key: fmt.Sprint(i)})
	}
	_, err := g.Wait(t.Context(), claim.Waiting{Key: "one more"})
	s.code("wait", err, "state.queue")
}

// The next run is the first one in the queue that is not done and that no invocation is starting.
func TestTurn(t *testing.T) {
	t.Parallel()
	turn := func(s *shelf, what, want string) {
		t.Helper()
		first, err := s.Turn(t.Context(), "gl")
		s.ok(err)
		if got := ""; first != nil {
			got = first.Key
			if got != want {
				t.Errorf("%s: it is the turn of %q; want %q", what, got, want)
			}
		} else if want != "" {
			t.Errorf("%s: it is nobody's turn; want %q", what, want)
		}
	}
	s := newShelf(t)
	turn(s, "nobody waits", "")
	h := s.acquire("run-1", time.Minute, claim.Acquired)
	s.wait("gl", claim.Waiting{Key: key, Pending: key + "-1", Place: claim.Place{Created: at(1)}})
	s.wait("gl", claim.Waiting{Key: "k2", Place: claim.Place{Created: at(2)}})
	turn(s, "the first is being started", "")
	s.ok(h.Release(t.Context(), false, nil))
	turn(s, "the first waits", key)
	g := s.enter("gl", claim.Waiting{Key: "k0"}, "run-0", time.Minute)
	turn(s, "another is in the group", "")
	_, err := g.Leave(t.Context())
	s.ok(err)
	ok, err := s.find().Conclude(t.Context(), claim.End{Outcome: claim.Outcome{Status: "success"}})
	s.done("conclude", ok, err, true)
	turn(s, "the first is done", "")
	if s.group("gl").Waits(key) {
		t.Error("a run that is done still waits")
	}
}

// A run that enters a group after a run that died in it finds that run.
func TestFormer(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	former := func(what, by, want string) {
		t.Helper()
		h, err := s.group("gl").Former(t.Context(), by)
		s.ok(err)
		if got := h != nil; got != (want != "") || got && h.RunID != want {
			t.Errorf("%s: found %+v; want %q", what, h, want)
		}
	}
	former("nobody was in it", "k2", "")
	s.acquire("run-1", -time.Minute, claim.Acquired)
	s.enter("gl", claim.Waiting{Key: key}, "run-1", -time.Minute)
	former("its own attempt before", key, "")
	former("another", "k2", "run-1")
	s.Clock = in(time.Hour)
	_, err := s.group("gl").Former(t.Context(), "k2")
	s.code("with a clock that is far off", err, "state.clock")
}

// A group's record that no run can have written stops every run.
func TestAGroupThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ doc, code string }{
		"another's":       {`{"schema_version":1,"environment":"prod","name":"other","fence":1}`, "state.corrupt"},
		"without a fence": {`{"schema_version":1,"environment":"prod","name":"gl","fence":-1}`, "state.corrupt"},
		"held for ever": {`{"schema_version":1,"environment":"prod","name":"gl","fence":1,
			"holder":{"key":"k","lease":"2999-01-01T00:00:00Z"}}`, "state.lease"},
	} {
		s := newShelf(t)
		s.write("groups/prod/gl.json", c.doc)
		_, err := s.Group(t.Context(), "gl")
		s.code(name, err, c.code)
		_, err = s.Turn(t.Context(), "gl")
		s.code(name, err, c.code)
	}
}
