package goback_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/goback"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// A request that goes back takes everything from that run that it does not name: the contents to the last byte, what
// was asked, and the parameters to the last digit.
func TestRecallTakesEverything(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := failed()
	r.ParameterSet = "FR"
	digest := d.store(r)
	uploaded := began.Add(-time.Hour)
	d.record(func(p *claim.Package) {
		p.Add("FR",
			claim.Entry{RunID: runID, Standing: claim.Partial, Result: digest, Uploaded: uploaded, Start: began})
	})
	for way, c := range map[string]struct {
		request intake.Request
		action  intake.Action
	}{
		"rerun_of": {rerun(), intake.ActionApply}, "resume_from": {resume(), intake.ActionApply},
		"rollback_of": {undo(), intake.ActionRollback}, "rollback_of, apply": {takeBack(), intake.ActionApply},
	} {
		w := d.recalled(c.request)
		want := c.request
		want.Action, want.Object, want.ParameterSet, want.ETag, want.VersionID = c.action, "in/sample.zip", "FR",
			"etag", "v1"
		want.Pinned, want.Created = "aa", uploaded
		want.Parameters = map[string]json.RawMessage{"LEDGER": []byte(`"GL"`), "N": []byte(`1.50`)}
		if diff := cmp.Diff(want, w.Request); diff != "" || w.NamesVersion || w.Given != nil {
			t.Errorf("%s: names a version %t, given %v; request (-want +got):\n%s", way, w.NamesVersion, w.Given, diff)
		}
	}
}

// What the request names has to be what the run had; a version of the object may be named besides.
func TestRecallOfARequestThatNamesThings(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.store(failed())
	w := d.recalled(rerun(func(q *intake.Request) {
		q.Object, q.Action, q.ETag, q.VersionID = "in/sample.zip", intake.ActionApply, "another", "v2"
		q.Parameters = map[string]json.RawMessage{"N": []byte(`1.5`)}
	}))
	named := store.GetOptions{IfMatch: "another", VersionID: "v2"}
	if diff := cmp.Diff(named, w.Named); diff != "" || !w.NamesVersion || w.Request.ETag != "etag" {
		t.Errorf("names a version %t; (-want +got):\n%s", w.NamesVersion, diff)
	}
	for named, another := range map[store.GetOptions]bool{
		{IfMatch: "another"}: true, {VersionID: "v2"}: true, {IfMatch: "etag"}: false, {VersionID: "v1"}: false,
		{}: false,
	} {
		w := d.recalled(rerun(func(q *intake.Request) { q.ETag, q.VersionID = named.IfMatch, named.VersionID }))
		if w.NamesVersion != another {
			t.Errorf("%+v: names another version %t; want %t", named, w.NamesVersion, another)
		}
	}
	_, err := goback.Recall(t.Context(), d.Follower, rerun(func(q *intake.Request) {
		q.Object, q.Action, q.ParameterSet = "other.zip", intake.ActionCheck, "FR"
		q.Parameters = map[string]json.RawMessage{"LEDGER": []byte(`"AP"`), "NEW": []byte(`1`)}
	}))
	var where []string
	for _, p := range problem.Of(err, problem.Problem{}).Problems {
		if p.Code != "request.differs" || p.Hint == "" {
			t.Errorf("%+v", p)
		}
		where = append(where, p.Where)
	}
	want := []string{"/object", "/parameter_set", "/action", "/parameters/LEDGER", "/parameters/NEW"}
	if diff := cmp.Diff(want, where); diff != "" {
		t.Error("what differs (-want +got):\n" + diff)
	}
}

// Whoever names an object that another run is of is told that run.
func TestTheRunOfAnotherObject(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.store(failed())
	d.record(func(p *claim.Package) {
		p.Add("", claim.Entry{RunID: "run-of-the-other", Standing: claim.Applied, Object: "other.zip", Start: began})
	})
	_, err := goback.Recall(t.Context(), d.Follower, rerun(func(q *intake.Request) { q.Object = "other.zip" }))
	if hint := problem.Of(err, problem.Problem{}).Problems[0].Hint; !strings.Contains(hint, "run-of-the-other") {
		t.Errorf("hint %q", hint)
	}
}

// Not every run can be gone back to in every way.
func TestRunsThatCannotBeGoneBackTo(t *testing.T) {
	t.Parallel()
	type change = func(*evidence.Result)
	began := func(attempts int) change {
		return func(r *evidence.Result) { r.Steps = []evidence.Step{{Phase: "run", Attempts: attempts}} }
	}
	undone := func(r *evidence.Result) { r.Rollback = &evidence.Rollback{Steps: []evidence.Step{{Attempts: 1}}} }
	check := func(r *evidence.Result) { r.Action = "check" }
	for name, c := range map[string]struct {
		was     change
		request intake.Request
		code    string
	}{
		"another environment":   {func(r *evidence.Result) { r.Environment = "prod" }, rerun(), "request.differs"},
		"a rollback":            {func(r *evidence.Result) { r.Action = "rollback" }, rerun(), "rollback.of_rollback"},
		"a check again":         {check, rerun(), ""},
		"undo of a check":       {check, undo(), "request.differs"},
		"going on from a check": {check, resume(), "request.differs"},
		"undo of nothing":       {began(0), undo(), "request.differs"},
		"undo of something":     {began(1), undo(), ""},
		"back to nothing":       {began(0), takeBack(), "request.differs"},
		"going on from nothing": {began(0), resume(), "request.not_partial"},
		"going on from an undo": {undone, resume(), "request.not_partial"},
		"again after an undo":   {undone, rerun(), ""},
		"nothing known of it": {
			func(r *evidence.Result) { r.Package.SHA256, r.Package.ETag = "", "" }, rerun(), "request.gone",
		},
		"a name that lies": {
			func(r *evidence.Result) { r.SourceObject = "a\u202epiz" }, rerun(), "trigger.object",
		},
		"a value that is hidden": {func(r *evidence.Result) { r.Parameters["PW"] = "***" }, rerun(), "request.hidden"},
	} {
		d := newDesk(t)
		r := failed()
		c.was(&r)
		d.store(r)
		w, err := goback.Recall(t.Context(), d.Follower, c.request)
		if d.refused(name, err, c.code); (w == nil) != (err != nil) {
			t.Errorf("%s: there is a way back: %v", name, w)
		}
	}
}

// A hidden value that is given again, in whatever way, is taken.
func TestHiddenValuesAreGivenAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := failed()
	r.Parameters["PW"] = "***"
	d.store(r)
	given := map[string]json.RawMessage{"PW": []byte(`"Tiger-s3cr3t"`)}
	w := d.recalled(rerun(func(q *intake.Request) { q.Parameters = given }))
	want := map[string]json.RawMessage{"PW": given["PW"], "LEDGER": []byte(`"GL"`), "N": []byte(`1.50`)}
	if diff := cmp.Diff(want, w.Request.Parameters); diff != "" {
		t.Error("parameters (-want +got):\n" + diff)
	}
	if diff := cmp.Diff(map[string]json.RawMessage{"PW": given["PW"]}, w.Given); diff != "" {
		t.Error("given (-want +got):\n" + diff)
	}
}

// A result is gone back to only if it is the one that the executor has stored: by the package's record, else by the
// run's claim.
func TestResultsThatWereChanged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		known func(d *desk, digest string)
		code  string
	}{
		"nothing is known": {func(*desk, string) {}, ""},
		"the record agrees": {func(d *desk, digest string) {
			d.record(func(p *claim.Package) { p.Add("", claim.Entry{RunID: runID, Result: digest, Start: began}) })
		}, ""},
		"the record knows another": {func(d *desk, _ string) {
			d.record(func(p *claim.Package) { p.Add("", claim.Entry{RunID: runID, Result: "another", Start: began}) })
		}, "request.altered"},
		"the claim agrees":        {func(d *desk, digest string) { d.claimed(digest) }, ""},
		"the claim knows another": {func(d *desk, _ string) { d.claimed("another") }, "request.altered"},
	} {
		d := newDesk(t)
		c.known(d, d.store(failed()))
		_, err := goback.Recall(t.Context(), d.Follower, rerun())
		d.refused(name, err, c.code)
	}
}

// claimed makes the claim of the run, which knows a digest of its result.
func (d *desk) claimed(digest string) {
	d.t.Helper()
	c := claim.Claim{Key: "0123456789ab" + strings.Repeat("0", 52), RunID: runID}
	held, _, err := d.Book.Acquire(d.t.Context(), c, func() time.Time { return time.Now().UTC().Add(time.Hour) })
	d.ok(err)
	_, err = held.Conclude(d.t.Context(), claim.End{Outcome: claim.Outcome{Status: "failed", Result: digest}})
	d.ok(err)
}

// A run that there is not is refused; one that cannot be read now may be another time.
func TestRunsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	_, err := goback.Recall(t.Context(), d.Follower, rerun())
	d.refused("no such run", err, "request.unknown_run")
	d.put(evidence.ResultObject(runID), "{")
	_, err = goback.Recall(t.Context(), d.Follower, rerun())
	d.refused("no document", err, "request.unknown_run")
	d.store(failed())
	state := d.Book.State
	d.Book.State = unavailable{state, "packages/"}
	if _, err = goback.Recall(t.Context(), d.Follower, rerun()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the record cannot be read: %v", err)
	}
	d.Book.State, d.Results = state, unavailable{d.Results, "runs/"}
	if _, err = goback.Recall(t.Context(), d.Follower, rerun()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the result cannot be read: %v", err)
	}
}
