package claim_test

import (
	"slices"
	"testing"
	"time"

	"cemli-executor/internal/claim"
)

// A pending request is stored once, listed in the order of names, and goes when it is done.
func TestPendingRequests(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	for _, name := range []string{"b-1", "a-1", "c-2"} {
		made, err := s.Accept(t.Context(), name, []byte(`{"object":"`+name+`"}`))
		s.done("accept "+name, made, err, true)
	}
	made, err := s.Accept(t.Context(), "a-1", []byte(`{}`))
	s.done("accept once more", made, err, false)
	names, next, err := s.ListPending(t.Context(), "", 2)
	if err != nil || !slices.Equal(names, []string{"a-1", "b-1"}) || next == "" {
		t.Fatalf("%q, next %q, %v", names, next, err)
	}
	names, next, err = s.ListPending(t.Context(), next, 2)
	if err != nil || !slices.Equal(names, []string{"c-2"}) || next != "" {
		t.Errorf("%q, next %q, %v", names, next, err)
	}
	p, err := s.Pending(t.Context(), "a-1")
	if err != nil || p == nil || string(p.Request) != `{"object":"a-1"}` || claim.KeyOf(p.Name) != "a" ||
		claim.AttemptOf(p.Name) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	s.ok(s.Delete(t.Context(), "a-1"))
	s.ok(s.Delete(t.Context(), "a-1"))
	s.Remove(t.Context(), "b-1")
	if p, err := s.Pending(t.Context(), "a-1"); p != nil || err != nil {
		t.Errorf("%+v, %v", p, err)
	}
	if left := s.has("open/"); !slices.Equal(left, []string{"open/prod/c-2.json"}) || s.logged.Len() > 0 {
		t.Errorf("left: %q, logged: %s", left, s.logged)
	}
	s.write("open/prod/d-1.json", `{"schema_version":1,"environment":"prod","name":"another"}`)
	_, err = s.Pending(t.Context(), "d-1")
	s.code("one of another name", err, "state.corrupt")
}

// The watch starts only once, at the time of the first start.
func TestTheWatchBeginsOnce(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	if _, ok, err := s.Watch(t.Context()); ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
	for _, since := range []time.Time{at(1000), at(2000)} {
		w, err := s.StartWatch(t.Context(), since)
		if err != nil || !w.Since.Equal(at(1000)) {
			t.Errorf("since %s, %v", w.Since, err)
		}
	}
}

// If two sweeps store a cursor, one of the two places is kept.
func TestCursors(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	one, err := s.Cursor(t.Context())
	s.ok(err)
	other, err := s.Cursor(t.Context())
	s.ok(err)
	one.Open, other.Open = "one", "other"
	s.ok(one.Save(t.Context()))
	s.ok(other.Save(t.Context()))
	one.Uploads = "a.zip"
	s.ok(one.Save(t.Context()))
	if c, err := s.Cursor(t.Context()); err != nil || c.Open != "one" || c.Uploads != "a.zip" {
		t.Errorf("%+v, %v", c, err)
	}
	s.write("sweep/prod.json", `{"schema_version":1,"environment":"test"}`)
	_, err = s.Cursor(t.Context())
	s.code("of another environment", err, "state.corrupt")
}

// Follow-ups are removed kind by kind.
func TestTodos(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	for _, run := range []string{"run-1", "run-2"} {
		todo := claim.Todo{
			Environment: "prod", RunID: run, Kinds: []string{"requester", "of a later version"}, ETag: "e",
		}
		s.ok(todo.Put(t.Context(), s.State))
		s.ok(todo.Put(t.Context(), s.State))
	}
	runs, next, err := s.Todos(t.Context(), "", 1)
	if err != nil || !slices.Equal(runs, []string{"run-1"}) || next != "run-2.json" {
		t.Errorf("%q, next %q, %v", runs, next, err)
	}
	one, err := s.Todo(t.Context(), "run-1")
	s.ok(err)
	other, err := s.Todo(t.Context(), "run-1")
	s.ok(err)
	s.ok(one.Done(t.Context(), "requester"))
	s.ok(other.Done(t.Context(), "of a later version")) // it has been changed meanwhile, and stays
	now, err := s.Todo(t.Context(), "run-1")
	if err != nil || !slices.Equal(now.Kinds, []string{"of a later version"}) {
		t.Errorf("%+v, %v", now, err)
	}
	s.ok(one.Done(t.Context(), "of a later version"))
	if now, err := s.Todo(t.Context(), "run-1"); now != nil || err != nil {
		t.Errorf("%+v, %v", now, err)
	}
	s.write("todo/prod/run-3.json", `{"schema_version":1,"environment":"prod","run_id":"run-4"}`)
	_, err = s.Todo(t.Context(), "run-3")
	s.code("of another run", err, "state.corrupt")
}

// A request that comes again is of the version of its object that it first named.
func TestFirstVersion(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	for _, etag := range []string{"a", "b"} {
		if first, err := s.FirstVersion(t.Context(), key, etag); first != "a" || err != nil {
			t.Errorf("with %s the first was %s, %v", etag, first, err)
		}
	}
	s.write("requests/prod/k.json", `{"schema_version":1,"environment":"prod","key":"k"}`)
	_, err := s.FirstVersion(t.Context(), "k", "a")
	s.code("one that says nothing", err, "state.corrupt")
}

// A taking whose key has been claimed since tells of no death, unless the claim's holder died.
func TestDeaths(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	begin := func(key string, until time.Duration) {
		t.Helper()
		intent := claim.Intent{Environment: "prod", Key: key}
		ok, err := intent.Begin(t.Context(), s.State, in(until)())
		s.done("begin", ok, err, true)
	}
	begin(key, -time.Minute)
	begin("died", -time.Minute)
	begin("busy", time.Minute)
	s.acquire("run-1", time.Minute, claim.Acquired)
	found, err := s.Deaths(t.Context())
	s.ok(err)
	if len(found) != 2 || found["died"] == nil || found["busy"] == nil {
		t.Errorf("%+v", found)
	}
	if left := s.has("taking/"); len(left) != 2 {
		t.Errorf("left: %q", left)
	}
}
