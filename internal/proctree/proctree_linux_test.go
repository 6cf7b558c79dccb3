package proctree

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain adopts, as a program does once.
func TestMain(m *testing.M) {
	if err := Adopt(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// script starts bash in a session of its own and waits until it has written the file
// "ready" into a fresh folder.
func script(t *testing.T, text string) (cmd *exec.Cmd, dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd = exec.Command("bash", "-c", text)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
			return cmd, dir
		}
		if time.Now().After(end) {
			t.Fatal("the script was not ready in time")
		}
	}
}

// alive reports whether a process is there and is no zombie.
func alive(t *testing.T, dir, name string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(text)) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

const escape = `setsid bash -c '
  trap "" TERM HUP
  (setsid bash -c "echo \$\$ >deep; touch ready; while :; do sleep 100; done" &)
  echo $$ >daemon; while :; do sleep 100; done' &
until [ -e ready -a -s daemon ]; do sleep 0.01; done
`

func TestSweepEndsWhatLeftItsSession(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("needs setsid (util-linux)")
	}
	other := exec.Command("sleep", "100") // of our session: not a stray
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	cmd, dir := script(t, escape)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if !alive(t, dir, "daemon") || !alive(t, dir, "deep") {
		t.Fatal("the daemons ended by themselves: nothing to sweep")
	}
	if err := Sweep(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if alive(t, dir, "daemon") || alive(t, dir, "deep") {
		t.Error("a daemon survived")
	}
	if err := syscall.Kill(other.Process.Pid, 0); err != nil {
		t.Error("a child of another's was killed")
	}
	if strays, err := Strays(); err != nil || len(strays) > 0 {
		t.Errorf("strays %v, error %v; want none", strays, err)
	}
}

func TestSweepEndsAChainOfForks(t *testing.T) {
	// Each process starts the next one and ends: there is never one to catch for long.
	cmd, _ := script(t,
		`f() { (f &) ; }; g() { for i in 1 2 3 4 5 6 7 8; do (g2 &); done; }; g2() { while :; do (sleep 0.001;
sleep 0.001) & done; }; g; touch ready`)
	_ = cmd.Wait()
	if err := Sweep(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	if strays, err := Strays(); err != nil || len(strays) > 0 {
		t.Errorf("strays %v, error %v; want none", strays, err)
	}
}

func TestSweepSparesWhatItIsTold(t *testing.T) {
	cmd, _ := script(t, "touch ready; exec sleep 100")
	if err := Sweep(10*time.Second, cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(cmd.Process.Pid, 0); err != nil {
		t.Error("the spared child is gone")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func TestBothWaysFindTheSameChildren(t *testing.T) {
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	search, err := childrenBySearch("self")
	if err != nil || !slices.Contains(search, cmd.Process.Pid) {
		t.Fatalf("search found %v, error %v; want %s among them", search, err, strconv.Itoa(cmd.Process.Pid))
	}
	list, err := children()
	if err != nil || !slices.Equal(list, search) {
		t.Errorf("the list has %v, the search %v, error %v", list, search, err)
	}
}

// Tasks counts threads as well as processes, at every depth and in every session.
func TestTasksAreCounted(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("needs setsid (util-linux)")
	}
	cmd, _ := script(t, escape+"sleep 100 & sleep 100 & wait")
	defer func() {
		_ = cmd.Process.Kill()
		_ = Sweep(10*time.Second, cmd.Process.Pid)
		_ = cmd.Wait()
	}()
	const want = 7 // the script, two sleeps, two daemons with a sleep each
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		listed, err := Tasks(100)
		if err != nil {
			t.Fatal(err)
		}
		if listed == want {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d tasks; want %d", listed, want)
		}
	}
	look, err := search()
	if err != nil {
		t.Fatal(err)
	}
	if threads, _, _ := look(strconv.Itoa(os.Getpid())); threads < 2 {
		t.Errorf("the search finds %d threads of this program", threads)
	}
	if some, err := Tasks(2); err != nil || some <= 2 || some > want {
		t.Errorf("%d tasks where more than 2 suffice, error %v", some, err)
	}
}

// Others are those of the same user that did not come from this process.
func TestOthersAreNotOurOwn(t *testing.T) {
	cmd, _ := script(t, "touch ready; sleep 100 & wait")
	defer func() {
		_ = cmd.Process.Kill()
		_ = Sweep(10*time.Second, cmd.Process.Pid)
		_ = cmd.Wait()
	}()
	others, err := Others()
	if err != nil {
		t.Fatal(err)
	}
	has := func(pid int) bool {
		return slices.ContainsFunc(others, func(p Process) bool { return p.ID == pid })
	}
	if has(cmd.Process.Pid) || has(os.Getpid()) {
		t.Errorf("this process's own are among %+v", others)
	}
	if !has(os.Getppid()) { // of the same user, as go test is
		t.Errorf("the parent is not among %+v", others)
	}
}
