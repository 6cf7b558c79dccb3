package local_test

import (
	"archive/zip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/local"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// memoryGroup makes a control group, of that name, that may use so many bytes, without swap. It
// returns the file that processes are put into, and a function that tells the peak.
func memoryGroup(t *testing.T, name string, limit int64) (procs string, peak func() string) {
	t.Helper()
	for _, v := range []struct{ root, limit, peak string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"}, // version 1
		{"/sys/fs/cgroup", "memory.max", "memory.peak"},                                 // version 2
	} {
		dir := filepath.Join(v.root, fmt.Sprintf("cemli-test-%s-%d", name, os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil { //nolint:gosec // a control group
			continue
		}
		if os.WriteFile(filepath.Join(dir, v.limit), []byte(fmt.Sprint(limit)), 0o600) != nil {
			_ = os.Remove(dir)
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		return filepath.Join(dir, "cgroup.procs"), func() string {
			text, err := os.ReadFile(filepath.Join(dir, v.peak))
			if err != nil {
				return "unknown"
			}
			return strings.TrimSpace(string(text))
		}
	}
	t.Skip("NOT TESTED: no memory control group can be made here")
	return "", nil
}

// container wraps the function into what a 512 MB function on OCI has: that memory,
// and a /tmp of 128 MB and 4,096 inodes that counts as memory and is noexec.
func container(t *testing.T, procs string, user int) func(dir, binary string) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: limits can be set up by root only")
	}
	for _, tool := range []string{"unshare", "setpriv", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("NOT TESTED: needs " + tool + " (util-linux)")
		}
	}
	return func(dir, binary string) []string {
		user := strconv.Itoa(user)
		script := strings.Join([]string{
			"set -e", "echo $$ >" + procs,
			"mount -t tmpfs -o size=128m,nr_inodes=4096,noexec,nosuid,nodev,mode=700,uid=" + user + ",gid=" + user +
				" none " + dir + "/tmp",
			"cd " + dir + "/tmp",
			"exec setpriv --reuid " + user + " --regid " + user +
				" --clear-groups --no-new-privs --bounding-set=-all " + binary,
		}, "\n")
		return []string{"/usr/bin/unshare", "-m", "/bin/sh", "-c", script}
	}
}

// largeZip writes a package with so many MB of random files and one of text.
func largeZip(t *testing.T, random, text int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "large-1.0.0.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := zip.NewWriter(f)
	add := func(name string, method uint16, content io.Reader) {
		entry, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(entry, content); err != nil {
			t.Fatal(err)
		}
	}
	add("manifest.json", zip.Deflate, strings.NewReader(`{"name":"large","version":"1.0.0","type":"integration"}`))
	add("steps/run.sh", zip.Deflate,
		strings.NewReader("cat artifacts/* | wc -c; df -B1 --output=size . | tail -1; cp artifacts/text $TMPDIR/copy"))
	source := rand.NewChaCha8([32]byte{1})
	for i := range random / 10 {
		add(fmt.Sprintf("artifacts/random-%d", i), zip.Store, io.LimitReader(source, 10<<20))
	}
	var lines strings.Builder
	for n := 0; lines.Len() < text<<20; n++ {
		fmt.Fprintf(&lines, "line %d of an export, which is much like the one before\n", n)
	}
	add("artifacts/text", zip.Deflate, strings.NewReader(lines.String()))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func (c *cloud) upload(path string) int64 {
	c.t.Helper()
	f, err := os.Open(path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.packages().Put(c.t.Context(), filepath.Base(path), f, size, store.PutOptions{}); err != nil {
		c.t.Fatal(err)
	}
	return size
}

// The users of the first instances of both functions.
const (
	firstUser       = 61184
	runnersFirstOne = firstUser + 100
)

// A package of 100 MB with 110 MB of contents runs in a function of 512 MB, whose /tmp
// has 128 MB; one that cannot fit is refused before anything is written.
func TestLargePackageWithinTheFunctionsLimits(t *testing.T) {
	procs, peak := memoryGroup(t, "executor", 512<<20)
	c := start(t, func(o *local.Options) { o.MemoryMB, o.Wrap = 512, container(t, procs, firstUser) })

	size := c.upload(largeZip(t, 100, 10))
	r := c.result(c.answer())
	t.Logf("zip %d bytes, memory peak %s bytes of %d", size, peak(), 512<<20)
	if r.Status != evidence.StatusSuccess || size < 100<<20 {
		t.Fatalf("status %s, %s; zip of %d bytes", r.Status, r.Message, size)
	}
	lines := strings.Fields(r.Execution.Stdout)
	if len(lines) != 2 || lines[1] != "134217728" {
		t.Errorf("stdout %q; want the contents' size and a /tmp of 134217728", r.Execution.Stdout)
	}

	c.upload(largeZip(t, 120, 10))
	r = c.result(c.answer())
	if r.Status != evidence.StatusRejected || r.Error.Code != "archive.no_space" ||
		!strings.Contains(r.Error.Hint, "memory") {
		t.Errorf("status %s, error %+v; want archive.no_space", r.Status, r.Error)
	}
}

// The same where steps run in a runner, which has as much: for both of them, and for artifacts of 100 MB, too.
func TestLargePackageWithinTheLimitsOfBoth(t *testing.T) {
	procs, peak := memoryGroup(t, "executor", 512<<20)
	ofRunner, peakOfRunner := memoryGroup(t, "runner", 512<<20)
	log := &testkit.Buffer{}
	c := start(t, func(o *local.Options) {
		o.MemoryMB, o.Timeout, o.Wrap = 512, 3*time.Minute, container(t, procs, firstUser)
		o.Runner = &local.Runner{Log: log, Wrap: container(t, ofRunner, runnersFirstOne)}
		o.Settings = map[string]string{"CEMLI_LIMIT_ARTIFACT_BYTES": strconv.Itoa(100 << 20)}
	})
	size := c.upload(largeZip(t, 100, 10))
	r := c.result(c.answer())
	t.Logf("zip %d bytes, memory peaks %s and %s bytes of %d", size, peak(), peakOfRunner(), 512<<20)
	if r.Status != evidence.StatusSuccess || r.Apart == nil {
		t.Fatalf("status %s, %s; the functions' logs:\n%s\n%s", r.Status, r.Message, c.log, log)
	}
	if lines := strings.Fields(r.Execution.Stdout); len(lines) != 2 || lines[1] != "134217728" {
		t.Errorf("stdout %q; want the contents' size and a /tmp of 134217728", r.Execution.Stdout)
	}
	r = c.tries("artifacts", `for n in 1 2; do head -c 52428800 /dev/urandom >$CEMLI_ARTIFACTS/$n; done`)
	t.Logf("memory peaks %s and %s bytes of %d", peak(), peakOfRunner(), 512<<20)
	if r.Status != evidence.StatusSuccess || len(r.Artifacts) != 2 {
		t.Fatalf("status %s, %s, %+v; the functions' logs:\n%s\n%s", r.Status, r.Message, r.Artifacts, c.log, log)
	}
	for _, a := range r.Artifacts {
		if a.Object == "" || a.Size != 50<<20 {
			t.Errorf("%+v", a)
		}
	}
	c.complete(r)
	c.upload(largeZip(t, 120, 10))
	if r := c.result(c.answer()); r.Status != evidence.StatusRejected || r.Error.Code != "archive.no_space" {
		t.Errorf("status %s, error %+v; want archive.no_space", r.Status, r.Error)
	}
}
