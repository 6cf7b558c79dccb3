package executor_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

const manifestJSON = `{"name":"sample","version":"1.0.0","type":"extension"}`

// TestMain lets the sandbox start this program anew.
func TestMain(m *testing.M) {
	sandbox.Dispatch()
	testkit.PretendKernel()
	os.Exit(m.Run())
}

// files are the contents of a package; a manifest is added unless one is there.
type files map[string]string

// pack makes a zip of the contents.
func pack(t *testing.T, contents files) []byte {
	t.Helper()
	if _, ok := contents["manifest.json"]; !ok {
		contents["manifest.json"] = manifestJSON
	}
	return testkit.Zip(t, contents)
}

// bench is an executor with its buckets, all folders.
type bench struct {
	t        *testing.T
	config   executor.Config
	packages store.Bucket
	results  store.Bucket
	state    store.Bucket
	log      *testkit.Buffer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	open := func(name string) store.Bucket {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		b, err := store.OpenFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := &bench{
		t: t, packages: open("packages"), results: open("results"), state: open("state"), log: &testkit.Buffer{},
	}
	b.config = executor.Config{
		Packages: b.packages, Results: b.results, State: b.state,
		Namespace:   func(context.Context) (string, error) { return "ns", nil },
		Environment: "test", WorkDir: filepath.Join(testkit.TempDir(t), "work"), KeepPackages: true,
		Reserve: time.Second, Limits: executor.DefaultLimits(),
		Sandbox: sandbox.LevelBasic, Output: executor.OutputAll, Identity: evidence.Identity{ExecutorVersion: "test"},
		Log: slog.New(slog.NewJSONHandler(b.log, nil)),
	}
	if everyRunApart {
		b.apart()
	}
	return b
}

func (b *bench) upload(name string, data []byte, opts store.PutOptions) store.Info {
	b.t.Helper()
	info, err := b.packages.Put(b.t.Context(), name, bytes.NewReader(data), int64(len(data)), opts)
	if err != nil {
		b.t.Fatal(err)
	}
	return info
}

func request(object, etag string) executor.Request {
	return executor.Request{
		Bucket: "packages", Object: object, ETag: etag, Trigger: executor.Trigger{Kind: executor.TriggerRequest},
	}
}

// event is the request of an upload.
func event(object, etag string) executor.Request {
	q := request(object, etag)
	q.Trigger.Kind = executor.TriggerEvent
	return q
}

// run executes a request and checks what holds for every run: nothing is left in the
// work folder, and what was returned is what was stored.
func (b *bench) run(ctx context.Context, q executor.Request) (evidence.Result, error) {
	b.t.Helper()
	results, err := executor.New(b.config).Run(ctx, q)
	result := results[0]
	if entries, dirErr := os.ReadDir(b.config.WorkDir); dirErr == nil && len(entries) > 0 {
		b.t.Errorf("left in the work folder: %v", entries)
	}
	return result, err
}

// stored reads a run's result back.
func (b *bench) stored(runID string) evidence.Result {
	b.t.Helper()
	doc := []byte(b.object(evidence.ResultObject(runID)))
	testkit.CheckResult(b.t, doc)
	result, err := evidence.Decode(doc)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

func (b *bench) object(name string) string {
	b.t.Helper()
	body, _, err := b.results.Get(b.t.Context(), name, store.GetOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// ran uploads and runs a package that is expected to give a result.
func (b *bench) ran(contents files) evidence.Result {
	b.t.Helper()
	info := b.upload("sample-1.0.0.zip", pack(b.t, contents), store.PutOptions{})
	result, err := b.run(b.t.Context(), request(info.Name, info.ETag))
	if err != nil {
		b.t.Fatal(err)
	}
	return b.stored(result.RunID)
}

func code(r evidence.Result) string {
	if r.Error == nil {
		return ""
	}
	return r.Error.Code
}

func TestSuccess(t *testing.T) {
	b := newBench(t)
	data := pack(t, files{
		"prechecks/a.sh": "echo checking",
		"steps/run.sh": "#!/usr/bin/env bash\necho out; echo err >&2; echo kept >$CEMLI_ARTIFACTS/sub.txt; echo '# " +
			"Title' >$CEMLI_SUMMARY",
		"tests/t.sh": "echo tested",
	})
	info := b.upload("in/sample-1.0.0.zip", data, store.PutOptions{
		Metadata: map[string]string{"cemli-reason": "because"},
	})
	q := request("in/sample-1.0.0.zip", info.ETag)
	q.CallID = "call-1"
	answered, err := b.run(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	r := b.stored(answered.RunID)
	if r.Status != evidence.StatusSuccess || r.Error != nil || r.Message != "3 steps succeeded" {
		t.Errorf("status %s, %q, error %+v", r.Status, r.Message, r.Error)
	}
	if !regexp.MustCompile(`^\d{8}T\d{6}Z-sample-[0-9a-f]{12}$`).MatchString(r.RunID) {
		t.Errorf("run id %q", r.RunID)
	}
	if r.SourceBucket != "packages" || r.SourceObject != "in/sample-1.0.0.zip" || r.Reason != "because" ||
		r.Environment != "test" || r.Action != "apply" {
		t.Errorf("source %s/%s, reason %q, environment %q, action %q", r.SourceBucket, r.SourceObject, r.Reason,
			r.Environment, r.Action)
	}
	p := r.Package
	if p.Size != int64(len(data)) || p.ETag != info.ETag || len(p.SHA256) != 64 ||
		!strings.HasPrefix(p.DirHash, "h1:") || p.Entries != 4 || p.Name != "sample" {
		t.Errorf("package %+v", p)
	}
	if r.Execution.Stdout != "checking\nout\ntested\n" || r.Execution.Stderr != "err\n" || !r.Execution.Ran ||
		r.Execution.ReturnCode != 0 {
		t.Errorf("execution %+v", r.Execution)
	}
	var phases []string
	for _, s := range r.Steps {
		phases = append(phases, s.Phase+" "+s.Name+" "+string(s.Status))
		if s.SHA256 == "" || s.Start == nil || s.Attempts != 1 || s.MaxRSS == 0 {
			t.Errorf("step %+v", s)
		}
	}
	if diff := cmp.Diff([]string{
		"pre_check a success", "run run success", "post_check t success",
	}, phases); diff != "" {
		t.Error("steps (-want +got):\n" + diff)
	}
	if log := b.object(evidence.Dir(r.RunID) + "steps/02-run.log"); log != "out\nerr\n" && log != "err\nout\n" {
		t.Errorf("log %q", log)
	}
	if len(r.Artifacts) != 1 || b.object(evidence.Dir(r.RunID)+r.Artifacts[0].Object) != "kept\n" ||
		r.Summary != "# Title\n" {
		t.Errorf("artifacts %+v, summary %q", r.Artifacts, r.Summary)
	}
	if r.Policy.Source != "none" || r.Identity.CallID != "call-1" {
		t.Errorf("policy %+v, identity %+v", r.Policy, r.Identity)
	}
	for _, want := range []string{`"run finished"`, `"line":"out"`, r.RunID, r.Package.SHA256} {
		if !strings.Contains(b.log.String(), want) {
			t.Errorf("the log does not have %s", want)
		}
	}
}

// TestOutcomes has every way in which a package, not the store, decides the end.
func TestOutcomes(t *testing.T) {
	nest := strings.Repeat("[", 100_000)
	random := make([]byte, 1_000_000)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		contents files
		status   evidence.Status
		code     string
		ran      string // names of the steps that ran
	}{
		{"no scripts", files{"artifacts/x": "x"}, evidence.StatusSuccess, "", ""},
		{
			"a script fails", files{
				"steps/1.sh": "exit 0", "steps/2.sh": "echo no >&2; exit 3", "steps/3.sh": "exit 0",
			}, evidence.StatusFailed, "step.failed", "1 2",
		},
		{
			"a precheck fails", files{
				"prechecks/p.sh": "exit 1", "steps/1.sh": "exit 0",
			}, evidence.StatusFailed, "step.failed", "p",
		},
		{"a script dies", files{"steps/1.sh": "kill -9 $$"}, evidence.StatusFailed, "step.failed", "1"},
		{
			"no interpreter", files{
				"steps/1.sh": "echo 1", "tests/t.sh": "#!/no/such/shell\n",
			}, evidence.StatusRejected, "step.interpreter", "",
		},
		{
			"Windows line endings",
			files{"steps/1.sh": "#!/bin/bash\r\necho 1\r\n"},
			evidence.StatusRejected,
			"step.interpreter", "",
		},
		{
			"no tool", files{
				"manifest.json": `{"name":"sample","version":"1.0.0","type":"extension","tools":["no-such-tool"]}`,
				"steps/1.sh":    "echo 1",
			}, evidence.StatusRejected, "step.tool", "",
		},
		{
			"a script changes a later one", files{
				"steps/1.sh": "echo exit 0 >steps/2.sh", "steps/2.sh": "exit 1",
			}, evidence.StatusFailed, "step.modified", "1",
		},
		{"no manifest", files{"manifest.json": ""}, evidence.StatusRejected, "manifest.json", ""},
		{"manifest no JSON", files{"manifest.json": "name: x"}, evidence.StatusRejected, "manifest.json", ""},
		{"manifest no object", files{"manifest.json": "[]"}, evidence.StatusRejected, "manifest.not_object", ""},
		{"manifest of nesting", files{"manifest.json": nest}, evidence.StatusRejected, "manifest.too_deep", ""},
		{
			"manifest too large", files{
				"manifest.json": `{"x-a":"` + hex.EncodeToString(random) + `"}`,
			}, evidence.StatusRejected, "manifest.too_large", "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newBench(t).ran(c.contents)
			if r.Status != c.status || code(r) != c.code {
				t.Errorf("status %s, code %q, %q; want %s, %q", r.Status, code(r), r.Message, c.status, c.code)
			}
			var ran []string
			for _, s := range r.Steps {
				if s.Status != evidence.StepNotRun {
					ran = append(ran, s.Name)
				}
			}
			if got := strings.Join(ran, " "); got != c.ran {
				t.Errorf("steps that ran: %q; want %q", got, c.ran)
			}
			if c.status != evidence.StatusSuccess &&
				(r.Error.Hint == "" && len(r.Error.Problems) == 0 || r.Message == "") {
				t.Errorf("error %+v, message %q: nothing says what to do", r.Error, r.Message)
			}
		})
	}
}

func TestFailureIsInTheResult(t *testing.T) {
	r := newBench(t).ran(files{"steps/run.sh": "echo out; echo no >&2; exit 3"})
	e := r.Execution
	if r.Status != evidence.StatusFailed || e.ReturnCode != 3 || e.Stderr != "no\n" || e.Stdout != "out\n" ||
		r.Steps[0].ReturnCode != 3 {
		t.Errorf("status %s, execution %+v, step %+v", r.Status, e, r.Steps[0])
	}
	if r.Message != "steps/run.sh: exited with 3" {
		t.Errorf("message %q", r.Message)
	}
}

// TestBadObjects has objects that are no packages at all.
func TestBadObjects(t *testing.T) {
	good := pack(t, files{"steps/run.sh": "echo ran"})
	noManifest := testkit.Zip(t, map[string]string{"steps/run.sh": "echo ran"})
	for _, c := range []struct {
		name string
		data []byte
		want string // beginning of the code
	}{
		{"empty", nil, "archive."},
		{"text", []byte("this is no zip"), "archive."},
		{"truncated", good[:len(good)-30], "archive."},
		{"cut in half", good[:len(good)/2], "archive."},
		{"without manifest", noManifest, "manifest.missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			info := b.upload("sample-1.0.0.zip", c.data, store.PutOptions{})
			answered, err := b.run(t.Context(), request(info.Name, info.ETag))
			if err != nil {
				t.Fatal(err)
			}
			r := b.stored(answered.RunID)
			if r.Status != evidence.StatusRejected || !strings.HasPrefix(code(r), c.want) || len(r.Steps) != 0 {
				t.Errorf("status %s, code %s, steps %v; want rejected, %s", r.Status, code(r), r.Steps, c.want)
			}
			if !strings.Contains(r.RunID, "-sample-") {
				t.Errorf("run id %q does not have the name that the object's says", r.RunID)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	t.Run("package too large", func(t *testing.T) {
		b := newBench(t)
		b.config.Limits.PackageBytes = 100
		if r := b.ran(files{"steps/run.sh": "echo ran"}); code(r) != "archive.package_too_large" ||
			r.Status != evidence.StatusRejected {
			t.Errorf("status %s, code %s", r.Status, code(r))
		}
	})
	t.Run("log", func(t *testing.T) {
		b := newBench(t)
		b.config.Limits.LogBytes = 1000
		r := b.ran(files{"steps/run.sh": "for i in {1..1000}; do echo 0123456789; done"})
		if s := r.Steps[0]; !s.Truncated || s.OutputSize != 11_000 ||
			len(b.object(evidence.Dir(r.RunID)+s.Log)) != 1000 {
			t.Errorf("step %+v", s)
		}
	})
	t.Run("artifacts", func(t *testing.T) {
		b := newBench(t)
		b.config.Limits.Artifacts, b.config.Limits.ArtifactBytes = 3, 10
		r := b.ran(files{
			"steps/run.sh": `cd $CEMLI_ARTIFACTS; echo 12345 >a; echo 1234567 >b; ln -s /etc/passwd c; mkfifo d; ` +
				`echo e >e; mkdir f`,
		})
		var got []string
		for _, a := range r.Artifacts {
			got = append(got, a.Name+" "+a.Object)
			if (a.Withheld == "") != (a.Object != "") {
				t.Errorf("artifact %+v", a)
			}
		}
		if diff := cmp.Diff([]string{"a artifacts/a", "b ", "c ", "d "}, got); diff != "" {
			t.Error("(-want +got):\n" + diff)
		}
	})
	t.Run("time of the run", func(t *testing.T) {
		here(t, "a run has less time: its runner stores what has come of it")
		b := newBench(t)
		b.config.Limits.RunTime = 3 * time.Second // of which two are for SIGTERM
		r := b.ran(files{"steps/1.sh": "echo before; sleep 100; echo after", "steps/2.sh": "echo never"})
		if r.Status != evidence.StatusTimedOut || code(r) != "step.timeout" ||
			r.Steps[0].Status != evidence.StepTimedOut || r.Steps[0].StdoutTail != "before\n" ||
			r.Steps[1].Status != evidence.StepNotRun {
			t.Errorf("status %s, code %s, steps %+v", r.Status, code(r), r.Steps)
		}
	})
	t.Run("deadline of the invocation", func(t *testing.T) {
		here(t, "a run has less time: its runner stores what has come of it")
		b := newBench(t)
		info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "sleep 100"}), store.PutOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		r, err := b.run(ctx, request(info.Name, info.ETag))
		if err != nil || r.Status != evidence.StatusTimedOut {
			t.Fatalf("status %s, error %v", r.Status, err)
		}
		if ctx.Err() != nil {
			t.Error("nothing was left of the time for the evidence")
		}
		b.stored(r.RunID)
	})
	t.Run("no time at all", func(t *testing.T) {
		b := newBench(t)
		info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), 2900*time.Millisecond) // one for evidence, two to stop a step
		defer cancel()
		r, err := b.run(ctx, request(info.Name, info.ETag))
		if err != nil || r.Status != evidence.StatusRejected || code(r) != "step.deadline" {
			t.Errorf("status %s, code %s, error %v", r.Status, code(r), err)
		}
	})
}

func TestInterruptionIsRecorded(t *testing.T) {
	here(t, "a run goes on when its executor is stopped")
	b := newBench(t)
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo begun; sleep 100"}), store.PutOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !strings.Contains(b.log.String(), `"begun"`) {
			time.Sleep(time.Millisecond) // polls the script's own sign
		}
		cancel()
	}()
	r, err := b.run(ctx, request(info.Name, info.ETag))
	if err != nil || r.Status != evidence.StatusInterrupted {
		t.Fatalf("status %s, error %v", r.Status, err)
	}
	if got := b.stored(r.RunID); got.Steps[0].Status != evidence.StepInterrupted || got.Execution.Stdout != "begun\n" {
		t.Errorf("steps %+v", got.Steps)
	}
}

func TestScriptsSeeOnlyTheirWorld(t *testing.T) {
	t.Setenv("SECRET_OF_THE_FUNCTION", "do not show")
	b := newBench(t)
	r := b.ran(files{
		"steps/run.sh": "env | sort | cut -d= -f1 | tr '\\n' ' '; echo; pwd -P | sed 's|.*/||'; " +
			"ls; cat; echo $0; umask",
		"artifacts/a": "x",
	})
	lines := strings.Split(r.Execution.Stdout, "\n")
	want := "CEMLI_ACTION CEMLI_ARTIFACTS CEMLI_ATTEMPT CEMLI_DEADLINE CEMLI_DRY_RUN CEMLI_ENVIRONMENT CEMLI_FENCE " +
		"CEMLI_MASK CEMLI_OUTPUT CEMLI_PACKAGE CEMLI_RUN_ID CEMLI_STEP CEMLI_SUMMARY CEMLI_TYPE CEMLI_VERSION HOME " +
		"LANG PATH PWD SHLVL TMPDIR TZ _ "
	if lines[0] != want {
		t.Errorf("environment:\n%s\nwant:\n%s", lines[0], want)
	}
	if diff := cmp.Diff([]string{
		"package", "artifacts", "manifest.json", "steps", "steps/run.sh",
	}, lines[1:6]); diff != "" {
		t.Error("world (-want +got):\n" + diff)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*executor.Request)
		code   string
	}{
		{"another bucket", func(q *executor.Request) { q.Bucket = "results" }, "trigger.bucket"},
		{"another namespace", func(q *executor.Request) { q.Namespace = "other" }, "trigger.bucket"},
		{"an old version", func(q *executor.Request) { q.ETag = "old" }, "trigger.stale"},
		{"no such object", func(q *executor.Request) { q.Object, q.ETag = "none.zip", "" }, "store.not_found"},
		{
			"parameters", func(q *executor.Request) {
				q.Parameters = map[string]json.RawMessage{"A": []byte("1")}
			}, "trigger.parameter_unknown",
		},
		{"a re-run without a reason", func(q *executor.Request) { q.RerunOf = "x" }, "trigger.value"},
		{
			"a re-run of nothing", func(q *executor.Request) {
				q.RerunOf, q.Reason = "20260101T000000Z-sample-000000000000", "y"
			}, "request.unknown_run",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
			q := request(info.Name, info.ETag)
			c.change(&q)
			answered, err := b.run(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			r := b.stored(answered.RunID)
			if code(r) != c.code || len(r.Steps) != 0 || r.Status == evidence.StatusSuccess {
				t.Errorf("status %s, code %s, steps %v; want %s", r.Status, code(r), r.Steps, c.code)
			}
		})
	}
}

func TestWorkFolder(t *testing.T) {
	here(t, "scripts have another work folder")
	t.Run("leftovers are removed", func(t *testing.T) {
		b := newBench(t)
		b.config.Sandbox = sandbox.LevelNone // so that the script sees it
		left := filepath.Join(b.config.WorkDir, "run-left", "closed")
		if err := os.MkdirAll(left, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(left, "f"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(left, 0); err != nil {
			t.Fatal(err)
		}
		if r := b.ran(files{"steps/run.sh": "ls ../.. | wc -l"}); strings.TrimSpace(r.Execution.Stdout) != "1" {
			t.Errorf("beside the run's own folder: %s", r.Execution.Stdout)
		}
	})
	t.Run("a script closes its folders", func(t *testing.T) {
		r := newBench(t).ran(files{"steps/run.sh": "mkdir -p d/e; touch d/e/f; chmod 0 d/e d"})
		if r.Status != evidence.StatusSuccess {
			t.Errorf("status %s", r.Status)
		}
	})
	t.Run("a link in its place", func(t *testing.T) {
		b := newBench(t)
		if err := os.Symlink(t.TempDir(), b.config.WorkDir); err != nil {
			t.Fatal(err)
		}
		info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
		results, err := executor.New(b.config).Run(t.Context(), request(info.Name, info.ETag))
		r := results[0]
		if err != nil || code(r) != "sandbox.workdir" || len(r.Steps) != 0 {
			t.Errorf("code %s, error %v", code(r), err)
		}
	})
}

// faulty is a bucket whose calls can be made to fail.
type faulty struct {
	store.Bucket
	get  func(name string) error
	put  func(name string) error
	head func(name string) error
}

func (f faulty) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	if f.get != nil {
		if err := f.get(name); err != nil {
			return nil, store.Info{}, err
		}
	}
	return f.Bucket.Get(ctx, name, o)
}

func (f faulty) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, o store.PutOptions,
) (store.Info, error) {
	if f.put != nil {
		if err := f.put(name); err != nil {
			return store.Info{}, err
		}
	}
	return f.Bucket.Put(ctx, name, body, size, o)
}

func (f faulty) Head(ctx context.Context, name string) (store.Info, error) {
	if f.head != nil {
		if err := f.head(name); err != nil {
			return store.Info{}, err
		}
	}
	return f.Bucket.Head(ctx, name)
}

// A store that fails before the first step leaves the work undone: the invocation fails, and the
// failure is no outcome.
func TestStoreFailsBeforeTheFirstStep(t *testing.T) {
	for _, kind := range []error{store.ErrUnavailable, store.ErrDenied, store.ErrNoBucket} {
		b := newBench(t)
		info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
		b.config.Packages = faulty{
			Bucket: b.packages, get: func(name string) error {
				return store.Error(kind, "get", "packages", name, errors.New("detail"))
			},
		}
		r, err := b.run(t.Context(), request(info.Name, info.ETag))
		if !errors.Is(err, kind) {
			t.Errorf("%v: the invocation does not fail: %v", kind, err)
		}
		if r.Status != evidence.StatusError || !strings.HasPrefix(code(r), "store.") ||
			strings.Contains(r.Message, "detail") || b.resultsStored() != 0 {
			t.Errorf("%v: status %s, error %+v, %d results", kind, r.Status, r.Error, b.resultsStored())
		}
		b.config.Packages = b.packages
		if r, err := b.run(t.Context(), request(info.Name, info.ETag)); err != nil ||
			r.Status != evidence.StatusSuccess {
			t.Errorf("%v: tried again, status %s, error %v", kind, r.Status, err)
		}
	}
}

// Who reads the log as JSON is told each thing once in a line.
func TestLogLinesHaveNoKeyTwice(t *testing.T) {
	b := newBench(t)
	b.ran(files{"steps/run.sh": "echo ran", "tests/t.sh": "exit 1", "rollback/run.sh": "echo back"})
	for line := range strings.Lines(b.log.String()) {
		for _, key := range []string{"run_id", "package", "version", "step", "object", "status"} {
			if strings.Count(line, `"`+key+`":`) > 1 {
				t.Errorf("%s is in it twice: %s", key, line)
			}
		}
	}
}

// A failure that nobody has foreseen is not blamed on the sandbox.
func TestAFailureWithoutACode(t *testing.T) {
	b := newBench(t)
	b.config.Namespace = func(context.Context) (string, error) { return "", errors.New("disk on fire") }
	r, err := b.run(t.Context(), request("sample-1.0.0.zip", "x"))
	if code(r) != "request.internal" || r.Error.Was != "sandbox.internal" || r.Status != evidence.StatusError {
		t.Errorf("%s, %+v, %v", r.Status, r.Error, err)
	}
}

// What the store refuses for good is the end of the request, once, and there is evidence of it.
func TestAStoreThatRefusesIsNoOutage(t *testing.T) {
	b := newBench(t)
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
	refuse := func(name string) error {
		return store.Error(store.ErrRefused, "get", "packages", name, errors.New("status 400"))
	}
	b.config.Packages = faulty{Bucket: b.packages, get: refuse, head: refuse}
	for range 2 {
		r, err := b.run(t.Context(), event(info.Name, info.ETag))
		if err != nil || r.Status != evidence.StatusError {
			t.Errorf("status %s, %+v, error %v", r.Status, r.Error, err)
		}
	}
	if n := b.resultsStored(); n != 1 {
		t.Errorf("%d results; want 1", n)
	}
}

// Where the state bucket refuses for good, nobody knows what has a result: there is none, and the invocation fails.
func TestAStateBucketThatRefuses(t *testing.T) {
	b := newBench(t)
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
	b.config.State = faulty{Bucket: b.config.State, put: func(name string) error {
		return store.Error(store.ErrRefused, "put", "state", name, errors.New("status 400"))
	}}
	for range 2 {
		if r, err := b.run(t.Context(), event(info.Name, info.ETag)); err == nil || code(r) != "store.refused" ||
			r.Execution.Ran {
			t.Errorf("status %s, %+v, error %v", r.Status, r.Error, err)
		}
	}
	if n := b.resultsStored(); n != 0 {
		t.Errorf("%d results; want none", n)
	}
}

func TestEvidenceThatCannotBeStoredFailsTheInvocation(t *testing.T) {
	b := newBench(t)
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
	b.config.Results = faulty{Bucket: b.results, put: func(name string) error {
		if strings.HasPrefix(name, "packages/") {
			return nil
		}
		return store.Error(store.ErrNoBucket, "put", "results", "", nil)
	}}
	r, err := b.run(t.Context(), request(info.Name, info.ETag))
	if !errors.Is(err, store.ErrNoBucket) || r.Status != evidence.StatusError {
		t.Errorf("status %s, error %v", r.Status, err)
	}
	for _, want := range []string{`"line":"ran"`, `store.bucket_not_found`} {
		if !strings.Contains(b.log.String(), want) {
			t.Errorf("the log does not have %s", want)
		}
	}
}

// A store that hiccups while steps run does not stop them, and loses nothing.
func TestLogsAreStoredAgainAtTheEnd(t *testing.T) {
	b := newBench(t)
	info := b.upload("sample-1.0.0.zip", pack(t, files{
		"steps/1.sh": "echo one", "steps/2.sh": "echo two",
	}), store.PutOptions{})
	failed := false
	b.config.Results = faulty{Bucket: b.results, put: func(name string) error {
		if strings.HasSuffix(name, "01-1.log") && !failed {
			failed = true
			return store.Error(store.ErrUnavailable, "put", "results", name, nil)
		}
		return nil
	}}
	r, err := b.run(t.Context(), request(info.Name, info.ETag))
	if err != nil || r.Status != evidence.StatusSuccess || !failed {
		t.Fatalf("status %s, error %v, failed once %v", r.Status, err, failed)
	}
	if log := b.object(evidence.Dir(r.RunID) + "steps/01-1.log"); log != "one\n" {
		t.Errorf("log %q", log)
	}
}

// A result that exists is never overwritten, and nothing runs under its id.
func TestExistingResultStays(t *testing.T) {
	b := newBench(t)
	marker := filepath.Join(t.TempDir(), "ran")
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran >>" + marker}), store.PutOptions{})
	existing := []byte(`{"schema_version":1,"status":"success"}`)
	b.config.Results = faulty{Bucket: b.results, head: func(name string) error {
		_, err := b.results.Put(t.Context(), name, bytes.NewReader(existing), int64(len(existing)), store.PutOptions{})
		return err
	}}
	r, err := b.run(t.Context(), request(info.Name, info.ETag))
	if err == nil || code(r) != "state.result" || r.Status != evidence.StatusError {
		t.Errorf("status %s, code %s, error %v", r.Status, code(r), err)
	}
	if got := b.object(evidence.ResultObject(r.RunID)); got != string(existing) {
		t.Errorf("the result is now %s", got)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a step ran")
	}
}

func TestNextCallIsUnaffected(t *testing.T) {
	b := newBench(t)
	bad := b.upload("bad.zip", []byte("no zip"), store.PutOptions{})
	if r, err := b.run(t.Context(), request(bad.Name, bad.ETag)); err != nil || r.Status != evidence.StatusRejected {
		t.Fatalf("status %s, error %v", r.Status, err)
	}
	if r := b.ran(files{"steps/run.sh": "echo fine"}); r.Status != evidence.StatusSuccess {
		t.Errorf("status %s, %s", r.Status, r.Message)
	}
}

// A package over the size that is held in memory is read again by ranges.
func TestLargePackage(t *testing.T) {
	here(t, "it is read again to be sent")
	b := newBench(t)
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for name, text := range map[string]string{
		"manifest.json": manifestJSON, "steps/run.sh": "cat artifacts/* | wc -c; sha256sum artifacts/3 | cut -c1-8",
	} {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, text); err != nil {
			t.Fatal(err)
		}
	}
	block := make([]byte, 10<<20)
	for i := range 4 {
		f, err := w.CreateHeader(&zip.FileHeader{Name: "artifacts/" + string(rune('0'+i)), Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	info := b.upload("sample-1.0.0.zip", buf.Bytes(), store.PutOptions{})
	ranges := 0
	b.config.Packages = counting{b.packages, &ranges}
	r, err := b.run(t.Context(), request(info.Name, info.ETag))
	if err != nil || r.Status != evidence.StatusSuccess {
		t.Fatalf("status %s, %s, error %v", r.Status, r.Message, err)
	}
	if !strings.HasPrefix(r.Execution.Stdout, "41943040\n") {
		t.Errorf("the contents have %s bytes", r.Execution.Stdout)
	}
	if ranges < 10 || ranges > 60 {
		t.Errorf("%d ranges were read of a zip of 20 chunks", ranges)
	}
}

type counting struct {
	store.Bucket
	ranges *int
}

func (c counting) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	if o.Length > 0 {
		*c.ranges++
	}
	return c.Bucket.Get(ctx, name, o)
}
