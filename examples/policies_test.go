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
		{"bare", "1.0.0", ``, "event", tuesday, "", "", nil, []string{"policy.require", "policy.require"}, []string{"policy.require", "policy.require", "policy.require", "policy.network"}},
		{"owned", "1.0.0", owned, "event", tuesday, "", "", nil, nil, []string{"policy.require", "policy.network"}},
		{"approved", "1.0.0", approved, "event", tuesday, "", "", nil, nil, nil},
		{"ticket of another form", "1.0.0", owned + `,"change_ticket":"JIRA-1","network":true`, "event", tuesday, "", "", nil, nil, []string{"policy.require"}},
		{"prerelease", "1.0.0-rc.1", approved, "event", tuesday, "", "", nil, nil, []string{"policy.prerelease"}},
		{"older", "1.0.0", approved, "event", tuesday, "1.1.0", "", nil, nil, []string{"policy.downgrade"}},
		{"changed", "1.0.0", approved, "event", tuesday, "", "h1:other", nil, []string{"policy.reuse"}, []string{"policy.reuse"}},
		{"from a laptop", "1.0.0", approved, "cli", tuesday, "", "", nil, nil, []string{"policy.action"}},
		{"at the year's end", "1.0.0", approved, "event", yearEnd, "", "", nil, nil, []string{"policy.freeze"}},
	} {
		m, err := manifest.Parse([]byte(`{"name":"a","version":"` + c.version + `","type":"extension"` + c.members + `}`))
		if err != nil {
			t.Fatal(err)
		}
		for environment, want := range map[string][]string{"dev": c.dev, "test": c.test, "prod": c.prod} {
			var got []string
			for _, p := range policy(t, environment).Admit(manifest.Case{
				Manifest: m, Object: "in/a-" + c.version + ".zip", Action: "apply", Kind: c.kind, Now: c.now, DirHash: "h1:now", Current: c.current, Seen: c.seen,
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
