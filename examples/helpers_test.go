package examples_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/bundle"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// run runs a package folder with the executor, in buckets that are folders, and
// returns its result and the bucket with the evidence.
func run(
	t *testing.T, dir string, changes ...func(*executor.Config, *executor.Request),
) (evidence.Result, store.Bucket) {
	t.Helper()
	list, results := runAll(t, dir, changes...)
	return list[0], results
}

// runAll does the same for a package with parameter sets: a result for each.
func runAll(
	t *testing.T, dir string, changes ...func(*executor.Config, *executor.Request),
) ([]evidence.Result, store.Bucket) {
	t.Helper()
	bucket := func(name string) store.Bucket {
		path := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		b, err := store.OpenFolder(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	packages, results, state := bucket("packages"), bucket("results"), bucket("state")
	var zip bytes.Buffer
	if _, err := bundle.Create(&zip, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	_, err := packages.Put(t.Context(), "p.zip", bytes.NewReader(zip.Bytes()), int64(zip.Len()), store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := executor.Config{
		Packages: packages, Results: results, State: state,
		Namespace:   func(context.Context) (string, error) { return "", nil },
		Environment: "test", WorkDir: filepath.Join(testkit.TempDir(t), "work"), KeepPackages: true,
		Reserve: 5 * time.Second, Limits: executor.DefaultLimits(),
		Sandbox: sandbox.LevelBasic, Output: executor.OutputNone, Log: slog.New(slog.DiscardHandler),
	}
	request := executor.Request{
		Bucket: "packages", Object: "p.zip", Trigger: executor.Trigger{Kind: executor.TriggerCLI},
	}
	for _, change := range changes {
		change(&config, &request)
	}
	list, err := executor.New(config).Run(t.Context(), request)
	for _, result := range list {
		doc, err := result.Encode()
		if err != nil {
			t.Fatal(err)
		}
		testkit.CheckResult(t, doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	return list, results
}

// artifact reads one artifact of a run.
func artifact(t *testing.T, r evidence.Result, results store.Bucket, name string) []byte {
	t.Helper()
	return []byte(object(t, results, evidence.Dir(r.RunID)+"artifacts/"+name))
}

// object reads one object of a bucket.
func object(t *testing.T, bucket store.Bucket, name string) string {
	t.Helper()
	body, _, err := bucket.Get(t.Context(), name, store.GetOptions{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// change makes a change of a request for run.
func change(f func(*executor.Request)) func(*executor.Config, *executor.Request) {
	return func(_ *executor.Config, q *executor.Request) { f(q) }
}

// with gives a parameter.
func with(name, value string) func(*executor.Config, *executor.Request) {
	return change(func(q *executor.Request) { q.Parameters = map[string]json.RawMessage{name: json.RawMessage(value)} })
}

func succeeded(t *testing.T, r evidence.Result) {
	t.Helper()
	if r.Status != evidence.StatusSuccess {
		t.Fatalf("status %s, %s\n%s%s", r.Status, r.Message, r.Execution.Stdout, r.Execution.Stderr)
	}
}

// vault has one secret, for whoever asks.
func vault(value string) func(*executor.Config, *executor.Request) {
	return func(c *executor.Config, _ *executor.Request) {
		c.Secrets = func(_ context.Context, _, ref string) (executor.Secret, error) {
			return executor.Secret{Value: []byte(value), ID: "ocid1.vaultsecret.oc1.phx." + ref, Version: "1"}, nil
		}
		accept(c)
	}
}

// accept has a policy accept, where the kernel cannot isolate scripts, that secrets are given to them.
func accept(c *executor.Config) {
	if !sandbox.Probe().Strongest().Reaches(sandbox.LevelIsolated) && c.Policy == nil {
		c.Policy = executor.InlinePolicy("inline", []byte(`{"environment":"test","sandbox":"basic"}`))
	}
}

func needTools(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("NOT TESTED: needs " + name)
		}
	}
}

// example copies an example, to be changed as a team would.
func example(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(name)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// edit replaces a text in a file of a package; it has to be there.
func edit(t *testing.T, dir, name, old, replacement string) {
	t.Helper()
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q", name, old)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), old, replacement)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// add writes a text at the end of a file, which need not be there.
func add(t *testing.T, dir, name, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// nowhere fails if one of the texts is in an object of the evidence, or in its name.
func nowhere(t *testing.T, results store.Bucket, texts ...string) {
	t.Helper()
	page, err := results.List(t.Context(), store.ListOptions{Prefix: "runs/"})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Objects) == 0 {
		t.Fatal("there is no evidence")
	}
	for _, o := range page.Objects {
		body := object(t, results, o.Name)
		for _, text := range texts {
			if strings.Contains(o.Name+body, text) {
				t.Errorf("%s has %q", o.Name, text)
			}
		}
	}
}

// undone names a run's undo scripts with what became of them.
func undone(r evidence.Result) string {
	var all []string
	if r.Rollback != nil {
		for _, s := range r.Rollback.Steps {
			all = append(all, s.Name+" "+string(s.Status))
		}
	}
	return strings.Join(all, ", ")
}

// failedIn fails the test unless the run ended so, in that script, with that text in its output.
func failedIn(t *testing.T, r evidence.Result, status evidence.Status, step, output string) {
	t.Helper()
	var failed []string
	for _, s := range r.Steps {
		if s.Status == evidence.StepFailed {
			failed = append(failed, s.Name)
		}
	}
	if r.Status != status || strings.Join(failed, ", ") != step || !strings.Contains(r.Execution.Stderr, output) {
		t.Errorf("status %s, %s; failed: %v; want %s in %s with %q in\n%s", r.Status, r.Message, failed, status, step,
			output, r.Execution.Stderr)
	}
}
