package local_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/local"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// hostile is a package that wants more than it may have. Scripts find the instance's folder, with the function's
// socket and credentials, in $INSTANCE.
type hostile struct {
	name     string
	manifest string // more keys
	files    map[string]string
	status   evidence.Status
	code     string
	// seems checks more of the result; nil: nothing.
	seems func(r evidence.Result) bool
	// contained: only where the container bounds what it takes.
	contained bool
}

func run(script string) map[string]string { return map[string]string{"steps/run.sh": script} }

const connect = `
for s in "$INSTANCE"/iofs/*lsnr.sock; do
  curl -s --max-time 10 --unix-socket "$s" http://localhost/call -d '{"object":"hello.zip"}' && exit 0
done
exit 7`

var hostiles = []hostile{
	{
		name: "reads credentials", status: evidence.StatusSuccess,
		files: run(`cat /proc/*/environ /proc/*/fd/* /proc/self/root/proc/$PPID/environ "$INSTANCE"/credentials/* ` +
			`/.oci-credentials/* 2>/dev/null; strings /proc/$PPID/mem 2>/dev/null; ls /proc "$INSTANCE"/* ` +
			`2>/dev/null; env; true`),
		seems: func(r evidence.Result) bool {
			return !strings.Contains(r.Execution.Stdout, "RESOURCE_PRINCIPAL") &&
				!strings.Contains(r.Execution.Stdout, "PRIVATE KEY")
		},
	},
	{
		name: "calls the function", status: evidence.StatusFailed, code: "step.failed", files: run(connect),
		seems: exitedWith(7),
	},
	{
		name: "calls the function without network", manifest: `"network":false`, status: evidence.StatusFailed,
		code: "step.failed", files: run(connect), seems: exitedWith(7),
	},
	{
		name: "closes the function's folders", status: evidence.StatusSuccess,
		files: run(`chmod 0 "$INSTANCE"/iofs "$INSTANCE"/tmp /tmp . .. ../home 2>/dev/null; true`),
	},
	{
		name: "kills everyone", status: evidence.StatusFailed, code: "step.failed",
		files: run(`kill -9 $PPID 2>/dev/null; kill -9 -1; kill -9 0; sleep 100`),
	},
	{
		name: "leaves processes", status: evidence.StatusSuccess,
		files: run(`(setsid bash -c 'trap "" TERM HUP; exec -a cemli-lingerer sleep 1000' &)
nohup bash -c 'exec -a cemli-lingerer sleep 1000' >/dev/null 2>&1 &
bash -c 'exec -a cemli-lingerer sleep 1000' & disown
env -i setsid setsid bash -c 'cd /; exec -a cemli-lingerer sleep 1000' </dev/null >/dev/null 2>&1 & sleep 0.3`),
	},
	{name: "bombs", manifest: `"timeout":"10s"`, status: "", files: run(`f() { f | f & }; f; sleep 2`)},
	{name: "takes memory", status: "", files: run(`x=$(head -c 3000000000 /dev/zero | tr '\0' x); echo ${#x}; exit 1`)},
	{
		name: "ignores SIGTERM", manifest: `"timeout":"1s"`, status: evidence.StatusTimedOut, code: "step.timeout",
		files: run(`trap '' TERM INT HUP; while :; do sleep 0.1; done`),
	},
	{
		name: "prints a line of 4 GB", status: evidence.StatusSuccess, files: run(`head -c 4294967296 /dev/zero`),
		seems: func(r evidence.Result) bool { return r.Steps[0].OutputSize == 4<<30 && r.Steps[0].Truncated },
	},
	{
		name: "prints a million lines", status: evidence.StatusSuccess, files: run(`seq 1000000`),
		seems: func(r evidence.Result) bool {
			return r.Steps[0].OutputSize == 6888896 && !r.Steps[0].Truncated &&
				strings.HasSuffix(r.Execution.Stdout, "\n1000000\n")
		},
	},
	{
		name: "rewrites another step", status: evidence.StatusFailed, code: "step.modified",
		files: map[string]string{"steps/1.sh": "echo 'exit 0' >steps/2.sh", "steps/2.sh": "exit 1"},
	},
	{
		name: "puts a link in another step's place", status: evidence.StatusFailed, code: "step.modified",
		files: map[string]string{"steps/1.sh": "ln -sf /etc/passwd steps/2.sh", "steps/2.sh": "exit 1"},
	},
	{
		name: "rewrites its undo", status: evidence.StatusFailed, code: "step.failed",
		files: map[string]string{"steps/1.sh": "echo 'exit 0' >rollback/1.sh; exit 1", "rollback/1.sh": "exit 1"},
		seems: func(r evidence.Result) bool { return r.Rollback != nil && r.Rollback.Error.Code == "step.modified" },
	},
	{
		name: "puts a pipe in another step's place", status: evidence.StatusFailed, code: "step.modified",
		files: map[string]string{"steps/1.sh": "rm steps/2.sh; mkfifo steps/2.sh", "steps/2.sh": "exit 1"},
	},
	{
		name: "makes another step huge", status: evidence.StatusFailed, code: "step.modified",
		files: map[string]string{
			"steps/1.sh": "truncate -s 50M steps/2.sh; truncate -s 60G steps/2.sh; true", "steps/2.sh": "exit 1",
		},
	},
	{
		name: "nests artifacts without end", status: evidence.StatusSuccess,
		files: run(`cd "$CEMLI_ARTIFACTS"; mkdir -p "$(printf 'd/%.0s' $(seq 1500))"; true`),
		seems: func(r evidence.Result) bool {
			return slices.ContainsFunc(r.Artifacts,
				func(a evidence.Artifact) bool { return strings.Contains(a.Withheld, "folders deep") })
		},
	},
	{
		name: "leaves what is hard to remove", status: evidence.StatusSuccess,
		files: run(`n=$(printf 'x%.0s' $(seq 250)); cd "$TMPDIR"; for i in $(seq 25); do mkdir $n && cd $n || break;
done; mkdir x; chmod 0 . 2>/dev/null
cd "$TMPDIR"; mkdir -p "$(printf 'e/%.0s' $(seq 1800))"; true`),
	},
	{
		name: "closes its folders between steps", status: evidence.StatusSuccess,
		files: map[string]string{
			"steps/1.sh": `chmod 0 "$TMPDIR" "$HOME" "$PWD" "${PWD%/*}" 2>/dev/null; true`,
			"steps/2.sh": `echo fine >"$TMPDIR/x"`,
		},
	},
	{
		name: "hops from process to process in a crowd", manifest: `"timeout":"3s"`, status: "",
		files: run(`hop() { while :; do (setsid bash -c "sleep 0.001" &) ; done; }; for i in 1 2 3 4 5 6;
do (setsid bash -c "$(declare -f hop); trap '' TERM; hop" &); done; trap '' TERM; while :; do sleep 0.1; done`),
	},
	{
		name: "hops from process to process", manifest: `"timeout":"3s"`, status: evidence.StatusTimedOut,
		code: "step.timeout",
		files: run(`hop() { while :; do (setsid bash -c "sleep 0.001" &) ; sleep 0.02; done; }; for i in 1 2 3;
do (setsid bash -c "$(declare -f hop); trap '' TERM; hop" &); done; trap '' TERM; while :; do sleep 0.1; done`),
	},
	{
		name: "replaces the run's folders", status: evidence.StatusSuccess,
		files: run(`cd .. || exit; for d in package home tmp artifacts out; do mv $d $d.aside; rm -rf $d;
ln -s /etc $d; done 2>/dev/null
rm -rf artifacts; ln -s /etc artifacts; echo x > kept; true`),
		seems: func(r evidence.Result) bool {
			return !slices.ContainsFunc(r.Artifacts, func(a evidence.Artifact) bool { return a.Object != "" })
		},
	},
	{
		name: "leaves odd artifacts", status: evidence.StatusSuccess,
		files: run(`cd "$CEMLI_ARTIFACTS"; mkfifo pipe; ln -s /etc/passwd link; ln -s / root; truncate -s 65M large;
echo kept >kept; ln "$OLDPWD/manifest.json" hard; touch "$(printf 'a\nb')"; true`),
		seems: func(r evidence.Result) bool {
			kept := 0
			for _, a := range r.Artifacts {
				if a.Object != "" {
					kept++
				}
			}
			return kept >= 2 && len(r.Artifacts) >= 6 // the named ones, and why not the others
		},
	},
	{
		name: "fills the disk", status: "", contained: true,
		files: run(`i=0; while head -c 10000000 /dev/zero >"$TMPDIR/f$i"; do i=$((i+1)); done; echo $i files >&2;
exit 0`),
	},
	{
		name: "takes all inodes", status: "", contained: true,
		files: run(`i=0; while : >"$TMPDIR/f$i"; do i=$((i+1)); done 2>/dev/null; echo $i files >&2; exit 0`),
	},
}

func exitedWith(code int) func(evidence.Result) bool {
	return func(r evidence.Result) bool { return r.Execution.ReturnCode == code }
}

// attackAll runs every hostile package, and after each an innocent one, all in the same process of the function, and
// checks the evidence of both.
func attackAll(t *testing.T, c *cloud, instance string, contained bool) {
	number := 0
	try := func(h hostile) evidence.Result {
		number++
		contents := map[string]string{"manifest.json": fmt.Sprintf(
			`{"name":"hostile","version":"1.0.%d","type":"extension"`, number)}
		if h.manifest != "" {
			contents["manifest.json"] += "," + h.manifest
		}
		contents["manifest.json"] += "}"
		for name, text := range h.files {
			contents[name] = "INSTANCE=" + instance + "\n" + text + "\n"
		}
		c.put(fmt.Sprintf("hostile-1.0.%d.zip", number), testkit.Zip(t, contents))
		r := c.result(c.answer())
		c.complete(r)
		return r
	}
	first := try(hostile{files: run("echo $PPID")})
	for _, h := range hostiles {
		if h.contained && !contained {
			continue
		}
		start := time.Now()
		r := try(h)
		var got string
		if r.Error != nil {
			got = r.Error.Code
		}
		if h.status != "" && (r.Status != h.status || got != h.code) || h.seems != nil && !h.seems(r) {
			t.Errorf("%s: status %s, code %q, %q; stdout %.300q, stderr %.300q, artifacts %+v", h.name, r.Status, got,
				r.Message, r.Execution.Stdout, r.Execution.Stderr, r.Artifacts)
		}
		if h.status == "" && r.Status != evidence.StatusSuccess && r.Status != evidence.StatusFailed &&
			r.Status != evidence.StatusTimedOut {
			t.Errorf("%s: status %s, %q", h.name, r.Status, r.Message)
		}
		if r.Sandbox.Level != "full" || r.Sandbox.CredentialsReachable {
			t.Errorf("%s: sandbox %+v", h.name, r.Sandbox)
		}
		if left := lingerers(t); len(left) > 0 {
			t.Errorf("%s left processes: %v", h.name, left)
		}
		next := try(hostile{files: run(
			"echo $PPID; echo kept >$CEMLI_ARTIFACTS/a; ls -A $TMPDIR $HOME; echo fine | cat")})
		if next.Status != evidence.StatusSuccess || next.Execution.Stderr != "" || len(next.Artifacts) != 1 ||
			!strings.HasSuffix(next.Execution.Stdout, "fine\n") {
			t.Errorf("after %q: status %s, %q, %+v", h.name, next.Status, next.Message, next.Execution)
		}
		if next.Execution.Stdout[:strings.Index(next.Execution.Stdout, "\n")+1] != first.Execution.Stdout {
			t.Errorf("after %q the function is another process", h.name)
		}
		t.Logf("%-36s %-12s %-14s %6.2fs  %s", h.name, r.Status, got, time.Since(start).Seconds(), r.Message)
	}
}

// complete checks that a result's evidence exists and is what the result says.
func (c *cloud) complete(r evidence.Result) {
	c.t.Helper()
	check := func(object, sum string, size int64) {
		body, _, err := c.results().Get(c.t.Context(), evidence.Dir(r.RunID)+object, store.GetOptions{})
		if err != nil {
			c.t.Errorf("%s: %v", object, err)
			return
		}
		defer body.Close()
		digest := sha256.New()
		n, err := io.Copy(digest, body)
		if err != nil || size >= 0 && n != size || hex.EncodeToString(digest.Sum(nil)) != sum {
			c.t.Errorf("%s: %d bytes, error %v: it is not what the result says", object, n, err)
		}
	}
	steps := r.Steps
	if r.Rollback != nil {
		steps = append(steps, r.Rollback.Steps...)
	}
	for _, s := range steps {
		if s.Attempts > 0 {
			size := s.OutputSize
			if s.Truncated {
				size = -1
			}
			check(s.Log, s.LogSHA256, size)
		}
	}
	for _, a := range r.Artifacts {
		if a.Object != "" && a.Run == "" {
			check(a.Object, a.SHA256, a.Size)
		}
	}
}

// lingerers lists processes that hostile packages have left.
func lingerers(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && bytes.HasPrefix(text, []byte("cemli-lingerer")) {
			left = append(left, file)
		}
	}
	return left
}

// needIsolated skips the test if scripts can read everything that the function can.
func needIsolated(t *testing.T) {
	t.Helper()
	if has := sandbox.Probe(); !has.Strongest().Reaches(sandbox.LevelIsolated) {
		t.Skip("needs a kernel with Landlock: " + has.NoLandlock.String())
	}
}

func needFull(t *testing.T) {
	t.Helper()
	if has := sandbox.Probe(); has.Strongest() != sandbox.LevelFull {
		t.Skip("needs a kernel with Landlock: " + has.Lacks(sandbox.LevelFull))
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("needs curl")
	}
}

func TestHostilePackages(t *testing.T) {
	needFull(t)
	c := start(t, nil)
	attackAll(t, c, `"$(realpath -m "$TMPDIR/../../../..")"`, false)
}

// TestHostilePackagesInContainer runs the function in a container like OCI's.
func TestHostilePackagesInContainer(t *testing.T) {
	needFull(t)
	testkit.NeedEngine(t)
	const image = "cemli-test:function"
	load := exec.Command("docker", "import", "-", image)
	load.Stdin = bytes.NewReader(testkit.EmptyImage(t, "function/cemli-executor"))
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("import image: %v: %s", err, out)
	}
	container := testkit.Container{
		Name: fmt.Sprintf("cemli-test-%d", os.Getpid()), Image: image, MemoryMB: 256, Inodes: 4096,
	}
	t.Cleanup(container.Remove)
	instance := make(chan string, 1)
	c := start(t, func(o *local.Options) {
		o.MemoryMB = container.MemoryMB
		o.Wrap = func(dir, binary string) []string {
			select {
			case instance <- dir:
			default:
			}
			container.Flags = []string{"-v /usr:/usr:ro -v /etc:/etc:ro -v " + binary + ":/function/cemli-executor:ro"}
			return container.Command(dir)
		}
	})
	c.put("first.zip",
		testkit.Zip(t, map[string]string{"manifest.json": `{"name":"first","version":"1.0.0","type":"extension"}`}))
	if r := c.result(c.answer()); r.Status != evidence.StatusSuccess {
		t.Fatalf("status %s, %s", r.Status, r.Message)
	}
	attackAll(t, c, <-instance, true)
}

// The control of "calls the function": without a sandbox, a script finds the socket under its hidden name, and the
// function refuses the second call.
func TestUnconfinedScriptFindsABusyFunction(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("needs curl")
	}
	c := start(t, unconfined)
	c.put("sample-1.0.0.zip", sample(t, `cd "$TMPDIR/../../../../iofs" || exit 9; ls | grep -q lsnr.sock || exit 8
for s in *; do curl -s --max-time 10 --unix-socket "$s" http://localhost/call -d '{"object":"sample-1.0.0.zip"}' &&
exit 0; done; exit 7`))
	r := c.result(c.answer())
	if r.Status != evidence.StatusSuccess || !strings.Contains(r.Execution.Stdout, `"trigger.busy"`) {
		t.Errorf("status %s, %+v", r.Status, r.Execution)
	}
	c.put("sample-1.0.1.zip", sample(t, "echo fine"))
	if r := c.result(c.answer()); r.Status != evidence.StatusSuccess {
		t.Errorf("status %s, %s", r.Status, r.Message)
	}
}
