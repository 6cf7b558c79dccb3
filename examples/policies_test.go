package examples_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// A day before the year's end, and one in it.
var (
	tuesday = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	yearEnd = time.Date(2026, 12, 29, 10, 0, 0, 0, time.UTC)
)

func TestPolicies(t *testing.T) {
	const owned = `,"owner":"finance","description":"d"`
	const approved = owned + `,"change_ticket":"CHG0012345","network":true`
	for _, c := range []struct {
		name, version, members, kind string
		now                          time.Time
		current, seen                string
		dev, test, prod              []string
	}{
		{
			"bare", "1.0.0", ``, "event", tuesday, "", "", nil,
			[]string{"policy.require", "policy.require"},
			[]string{"policy.require", "policy.require", "policy.require", "policy.network"},
		},
		{"owned", "1.0.0", owned, "event", tuesday, "", "", nil, nil, []string{"policy.require", "policy.network"}},
		{"approved", "1.0.0", approved, "event", tuesday, "", "", nil, nil, nil},
		{
			"ticket of another form", "1.0.0", owned + `,"change_ticket":"JIRA-1","network":true`, "event", tuesday, "",
			"", nil, nil,
			[]string{"policy.require"},
		},
		{"prerelease", "1.0.0-rc.1", approved, "event", tuesday, "", "", nil, nil, []string{"policy.prerelease"}},
		{"older", "1.0.0", approved, "event", tuesday, "1.1.0", "", nil, nil, []string{"policy.downgrade"}},
		{
			"changed", "1.0.0", approved, "event", tuesday, "", "h1:other", nil,
			[]string{"policy.reuse"},
			[]string{"policy.reuse"},
		},
		{
			"on a runner of its own", "1.0.0", approved + `,"runs_on":"bank"`, "event", tuesday, "", "", nil, nil,
			[]string{"policy.runner"},
		},
		{"from a laptop", "1.0.0", approved, "cli", tuesday, "", "", nil, nil, []string{"policy.action"}},
		{"at the year's end", "1.0.0", approved, "event", yearEnd, "", "", nil, nil, []string{"policy.freeze"}},
	} {
		m, err := manifest.Parse(
			[]byte(`{"name":"a","version":"` + c.version + `","type":"extension"` + c.members + `}`))
		if err != nil {
			t.Fatal(err)
		}
		for environment, want := range map[string][]string{"dev": c.dev, "test": c.test, "prod": c.prod} {
			var got []string
			for _, p := range policy(t, environment).Admit(manifest.Case{
				Manifest: m, Object: "in/a-" + c.version + ".zip", Action: "apply", Kind: c.kind, Now: c.now,
				DirHash: "h1:now", Current: c.current, Seen: c.seen,
			}) {
				got = append(got, p.Code)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s in %s (-want +got):\n%s", c.name, environment, diff)
			}
		}
	}
	for _, environment := range []string{"dev", "test", "prod"} {
		if !policy(t, environment).ScansFiles() {
			t.Errorf("%s does not look for secrets", environment)
		}
	}
	if !policy(t, "dev").AllowsRepeat() || policy(t, "prod").AllowsRepeat() {
		t.Error("dev and prod do not differ in repeats")
	}
}

// Each policy lets a person go back: to an earlier version, and, in a freeze too, with undo scripts.
func TestPoliciesLetPeopleGoBack(t *testing.T) {
	m, err := manifest.Parse([]byte(
		`{"name":"a","version":"1.0.0","type":"extension","owner":"finance","description":"d",` +
			`"change_ticket":"CHG0012345","network":true}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, action, current, reference string
		back                             bool
		now                              time.Time
		prod                             []string
	}{
		{"an older version", "apply", "1.1.0", "", false, tuesday, []string{"policy.downgrade"}},
		{"an older version, as an earlier run had it", "apply", "1.1.0", "", true, tuesday, nil},
		{"the same in a freeze", "apply", "1.1.0", "INC0012345", true, yearEnd, []string{"policy.freeze"}},
		{"undo", "rollback", "1.0.0", "", true, tuesday, nil},
		{"undo in a freeze", "rollback", "1.0.0", "", true, yearEnd, []string{"policy.freeze"}},
		{"undo in a freeze, for an incident", "rollback", "1.0.0", "INC0012345", true, yearEnd, nil},
		{"a look in a freeze", "check", "1.0.0", "", false, yearEnd, nil},
		{"a dry run in a freeze", "dry_run", "1.0.0", "", false, yearEnd, []string{"policy.freeze"}},
	} {
		for environment, want := range map[string][]string{"dev": nil, "test": nil, "prod": c.prod} {
			var got []string
			for _, p := range policy(t, environment).Admit(manifest.Case{
				Manifest: m, Object: "a-1.0.0.zip", Action: c.action, Kind: "request", Now: c.now, DirHash: "h1:now",
				Current: c.current, Seen: "h1:now",
				Rollback: c.back, Reference: c.reference,
			}) {
				got = append(got, p.Code)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s in %s (-want +got):\n%s", c.name, environment, diff)
			}
		}
	}
}

func policy(t *testing.T, environment string) *manifest.Policy {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("policies", environment+".json"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := manifest.ParsePolicy(doc, environment)
	var e *problem.Error
	if errors.As(err, &e) {
		t.Fatal(e.Problems)
	}
	return p
}
