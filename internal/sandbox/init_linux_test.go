package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"cemli-executor/internal/conceal"
	"cemli-executor/internal/testkit"
)

func init() { payloads["write init's memory"] = writeInit }

// writeInit writes 61 bytes to where PID 1 keeps nothing, the far end of its stack, in every way that there is.
func writeInit() error {
	var failed []error
	for _, path := range []string{"/proc/1/mem", "/proc/1/task/1/mem"} {
		err := overwrite(path)
		if err == nil {
			return nil
		}
		failed = append(failed, err)
	}
	if err := unix.PtraceSeize(1); err == nil {
		return nil
	} else {
		failed = append(failed, err)
	}
	text := []byte("x")
	local := unix.Iovec{Base: &text[0], Len: 1}
	remote := unix.RemoteIovec{Base: uintptr(unsafe.Pointer(&text[0])), Len: 1}
	_, err := unix.ProcessVMWritev(1, []unix.Iovec{local}, []unix.RemoteIovec{remote}, 0)
	if err == nil || errors.Is(err, unix.EFAULT) { // it may, and there is nothing at that address
		return nil
	}
	return errors.Join(append(failed, err)...)
}

// overwrite writes to the memory of PID 1, reads it again, and puts it back.
func overwrite(path string) error {
	memory, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	maps, err := os.ReadFile("/proc/1/maps")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(line, "[stack]\n") {
			continue
		}
		var at int64
		if _, err := fmt.Sscanf(line, "%x-", &at); err != nil {
			return err
		}
		before, text, after := make([]byte, 61), bytes.Repeat([]byte("x"), 61), make([]byte, 61)
		_, errBefore := memory.ReadAt(before, at)
		_, errWrite := memory.WriteAt(text, at)
		_, errAfter := memory.ReadAt(after, at)
		_, errBack := memory.WriteAt(before, at)
		if !bytes.Equal(after, text) {
			return errors.Join(errors.New("it was not written"), errBefore, errWrite, errAfter, errBack)
		}
		return nil
	}
	return errors.New("it has no stack")
}

// initVariable says that the process of TestInit is below an init of its own user.
const initVariable = "CEMLI_TEST_INIT"

// TestInit has scripts attack a container's init, which is of their own user, as on a kernel without Landlock.
func TestInit(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a process id space with an init of another user")
	}
	for _, name := range []string{"unshare", "setpriv"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("needs " + name + " (util-linux)")
		}
	}
	program := filepath.Join(testkit.TempDir(t), "program")
	copyProgram(t, program, os.Args[0])
	for _, c := range []struct {
		name string
		init []string
	}{
		{"tini", []string{"tini", "--"}},
		{"a shell", []string{"/bin/sh", "-c", `"$@"; exit $?`, "sh"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := exec.LookPath(c.init[0]); err != nil {
				t.Skip("needs " + c.init[0])
			}
			args := append([]string{
				"--fork", "--kill-child", "--pid", "--mount-proc", "setpriv", "--reuid=1000", "--regid=1000",
				"--clear-groups",
			}, c.init...)
			cmd := exec.Command("unshare", append(args, program, "-test.run=^TestBelowInit$", "-test.v")...)
			cmd.Dir, cmd.Env = "/", append(os.Environ(), initVariable+"=1")
			if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestBelowInit")) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestBelowInit writes to the init's memory, the control, hides it, and tries again. That the init lives shows when it
// passes on how this program ends.
func TestBelowInit(t *testing.T) {
	if os.Getenv(initVariable) == "" {
		return // TestInit runs it
	}
	if has := Probe().Landlock > 0; !conceal.Exposed() || Exposed(LevelBasic) == has {
		t.Errorf("before: Landlock %t, exposed %t", has, Exposed(LevelBasic))
	}
	attackInit(t, "Landlock, before", LevelIsolated, false, false)
	attackInit(t, "control", LevelBasic, true, true)
	if err := conceal.All(); err != nil {
		t.Fatal(err)
	}
	if conceal.Exposed() {
		t.Error("the init is exposed when it is hidden")
	}
	attackInit(t, "hidden", LevelBasic, false, false)
	attackInit(t, "Landlock", LevelIsolated, false, false)
	if err := conceal.All(); err != nil { // of what is hidden nothing is left to be done
		t.Fatal(err)
	}
}

// attackInit makes the attack at a level, isolated being with Landlock, and says what is wrong.
func attackInit(t *testing.T, name string, level Level, succeeds, gap bool) {
	t.Helper()
	if level == LevelIsolated && Probe().Landlock == 0 {
		return
	}
	dir := testkit.TempDir(t)
	var out testkit.Buffer
	outcome, err := Run(t.Context(), Command{
		Path: os.Args[0], Args: []string{"attack", "write init's memory"}, Dir: dir, Level: level, Network: true,
		Writable: []string{dir}, Grace: time.Second, Stdout: &out, Stderr: &out, Env: []string{"PATH=/usr/bin:/bin"},
		changed: func(s *setup) {
			if level == LevelBasic {
				s.Landlock = nil
				return
			}
			s.Landlock.Programs = []string{filepath.Dir(os.Args[0])}
		},
	})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	gaps := outcome.Layers.Gaps()
	if (outcome.ExitCode == 0) != succeeds || slices.Contains(gaps, GapInit) != gap {
		t.Errorf("%s: outcome %+v, gaps %v, it says %q", name, outcome, gaps, out.String())
	}
}
