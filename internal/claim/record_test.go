package claim_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

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
	p, err := claim.ReadPackage(t.Context(), b, "prod", "ledger")
	if err != nil {
		return err
	}
	return p.Update(t.Context(), change)
}

func TestRecordRemembers(t *testing.T) {
	b := bucket(t)
	change := func(change func(*claim.Package)) {
		t.Helper()
		if err := update(t, b, change); err != nil {
			t.Fatal(err)
		}
	}
	change(func(p *claim.Package) { p.Began(claim.Version{Version: "1.0.0", DirHash: "h1:a", RunID: "run-1"}) })
	change(func(p *claim.Package) { p.Ended(claim.Success{Key: "k", RunID: "run-1", Version: "1.0.0"}) })
	change(func(p *claim.Package) { p.Began(claim.Version{Version: "1.0.0", DirHash: "h1:a", RunID: "run-2"}) })
	p, err := claim.ReadPackage(t.Context(), b, "prod", "ledger")
	if err != nil {
		t.Fatal(err)
	}
	if p.Current != "1.0.0" || p.Seen("1.0.0") != "h1:a" || p.Seen("2.0.0") != "" || p.Succeeded("k") != "run-1" || p.Succeeded("l") != "" || len(p.Versions) != 1 {
		t.Errorf("record %+v", p)
	}
	if other, err := claim.ReadPackage(t.Context(), b, "test", "ledger"); err != nil || other.Current != "" {
		t.Errorf("another environment sees %+v, %v", other, err)
	}
}

func TestRecordIsBounded(t *testing.T) {
	var p claim.Package
	for i := range 3000 {
		p.Began(claim.Version{Version: fmt.Sprintf("1.0.%d", i), DirHash: "h1:x"})
		p.Ended(claim.Success{Key: fmt.Sprint(i), RunID: fmt.Sprint(i), Version: fmt.Sprintf("1.0.%d", i)})
	}
	if len(p.Versions) != 2000 || len(p.Done) != 2000 || p.Seen("1.0.2999") == "" || p.Current != "1.0.2999" {
		t.Errorf("%d versions, %d successes, current %s", len(p.Versions), len(p.Done), p.Current)
	}
}

func TestWritersDoNotLoseEachOther(t *testing.T) {
	b := bucket(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			err := update(t, b, func(p *claim.Package) {
				p.Ended(claim.Success{Key: fmt.Sprint(i), RunID: fmt.Sprint(i), Version: "1.0.0"})
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if p, err := claim.ReadPackage(t.Context(), b, "prod", "ledger"); err != nil || len(p.Done) != 8 {
		t.Errorf("%d successes, %v; want 8", len(p.Done), err)
	}
}

func TestDamagedRecordsStopEverything(t *testing.T) {
	for _, c := range []struct{ doc, code string }{
		{``, "state.corrupt"},
		{`{`, "state.corrupt"},
		{`{"schema_version":1,"environment":"test","name":"ledger"}`, "state.corrupt"},
		{`{"schema_version":0,"environment":"prod","name":"ledger"}`, "state.corrupt"},
		{`{"schema_version":1,"environment":"prod","name":"ledger","versions":{}}`, "state.corrupt"},
		{`{"schema_version":2,"environment":"prod","name":"ledger"}`, "state.newer"},
		{strings.Repeat(" ", 5<<20) + `{}`, "state.corrupt"},
	} {
		b := bucket(t)
		if _, err := b.Put(t.Context(), "packages/prod/ledger.json", strings.NewReader(c.doc), int64(len(c.doc)), store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		err := update(t, b, func(*claim.Package) { t.Error("changed") })
		if problem.CodeOf(err) != c.code {
			t.Errorf("%.60s: %v; want %s", c.doc, err, c.code)
		}
	}
}
