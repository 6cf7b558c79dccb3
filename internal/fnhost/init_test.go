//go:build linux

package fnhost_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/fnhost"
	"cemli-executor/internal/testkit"
)

// below starts a host whose instances have an init.
func below(t *testing.T, change func(*fnhost.Config)) *fnhost.Host {
	t.Helper()
	c := config(t)
	c.Init = true
	if change != nil {
		change(&c)
	}
	return start(t, c)
}

// shell is what a shell says that the function starts.
func shell(t *testing.T, h *fnhost.Host, script string) string {
	t.Helper()
	a, err := h.Invoke(t.Context(), call("shell", script))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(a.Body))
}

// The function's parent is of its user, is no part of the host, and lives as long as it does.
func TestTheInitIsOfTheFunctionsUser(t *testing.T) {
	h := below(t, nil)
	const looks = `init=$(sed -n 's/^PPid:\t//p' /proc/$PPID/status); stat -c %u /proc/$init /proc/$PPID; ` +
		`tr '\0' ' ' </proc/$init/cmdline; echo; echo $init $PPID`
	first := strings.Split(shell(t, h, looks), "\n")
	if len(first) != 4 || first[0] != first[1] || !strings.Contains(first[2], "function-init start") {
		t.Fatalf("the function's init and the function: %q", first)
	}
	if next := strings.Split(shell(t, h, looks), "\n"); !slices.Equal(first, next) {
		t.Errorf("a warm instance has %q; want %q", next, first)
	}
	if os.Geteuid() == 0 && (first[0] == "0" || !strings.HasPrefix(first[3], "1 ")) {
		t.Errorf("the init is %s, of user %s", first[3], first[0])
	}
}

// A function can write the memory of its init, as on OCI, unless it hides it: what the cure of that attack is tried on.
func TestTheInitsMemoryCanBeWritten(t *testing.T) {
	const attack = `init=$(sed -n 's/^PPid:\t//p' /proc/$PPID/status)
at=$(sed -n 's/-.*\[stack\]$//p' /proc/$init/maps)
exec bash -c 'exec 3<>/proc/'$init'/mem && printf %061d 7 | dd bs=1 seek=$((16#'$at')) conv=notrunc status=none >&3 && echo written'`
	if yama, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && yama[0] != '0' {
		t.Skip("needs a kernel without Yama's rules")
	}
	if said := shell(t, below(t, nil), attack); said != "written" {
		t.Errorf("the attack says %q", said)
	}
}

// As root an instance is closed in as a container is.
func TestAnInstanceIsClosedIn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a container")
	}
	outside := testkit.TempDir(t)
	h := below(t, func(c *fnhost.Config) {
		c.MemoryMB = 512
		c.Credentials = func() (fnhost.Credentials, error) {
			return fnhost.Credentials{Token: "token", PrivateKey: []byte("key"), Expires: time.Now().Add(time.Hour)}, nil
		}
	})
	for _, c := range []struct{ name, script, want string }{
		{"its /tmp", "echo x >/tmp/x && cat /tmp/x && rm /tmp/x", "x"},
		{"how large that is", "df -Pm /tmp | awk 'END{print $2}'; df -Pi /tmp | awk 'END{print $2}'", "128\n4096"},
		{"its /dev/shm", "echo x >/dev/shm/x && cat /dev/shm/x && rm /dev/shm/x", "x"},
		{"nothing is run there", "cp /bin/true /tmp/run; /tmp/run 2>/dev/null; echo $?; rm /tmp/run", "126"},
		{"the machine's", "echo x 2>/dev/null >/var/tmp/cemli-x || echo no; ls -d " + outside + " 2>/dev/null || true", "no"},
		{"other processes", "set -- /proc/[0-9]*; echo $#", "3"}, // init, function, shell
		{"TMPDIR", "echo $TMPDIR", ""},
		{"its credentials", "cat $OCI_RESOURCE_PRINCIPAL_RPST", "token"},
		{
			"new privileges", "grep NoNewPrivs /proc/self/status | cut -f2; grep CapEff /proc/self/status | cut -f2",
			"1\n0000000000000000",
		},
	} {
		if said := shell(t, h, c.script); said != c.want {
			t.Errorf("%s: %q; want %q", c.name, said, c.want)
		}
	}
}

// An instance whose function has ended, was killed, or has dropped a call is replaced, init and all.
func TestWithAnInitAFailedInstanceIsReplaced(t *testing.T) {
	h := below(t, func(c *fnhost.Config) { c.Timeout = 2 * time.Second })
	for do, want := range map[string]error{"exit": fnhost.ErrFailed, "panic": fnhost.ErrFailed, "sleep": fnhost.ErrTimeout} {
		if _, err := h.Invoke(t.Context(), call(do, "/dev/null")); !errors.Is(err, want) {
			t.Errorf("%s: %v", do, err)
		}
		if said := shell(t, h, "echo fine"); said != "fine" {
			t.Errorf("after %s: %q", do, said)
		}
	}
	h = below(t, func(c *fnhost.Config) { c.Settings = map[string]string{"START": "fail"} })
	if _, err := h.Invoke(t.Context(), call("describe", "")); !errors.Is(err, fnhost.ErrStart) ||
		!strings.Contains(err.Error(), "cannot start: broken") {
		t.Errorf("a function that does not start: %v", err)
	}
}

// With another kernel below it the function and its init are both under it.
func TestAnInitUnderAnotherKernel(t *testing.T) {
	h := below(t, func(c *fnhost.Config) { c.Under = testkit.UnderKernel(testkit.NoLandlock) })
	const filters = "init=$(sed -n 's/^PPid:\t//p' /proc/$PPID/status); sed -n 's/^Seccomp:\t//p' /proc/$init/status /proc/$PPID/status"
	if said := shell(t, h, filters); said != "2\n2" {
		t.Errorf("their filters: %q", said)
	}
}

// Nothing of an instance is left when its host was closed, or killed.
func TestNoInitOutlivesTheHost(t *testing.T) {
	for _, how := range []string{"kill", "close"} {
		t.Run(how, func(t *testing.T) {
			dir := testkit.TempDir(t)
			if how == "close" {
				t.Setenv("TMPDIR", dir)
				c := config(t)
				c.Init = true
				h, err := fnhost.New(c)
				if err != nil {
					t.Fatal(err)
				}
				shell(t, h, "setsid sleep 1000 >/dev/null 2>&1 &")
				if len(processesOf(t, dir)) == 0 {
					t.Fatal("the function is not found: the test is wrong")
				}
				if err := h.Close(); err != nil {
					t.Error(err)
				}
			} else {
				killHost(t, dir)
			}
			for end := time.Now().Add(20 * time.Second); len(processesOf(t, dir)) > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("left: %v", processesOf(t, dir))
				}
			}
		})
	}
}

// killHost starts a host with its files in dir, and kills it when its function runs.
func killHost(t *testing.T, dir string) {
	t.Helper()
	binary, err := function()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pid")
	cmd := exec.CommandContext(context.Background(), os.Args[0])
	cmd.Env = append(os.Environ(), "FNHOST_TEST_HOST="+binary, "FNHOST_TEST_FILE="+file, "FNHOST_TEST_INIT=1", "TMPDIR="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if text, err := os.ReadFile(file); err == nil && bytes.HasSuffix(text, []byte("\n")) {
			break
		}
		if time.Now().After(end) {
			_ = cmd.Process.Kill()
			t.Fatal("the host did not start its function")
		}
	}
	if len(processesOf(t, dir)) < 2 {
		t.Error("init and function are not found: the test is wrong")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
}

// processesOf are the command lines, in the machine's own list, of what runs the function that is below dir, and of
// what that has started.
func processesOf(t *testing.T, dir string) (found []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		environ, _ := os.ReadFile(path) // it may have ended
		if bytes.Contains(environ, []byte("FN_LISTENER=unix:"+dir)) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline")) // as above
			found = append(found, filepath.Dir(path)+" "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}
