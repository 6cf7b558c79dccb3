package local_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/local"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/testkit"
)

// Bounds of the image, which a cold start has to load.
const (
	maxImageBytes  = 120_000_000
	maxBinaryBytes = 20_000_000
)

// tools is a package that looks for what the image promises to scripts.
var tools = map[string]string{
	"manifest.json": `{"name":"tools","version":"1.0.0","type":"extension",
		"tools":["bash","curl","jq","unzip","openssl","awk","gawk","grep","sed","find","xargs","diff","tar","gzip","sort","sha256sum","timeout"]}`,
	"steps/run.sh": `set -e
[ "$(id -u):$(id -g):$(id -un)" = 1000:1000:fn ]
openssl verify -CApath /etc/ssl/certs "$(find /etc/ssl/certs -name '*.pem' | head -n 1)"
echo '{"all":"there"}' | jq -r .all`,
}

// TestImage uploads hello-cemli to a local OCI whose function is the image in TEST_IMAGE, in a container as
// restricted as the platform's, and reads the evidence.
func TestImage(t *testing.T) {
	image := os.Getenv("TEST_IMAGE")
	if image == "" {
		t.Skip("NOT TESTED: needs the name of an image in TEST_IMAGE; make image-test builds one")
	}
	testkit.MustHaveEngine(t) // who names an image wants it tested
	container := testkit.Container{
		Name: fmt.Sprintf("cemli-image-test-%d", os.Getpid()), Image: image, MemoryMB: 512, Inodes: 4096,
		IOFS: "/tmp/iofs", Credentials: "/.oci-credentials",
	}
	t.Cleanup(container.Remove)
	level := sandbox.Probe().Strongest()
	c := start(t, func(o *local.Options) {
		o.MemoryMB = container.MemoryMB
		o.Settings = map[string]string{"CEMLI_SANDBOX": string(level)}
		o.Wrap = func(dir, _ string) []string { return container.Command(dir) }
	})
	try := func(name string, files map[string]string) (evidence.Result, time.Duration) {
		zip, begun := testkit.Zip(t, files), time.Now()
		c.put(name, zip)
		a := c.answer()
		took := time.Since(begun)
		r := c.result(a)
		if r.Status != evidence.StatusSuccess || r.Trigger.Kind != "event" || r.Sandbox.Level != string(level) {
			t.Fatalf("%s: status %s, %s, sandbox %+v, %+v; the function's log:\n%s", name, r.Status, r.Message,
				r.Sandbox, r.Execution, c.log)
		}
		c.complete(r)
		return r, took
	}
	r, cold := try("hello-cemli-1.0.0.zip", folder(t, "../../examples/hello-cemli"))
	if !strings.HasPrefix(r.Execution.Stdout, "Hello from Automated CEMLI Execution\n") {
		t.Errorf("stdout %q", r.Execution.Stdout)
	}
	if r.Identity.Image != image || strings.HasPrefix(r.Identity.ExecutorVersion, "devel") {
		t.Errorf("the image does not know what it is: image %q, version %q", r.Identity.Image,
			r.Identity.ExecutorVersion)
	}
	if r, _ := try("tools-1.0.0.zip", tools); !strings.HasSuffix(r.Execution.Stdout, "\nthere\n") {
		t.Errorf("tools: stdout %q", r.Execution.Stdout)
	}
	// The container is still there, and as narrow as it was to be.
	inside := engine(t, "exec", container.Name, "cat", "/proc/self/mounts", "/proc/self/status")
	for _, want := range []string{
		` / \S+ ro,`, ` /tmp tmpfs rw,\S*noexec\S*,size=131072k`, `Uid:\s1000\s`, `CapEff:\s0+\n`, `NoNewPrivs:\s1\n`,
	} {
		if !regexp.MustCompile(want).MatchString(inside) {
			t.Errorf("in the container there is no %s:\n%s", want, inside)
		}
	}
	// The container was started through a shell; the platform starts what the image says.
	got := engine(t, "image", "inspect", "--format", "{{json .Config.Entrypoint}} {{.Config.User}}", image)
	if got != `["/function/cemli-executor"] 1000:1000` {
		t.Errorf("the image starts %s", got)
	}
	size := number(t, "image", "inspect", "--format", "{{.Size}}", image)
	binary := number(t, "run", "--rm", "--network", "none", "--entrypoint", "/usr/bin/stat", image, "-c", "%s",
		"/function/cemli-executor")
	if size > maxImageBytes || binary > maxBinaryBytes {
		t.Errorf("the image has %d bytes, its binary %d; the bounds are %d and %d", size, binary, maxImageBytes,
			maxBinaryBytes)
	}
	t.Logf("image %s, version %s, sandbox %s", r.Identity.Image, r.Identity.ExecutorVersion, r.Sandbox.Level)
	t.Logf("unpacked %.1f MB, binary %.1f MB, from the upload over a cold start to the first answer %.2f s",
		float64(size)/1e6, float64(binary)/1e6, cold.Seconds())
}

// folder reads the files of a package folder.
func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// engine returns what a command of the container engine prints.
func engine(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).Output()
	if err != nil {
		t.Fatalf("docker %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}

func number(t *testing.T, args ...string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(engine(t, args...), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
