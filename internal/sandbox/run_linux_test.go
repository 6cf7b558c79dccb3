package sandbox_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/testkit"
)

// TestMain lets the sandbox start this program again as its child.
func TestMain(m *testing.M) {
	sandbox.Dispatch()
	sandbox.Attacker()
	testkit.PretendKernel()
	os.Exit(m.Run())
}

// strongest is the strictest level that this machine's kernel has.
func strongest() sandbox.Level { return sandbox.Probe().Strongest() }

// needs skips a test of a level that this machine's kernel does not have.
func needs(t testing.TB, level sandbox.Level) {
	t.Helper()
	if !sandbox.Probe().Strongest().Reaches(level) {
		t.Skipf("needs a kernel that has the sandbox level %s", level)
	}
}

// folder makes a folder for a command of the level to work in.
func folder(t testing.TB, level sandbox.Level) string {
	t.Helper()
	dir := filepath.Join(testkit.TempDir(t), "run")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if id, ok := sandbox.User(level); ok {
		if err := os.Chown(dir, id, id); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// bash makes the command that runs script in a fresh folder, as strictly as this kernel can.
func bash(t testing.TB, script string) (sandbox.Command, *testkit.Buffer, *testkit.Buffer) {
	t.Helper()
	return bashAt(t, strongest(), script)
}

func bashAt(t testing.TB, level sandbox.Level, script string) (sandbox.Command, *testkit.Buffer, *testkit.Buffer) {
	t.Helper()
	needs(t, level)
	return commandAt(t, level, script)
}

// commandAt makes the command of a level that this kernel need not have.
func commandAt(t testing.TB, level sandbox.Level, script string) (sandbox.Command, *testkit.Buffer, *testkit.Buffer) {
	t.Helper()
	path, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t, level)
	var out, errs testkit.Buffer
	return sandbox.Command{
		Path: path, Args: []string{"-c", script}, Dir: dir,
		Env:    []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "TMPDIR=" + dir},
		Stdout: &out, Stderr: &errs, Grace: 100 * time.Millisecond,
		Level: level, Network: true, Writable: []string{dir},
	}, &out, &errs
}

func TestRunTellsHowItEnded(t *testing.T) {
	for _, c := range []struct {
		name, script string
		code         int
		signal       string
		stdout       string
	}{
		{"success", "echo hi", 0, "", "hi\n"},
		{"exit code", "exit 3", 3, "", ""},
		{"signal", "kill -SEGV $$", -1, "SIGSEGV", ""},
		{"no stdin", "cat; echo end", 0, "", "end\n"},
		{
			"no environment but its own", "env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^HOME= -e ^TMPDIR=", 0, "",
			"PATH=/usr/bin:/bin\n",
		},
		{"large output", "head -c 3000000 /dev/zero | tr '\\0' x | wc -c", 0, "", "3000000\n"},
	} {
		for _, level := range sandbox.Levels {
			t.Run(c.name+" at "+string(level), func(t *testing.T) {
				cmd, out, errs := bashAt(t, level, c.script)
				got, err := sandbox.Run(t.Context(), cmd)
				if err != nil {
					t.Fatal(err)
				}
				if got.ExitCode != c.code || got.Signal != c.signal || got.Stopped {
					t.Errorf("outcome %+v; want exit %d, signal %q; stderr %q", got, c.code, c.signal, errs.String())
				}
				if out.String() != c.stdout {
					t.Errorf("stdout %q; want %q", out.String(), c.stdout)
				}
				if got.MaxRSS == 0 || got.Took <= 0 || got.Start.IsZero() {
					t.Errorf("implausible figures: %+v", got)
				}
				if !got.Layers.Level().Reaches(level) ||
					level == sandbox.LevelNone && got.Layers != (sandbox.Layers{}) {
					t.Errorf("layers %+v are not those of level %s", got.Layers, level)
				}
			})
		}
	}
}

func TestRunReportsAMissingProgram(t *testing.T) {
	cmd, _, _ := bash(t, "")
	cmd.Path = "/no/such/program"
	_, err := sandbox.Run(t.Context(), cmd)
	if err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Fatalf("error %v; want one that names the program", err)
	}
}

// alive reports whether the process whose id is in file exists and is no zombie.
func alive(t *testing.T, file string) bool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// gone fails if the process whose id is in file does not end: a signal that was sent
// takes a moment to do its work.
func gone(t *testing.T, file string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); alive(t, file); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a process of the group survived")
		}
	}
}

func TestRunKillsTheGroupAtTheDeadline(t *testing.T) {
	cmd, _, errs := bash(t, `trap 'echo asked >&2' TERM; (trap '' TERM; echo $BASHPID >child; sleep 100) & wait; wait`)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !fileHasText(filepath.Join(cmd.Dir, "child")) {
			time.Sleep(time.Millisecond) // polls the script's own sign that it is ready
		}
		cancel()
	}()
	got, err := sandbox.Run(ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Stopped || got.Signal != "SIGKILL" {
		t.Errorf("outcome %+v; want stopped by SIGKILL", got)
	}
	if !strings.Contains(errs.String(), "asked") {
		t.Error("the script was not asked to end by SIGTERM first")
	}
	gone(t, filepath.Join(cmd.Dir, "child"))
}

// A daemon that left the session is asked to end as well, and gets the same time.
func TestRunAsksTheWholeTreeToEnd(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("needs setsid (util-linux)")
	}
	cmd, out, _ := bash(t,
		`(setsid bash -c 'trap "sleep 0.2; echo asked; exit" TERM; echo >ready; while :; do sleep 0.01; done' &)
trap exit TERM; while :; do sleep 0.01; done`)
	cmd.Grace = time.Hour // which must not be waited for when all have ended
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !fileHasText(filepath.Join(cmd.Dir, "ready")) {
			time.Sleep(time.Millisecond) // polls the script's own sign that it is ready
		}
		cancel()
	}()
	got, err := sandbox.Run(ctx, cmd)
	if err != nil || !got.Stopped || out.String() != "asked\n" {
		t.Errorf("outcome %+v, stdout %q, error %v", got, out.String(), err)
	}
}

func fileHasText(path string) bool {
	text, err := os.ReadFile(path)
	return err == nil && bytes.HasSuffix(text, []byte("\n"))
}

func TestRunKillsWhatAnEndedScriptLeaves(t *testing.T) {
	cmd, out, _ := bash(t, `sleep 100000 & echo $! >child; echo done`) // not waited for
	got, err := sandbox.Run(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	if got.ExitCode != 0 || got.Stopped || out.String() != "done\n" {
		t.Errorf("outcome %+v, stdout %q", got, out.String())
	}
	gone(t, filepath.Join(cmd.Dir, "child"))
}

func TestRunDoesNotWaitForAPipeKeptOpenElsewhere(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("needs setsid (util-linux)")
	}
	cmd, out, _ := bash(t,
		`setsid bash -c 'echo $$ >escaped; sleep 100000' & until [ -s escaped ]; do :; done; echo done`)
	t.Cleanup(func() {
		if text, err := os.ReadFile(filepath.Join(cmd.Dir, "escaped")); err == nil {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
				_ = syscall.Kill(-pid, syscall.SIGKILL)
			}
		}
	})
	got, err := sandbox.Run(t.Context(), cmd)
	if err != nil || got.ExitCode != 0 || out.String() != "done\n" {
		t.Fatalf("outcome %+v, stdout %q, error %v", got, out.String(), err)
	}
}

// slowWriter takes long for the first write.
type slowWriter struct {
	testkit.Buffer
	wait time.Duration
}

func (w *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(w.wait) // the point of it: a log that is slower than the command
	w.wait = 0
	return w.Buffer.Write(p)
}

func TestASlowLogLosesNothing(t *testing.T) {
	cmd, _, _ := bash(t, "seq 10000")
	out := &slowWriter{wait: 1500 * time.Millisecond}
	cmd.Stdout = out
	if _, err := sandbox.Run(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(out.String(), "\n10000\n") {
		t.Errorf("%d bytes arrived, and not the last line", len(out.String()))
	}
}

func TestAnotherFileInTheScriptsPlace(t *testing.T) {
	for name, c := range map[string]struct {
		replace bool
		code    string
	}{"the same": {false, ""}, "replaced": {true, "step.modified"}} {
		t.Run(name, func(t *testing.T) {
			cmd, out, _ := bash(t, "")
			path := filepath.Join(cmd.Dir, "s.sh")
			write := func(text string) {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // for the scripts' user
					t.Fatal(err)
				}
			}
			write("echo checked")
			script, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer script.Close()
			if c.replace {
				if err := os.Rename(path, path+".old"); err != nil {
					t.Fatal(err)
				}
				write("echo other")
			}
			cmd.Args, cmd.Script, cmd.ScriptPath = []string{"s.sh"}, script, "s.sh"
			if _, err = sandbox.Run(t.Context(), cmd); problem.CodeOf(err) != c.code {
				t.Errorf("error %v; want %q", err, c.code)
			}
			if ran := out.String(); ran != map[bool]string{false: "checked\n", true: ""}[c.replace] {
				t.Errorf("stdout %q", ran)
			}
		})
	}
}

// The record says what is in force, not what was asked for.
func TestLimitsInForceAreRecorded(t *testing.T) {
	needs(t, sandbox.LevelBasic)
	if os.Getenv("CEMLI_TEST_FEW_FILES") == "" {
		// Again, in a process that may have fewer files, as a function in its container.
		cmd := exec.Command("bash",
			"-c", `ulimit -n 350 && exec "$0" -test.run='^TestLimitsInForceAreRecorded$' -test.v`, os.Args[0])
		cmd.Env = append(os.Environ(), "CEMLI_TEST_FEW_FILES=1")
		if text, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(text, []byte("--- PASS")) {
			t.Errorf("%v\n%s", err, text)
		}
		return
	}
	cmd, out, _ := bashAt(t, sandbox.LevelBasic, "ulimit -n; ulimit -f; ulimit -d")
	cmd.Limits = sandbox.Limits{OpenFiles: 1024, FileBytes: 1 << 20}
	got, err := sandbox.Run(t.Context(), cmd)
	if l := got.Layers.Limits; err != nil || out.String() != "350\n1024\nunlimited\n" || l.OpenFiles != 350 ||
		l.FileBytes != 1<<20 || l.DataBytes != 0 {
		t.Errorf("stdout %q, limits %+v, error %v", out.String(), l, err)
	}
}

func TestThereIsNoTerminal(t *testing.T) {
	cmd, out, _ := bash(t, `(: </dev/tty) 2>/dev/null || echo none`)
	if _, err := sandbox.Run(t.Context(), cmd); err != nil || out.String() != "none\n" {
		t.Errorf("stdout %q, error %v", out.String(), err)
	}
}

func TestOnlyStandardDescriptors(t *testing.T) {
	// One that is inherited on purpose, as a platform may leave it open.
	leak, err := os.Open("/etc/hostname")
	if err != nil {
		t.Skip("needs /etc/hostname")
	}
	defer leak.Close()
	if _, err := unix.FcntlInt(leak.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	cmd, out, _ := bash(t, `exec 2>/dev/null; for fd in $(seq 3 20); do (: >&$fd) || (: <&$fd) && echo $fd; done; true`)
	if _, err := sandbox.Run(t.Context(), cmd); err != nil || out.String() != "" {
		t.Errorf("open: %q, error %v", out.String(), err)
	}
}
