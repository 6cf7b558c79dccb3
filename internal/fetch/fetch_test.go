package fetch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/goback"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/store"
)

// What is fetched is one version, which the request is of from then on, with what its uploader chose.
func TestFetchPinsAVersion(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	info := d.upload(first, map[string]string{"cemli-action": "check", "cemli-reason": "because"})
	for _, etag := range []string{"", info.ETag} {
		found := d.fetched(request(etag), first)
		want := request(info.ETag)
		want.Action, want.Reason, want.Created = intake.ActionCheck, "because", found.Created
		if diff := cmp.Diff(want, found.Request); diff != "" {
			t.Error("request (-want +got):\n" + diff)
		}
		if !found.Learned || found.Created.Before(d.At.Add(-time.Minute)) {
			t.Errorf("learned %t, created %s", found.Learned, found.Created)
		}
	}
}

// What was replaced or deleted since does not run, and what is there now is named.
func TestWhatIsThereNoMore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*desk)
		says   string
	}{
		"replaced":      {func(d *desk) { d.upload(second, nil) }, "it has been replaced"},
		"uploaded anew": {func(d *desk) { d.upload(first, nil) }, "it has been replaced"},
		"deleted":       {func(d *desk) { d.remove() }, "it has been deleted"},
	} {
		d := newDesk(t)
		q := request(d.upload(first, nil).ETag)
		c.change(d)
		zip, found, err := d.Fetch(t.Context(), q)
		if d.code(name, err, "trigger.stale"); !strings.Contains(err.Error(), c.says) || zip != nil ||
			found.SHA256 != "" {
			t.Errorf("%s: %v; found %+v", name, err, found)
		}
	}
}

// An object is refused for its description alone, before its bytes are read, and it is known what was learned of it.
func TestObjectsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		metadata map[string]string
		change   func(*desk, *intake.Request)
		code     string
		learned  bool
	}{
		"too large": {nil, func(d *desk, _ *intake.Request) { d.Limit = 10 }, "archive.package_too_large", true},
		"misspelt metadata": {
			map[string]string{"cemli-acton": "check"}, func(*desk, *intake.Request) {}, "trigger.metadata", false,
		},
		"a contradiction": {
			nil, func(_ *desk, q *intake.Request) { q.Force = true }, "trigger.value", true,
		},
	} {
		d := newDesk(t)
		q := request(d.upload(first, c.metadata).ETag)
		c.change(d, &q)
		zip, found, err := d.Fetch(t.Context(), q)
		if d.code(name, err, c.code); found.Learned != c.learned || zip != nil {
			t.Errorf("%s: learned %t; want %t", name, found.Learned, c.learned)
		}
		if c.learned && found.Size != int64(len(first)) {
			t.Errorf("%s: %d bytes; want %d", name, found.Size, len(first))
		}
	}
}

// Once a run of the request has begun, it is of those bytes: from wherever they still are.
func TestFetchWhatARunHasBegunWith(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*desk)
		code   string
	}{
		"uploaded anew":             {func(d *desk) { d.upload(first, nil) }, ""},
		"replaced, a copy was kept": {func(d *desk) { d.upload(second, nil); d.keep(first) }, ""},
		"replaced by more than fits": {
			func(d *desk) { d.upload(second+strings.Repeat("x", 1<<20), nil); d.keep(first) }, "",
		},
		"deleted, a copy was kept": {func(d *desk) { d.remove(); d.keep(first) }, ""},
		"replaced, and no copy":    {func(d *desk) { d.upload(second, nil) }, "request.gone"},
		"deleted, the copy is something else": {func(d *desk) {
			d.remove()
			d.keepAs(digest(first), second)
		}, "request.gone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			info := d.upload(first, nil)
			q := request(info.ETag)
			d.began(q, first)
			c.change(d)
			if c.code != "" {
				_, _, err := d.Fetch(t.Context(), q)
				d.code(name, err, c.code)
				return
			}
			if found := d.fetched(q, first); found.Request.Pinned != digest(first) || found.Learned {
				t.Errorf("pinned to %s, learned %t", found.Request.Pinned, found.Learned)
			}
		})
	}
}

// Of a request for several sets that of the first set that has begun counts; where none has, nothing is settled.
func TestFetchWhatASetHasBegunWith(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	q := request(d.upload(first, nil).ETag)
	d.began(q, "", "DE", "FR")
	d.upload(second, nil)
	_, _, err := d.Fetch(t.Context(), q)
	d.code("no set has begun", err, "trigger.stale")
	of := func(set string) intake.Request { q := q; q.ParameterSet = set; return q }
	d.began(of("DE"), "")
	d.began(of("FR"), first)
	d.keep(first)
	if found := d.fetched(q, first); found.Request.ParameterSet != "" {
		t.Errorf("it is of the set %s", found.Request.ParameterSet)
	}
}

// What an event starts is of the newest version, until a run has begun; a package that is not there is named.
func TestFetchForAnEvent(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	q := request("")
	q.OnEvent = true
	_, _, err := d.Fetch(t.Context(), q)
	d.code("no package", err, "trigger.absent")
	d.upload(first, nil)
	begun := d.fetched(q, first).Request
	d.began(begun, first)
	d.upload(second, nil)
	d.keep(first)
	d.fetched(q, first)
	q.Trigger.EventID = "another"
	d.fetched(q, second)
}

// A request that names a version besides the run that it goes back to is of that version, which has to be the same
// bytes.
func TestFetchANamedVersion(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Packages = &versioned{Bucket: d.Packages}
	one, two := d.upload(first, nil), d.upload(second, nil)
	d.keep(first)
	for name, c := range map[string]struct {
		named store.GetOptions
		code  string
	}{
		"of that run":   {store.GetOptions{VersionID: one.VersionID}, ""},
		"another":       {store.GetOptions{VersionID: two.VersionID}, "request.differs"},
		"by its ETag":   {store.GetOptions{IfMatch: two.ETag}, "request.differs"},
		"one that was":  {store.GetOptions{IfMatch: one.ETag}, "trigger.stale"},
		"one not there": {store.GetOptions{VersionID: "v9"}, "trigger.stale"},
	} {
		q := request(one.ETag)
		q.RerunOf, q.Pinned = "run-1", digest(first)
		d.Back = &goback.Way{NamesVersion: true, Named: c.named}
		if c.code == "" {
			d.fetched(q, first)
			continue
		}
		zip, _, err := d.Fetch(t.Context(), q)
		if d.code(name, err, c.code); zip != nil {
			t.Errorf("%s: there is a package", name)
		}
	}
	d.Back = &goback.Way{} // it names none
	q := request(one.ETag)
	q.RerunOf, q.Pinned, q.VersionID = "run-1", digest(first), one.VersionID
	d.fetched(q, first)
}

// A person may ask for a version that is no longer the newest.
func TestFetchAnOldVersionByHand(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Packages = &versioned{Bucket: d.Packages}
	one := d.upload(first, map[string]string{"cemli-action": "check"})
	d.upload(second, nil)
	q := request("")
	q.Trigger.Kind, q.VersionID, q.VersionNamed = intake.TriggerRequest, one.VersionID, true
	if found := d.fetched(q, first); found.Request.ETag != one.ETag || found.Request.Action != intake.ActionApply {
		t.Errorf("ETag %s, want %s; action %s, which metadata do not choose",
			found.Request.ETag, one.ETag, found.Request.Action)
	}
}

// A store that fails now may have the package another time.
func TestFetchFromAStoreThatFails(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*desk){
		"packages": func(d *desk) { d.Packages = down{d.Packages, ""} },
		"claims":   func(d *desk) { d.Book.State = down{d.Book.State, "claims/"} },
		"kept copies": func(d *desk) {
			d.began(request("etag-of-before"), first)
			d.Results = down{d.Results, "packages/"}
		},
	} {
		d := newDesk(t)
		d.upload(second, nil)
		change(d)
		_, _, err := d.Fetch(t.Context(), request("etag-of-before"))
		d.unavailable(name, err)
	}
}
