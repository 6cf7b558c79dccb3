//go:build linux

package fnhost_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cemli-executor/internal/fnhost"
	"cemli-executor/internal/testkit"
)

var function = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "cemli-fnhost-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "function")
	cmd := exec.Command("go", "build", "-o", path, "./testdata/function")
	cmd.Stderr = os.Stderr
	return path, cmd.Run()
})

// TestMain is also the hosts that tests kill, and the inits.
func TestMain(m *testing.M) {
	testkit.PretendKernel()
	fnhost.Dispatch()
	if binary := os.Getenv("FNHOST_TEST_HOST"); binary != "" {
		host(binary, os.Getenv("FNHOST_TEST_FILE"))
		return
	}
	code := m.Run()
	if path, err := function(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func config(t *testing.T) fnhost.Config {
	t.Helper()
	binary, err := function()
	if err != nil {
		t.Fatal(err)
	}
	return fnhost.Config{
		Binary: binary, Instances: 1, MemoryMB: 256, Timeout: 20 * time.Second, Log: &testkit.Buffer{},
		Settings:   map[string]string{"KEY": "value"},
		FunctionID: "fn-id", FunctionName: "fn-name", AppID: "app-id", AppName: "app-name", Region: "us-phoenix-1",
	}
}

func start(t *testing.T, c fnhost.Config) *fnhost.Host {
	t.Helper()
	h, err := fnhost.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func call(do, arg string) fnhost.Call {
	body, err := json.Marshal(map[string]string{"Do": do, "Arg": arg})
	if err != nil {
		panic(err)
	}
	return fnhost.Call{Body: body}
}

// description is what the function sees of its call.
type description struct {
	Pid, UID int
	Env      []string
	Deadline time.Time
	Call     string
	Header   http.Header
}

func describe(t *testing.T, h *fnhost.Host, c fnhost.Call) description {
	t.Helper()
	a, err := h.Invoke(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var d description
	if err := json.Unmarshal(a.Body, &d); err != nil {
		t.Fatal(err)
	}
	if a.CallID == "" || a.CallID != d.Call {
		t.Errorf("call id %q; the function saw %q", a.CallID, d.Call)
	}
	return d
}

func TestInstancesMayShareAUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, shared := range []bool{false, true} {
		c := config(t)
		c.Instances, c.SharedUser = 2, shared
		h := start(t, c)
		var users sync.Map
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				a, err := h.Invoke(t.Context(), call("describe", ""))
				var d description
				if err != nil || json.Unmarshal(a.Body, &d) != nil || d.UID == 0 {
					t.Errorf("user %d, %v", d.UID, err)
				}
				users.Store(d.UID, true)
			})
		}
		all.Wait()
		count := 0
		users.Range(func(any, any) bool { count++; return true })
		if count != map[bool]int{false: 2, true: 1}[shared] {
			t.Errorf("shared %v: %d users", shared, count)
		}
	}
}

func TestWhatTheFunctionIsTold(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HOST", "do not show")
	c := config(t)
	c.Credentials = func() (fnhost.Credentials, error) {
		return fnhost.Credentials{Token: "token", PrivateKey: []byte("key"), Expires: time.Now().Add(time.Hour)}, nil
	}
	h := start(t, c)
	q := call("describe", "")
	q.Header = http.Header{"Ce-Id": {"1"}, "Fn-Call-Id": {"forged"}, "Fn-Deadline": {"2099-01-01T00:00:00Z"}}
	before := time.Now()
	d := describe(t, h, q)
	var keys []string
	for _, entry := range d.Env {
		key, value, _ := strings.Cut(entry, "=")
		keys = append(keys, key)
		switch key {
		case "KEY", "FN_FN_ID", "FN_MEMORY", "FN_FORMAT", "HOME", "OCI_RESOURCE_PRINCIPAL_VERSION":
			want := map[string]string{
				"KEY": "value", "FN_FN_ID": "fn-id", "FN_MEMORY": "256", "FN_FORMAT": "http-stream", "HOME": "/home/fn",
				"OCI_RESOURCE_PRINCIPAL_VERSION": "2.2",
			}[key]
			if value != want {
				t.Errorf("%s=%s; want %s", key, value, want)
			}
		}
	}
	slices.Sort(keys)
	want := "FN_APP_ID FN_APP_NAME FN_FN_ID FN_FN_NAME FN_FORMAT FN_LISTENER FN_LOGFRAME_HDR FN_LOGFRAME_NAME " +
		"FN_MEMORY FN_TYPE HOME KEY " +
		"OCI_REGION_METADATA OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM OCI_RESOURCE_PRINCIPAL_REGION " +
		"OCI_RESOURCE_PRINCIPAL_RPST OCI_RESOURCE_PRINCIPAL_VERSION OCI_TRACING_ENABLED PATH TMPDIR"
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("environment:\n%s\nwant:\n%s", got, want)
	}
	late := d.Deadline.Sub(before)
	if late < 19*time.Second-time.Second || late > 21*time.Second || d.Deadline.Nanosecond() != 0 {
		t.Errorf("deadline %s after the call, in whole seconds %v", late, d.Deadline.Nanosecond() == 0)
	}
	if d.Call == "forged" || d.Header.Get("Ce-Id") != "1" {
		t.Errorf("call id %q, header %v", d.Call, d.Header)
	}
	if os.Geteuid() == 0 && d.UID == 0 {
		t.Error("the function runs as root")
	}
}

func TestWarmInstanceIsUsedAgain(t *testing.T) {
	c := config(t)
	c.Instances = 3
	h := start(t, c)
	first, second := describe(t, h, call("describe", "")), describe(t, h, call("describe", ""))
	if first.Pid != second.Pid {
		t.Errorf("processes %d and %d; want one that stays warm", first.Pid, second.Pid)
	}
}

func TestFailedInstanceIsReplaced(t *testing.T) {
	h := start(t, config(t))
	for _, do := range []string{"panic", "exit", "large"} {
		before := describe(t, h, call("describe", ""))
		if _, err := h.Invoke(t.Context(), call(do, "")); !errors.Is(err, fnhost.ErrFailed) {
			t.Errorf("%s: error %v; want ErrFailed", do, err)
		}
		if after := describe(t, h, call("describe", "")); after.Pid == before.Pid {
			t.Errorf("%s: the instance was kept", do)
		}
	}
}

// A function that ends takes with it what it started, and no function of another host in the same program.
func TestOneHostsEndSparesTheOthersFunctions(t *testing.T) {
	first, second := start(t, config(t)), start(t, config(t))
	before := describe(t, second, call("describe", ""))
	if _, err := first.Invoke(t.Context(), call("exit", "")); err == nil {
		t.Fatal("the function of the first host lives")
	}
	if after := describe(t, second, call("describe", "")); after.Pid != before.Pid {
		t.Errorf("the function of the second host was %d and is %d", before.Pid, after.Pid)
	}
}

func TestTimeoutKillsTheWholeTree(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("NOT TESTED: needs setsid (util-linux)")
	}
	c := config(t)
	c.Timeout = 2 * time.Second
	h := start(t, c)
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o777); err != nil { //nolint:gosec // for the function's user
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "grandchild")
	if _, err := h.Invoke(t.Context(), call("sleep", file)); !errors.Is(err, fnhost.ErrTimeout) {
		t.Fatalf("error %v; want ErrTimeout", err)
	}
	gone(t, file)
	describe(t, h, call("describe", ""))
}

// gone waits until the process whose id is in a file has ended.
func gone(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(end) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the process survived")
		}
	}
}

func TestOneCallAtATime(t *testing.T) {
	h := start(t, config(t))
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil { //nolint:gosec // for the function's user
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "go")
	first := make(chan error, 1)
	describe(t, h, call("describe", "")) // warm, so that the next call begins at once
	begun := make(chan struct{})
	go func() {
		close(begun)
		_, err := h.Invoke(context.Background(), call("wait", file))
		first <- err
	}()
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for {
		_, err := h.Invoke(ctx, call("describe", ""))
		if err == nil {
			continue // it came before the first
		}
		if !errors.Is(err, fnhost.ErrBusy) {
			t.Errorf("error %v; want ErrBusy", err)
		}
		break
	}
	if err := os.WriteFile(file, nil, 0o644); err != nil { //nolint:gosec // for the function's user
		t.Fatal(err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestFunctionsThatDoNotStart(t *testing.T) {
	for value, want := range map[string]string{"fail": "cannot start: broken", "hang": "socket was not there"} {
		c := config(t)
		c.Settings = map[string]string{"START": value}
		_, err := start(t, c).Invoke(t.Context(), call("describe", ""))
		if !errors.Is(err, fnhost.ErrStart) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v; want ErrStart with %q", value, err, want)
		}
	}
}

func TestLogLinesStayWhole(t *testing.T) {
	c := config(t)
	c.Instances = 3
	log := &testkit.Buffer{}
	c.Log = log
	h, err := fnhost.New(c)
	if err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	for _, text := range []string{"aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc"} {
		calls.Go(func() {
			if _, err := h.Invoke(t.Context(), call("log", text)); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); strings.Count(log.String(), "\n") < 300 &&
		time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	counts := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(log.String()), "\n") {
		counts[line]++
	}
	for _, text := range []string{"aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc"} {
		if counts[text] != 100 {
			t.Errorf("%d whole lines of %s; want 100", counts[text], text)
		}
	}
}

func TestConfigurationIsBounded(t *testing.T) {
	c := config(t)
	c.Settings = map[string]string{"KEY": strings.Repeat("x", 5000)}
	if h, err := fnhost.New(c); err == nil {
		_ = h.Close()
		t.Error("a configuration of 5,000 bytes was accepted; OCI takes 4,096")
	}
}

// host starts an instance and waits to be killed.
func host(binary, file string) {
	h, err := fnhost.New(fnhost.Config{
		Binary: binary, Instances: 1, MemoryMB: 256, Timeout: time.Minute, Log: os.Stderr,
		Init: os.Getenv("FNHOST_TEST_INIT") != "",
	})
	if err != nil {
		panic(err)
	}
	a, err := h.Invoke(context.Background(), call("describe", ""))
	if err != nil {
		panic(err)
	}
	var d description
	if err := json.Unmarshal(a.Body, &d); err != nil {
		panic(err)
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(d.Pid)+"\n"), 0o600); err != nil {
		panic(err)
	}
	select {}
}

func TestNoInstanceOutlivesTheHost(t *testing.T) {
	binary, err := function()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FNHOST_TEST_HOST="+binary, "FNHOST_TEST_FILE="+file, "TMPDIR="+t.TempDir())
	if err := os.Chmod(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // below, the function's user passes
		t.Fatal(err)
	}
	// The function's user must be able to pass through the host's folder.
	short, err := os.MkdirTemp("", "h")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	if err := os.Chmod(short, 0o755); err != nil { //nolint:gosec // as above
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "TMPDIR="+short)
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
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	gone(t, file)
}
