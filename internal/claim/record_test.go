package claim_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

func bucket(t *testing.T) store.Bucket {
	t.Helper()
	b, err := store.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// update changes the record of ledger in prod.
func update(t *testing.T, b store.Bucket, change func(*claim.Package)) error {
	t.Helper()
	p, err := book(b, "prod").Package(t.Context(), "ledger")
	if err != nil {
		return err
	}
	return p.Update(t.Context(), change)
}

// run is an entry of a run.
func run(id string, standing claim.Standing) claim.Entry {
	return claim.Entry{RunID: id, Standing: standing, Key: "key of " + id, Version: "1.0." + id, DirHash: "h1:" + id}
}

func TestRecordRemembers(t *testing.T) {
	t.Parallel()
	b := bucket(t)
	change := func(change func(*claim.Package)) {
		t.Helper()
		if err := update(t, b, change); err != nil {
			t.Fatal(err)
		}
	}
	change(func(p *claim.Package) { p.Began(claim.Version{Version: "1.0.0", DirHash: "h1:a", RunID: "run-1"}) })
	change(func(p *claim.Package) { p.Add("DE", run("1", claim.Applied)) })
	change(func(p *claim.Package) { p.Began(claim.Version{Version: "1.0.0+x", DirHash: "h1:a", RunID: "run-2"}) })
	p, err := book(b, "prod").Package(t.Context(), "ledger")
	if err != nil {
		t.Fatal(err)
	}
	if p.Seen("1.0.0") != "h1:a" || p.Seen("1.0.0+y") != "h1:a" || p.Seen("2.0.0") != "" || len(p.Versions) != 1 {
		t.Errorf("versions %+v", p.Versions)
	}
	if e := p.Applied("DE"); e == nil || e.RunID != "1" || p.Applied("FR") != nil || p.Applied("") != nil {
		t.Errorf("applied: %+v", p.Sets)
	}
	if other, err := book(b, "test").Package(t.Context(), "ledger"); err != nil || other.Applied("DE") != nil {
		t.Errorf("another environment sees %+v, %v", other, err)
	}
}

// A set's newest entry that is not undone decides what is applied.
func TestWhatIsApplied(t *testing.T) {
	t.Parallel()
	standings := map[byte]claim.Standing{'a': claim.Applied, 'u': claim.Undone, 'p': claim.Partial}
	for _, c := range []struct {
		entries string // one letter each, in their order
		latest  int    // from 1; 0: none
		applied bool
	}{
		{"", 0, false},
		{"a", 1, true},
		{"p", 1, false},
		{"u", 0, false},
		{"aa", 2, true},
		{"au", 1, true},
		{"ap", 2, false},
		{"apu", 2, false},
		{"auu", 1, true},
		{"pu", 1, false},
		{"uua", 3, true},
	} {
		var p claim.Package
		for i := range c.entries {
			p.Add("", run(fmt.Sprint(i+1), standings[c.entries[i]]))
		}
		latest, applied := p.Latest(""), p.Applied("")
		if (latest == nil) != (c.latest == 0) || latest != nil && latest.RunID != fmt.Sprint(c.latest) ||
			(applied != nil) != c.applied {
			t.Errorf("%q: latest %+v, applied %+v; want %d, %v", c.entries, latest, applied, c.latest, c.applied)
		}
	}
}

// A resumed run replaces the run that it resumed: undoing it undoes both.
func TestAResumedRunIsAnothers(t *testing.T) {
	t.Parallel()
	var p claim.Package
	p.Add("", run("1", claim.Applied))
	p.Add("", run("2", claim.Partial))
	third := run("3", claim.Applied)
	third.Resumes = "2"
	p.Add("", third)
	if e := p.Applied(""); e == nil || e.RunID != "3" {
		t.Errorf("applied %+v", e)
	}
	p.RolledBack("", "3", "4", claim.Undone)
	if e := p.Applied(""); e == nil || e.RunID != "1" {
		t.Errorf("applied %+v", e)
	}
}

func TestWhatCameAfterARun(t *testing.T) {
	t.Parallel()
	var p claim.Package
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, standing := range []claim.Standing{claim.Applied, claim.Undone, claim.Partial, claim.Undone} {
		e := run(fmt.Sprint(i+1), standing)
		e.Start = at.Add(time.Duration(i) * time.Hour)
		p.Add("", e)
	}
	for id, want := range map[string]string{
		"1": "3", "2": "3", "3": "", "4": "", "of a pre-check": "", "another": "3",
	} {
		start := at.Add(3 * time.Hour)
		if id == "another" {
			start = at.Add(-time.Hour)
		}
		got := ""
		if e := p.After("", id, start); e != nil {
			got = e.RunID
		}
		if got != want {
			t.Errorf("after %s: %q; want %q", id, got, want)
		}
	}
}

func TestRecordIsBounded(t *testing.T) {
	t.Parallel()
	var p claim.Package
	for i := range 3000 {
		p.Began(claim.Version{Version: fmt.Sprintf("1.0.%d", i), DirHash: "h1:x"})
		standing := claim.Undone
		if i == 17 {
			standing = claim.Applied
		}
		p.Add("", run(fmt.Sprint(i), standing))
	}
	if len(p.Versions) != 2000 || p.Seen("1.0.2999") == "" {
		t.Errorf("%d versions", len(p.Versions))
	}
	if e := p.Applied(""); len(p.Sets[""]) > 200 || e == nil || e.RunID != "17" {
		t.Errorf("%d entries, applied %+v: what is applied must not be dropped", len(p.Sets[""]), e)
	}
	for i := range 3000 {
		p.Add(fmt.Sprint("set ", i), run("x", claim.Applied))
		p.Add(fmt.Sprint("set ", i), run("y", claim.Undone))
	}
	entries := 0
	for _, list := range p.Sets {
		entries += len(list)
	}
	if entries > 7000 || p.Applied("set 0") == nil {
		t.Errorf("%d entries of %d sets", entries, len(p.Sets))
	}
}

func TestWritersDoNotLoseEachOther(t *testing.T) {
	t.Parallel()
	b := bucket(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			err := update(t, b, func(p *claim.Package) { p.Add("", run(fmt.Sprint(i), claim.Applied)) })
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if p, err := book(b, "prod").Package(t.Context(), "ledger"); err != nil || len(p.Sets[""]) != 8 {
		t.Errorf("%d entries, %v; want 8", len(p.Sets[""]), err)
	}
}

// Version 1 recorded no sets. Sort gives its successes their sets, as the oldest entries; of a success whose result is
// gone only the key stays.
func TestARecordOfVersion1(t *testing.T) {
	t.Parallel()
	b := bucket(t)
	doc := `{"schema_version":1,"environment":"prod","name":"ledger","current":"1.2.0","versions":[],"done":[
		{"key":"k1","run_id":"r1","version":"1.0.0"},{"key":"k2","run_id":"r2","version":"1.1.0"},
		{"key":"k3","run_id":"r3","version":"1.2.0"}]}`
	_, err := b.Put(t.Context(), "packages/prod/ledger.json", strings.NewReader(doc), int64(len(doc)),
		store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sorted := map[string]claim.Sorted{
		"r1": {Set: "DE", Entry: claim.Entry{RunID: "r1", Key: "k1", Standing: claim.Applied}},
		"r3": {Set: "DE", Entry: claim.Entry{RunID: "r3", Key: "k3", Standing: claim.Applied}},
	}
	p, err := book(b, "prod").Package(t.Context(), "ledger")
	if err != nil || len(p.Unsorted()) != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	p.Sort(sorted)
	if err := p.Update(t.Context(), func(p *claim.Package) { p.Add("DE", run("r4", claim.Undone)) }); err != nil {
		t.Fatal(err)
	}
	p, err = book(b, "prod").Package(t.Context(), "ledger")
	if err != nil {
		t.Fatal(err)
	}
	if e := p.Applied("DE"); e == nil || e.RunID != "r3" || len(p.Sets["DE"]) != 3 || len(p.Unsorted()) != 0 ||
		p.Forgotten("k2") != "r2" || p.Forgotten("k1") != "" {
		t.Errorf("%+v", p)
	}
}

func TestDamagedRecordsStopEverything(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ doc, code string }{
		{``, "state.corrupt"},
		{`{`, "state.corrupt"},
		{`{"schema_version":1,"environment":"test","name":"ledger"}`, "state.corrupt"},
		{`{"schema_version":0,"environment":"prod","name":"ledger"}`, "state.corrupt"},
		{`{"schema_version":1,"environment":"prod","name":"ledger","versions":{}}`, "state.corrupt"},
		{`{"schema_version":3,"environment":"prod","name":"ledger"}`, "state.newer"},
		{strings.Repeat(" ", 5<<20) + `{}`, "state.corrupt"},
	} {
		b := bucket(t)
		if _, err := b.Put(t.Context(), "packages/prod/ledger.json", strings.NewReader(c.doc), int64(len(c.doc)),
			store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		err := update(t, b, func(*claim.Package) { t.Error("changed") })
		if problem.CodeOf(err) != c.code {
			t.Errorf("%.60s: %v; want %s", c.doc, err, c.code)
		}
	}
}
