package sandbox_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/testkit"
)

// kernelVariable names the kernel that TestKernels simulates in another process.
const kernelVariable = "CEMLI_TEST_KERNEL"

// kernels are the kernels that packages meet, with their properties.
var kernels = []struct {
	name   string
	abi    int
	says   string // why there is no Landlock
	level  sandbox.Level
	closed []string // gaps that it closes, and the one before does not
}{
	{testkit.NoLandlock, 0, "ENOSYS", sandbox.LevelBasic, nil},
	{testkit.LandlockDisabled, 0, "EOPNOTSUPP", sandbox.LevelBasic, nil},
	{testkit.LandlockForbidden, 0, "EPERM", sandbox.LevelBasic, nil},
	{"1", 1, "", sandbox.LevelIsolated, []string{"files"}},
	{"2", 2, "", sandbox.LevelIsolated, []string{"files"}},
	{"3", 3, "", sandbox.LevelIsolated, []string{"files", "truncate"}},
	{"5", 5, "", sandbox.LevelIsolated, []string{"files", "truncate", "device_ioctl"}},
	{"6", 6, "", sandbox.LevelFull, []string{"files", "truncate", "device_ioctl", "signals", "abstract_sockets"}},
}

// on runs TestOnAKernel in another process, as on the kernel.
func on(t *testing.T, kernel string) {
	t.Helper()
	command := testkit.UnderKernel(kernel, os.Args[0], "-test.run=^TestOnAKernel$", "-test.v")
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), kernelVariable+"="+kernel)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestOnAKernel") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Whatever Landlock a kernel has, what is reported to be in force is in force. The library would apply no rules at
// all on ABI 1, or on a kernel that only claims to have applied them.
func TestKernels(t *testing.T) {
	for _, k := range kernels {
		t.Run(k.name, func(t *testing.T) {
			if newest := sandbox.Probe().Landlock; k.abi > newest {
				t.Skipf("needs a kernel with Landlock of ABI %d or newer; this one has %d", k.abi, newest)
			}
			if k.abi > 0 && testkit.Pretended() {
				t.Skip("needs a kernel that is not pretended itself")
			}
			on(t, k.name)
		})
	}
	t.Run(testkit.LandlockMute, func(t *testing.T) {
		needs(t, sandbox.LevelIsolated)
		on(t, testkit.LandlockMute)
	})
}

func TestOnAKernel(t *testing.T) {
	name := os.Getenv(kernelVariable)
	if name == "" {
		return // TestKernels runs it
	}
	if name == testkit.LandlockMute {
		silent(t)
		return
	}
	for _, k := range kernels {
		if k.name != name {
			continue
		}
		has := sandbox.Probe()
		if has.Landlock != k.abi || has.Strongest() != k.level || !strings.Contains(has.NoLandlock.String(), k.says) ||
			(k.says == "") != (has.NoLandlock == "") {
			t.Errorf("support %+v (%s), level %s", has, has.NoLandlock, has.Strongest())
		}
		for _, level := range sandbox.Levels {
			t.Run(string(level), func(t *testing.T) { runsAt(t, level, k.level, k.abi, k.closed) })
		}
	}
}

// runsAt runs a script at a level under a kernel that has some.
func runsAt(t *testing.T, level, has sandbox.Level, abi int, closed []string) {
	outside := filepath.Join(testkit.TempDir(t), "file")
	if err := os.WriteFile(outside, []byte("secret"), 0o666); err != nil { //nolint:gosec // for everyone
		t.Fatal(err)
	}
	cmd, out, errs := commandAt(t, level, "cat "+outside+"; mkdir d && echo kept >f && mv f d/ && cat d/f")
	got, err := sandbox.Run(t.Context(), cmd)
	if !has.Reaches(level) {
		if problem.CodeOf(err) != "sandbox.layer" || out.String() != "" {
			t.Errorf("outcome %+v, output %q, error %v; want sandbox.layer", got, out.String(), err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if level == sandbox.LevelNone {
		abi, has = 0, sandbox.LevelNone
	}
	if got.Layers.Landlock != abi || got.Layers.Level() != has {
		t.Errorf("layers %+v", got.Layers)
	}
	if !strings.HasSuffix(out.String(), "kept\n") {
		t.Errorf("with ABI %d no file can be moved: output %q, errors %q", abi, out.String(), errs.String())
	}
	if reads := strings.Contains(out.String(), "secret"); reads != (abi == 0) {
		t.Errorf("with ABI %d, output %q, errors %q", abi, out.String(), errs.String())
	}
	for _, word := range []string{"files", "truncate", "device_ioctl", "abstract_sockets"} {
		open := slices.Contains(got.Layers.Gaps(), word)
		if open == slices.Contains(closed, word) && has != sandbox.LevelNone {
			t.Errorf("gaps %v, %s being closed by %v", got.Layers.Gaps(), word, closed)
		}
	}
}

// silent is a kernel whose rules have no effect; the canary notices.
func silent(t *testing.T) {
	for _, level := range []sandbox.Level{sandbox.LevelBasic, sandbox.LevelIsolated, strongest()} {
		cmd, out, _ := commandAt(t, level, "echo ran")
		if _, err := sandbox.Run(t.Context(), cmd); problem.CodeOf(err) != "sandbox.failed" || out.String() != "" {
			t.Errorf("%s: output %q, error %v; want sandbox.failed", level, out.String(), err)
		}
	}
}
