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

	"cemli-executor/internal/testkit"
)

// attack is one way to get at something that is not the script's. Each of the layers alone stops it.
type attack struct {
	name    string
	layers  []string
	since   int      // the ABI from which Landlock is one of the layers; 0: the first
	gap     string   // the word for it where no layer stops it
	private bool     // what it is after is this program's alone: another user may not
	aside   []string // layers that hinder it without stopping it; off where single layers are tried, and in the control
	offline bool     // the command is without network
	// still says how the attack shows to have succeeded after the command has ended; nil:
	// by what the payload itself says.
	still func(v *victim) bool
	// nowhere is a reason why the control cannot succeed in a setting: it takes a
	// privilege that is not there. Empty: it must succeed.
	nowhere func(setting string) string
}

// turnOff switches off each layer.
var turnOff = map[string]func(*setup){
	"Landlock":          func(s *setup) { s.Landlock = nil },
	"seccomp":           func(s *setup) { s.Seccomp = nil },
	"limits":            func(s *setup) { s.Limits = nil },
	"own user":          func(s *setup) { s.user = nil },
	"not dumpable":      func(s *setup) { s.hidden = false },
	"sweep":             func(s *setup) { s.sweep = false },
	"no new privileges": func(s *setup) { s.NoNewPrivileges, s.Landlock, s.Seccomp = false, nil, nil },
}

// stoppers are the layers that each stop the attack alone, under an ABI of Landlock; 0 stands for none.
func (a attack) stoppers(setting string, abi int) []string {
	layers := slices.Clone(a.layers)
	if abi == 0 || abi < a.since {
		layers = slices.DeleteFunc(layers, func(l string) bool { return l == "Landlock" })
	}
	if setting == "root" && len(layers) == 0 && a.private {
		return []string{"own user"}
	}
	return layers
}

// victim is the target of the attacks: this process, with secrets in many places.
type victim struct {
	t       *testing.T
	abi     int // of the rules, 0 being none
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
	v.file("open", secret)
	open, err := os.OpenFile(v.path("open"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = open.Close() })
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
	datagrams, err := net.ListenPacket("unixgram", v.path("datagrams"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(v.path("datagrams"), 0o777); err != nil { //nolint:gosec // for everyone
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = datagrams.Close() })
	v.env = []string{
		"DATAGRAMS=" + v.path("datagrams"),
		"NAMED=" + v.path("named"),
		"GORACE=atexit_sleep_ms=0", // the attacker is this program, which would wait for a second at its end
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

func (v *victim) file(name, text string) {
	v.t.Helper()
	if err := os.WriteFile(v.path(name), []byte(text), 0o600); err != nil {
		v.t.Fatal(err)
	}
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

// verdict is the result of an attack.
type verdict struct {
	succeeded, absent bool
	said              string
	gaps              []string
}

// level is the strictest level under the victim's ABI.
func (v *victim) level() Level {
	return Layers{NoNewPrivileges: true, Seccomp: true, Landlock: v.abi}.Level()
}

// underABI applies the rules of the victim's ABI.
func (v *victim) underABI(s *setup) {
	if s.Seccomp != nil {
		s.Seccomp.PathsDenied = v.abi >= landlockPaths
	}
	if v.abi == 0 {
		s.Landlock = nil
		return
	}
	s.Landlock.ABI = v.abi
}

// try runs one attack with some layers switched off.
func (v *victim) try(a attack, without ...string) verdict {
	v.t.Helper()
	parent := v.path("run")
	_ = os.RemoveAll(parent)
	v.folder("run/here", 0o700)
	v.folder("run/outside", 0o777)
	v.file("run/outside/file", "x")
	c := Command{
		Path: v.program, Args: []string{"attack", a.name}, Dir: v.path("run/here"), Level: v.level(),
		Network:  !a.offline,
		Writable: []string{v.path("run/here")}, Grace: time.Second,
		Limits: Limits{Processes: 40, OpenFiles: 200, FileBytes: 8 << 20, DataBytes: 512 << 20},
		Env: append(slices.Clone(v.env), "OUTSIDE="+v.path("run/outside"), "TMPDIR="+v.path("run/here"),
			"LINGERING="+v.path("run/here/lingering")),
	}
	for _, path := range []string{"run", "run/here", "run/outside", "run/outside/file"} {
		if id, ok := User(LevelFull); ok && !slices.Contains(without, "own user") {
			if err := os.Chown(v.path(path), id, id); err != nil {
				v.t.Fatal(err)
			}
		}
	}
	c.changed = func(s *setup) {
		v.underABI(s)
		if s.Landlock != nil {
			s.Landlock.Programs = []string{filepath.Dir(v.program)}
		}
		for _, layer := range without {
			turnOff[layer](s)
			s.Level = LevelNone
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
	outcome, err := Run(v.t.Context(), c)
	if err != nil {
		v.t.Errorf("%s without %v: %v", a.name, without, err)
	}
	got := verdict{
		succeeded: outcome.ExitCode == 0, absent: outcome.ExitCode == exitAbsent, said: strings.TrimSpace(out.String()),
		gaps: outcome.Layers.Gaps(),
	}
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

// unharmed checks that the next command of this process works as before.
func (v *victim) unharmed(a attack) {
	v.t.Helper()
	_ = os.RemoveAll(v.path("next"))
	v.folder("next", 0o777)
	var out testkit.Buffer
	outcome, err := Run(v.t.Context(), Command{
		Path: "/bin/sh", Args: []string{"-c", "echo fine | cat"}, Dir: v.path("next"),
		Env: []string{"PATH=/usr/bin:/bin"}, Level: v.level(),
		Network: true, Writable: []string{v.path("next")}, Stdout: &out, Stderr: &out, Grace: time.Second,
		changed: v.underABI,
	})
	if err != nil || outcome.ExitCode != 0 || out.String() != "fine\n" {
		v.t.Errorf("after %s: %+v, %q, %v", a.name, outcome, out.String(), err)
	}
}

// lingering reports whether the process that the attacker left behind is alive, and ends it.
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

// marker is a signal that this process sends to itself; of several pending signals it arrives last.
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

// settingVariable is the environment variable that says where TestAttack runs.
const settingVariable = "CEMLI_ATTACK_SETTING"

// TestAttack runs every attack in the setting that TestAttacks has prepared: with all layers, with each layer that
// must stop it alone, and, as a control, with none of them.
func TestAttack(t *testing.T) {
	setting := os.Getenv(settingVariable)
	if setting == "" {
		return // TestAttacks runs it
	}
	v := newVictim(t, setting)
	v.abi = min(Probe().Landlock, newestRules)
	fmt.Printf("%-44s %-34s %-8s %s\n", "attack ("+setting+")", "stopped by each of", "blocked", "control")
	for _, a := range attacks {
		layers := a.stoppers(setting, v.abi)
		all := slices.Concat(layers, a.aside)
		if setting == "root" && a.name != "setuid program" && !slices.Contains(all, "own user") {
			all = append(all, "own user")
		}
		blocked := v.expect(a)
		if setting != "root" {
			for _, layer := range layers {
				others := slices.DeleteFunc(slices.Clone(all), func(l string) bool { return l == layer })
				if v.try(a, others...).succeeded {
					t.Errorf("%s succeeded where %s alone should stop it", a.name, layer)
				}
			}
		}
		fmt.Printf("%-44s %-34s %-8t %s\n", a.name, strings.Join(layers, ", "), blocked, v.control(a, all))
		v.unharmed(a)
	}
	if setting != "root" { // there, the user that the files are given to is the command's own
		v.onlySome()
	}
}

// expect runs an attack with all layers. It must be stopped if there is a layer for it, and must otherwise succeed
// and be among the gaps.
func (v *victim) expect(a attack) (blocked bool) {
	v.t.Helper()
	got := v.try(a)
	v.unharmed(a)
	switch layers := a.stoppers(v.setting, v.abi); {
	case len(layers) > 0 && got.succeeded:
		v.t.Errorf("%s succeeded in spite of %v", a.name, layers)
	case len(layers) > 0:
	case got.succeeded && !slices.Contains(got.gaps, a.gap):
		v.t.Errorf("%s succeeded, and %q is not among the gaps %v", a.name, a.gap, got.gaps)
	case !got.succeeded && !got.absent && (a.nowhere == nil || a.nowhere(v.setting) == ""):
		v.t.Errorf("%s is said to be a gap and did not succeed: %s", a.name, got.said)
	}
	return !got.succeeded
}

// control runs an attack without the layers, and returns the result.
func (v *victim) control(a attack, all []string) string {
	v.t.Helper()
	if a.name == "slow all of the user" && v.setting == "root" {
		return a.nowhere(v.setting)
	}
	got := v.try(a, all...)
	switch {
	case got.succeeded:
		return "succeeds"
	case a.nowhere != nil && a.nowhere(v.setting) != "":
		return a.nowhere(v.setting)
	case got.absent:
		return "not on this machine: " + got.said
	}
	v.t.Errorf("control: %s did not succeed without %v: %s", a.name, all, got.said)
	return "fails: " + got.said
}

// older are ABIs of Landlock whose rules this kernel also has; the first one stands for none.
func older() []int {
	return slices.DeleteFunc([]int{0, 1, 3, 5, 9}, func(abi int) bool { return abi >= Probe().Landlock && abi > 0 })
}

// onlySome runs all attacks under the rules of older ABIs. Every word in the table of gaps must be that of an attack
// that succeeds, except those for devices and processes, which have tests of their own.
func (v *victim) onlySome() {
	newest := v.abi
	defer func() { v.abi = newest }()
	for _, v.abi = range older() {
		open := map[string]bool{"device_ioctl": true, GapProcesses: true}
		for _, a := range attacks {
			if v.slowest(a) {
				continue // no ABI changes it
			}
			if blocked := v.expect(a); !blocked {
				open[a.gap] = true
			}
		}
		layers := Layers{NoNewPrivileges: true, Seccomp: true, Landlock: v.abi, Watched: true}
		var words []string
		for _, layers.Offline = range []bool{false, true} {
			words = append(words, layers.Gaps()...)
		}
		for _, word := range words {
			if !open[word] {
				v.t.Errorf("ABI %d: %s is said to be open, and no attack has shown it", v.abi, word)
			}
		}
		fmt.Printf("under the rules of ABI %d, level %s: open are %s\n", v.abi, v.level(),
			strings.Join(slices.Compact(slices.Sorted(slices.Values(words))), " "))
	}
}

// slowest reports whether an attack is about limits or about what stays behind, and takes long.
func (v *victim) slowest(a attack) bool {
	return slices.Contains(a.layers, "limits") || slices.Contains(a.layers, "sweep") || a.name == "slow all of the user"
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

func TestAttacksAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	again(t, "root", exec.Command(os.Args[0], "-test.run=^TestAttack$", "-test.v"))
}

func TestAttacksAsUser(t *testing.T) {
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

// TestAttacksInContainer runs the attacks in a container like OCI's for a function.
func TestAttacksInContainer(t *testing.T) {
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
	again(t, "container", exec.Command("docker", "run", "--rm", "--network", "none", "--read-only",
		"--user", "1000:1000", "--cap-drop", "ALL",
		"--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined",
		"--pids-limit", "50", "--memory", "256m", "--ulimit", "nofile=350:350",
		"--tmpfs", testkit.ContainerTmp(64, 2048),
		"-v", "/usr:/usr:ro", "-v", "/etc:/etc:ro", "-v", program+":/opt/attacks:ro",
		"-e", settingVariable+"=container", "-e", "CEMLI_TEST_SECRET="+secret,
		// A shell is PID 1, as the platform's init is.
		image, "/bin/sh", "-c", "/opt/attacks -test.run='^TestAttack$' -test.v; exit $?"))
}
