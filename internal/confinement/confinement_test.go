package confinement_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/confinement"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/testkit"
)

// TestMain lets the tests run as on another kernel.
func TestMain(m *testing.M) {
	sandbox.Dispatch()
	testkit.PretendKernel()
	os.Exit(m.Run())
}

var levels = []sandbox.Level{sandbox.LevelNone, sandbox.LevelBasic, sandbox.LevelIsolated, sandbox.LevelFull}

// A level is available exactly if the kernel has it; a refusal says what is lacking and how to go on.
func TestAvailable(t *testing.T) {
	t.Parallel()
	has := sandbox.Probe()
	for _, level := range levels {
		err := confinement.Available(level)
		if has.Strongest().Reaches(level) {
			if err != nil {
				t.Errorf("%s: %v", level, err)
			}
			continue
		}
		p := problem.Of(err, problem.Problem{}).Problems[0]
		says := strings.Contains(p.Message, string(level)) && strings.Contains(p.Message, has.Lacks(level))
		if p.Code != "sandbox.unavailable" || !says || p.Hint == "" {
			t.Errorf("%s: %+v", level, p)
		}
	}
}

// A package without network runs only where something keeps it from one.
func TestForNetwork(t *testing.T) {
	t.Parallel()
	for _, level := range levels {
		want := ""
		if level == sandbox.LevelNone {
			want = "sandbox.network"
		}
		if err := confinement.ForNetwork(level, false); problem.CodeOf(err) != want {
			t.Errorf("%s, without network: %v; want %q", level, err, want)
		}
		if err := confinement.ForNetwork(level, true); err != nil {
			t.Errorf("%s, with network: %v", level, err)
		}
	}
}

// Secrets are given only where neither the function's identity nor another process of the user is in reach.
func TestSecretsAreRefusedWhereTheyCouldBeTaken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		layers sandbox.Layers
		says   []string // empty: they are given
	}{
		{"isolated", sandbox.Layers{NoNewPrivileges: true, Seccomp: true, Landlock: 1}, nil},
		{"full", sandbox.Layers{NoNewPrivileges: true, Seccomp: true, Landlock: 6}, nil},
		{
			"isolated, with an init in reach",
			sandbox.Layers{NoNewPrivileges: true, Seccomp: true, Landlock: 1, Init: true},
			[]string{"gap init"},
		},
		{
			"another user's",
			sandbox.Layers{NoNewPrivileges: true, Seccomp: true, Landlock: 1, Init: true, User: 62000},
			nil,
		},
		{"basic", sandbox.Layers{NoNewPrivileges: true, Seccomp: true}, []string{"level basic"}},
		{
			"basic, with an init in reach",
			sandbox.Layers{NoNewPrivileges: true, Seccomp: true, Init: true},
			[]string{"level basic", "gap init"},
		},
		{"none", sandbox.Layers{}, []string{"level none"}},
	} {
		err := confinement.ForSecrets(c.layers)
		if (err == nil) != (c.says == nil) || err != nil && problem.CodeOf(err) != "secret.sandbox" {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, text := range c.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v does not say %q", c.name, err, text)
			}
		}
	}
}

// A runner is granted nothing that scripts could take, but its init would receive the next job's secrets.
func TestSecretsApart(t *testing.T) {
	t.Parallel()
	basic := sandbox.Layers{NoNewPrivileges: true, Seccomp: true}
	exposed, own := basic, basic
	exposed.Init, own.Init, own.User = true, true, 62000
	for name, c := range map[string]struct {
		layers sandbox.Layers
		want   string
	}{
		"basic": {basic, ""}, "with an init in reach": {exposed, "secret.sandbox"}, "another user's": {own, ""},
		"none": {sandbox.Layers{}, "secret.sandbox"},
	} {
		if err := confinement.ForSecretsApart(c.layers); problem.CodeOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is planned is all that the kernel has, and nothing at the level none; a result says so.
func TestPlanned(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(sandbox.Layers{}, confinement.Planned(sandbox.LevelNone, true)); diff != "" {
		t.Error("at the level none (-want +got):\n" + diff)
	}
	has := sandbox.Probe()
	for _, level := range levels[1:] {
		for _, network := range []bool{true, false} {
			got := confinement.Planned(level, network)
			if got.Level() != has.Strongest() || got.Landlock != has.Landlock || got.Offline == network {
				t.Errorf("%s, network %t: %+v; the kernel has %+v", level, network, got, has)
			}
		}
	}
}

// A result names the level that the layers amount to, and whether scripts can reach the function's credentials.
func TestDescribe(t *testing.T) {
	t.Parallel()
	filtered := sandbox.Layers{NoNewPrivileges: true, Seccomp: true}
	isolated, full := filtered, filtered
	isolated.Landlock, full.Landlock, full.User = 1, 6, 65534
	full.Limits = sandbox.Limits{Processes: 50, OpenFiles: 350, FileBytes: 1 << 20, DataBytes: 1 << 30}
	for name, c := range map[string]struct {
		level   sandbox.Level
		network bool
		layers  sandbox.Layers
		want    evidence.Sandbox
	}{
		"none": {
			sandbox.LevelNone, true,
			sandbox.Layers{},
			evidence.Sandbox{Level: "none", CredentialsReachable: true, Credentials: "executor", Network: true},
		},
		"basic": {
			sandbox.LevelNone, false, filtered,
			evidence.Sandbox{
				Level: "basic", CredentialsReachable: true, Credentials: "executor", NoNewPrivileges: true, Seccomp: true,
			},
		},
		"isolated": {sandbox.LevelBasic, true, isolated, evidence.Sandbox{
			Level: "isolated", Credentials: "none", Network: true, NoNewPrivileges: true, Seccomp: true, Landlock: 1,
		}},
		"full": {sandbox.LevelFull, true, full, evidence.Sandbox{
			Level: "full", Credentials: "none", Network: true, NoNewPrivileges: true, Seccomp: true, Landlock: 6, User: 65534,
			Limits: &evidence.SandboxLimits{Processes: 50, OpenFiles: 350, FileBytes: 1 << 20, DataBytes: 1 << 30},
		}},
	} {
		got := confinement.Describe(c.level, c.network, c.layers)
		c.want.Gaps = c.layers.Gaps()
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Of steps that ran apart a result says what the runner found of its token when it was last probed, and when that was.
func TestApart(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	basic := sandbox.Layers{NoNewPrivileges: true, Seccomp: true}
	for _, found := range []string{"none", "ungranted", "granted"} {
		got := confinement.Apart(true, basic, found, at)
		if got.Credentials != found || got.Probed == nil || !got.Probed.Equal(at) || got.CredentialsReachable {
			t.Errorf("%s: %+v", found, got)
		}
	}
	if got := confinement.Apart(true, basic, "", time.Time{}); got.Credentials != "" || got.Probed != nil {
		t.Errorf("never probed: %+v", got)
	}
}

// Where Landlock was wanted and is not there, a result says why.
func TestDescribeWithoutLandlock(t *testing.T) {
	t.Parallel()
	got := confinement.Describe(sandbox.LevelBasic, true, sandbox.Layers{NoNewPrivileges: true, Seccomp: true})
	if want := string(sandbox.Probe().NoLandlock); got.NoLandlock != want {
		t.Errorf("%q; the kernel says %q", got.NoLandlock, want)
	}
}
