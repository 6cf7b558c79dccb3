package executor_test

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/testkit"
)

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		least     sandbox.Level
		level     string
		reachable bool
	}{
		{sandbox.LevelNone, "none", true},
		{sandbox.LevelBasic, "full", false}, // all that the kernel has
		{sandbox.LevelFull, "full", false},
	} {
		t.Run(string(c.least), func(t *testing.T) {
			if sandbox.Probe().Strongest() != sandbox.LevelFull {
				t.Skip("needs a kernel with Landlock")
			}
			b := newBench(t)
			b.config.Sandbox = c.least
			r := b.ran(files{"steps/run.sh": "echo ran"})
			if r.Status != evidence.StatusSuccess || r.Sandbox.Level != c.level || r.Sandbox.CredentialsReachable != c.reachable || !r.Sandbox.Network {
				t.Errorf("status %s, %q, sandbox %+v", r.Status, r.Message, r.Sandbox)
			}
			if limited := r.Sandbox.Limits != nil; limited != (c.least != sandbox.LevelNone) {
				t.Errorf("limits %+v", r.Sandbox.Limits)
			}
		})
	}
}

// oldKernel says that this is the process of TestWithoutLandlock.
const oldKernel = "CEMLI_TEST_OLD_KERNEL"

// TestWithoutLandlock runs TestOnAnOldKernel in a process whose kernel answers, by a filter,
// that it has no Landlock.
func TestWithoutLandlock(t *testing.T) {
	command := testkit.UnderKernel(testkit.NoLandlock, os.Args[0], "-test.run=^TestOnAnOldKernel$", "-test.v")
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), oldKernel+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestOnAnOldKernel") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestOnAnOldKernel(t *testing.T) {
	if os.Getenv(oldKernel) == "" {
		return // TestWithoutLandlock runs it
	}
	b := newBench(t)
	b.config.Sandbox = sandbox.LevelFull
	r := b.ran(files{"steps/run.sh": "echo ran"})
	if code(r) != "sandbox.unavailable" || r.Status != evidence.StatusError || !strings.Contains(r.Message, "no Landlock") {
		t.Errorf("status %s, %+v; want sandbox.unavailable", r.Status, r.Error)
	}
	nothingRan(t, r)

	b = newBench(t)
	r = b.ran(files{"steps/run.sh": "echo ran"})
	if r.Status != evidence.StatusSuccess || r.Sandbox.Level != "basic" || !r.Sandbox.CredentialsReachable || r.Sandbox.Landlock != 0 || !r.Sandbox.Seccomp {
		t.Errorf("status %s, %q, sandbox %+v; want basic", r.Status, r.Message, r.Sandbox)
	}
	if runtime.GOOS != "linux" {
		t.Error("this is for Linux")
	}
}

func TestWithoutNetwork(t *testing.T) {
	b := newBench(t)
	manifest := manifestWith(`"network":false`)
	r := b.ran(files{"manifest.json": manifest, "steps/run.sh": `exec 3<>/dev/tcp/127.0.0.1/1`})
	if r.Status != evidence.StatusFailed || r.Sandbox.Network || !strings.Contains(r.Execution.Stderr, "ermitted") {
		t.Errorf("status %s, %q, stderr %q", r.Status, r.Message, r.Execution.Stderr)
	}
	b = newBench(t)
	b.config.Sandbox = sandbox.LevelNone
	if r := b.ran(files{"manifest.json": manifest, "steps/run.sh": "true"}); code(r) != "sandbox.network" {
		t.Errorf("%+v; want sandbox.network", r.Error)
	} else {
		nothingRan(t, r)
	}
}

func TestInterpretersAreTheSystems(t *testing.T) {
	b := newBench(t)
	shell := testkit.TempDir(t) + "/shell"
	if err := os.WriteFile(shell, []byte("#!/bin/sh\n"), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if r := b.ran(files{"steps/run.sh": "#!" + shell + "\n"}); code(r) != "step.interpreter" {
		t.Errorf("%+v; want step.interpreter", r.Error)
	}
}
