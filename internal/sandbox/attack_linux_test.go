package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"cemli-executor/internal/testkit"
)

// attack is one way to get at what is not a script's. The layers are those of which each
// alone stops it.
type attack struct {
	name    string
	layers  []string
	aside   []string // layers that hinder it without stopping it; off where single layers are tried, and in the control
	offline bool     // the command is without network
	// still says how the attack shows to have succeeded after the command has ended; nil:
	// by what the payload itself says.
	still func(v *victim) bool
	// nowhere is a reason why the control cannot succeed in a setting: it takes a
	// privilege that is not there. Empty: it must succeed.
	nowhere func(setting string) string
}

// turnOff has how to leave each layer out.
var turnOff = map[string]func(*setup){
	"Landlock":          func(s *setup) { s.Landlock = nil },
	"seccomp":           func(s *setup) { s.Seccomp = nil },
	"limits":            func(s *setup) { s.Limits = nil },
	"own user":          func(s *setup) { s.user = nil },
	"not dumpable":      func(s *setup) { s.hidden = false },
	"sweep":             func(s *setup) { s.sweep = false },
	"no new privileges": func(s *setup) { s.NoNewPrivileges, s.Landlock, s.Seccomp = false, nil, nil },
}

func rootOnly(setting string) string {
	if setting == "root" {
		return ""
	}
	return "takes a privilege that this user has not"
}

func containerOnly(setting string) string {
	if setting == "container" {
		return ""
	}
	return "PID 1 is another user's"
}

// userSpaces is for what takes a user space: a chroot, a container and some distributions give nobody one.
func userSpaces(string) string {
	if err := startIn(unix.CLONE_NEWUSER); err != nil {
		return "nobody gets a user space here: " + err.Error()
	}
	return ""
}

var inside = []string{"Landlock", "not dumpable"}

// attacks is the table. "own user" is a layer only where this program is root, for all of them.
var attacks = []attack{
	{name: "read environment", layers: inside},
	{name: "read PID 1's environment", layers: []string{"Landlock"}, nowhere: containerOnly},
	{name: "read memory", layers: inside},
	{name: "read an open file", layers: inside},
	{name: "read credentials", layers: []string{"Landlock"}},
	{name: "read credentials through /proc/self/root", layers: []string{"Landlock"}},
	{name: "read credentials through the parent's root", layers: inside},
	{name: "read another run's file", layers: []string{"Landlock"}},
	{name: "list another run's folder", layers: []string{"Landlock"}},
	{name: "list processes", layers: []string{"Landlock"}},
	{name: "ptrace", layers: []string{"seccomp", "Landlock", "not dumpable"}},
	{name: "process_vm_readv", layers: []string{"seccomp", "Landlock", "not dumpable"}},
	{name: "pidfd_getfd", layers: []string{"seccomp", "Landlock", "not dumpable"}},
	{name: "kcmp", layers: []string{"seccomp", "Landlock", "not dumpable"}},
	{name: "write outside", layers: []string{"Landlock"}},
	{name: "truncate outside", layers: []string{"Landlock"}},
	{name: "remove outside", layers: []string{"Landlock"}},
	{name: "rename outside", layers: []string{"Landlock"}},
	{name: "make a folder", layers: []string{"Landlock"}},
	{name: "make a link", layers: []string{"Landlock"}},
	{name: "move a file out", layers: []string{"Landlock"}},
	{name: "link a file in", layers: []string{"Landlock"}},
	{name: "leave a file", layers: []string{"Landlock"}, still: func(*victim) bool {
		_, err := os.Stat("/dev/shm/cemli-attack")
		_ = os.Remove("/dev/shm/cemli-attack")
		return err == nil
	}},
	{name: "replace a folder", layers: []string{"Landlock"}},
	{name: "signal the parent", layers: []string{"Landlock"}, still: (*victim).signalled},
	{name: "signal its group", layers: []string{"Landlock"}, still: (*victim).signalled},
	{name: "signal by thread", layers: []string{"Landlock"}, still: (*victim).signalled},
	{name: "signal by pidfd", layers: []string{"Landlock"}, still: (*victim).signalled},
	{name: "limit the parent", layers: []string{"seccomp"}},
	{name: "slow the parent", layers: []string{"seccomp"}},
	{name: "pin the parent", layers: []string{"seccomp"}},
	{name: "slow the group", layers: []string{"seccomp"}},
	{name: "netlink, diagnosis", layers: []string{"seccomp"}},
	{name: "a socket with a name", layers: []string{"seccomp"}, offline: true},
	{name: "abstract socket", layers: []string{"Landlock"}},
	{name: "unshare a user space", layers: []string{"seccomp"}, nowhere: userSpaces},
	{name: "clone into one", layers: []string{"seccomp"}, nowhere: userSpaces},
	{name: "clone3 into one", layers: []string{"seccomp"}, nowhere: userSpaces},
	{name: "mount", layers: []string{"seccomp", "Landlock"}, nowhere: rootOnly},
	{name: "io_uring", layers: []string{"seccomp"}},
	{name: "system call table", layers: []string{"seccomp"}},
	{name: "SysV segment", layers: []string{"seccomp"}},
	{name: "SysV semaphore", layers: []string{"seccomp"}},
	{name: "SysV queue", layers: []string{"seccomp"}},
	// Landlock refuses to open the queue, which is made all the same.
	{name: "POSIX queue", layers: []string{"seccomp", "limits"}, aside: []string{"Landlock"}},
	{name: "key", layers: []string{"seccomp"}},
	{name: "bpf", layers: []string{"seccomp"}, nowhere: rootOnly},
	{name: "perf_event_open", layers: []string{"seccomp"}, nowhere: rootOnly},
	{name: "userfaultfd", layers: []string{"seccomp"}, nowhere: rootOnly},
	{name: "setuid program", layers: []string{"no new privileges"}, nowhere: rootOnly},
	{name: "TCP", layers: []string{"seccomp"}, offline: true},
	{name: "TCP, IPv6", layers: []string{"seccomp"}, offline: true},
	{name: "UDP", layers: []string{"seccomp"}, offline: true},
	{name: "MPTCP", layers: []string{"seccomp"}, offline: true},
	{name: "ICMP, raw", layers: []string{"seccomp"}, offline: true, nowhere: rootOnly},
	{name: "vsock", layers: []string{"seccomp"}},
	{name: "netlink", layers: []string{"seccomp"}, offline: true},
	{name: "packet", layers: []string{"seccomp"}, nowhere: rootOnly},
	{name: "AF_ALG", layers: []string{"seccomp"}},
	{name: "family in disguise", layers: []string{"seccomp"}, offline: true},
	// The last ones: what they do to this process stays.
	{name: "fork bomb", layers: []string{"limits"}},
	{name: "memory hog", layers: []string{"limits"}},
	{name: "disk filler", layers: []string{"limits"}},
	{name: "too many files", layers: []string{"limits"}},
	{name: "daemon by setsid", layers: []string{"sweep"}, still: (*victim).lingering},
	{name: "daemon, renamed", layers: []string{"sweep"}, still: (*victim).lingering},
	{name: "daemon's keeper", layers: []string{"sweep"}, still: (*victim).lingering},
	{name: "slow all of the user", layers: []string{"seccomp"}, nowhere: func(setting string) string {
		if setting == "root" {
			return "not tried as root: it would slow the whole machine"
		}
		return ""
	}},
	{name: "run own program", layers: []string{"Landlock"}, nowhere: func(setting string) string {
		if setting == "container" {
			return "/tmp is mounted noexec there"
		}
		return ""
	}},
}

// victim is what attackers are after: this process, with a secret everywhere.
type victim struct {
	t       *testing.T
	setting string
	program string // the attacker's, where Landlock can allow it
	dir     string // of everything
	env     []string
	signals chan os.Signal
}

// onText calls a function when a text is written.
type onText struct {
	io.Writer
	text string
	call func()
}

func (o onText) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(o.text)) {
		o.call()
	}
	return o.Writer.Write(p)
}

func newVictim(t *testing.T, setting string) *victim {
	t.Helper()
	v := &victim{t: t, setting: setting, dir: testkit.TempDir(t)}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	v.folder("bin", 0o755)
	v.program = self
	if setting != "container" { // where it is mounted among the system's programs
		v.program = v.path("bin/attacker")
		copyProgram(t, v.program, self)
	}
	v.folder("credentials", 0o711)
	v.folder("other", 0o711)
	v.file("credentials/rpst", secret)
	v.file("other/secret", secret)
	open := v.file("open", secret)
	v.signals = make(chan os.Signal, 100)
	signal.Notify(v.signals, syscall.SIGWINCH, marker)
	t.Cleanup(func() { signal.Stop(v.signals) })
	memory := []byte(secret)
	t.Cleanup(func() { _ = memory[0] }) // it is there until the end
	name := fmt.Sprintf("cemli-attack-%d", os.Getpid())
	l, err := net.Listen("unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	named, err := net.Listen("unix", v.path("named"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(v.path("named"), 0o777); err != nil { //nolint:gosec // for everyone
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = named.Close() })
	v.env = []string{
		"NAMED=" + v.path("named"),
		"PATH=/usr/bin:/bin", "PID=" + strconv.Itoa(os.Getpid()), "FD=" + strconv.Itoa(int(open.Fd())),
		"ADDRESS=" + strconv.FormatUint(uint64(uintptr(unsafe.Pointer(&memory[0]))), 10),
		"CREDENTIALS=" + v.path("credentials/rpst"), "OTHER_RUN=" + v.path("other/secret"), "ABSTRACT=" + name,
		"PROGRAM=" + v.program, "BOMB=60",
	}
	if os.Geteuid() == 0 {
		id, err := exec.LookPath("id")
		if err != nil {
			t.Fatal(err)
		}
		program := v.path("bin/id")
		copyProgram(t, program, id)
		if err := os.Chmod(program, 0o4755|os.ModeSetuid); err != nil {
			t.Fatal(err)
		}
		v.env = append(v.env, "SETUID="+program)
	}
	return v
}

func (v *victim) path(name string) string { return filepath.Join(v.dir, name) }

func (v *victim) folder(name string, mode os.FileMode) {
	v.t.Helper()
	if err := errors.Join(os.MkdirAll(v.path(name), mode), os.Chmod(v.path(name), mode)); err != nil {
		v.t.Fatal(err)
	}
}

func (v *victim) file(name, text string) *os.File {
	v.t.Helper()
	f, err := os.OpenFile(v.path(name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { _ = f.Close() })
	if _, err := f.WriteString(text); err != nil {
		v.t.Fatal(err)
	}
	return f
}

func copyProgram(t *testing.T, to, from string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755) //nolint:gosec // a program
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(out.Close(), os.Chmod(to, 0o755)); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
}

// verdict is how an attack went.
type verdict struct {
	succeeded, absent bool
	said              string
}

// try makes one attack, with layers left out.
func (v *victim) try(a attack, without ...string) verdict {
	v.t.Helper()
	parent := v.path("run")
	_ = os.RemoveAll(parent)
	v.folder("run/here", 0o700)
	v.folder("run/outside", 0o777)
	v.file("run/outside/file", "x")
	c := Command{
		Path: v.program, Args: []string{"attack", a.name}, Dir: v.path("run/here"), Level: LevelFull, Network: !a.offline,
		Writable: []string{v.path("run/here")}, Grace: time.Second,
		Limits: Limits{Processes: 40, OpenFiles: 200, FileBytes: 8 << 20, DataBytes: 512 << 20},
		Env:    append(slices.Clone(v.env), "OUTSIDE="+v.path("run/outside"), "TMPDIR="+v.path("run/here"), "LINGERING="+v.path("run/here/lingering")),
	}
	for _, path := range []string{"run", "run/here", "run/outside", "run/outside/file"} {
		if id, ok := User(LevelFull); ok && !slices.Contains(without, "own user") {
			if err := os.Chown(v.path(path), id, id); err != nil {
				v.t.Fatal(err)
			}
		}
	}
	c.changed = func(s *setup) {
		s.Landlock.Programs = []string{filepath.Dir(v.program)}
		for _, layer := range without {
			turnOff[layer](s)
		}
	}
	var out testkit.Buffer
	c.Stdout, c.Stderr = &out, &out
	starved := false
	if a.name == "fork bomb" {
		c.Stdout = onText{&out, holding, func() {
			// What this program needs most: a thread and a process. Where processes are counted they may
			// be missing until the next count.
			for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(watchEvery) {
				starved = exec.Command("/bin/true").Run() != nil
			}
			v.file("run/here/release", "")
		}}
	}
	start := time.Now()
	outcome, err := Run(v.t.Context(), c)
	if err != nil {
		v.t.Errorf("%s without %v: %v", a.name, without, err)
	}
	if took := time.Since(start); took > 30*time.Second {
		v.t.Errorf("%s without %v took %s", a.name, without, took)
	}
	got := verdict{succeeded: outcome.ExitCode == 0, absent: outcome.ExitCode == exitAbsent, said: strings.TrimSpace(out.String())}
	got.said, _, _ = strings.Cut(got.said, "\n")
	if outcome.Signal != "" {
		got.said = outcome.Signal
	}
	got.succeeded = got.succeeded || starved
	if a.still != nil {
		got.succeeded = a.still(v)
	}
	return got
}

// unharmed checks that the next command of this process works as ever.
func (v *victim) unharmed(a attack) {
	v.t.Helper()
	_ = os.RemoveAll(v.path("next"))
	v.folder("next", 0o777)
	var out testkit.Buffer
	outcome, err := Run(v.t.Context(), Command{
		Path: "/bin/sh", Args: []string{"-c", "echo fine | cat"}, Dir: v.path("next"), Env: []string{"PATH=/usr/bin:/bin"}, Level: LevelFull,
		Network: true, Writable: []string{v.path("next")}, Stdout: &out, Stderr: &out, Grace: time.Second,
	})
	if err != nil || outcome.ExitCode != 0 || out.String() != "fine\n" {
		v.t.Errorf("after %s: %+v, %q, %v", a.name, outcome, out.String(), err)
	}
}

// lingering reports whether the process that the attacker left is there, and ends it.
func (v *victim) lingering() bool {
	text, err := os.ReadFile(v.path("run/here/lingering"))
	if err != nil {
		v.t.Errorf("the attacker left nothing: %v", err)
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		v.t.Fatal(err)
	}
	return syscall.Kill(pid, syscall.SIGKILL) == nil
}

// marker is a signal that this process sends itself; of several it is told of last.
const marker = syscall.Signal(40)

// signalled reports whether the attacker's signal has reached this process.
func (v *victim) signalled() bool {
	if err := syscall.Kill(os.Getpid(), marker); err != nil {
		v.t.Fatal(err)
	}
	reached := false
	for {
		if got := <-v.signals; got == marker {
			return reached
		}
		reached = true
	}
}

// settings is the environment variable that says where TestAttack runs.
const settingVariable = "CEMLI_ATTACK_SETTING"

// TestAttack makes every attack in the setting that TestAttacks has prepared: with all
// layers, with each layer that is to stop it alone, and, the control, with none of them.
func TestAttack(t *testing.T) {
	setting := os.Getenv(settingVariable)
	if setting == "" {
		return // TestAttacks runs it
	}
	v := newVictim(t, setting)
	fmt.Printf("%-44s %-34s %-8s %s\n", "attack ("+setting+")", "stopped by each of", "blocked", "control")
	for _, a := range attacks {
		all := slices.Concat(a.layers, a.aside)
		if setting == "root" && a.name != "setuid program" {
			all = append(all, "own user")
		}
		blocked := !v.try(a).succeeded
		v.unharmed(a)
		if !blocked {
			t.Errorf("%s succeeded", a.name)
		}
		if setting != "root" {
			for _, layer := range a.layers {
				others := slices.DeleteFunc(slices.Clone(all), func(l string) bool { return l == layer })
				if v.try(a, others...).succeeded {
					t.Errorf("%s succeeded where %s alone should stop it", a.name, layer)
				}
			}
		}
		control := "succeeds"
		if a.name == "slow all of the user" && setting == "root" {
			control = a.nowhere(setting)
		} else if got := v.try(a, all...); !got.succeeded {
			control = "fails: " + got.said
			switch {
			case a.nowhere != nil && a.nowhere(setting) != "":
				control = a.nowhere(setting)
			case got.absent:
				control = "not on this machine: " + got.said
			default:
				t.Errorf("control: %s did not succeed without %v: %s", a.name, all, got.said)
			}
		}
		v.unharmed(a)
		fmt.Printf("%-44s %-34s %-8t %s\n", a.name, strings.Join(a.layers, ", "), blocked, control)
	}
}

// again runs TestAttack in another process.
func again(t *testing.T, setting string, cmd *exec.Cmd) {
	t.Helper()
	cmd.Env = append(os.Environ(), settingVariable+"="+setting, "CEMLI_TEST_SECRET="+secret)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestAttack")) {
		t.Errorf("%s: %v", setting, err)
	}
	t.Logf("\n%s", out)
}

func needFull(t *testing.T) {
	t.Helper()
	if Probe().Strongest() != LevelFull {
		t.Skip("needs a kernel with Landlock")
	}
}

func TestAttacksAsRoot(t *testing.T) {
	needFull(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	again(t, "root", exec.Command(os.Args[0], "-test.run=^TestAttack$", "-test.v"))
}

func TestAttacksAsUser(t *testing.T) {
	needFull(t)
	// A copy, as the user may not pass to where Go puts tests.
	program := filepath.Join(testkit.TempDir(t), "attacks")
	copyProgram(t, program, os.Args[0])
	cmd := exec.Command(program, "-test.run=^TestAttack$", "-test.v")
	cmd.Dir = "/"
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	}
	again(t, "user", cmd)
}

// TestAttacksInContainer runs in what OCI gives a function.
func TestAttacksInContainer(t *testing.T) {
	needFull(t)
	if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		t.Skipf("needs a container engine: docker version: %v: %s", err, bytes.TrimSpace(out))
	}
	const image = "cemli-test:empty"
	load := exec.Command("docker", "import", "-", image)
	load.Stdin = bytes.NewReader(testkit.EmptyImage(t, "opt/attacks"))
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("import image: %v: %s", err, out)
	}
	program := filepath.Join(testkit.TempDir(t), "attacks")
	copyProgram(t, program, os.Args[0])
	again(t, "container", exec.Command("docker", "run", "--rm", "--network", "none", "--read-only", "--user", "1000:1000", "--cap-drop", "ALL",
		"--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined", "--pids-limit", "50", "--memory", "256m", "--ulimit", "nofile=350:350",
		"--tmpfs", "/tmp:size=64m,nr_inodes=2048,noexec,mode=1777",
		"-v", "/usr:/usr:ro", "-v", "/etc:/etc:ro", "-v", program+":/opt/attacks:ro", "-e", settingVariable+"=container", "-e", "CEMLI_TEST_SECRET="+secret,
		// A shell is PID 1, as the platform's init is.
		image, "/bin/sh", "-c", "/opt/attacks -test.run='^TestAttack$' -test.v; exit $?"))
}
