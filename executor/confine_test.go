package executor_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/testkit"
)

func TestLevels(t *testing.T) {
	here(t, "the runner decides that")
	has := sandbox.Probe().Strongest()
	for _, c := range []struct {
		least     sandbox.Level
		level     sandbox.Level
		reachable bool
	}{
		{sandbox.LevelNone, sandbox.LevelNone, true},
		{sandbox.LevelBasic, has, !has.Reaches(sandbox.LevelIsolated)}, // all that the kernel has
		{sandbox.LevelIsolated, has, false},
		{sandbox.LevelFull, has, false},
	} {
		t.Run(string(c.least), func(t *testing.T) {
			if !has.Reaches(c.least) {
				t.Skipf("needs a kernel that has the sandbox level %s", c.least)
			}
			b := newBench(t)
			b.config.Sandbox = c.least
			r := b.ran(files{"steps/run.sh": "echo ran"})
			if r.Status != evidence.StatusSuccess || r.Sandbox.Level != string(c.level) ||
				r.Sandbox.CredentialsReachable != c.reachable || !r.Sandbox.Network {
				t.Errorf("status %s, %q, sandbox %+v", r.Status, r.Message, r.Sandbox)
			}
			if limited := r.Sandbox.Limits != nil; limited != (c.least != sandbox.LevelNone) {
				t.Errorf("limits %+v", r.Sandbox.Limits)
			}
		})
	}
}

// kernelVariable names the kernel in the process of TestKernels that runs as on it.
const kernelVariable = "CEMLI_TEST_KERNEL"

// TestKernels runs TestOnAKernel in a process whose kernel answers, by a filter, what others do.
func TestKernels(t *testing.T) {
	here(t, "the runner decides that")
	for _, kernel := range []string{
		testkit.NoLandlock, testkit.LandlockDisabled, testkit.LandlockForbidden, testkit.LandlockMute, "1", "3",
	} {
		t.Run(kernel, func(t *testing.T) {
			if (kernel[0] < 'A' || kernel == testkit.LandlockMute) && sandbox.Probe().Landlock < 3 {
				t.Skip("needs a kernel with Landlock of ABI 3")
			}
			if kernel[0] < 'A' && testkit.Pretended() {
				t.Skip("needs a kernel that is not pretended itself")
			}
			command := testkit.UnderKernel(kernel, os.Args[0], "-test.run=^TestOnAKernel$", "-test.v")
			cmd := exec.Command(command[0], command[1:]...)
			cmd.Env = append(os.Environ(), kernelVariable+"="+kernel)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS: TestOnAKernel") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestOnAKernel(t *testing.T) {
	here(t, "the runner decides that")
	switch kernel := os.Getenv(kernelVariable); kernel {
	case "": // TestKernels runs it
	case testkit.LandlockMute:
		b := newBench(t)
		r := b.ran(files{"steps/run.sh": "echo ran"})
		if code(r) != "sandbox.failed" || strings.Contains(r.Execution.Stdout, "ran") {
			t.Errorf("status %s, %+v, output %q; want sandbox.failed", r.Status, r.Error, r.Execution.Stdout)
		}
	case "1", "3":
		withSomeLandlock(t, kernel)
	default:
		withoutLandlock(t, kernel)
	}
}

// withoutLandlock: isolated and full are refused with the reason, and basic says what it is.
func withoutLandlock(t *testing.T, why string) {
	words := map[string]string{
		testkit.NoLandlock: "not_built", testkit.LandlockDisabled: "not_enabled",
		testkit.LandlockForbidden: "forbidden",
	}
	for _, level := range []sandbox.Level{sandbox.LevelIsolated, sandbox.LevelFull} {
		b := newBench(t)
		b.config.Sandbox = level
		r := b.ran(files{"steps/run.sh": "echo ran"})
		if code(r) != "sandbox.unavailable" || r.Status != evidence.StatusError || !strings.Contains(r.Message, why) {
			t.Errorf("status %s, %+v; want sandbox.unavailable with %s", r.Status, r.Error, why)
		}
		nothingRan(t, r)
	}
	b := newBench(t)
	r := b.ran(files{"steps/run.sh": "echo ran"})
	if r.Status != evidence.StatusSuccess || r.Sandbox.Level != "basic" || !r.Sandbox.CredentialsReachable ||
		r.Sandbox.Landlock != 0 || !r.Sandbox.Seccomp ||
		r.Sandbox.NoLandlock != words[why] || !slices.Contains(r.Sandbox.Gaps, "files") {
		t.Errorf("status %s, %q, sandbox %+v; want basic", r.Status, r.Message, r.Sandbox)
	}
	secret := files{
		"manifest.json": manifestWith(`"secrets":{"DB":{"vault_secret":"erp"}}`), "steps/run.sh": "echo ${#DB}",
	}
	b = newBench(t)
	b.config.Secrets = vaulted
	if r := b.ran(secret); code(r) != "secret.sandbox" || !strings.Contains(r.Message, why) {
		t.Errorf("status %s, %+v; want secret.sandbox", r.Status, r.Error)
	}
	b = newBench(t)
	b.config.Secrets, b.config.Policy = vaulted, executor.InlinePolicy("inline",
		[]byte(`{"environment":"test","sandbox":"basic"}`))
	if r := b.ran(secret); r.Status != evidence.StatusSuccess || r.Execution.Stdout != "14\n" {
		t.Errorf("status %s, %+v, output %q", r.Status, r.Error, r.Execution.Stdout)
	}
}

// withSomeLandlock: the level is isolated, the script cannot read what is not its own, full is refused,
// and secrets are given.
func withSomeLandlock(t *testing.T, abi string) {
	b := newBench(t)
	b.config.Sandbox = sandbox.LevelFull
	if r := b.ran(files{"steps/run.sh": "echo ran"}); code(r) != "sandbox.unavailable" ||
		!strings.Contains(r.Message, "ABI "+abi) {
		t.Errorf("status %s, %+v; want sandbox.unavailable", r.Status, r.Error)
	}
	outside := testkit.TempDir(t) + "/outside"
	if err := os.WriteFile(outside, []byte("not-for-scripts"), 0o666); err != nil { //nolint:gosec // for everyone
		t.Fatal(err)
	}
	b = newBench(t)
	b.config.Sandbox, b.config.Secrets = sandbox.LevelIsolated, vaulted
	r := b.ran(files{
		"manifest.json": manifestWith(`"secrets":{"DB":{"vault_secret":"erp"}}`),
		"steps/run.sh": "cat " + outside + "; mkdir folder; echo moved >file; mv file folder/; cat folder/file; " +
			"echo ${#DB}",
	})
	if r.Status != evidence.StatusSuccess || r.Sandbox.Level != "isolated" || r.Sandbox.CredentialsReachable ||
		fmt.Sprint(r.Sandbox.Landlock) != abi || r.Sandbox.NoLandlock != "" {
		t.Errorf("status %s, %q, sandbox %+v; want isolated", r.Status, r.Message, r.Sandbox)
	}
	if open := slices.Contains(r.Sandbox.Gaps, "abstract_sockets"); !open || slices.Contains(r.Sandbox.Gaps, "files") {
		t.Errorf("gaps %v", r.Sandbox.Gaps)
	}
	if r.Execution.Stdout != "moved\n14\n" {
		t.Errorf("output %q, errors %q", r.Execution.Stdout, r.Execution.Stderr)
	}
}

// vaulted is a vault that has every secret.
func vaulted(context.Context, string, string) (executor.Secret, error) {
	return executor.Secret{Value: []byte("fourteen-bytes"), ID: "ocid1.vaultsecret.test", Version: "1"}, nil
}

func TestWithoutNetwork(t *testing.T) {
	here(t, "the runner decides that")
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
