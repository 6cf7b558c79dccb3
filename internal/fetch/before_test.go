package fetch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/fetch"
	"cemli-executor/internal/intake"
)

// Of an object that is there, its description says what the uploader chose, without its bytes being read.
func TestLookBackAtWhatIsThere(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Packages = &versioned{Bucket: d.Packages}
	one := d.upload(first, map[string]string{"cemli-action": "check"})
	for name, q := range map[string]intake.Request{
		"the newest": request(one.ETag), "one by its ETag": request(one.ETag), "one by its version": request(one.ETag),
	} {
		switch name {
		case "one by its version":
			q.VersionID = one.VersionID
		case "one by its ETag":
			d.upload(second, nil)
		}
		found, other, err := d.LookBack(t.Context(), q)
		if err != nil || other != nil || !found.Learned || found.Request.Action != intake.ActionCheck ||
			found.SHA256 != "" {
			t.Errorf("%s: %+v, %v, %v", name, found, other, err)
		}
		if !found.Created.Equal(one.Created) {
			t.Errorf("%s: created %s; want %s", name, found.Created, one.Created)
		}
	}
}

// Of a version that is gone only what was stored of the request tells: a claim in the form that somebody else gave
// it, or a pending request.
func TestLookBackAtWhatIsGone(t *testing.T) {
	t.Parallel()
	check := func(q intake.Request) intake.Request { q.Action = intake.ActionCheck; return q }
	pending := func(d *desk, q intake.Request) {
		_, err := d.Book.Accept(d.t.Context(), claim.PendingName(q.Key("test"), 1), []byte(`{}`))
		d.ok(err)
	}
	byHand := func(q intake.Request) intake.Request { q.Trigger.Kind = intake.TriggerRequest; return q }
	as := func(q intake.Request) intake.Request { return q }
	type known struct {
		Action  intake.Action
		Learned bool
		Claimed bool // by somebody else, in another form
	}
	for name, c := range map[string]struct {
		before func(*desk, intake.Request)
		ask    func(intake.Request) intake.Request
		want   known
	}{
		"nothing": {func(*desk, intake.Request) {}, as, known{}},
		"claimed as a check": {
			func(d *desk, q intake.Request) { d.began(check(q), "") }, as, known{Claimed: true},
		},
		"claimed as it was asked": {func(d *desk, q intake.Request) { d.began(q, "") }, as, known{}},
		"a check that was asked for": {
			func(d *desk, q intake.Request) { d.began(check(q), "") }, check, known{Action: "check"},
		},
		"accepted as a check": {
			func(d *desk, q intake.Request) { pending(d, check(q)) }, as, known{Action: "check", Learned: true},
		},
		"accepted as it was asked": {pending, as, known{Action: "apply", Learned: true}},
		"by hand":                  {func(d *desk, q intake.Request) { d.began(check(q), "") }, byHand, known{}},
	} {
		d := newDesk(t)
		q := request("an-etag-of-before")
		c.before(d, q)
		found, other, err := d.LookBack(t.Context(), c.ask(q))
		d.ok(err)
		got := known{found.Request.Action, found.Learned, other != nil}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Nobody asks a store for a name that it cannot have; what it does not answer now is not known to be gone.
func TestLookBackThatCannotBe(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	q := request("etag")
	q.Object = "a\u202epiz.zip"
	d.Packages = down{d.Packages, ""}
	if found, other, err := d.LookBack(t.Context(), q); err != nil || other != nil || found.Learned {
		t.Errorf("%+v, %v, %v", found, other, err)
	}
	_, _, err := d.LookBack(t.Context(), request("etag"))
	d.unavailable("the package", err)
	for _, prefix := range []string{"claims/", "open/"} {
		d := newDesk(t)
		d.Book.State = down{d.Book.State, prefix}
		_, _, err := d.LookBack(t.Context(), request("etag"))
		d.unavailable(prefix, err)
	}
}

// An upload that is about to begin has to be what is under its name; what has begun, goes back or was asked for by its
// version need not. But nothing takes the place of a later upload of the same object.
func TestCurrent(t *testing.T) {
	t.Parallel()
	uploaded := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	later := func(object string) claim.Entry {
		return claim.Entry{RunID: "run-2", Standing: claim.Applied, Object: object, Uploaded: uploaded.Add(time.Hour)}
	}
	begun := func(q *intake.Request) { q.Pinned = digest(first) }
	named := func(q *intake.Request) { q.VersionNamed = true }
	back := func(q *intake.Request) { begun(q); q.RerunOf = "run-1" }
	cli := func(q *intake.Request) { q.Trigger.Kind = intake.TriggerCLI }
	none, replaced := func(*desk) {}, func(d *desk) { d.upload(second, nil) }
	for name, c := range map[string]struct {
		change  func(*desk)
		request func(*intake.Request)
		after   string // the object that a later upload of has begun; "" if none has
		says    string // why it does not run; "" if it does
	}{
		"is there": {none, func(*intake.Request) {}, "", ""},
		"replaced": {replaced, func(*intake.Request) {}, "", "it has been replaced"},
		"deleted": {
			func(d *desk) { d.remove() }, func(*intake.Request) {}, "", "it has been deleted",
		},
		"replaced, it has begun":        {replaced, begun, "", ""},
		"replaced, it goes back":        {replaced, back, object, ""},
		"replaced, named":               {replaced, named, object, ""},
		"replaced, a file of a laptop":  {replaced, cli, "", ""},
		"a later upload has begun":      {replaced, begun, object, "run run-2 has begun with a later upload"},
		"a later one of another object": {replaced, begun, "other.zip", ""},
	} {
		d := newDesk(t)
		found := fetch.Found{Request: request(d.upload(first, nil).ETag), Created: uploaded}
		c.request(&found.Request)
		c.change(d)
		history, err := d.Book.Package(t.Context(), "sample")
		d.ok(err)
		if c.after != "" {
			d.ok(history.Update(t.Context(), func(p *claim.Package) { p.Add("", later(c.after)) }))
		}
		err = d.Current(t.Context(), found, history)
		if c.says == "" {
			d.code(name, err, "")
			continue
		}
		if d.code(name, err, "trigger.stale"); err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v does not say %q", name, err, c.says)
		}
	}
	d := newDesk(t)
	d.Packages = down{d.Packages, ""}
	d.unavailable("no answer", d.Current(t.Context(), fetch.Found{Request: request("etag")}, &claim.Package{}))
}
