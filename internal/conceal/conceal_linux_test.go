package conceal

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cemli-executor/internal/testkit"
)

// standIn starts a process of this user that is in the middle of something, as a container's init is.
func standIn(t *testing.T, script string) (pid int, said *strings.Builder, end func() error) {
	t.Helper()
	cmd := exec.Command("/bin/bash", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	first := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(out, first); err != nil {
		t.Fatal(err)
	}
	said = &strings.Builder{}
	return cmd.Process.Pid, said, func() error {
		_ = in.Close()
		if _, err := io.Copy(said, out); err != nil {
			return err
		}
		return cmd.Wait()
	}
}

// state is a line of what the kernel says of a process.
func state(t *testing.T, pid int, name string) string {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("no %s", name)
	return ""
}

// readsEnvironment reports whether this process can read the environment of another one.
func readsEnvironment(pid int) bool {
	_, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil
}

// A process that is hidden goes on with what it was doing, whatever that was.
func TestAHiddenProcessGoesOn(t *testing.T) {
	if os.Geteuid() == 0 {
		asUser(t)
		return
	}
	for _, c := range []struct{ name, script, says string }{
		{"waits for a child", `echo ready; sleep 0.7; echo "$? done"`, "0 done\n"},
		{"sleeps", `exec python3 -c 'import time
print("ready", flush=True); b=time.monotonic(); time.sleep(0.7); print("slept", time.monotonic()-b >= 0.7)'`, "slept True\n"},
		{"reads", `echo ready; read -r x; echo "[$?]"`, "[1]\n"},
		{"computes", `echo ready; for ((i=0; i<300000; i++)); do :; done; echo $i`, "300000\n"},
		{
			"gets signals",
			`echo ready; n=0; trap 'n=$((n+1))' USR1; for i in {1..200}; do kill -USR1 $$; done; sleep 0.5; echo $n`,
			"200\n",
		},
		{
			"has threads", "export " + threadedVariable + "=1; exec " + os.Args[0] + " -test.run='^TestThreaded$'",
			"fine\n",
		},
		{"starts others", `echo ready; for i in {1..100}; do /bin/true || echo bad; done; echo all`, "all\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Contains(c.script, "python3") {
				if _, err := exec.LookPath("python3"); err != nil {
					t.Skip("needs python3")
				}
			}
			pid, said, end := standIn(t, c.script)
			if !readsEnvironment(pid) || !Writable(pid) {
				t.Fatal("it is hidden before")
			}
			if err := conceal(pid); err != nil {
				t.Fatal(err)
			}
			if readsEnvironment(pid) || Writable(pid) {
				t.Error("it is not hidden")
			}
			if got := state(t, pid, "TracerPid"); got != "0" {
				t.Errorf("it is traced by %s", got)
			}
			if got := state(t, pid, "SigBlk"); c.name == "reads" && got != strings.Repeat("0", 16) {
				t.Errorf("it blocks %s", got)
			}
			if err := end(); err != nil || said.String() != c.says {
				t.Errorf("it said %q, error %v; want %q", said, err, c.says)
			}
		})
	}
}

// asUser runs the test again as an ordinary user: root may look into every process.
func asUser(t *testing.T) {
	t.Helper()
	program := copied(t)
	cmd := exec.Command(program, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v\n%s", err, out)
	}
}

// One that cannot be stopped, or is none that this program understands, is left alone.
func TestWhatCannotBeHiddenIsLeftAlone(t *testing.T) {
	if os.Geteuid() == 0 {
		asUser(t)
		return
	}
	pid, said, end := standIn(t, `echo ready; read -r x; echo fine`)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for !strings.HasPrefix(state(t, pid, "State"), "T") {
		time.Sleep(time.Millisecond) // polls what the kernel says
	}
	if err := conceal(pid); err == nil {
		t.Error("a stopped process was made to do something")
	}
	if got := state(t, pid, "State"); !strings.HasPrefix(got, "T") {
		t.Errorf("it is %s, and was stopped", got)
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := end(); err != nil || said.String() != "fine\n" {
		t.Errorf("it said %q, error %v", said, err)
	}
	if err := conceal(pid); err == nil {
		t.Error("a process that has ended was hidden")
	}
	if err := conceal(1); err == nil {
		t.Error("another user's process was hidden")
	}
}

// copied is a copy of this program where every user can run it.
func copied(t *testing.T) string {
	t.Helper()
	program := filepath.Join(testkit.TempDir(t), "program")
	doc, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, doc, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return program
}

const threadedVariable = "CEMLI_TEST_THREADED"

// TestThreaded is a process that has threads, all busy, and its own signals between them.
func TestThreaded(t *testing.T) {
	if os.Getenv(threadedVariable) == "" {
		return // TestAHiddenProcessGoesOn runs it
	}
	fmt.Println("ready")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
				if text := strings.Repeat("x", 1<<12); len(strings.Split(text, "")) != 1<<12 {
					panic(text)
				}
			}
		})
	}
	all.Wait()
	fmt.Println("fine")
	os.Exit(0)
}

// BenchmarkExposed is what a look at all processes costs before each run.
func BenchmarkExposed(b *testing.B) {
	for b.Loop() {
		_, _ = Others()
	}
}
