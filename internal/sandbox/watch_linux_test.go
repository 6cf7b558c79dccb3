package sandbox

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/proctree"
	"cemli-executor/internal/testkit"
)

// shared is a command that shares its user, as in a function.
func shared(t *testing.T, script string) (Command, *testkit.Buffer) {
	t.Helper()
	if !Probe().Strongest().Reaches(LevelBasic) {
		t.Skip("needs a kernel that has the sandbox level basic")
	}
	var out testkit.Buffer
	return Command{
		Path: "/bin/bash", Args: []string{"-c", script}, Dir: testkit.TempDir(t), Env: []string{"PATH=/usr/bin:/bin"},
		Stdout: &out, Stderr: &out, Grace: time.Second, Level: LevelBasic, Network: true, Linger: time.Minute,
		changed: func(s *setup) { s.user, s.Landlock = nil, nil },
	}, &out
}

// If other processes have the same user, no limit of the kernel can count the command's: they are counted here, and
// the command is ended.
func TestTooManyProcessesEndTheCommand(t *testing.T) {
	for name, script := range map[string]string{
		"at once":             `for i in $(seq 40); do sleep 100 & done; wait`,
		"after its own end":   `(sleep 0.2; for i in $(seq 40); do sleep 100 & done; wait) & exit 0`,
		"in sessions":         `for i in $(seq 40); do setsid sleep 100 & done; wait`,
		"that never end, all": `f() { f | f & }; f; sleep 100`,
	} {
		t.Run(name, func(t *testing.T) {
			c, out := shared(t, script)
			c.Limits.Processes = 30
			got, err := Run(t.Context(), c)
			if err != nil || !got.Crowded || got.Stopped || !got.Layers.Watched || got.Took > 20*time.Second {
				t.Errorf("outcome %+v, output %.300q, error %v", got, out.String(), err)
			}
			if left, err := proctree.Strays(); err != nil || len(left) > 0 {
				t.Errorf("left: %v, error %v", left, err)
			}
		})
	}
}

func TestProcessesWithinTheLimitAreLeftAlone(t *testing.T) {
	c, out := shared(t, `ulimit -u >limit; for i in $(seq 20); do sleep 0.3 & done; wait; echo fine`)
	c.Limits.Processes = 30
	got, err := Run(t.Context(), c)
	if err != nil || got.Crowded || got.ExitCode != 0 || out.String() != "fine\n" || got.Layers.Limits.Processes != 30 {
		t.Errorf("outcome %+v, output %q, error %v", got, out.String(), err)
	}
	if gaps := got.Layers.Gaps(); !slices.Contains(gaps, GapProcesses) {
		t.Errorf("gaps %v", gaps)
	}
	// The kernel's own limit is as it was.
	c, out = shared(t, "ulimit -u")
	c.Limits.Processes = 30
	if _, err := Run(t.Context(), c); err != nil || out.String() == "30\n" {
		t.Errorf("limit %q, error %v", out.String(), err)
	}
}

// The kernel limits a command with a user of its own, and nothing gets around that.
func TestAnOwnUserIsLimited(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	c, out := shared(t, `for i in $(seq 40); do sleep 100 & echo $i; done`)
	c.Path, c.Limits.Processes, c.Linger = "/bin/sh", 20, 0 // bash tries again for long
	c.changed = nil
	if err := os.Chmod(c.Dir, 0o777); err != nil { //nolint:gosec // for the command's user
		t.Fatal(err)
	}
	got, err := Run(t.Context(), c)
	started := strings.Count(out.String(), "\n")
	if err != nil || got.Crowded || got.Layers.Watched || got.Layers.Limits.Processes != 20 || started == 0 ||
		started > 20 {
		t.Errorf("outcome %+v, output %q, error %v", got, out.String(), err)
	}
}
