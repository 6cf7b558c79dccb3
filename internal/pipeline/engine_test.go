package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/pipeline"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// TestMain lets the sandbox start this program anew. Tests that run scripts are not parallel: a step that ends takes
// everything along that this process has started.
func TestMain(m *testing.M) {
	sandbox.Dispatch()
	testkit.PretendKernel()
	os.Exit(m.Run())
}

type files map[string]string

// manifestOf is a manifest with more members.
func manifestOf(members string) string {
	return `{"name":"sample","version":"1.0.0","type":"extension"` + members + `}`
}

// bench is an engine with its buckets, all folders.
type bench struct {
	*pipeline.Engine
	t *testing.T
}

// newBench makes an engine, whose configuration a test may change.
func newBench(t *testing.T, changes ...func(*pipeline.Config)) *bench {
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
	config := pipeline.Config{
		Packages: open("packages"), Results: open("results"), State: open("state"), KeepPackages: true,
		Namespace: func(context.Context) (string, error) { return "ns", nil }, Environment: "test",
		WorkDir: filepath.Join(testkit.TempDir(t), "work"), Reserve: time.Second, Limits: admission.DefaultLimits(),
		Sandbox: sandbox.LevelBasic, Output: pipeline.OutputNone, Log: slog.New(slog.DiscardHandler),
	}
	for _, change := range changes {
		change(&config)
	}
	return &bench{pipeline.New(config), t}
}

// upload puts a package into the packages bucket, and returns the request for it.
func (b *bench) upload(name string, zip []byte) intake.Request {
	b.t.Helper()
	info, err := b.Packages.Put(b.t.Context(), name, bytes.NewReader(zip), int64(len(zip)), store.PutOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return intake.Request{
		Bucket: "packages", Object: name, ETag: info.ETag, Trigger: intake.Trigger{Kind: intake.TriggerEvent},
	}
}

func (b *bench) run(q intake.Request) pipeline.Ended {
	b.t.Helper()
	ended, err := b.Run(b.t.Context(), q, pipeline.Invocation{FullTime: true})
	if err != nil {
		b.t.Fatal(err)
	}
	if left, err := os.ReadDir(b.WorkDir); err == nil && len(left) > 0 {
		b.t.Errorf("left in the work folder: %v", left)
	}
	return ended
}

// stored are the objects of a bucket.
func (b *bench) stored(bucket store.Bucket, prefix string) []string {
	b.t.Helper()
	page, err := bucket.List(b.t.Context(), store.ListOptions{Prefix: prefix})
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, o := range page.Objects {
		names = append(names, o.Name)
	}
	return names
}

// committed reads the result of a run that is stored.
func (b *bench) committed(runID string) evidence.Result {
	b.t.Helper()
	result, _, err := b.Follower.ReadResult(b.t.Context(), runID)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// A run ends with its result, which is stored last, and nothing is left to be done for the request. The same request
// again is no other run, and leaves nothing.
func TestARunAndTheSameAgain(t *testing.T) {
	b := newBench(t)
	q := b.upload("sample-1.0.0.zip",
		testkit.Zip(t, files{"manifest.json": manifestOf(""), "steps/run.sh": "echo ran"}))
	first := b.run(q)
	r := first.Result
	if r.Status != evidence.StatusSuccess || r.Duplicate || first.Created.IsZero() || first.Request.Namespace != "ns" {
		t.Fatalf("status %s, %s; request %+v, created %s", r.Status, r.Message, first.Request, first.Created)
	}
	if stored := b.committed(r.RunID); stored.Status != r.Status || stored.Execution.Stdout != "ran\n" {
		t.Errorf("stored is %s, stdout %q", stored.Status, stored.Execution.Stdout)
	}
	objects := b.stored(b.Results, "")
	again := b.run(q)
	if got := again.Result; got.RunID != r.RunID || !got.Duplicate || got.Status != evidence.StatusSuccess {
		t.Errorf("again: run %s, duplicate %t, status %s; want %s", got.RunID, got.Duplicate, got.Status, r.RunID)
	}
	if diff := cmp.Diff(objects, b.stored(b.Results, "")); diff != "" {
		t.Error("results bucket (-first +again):\n" + diff)
	}
	if open := b.stored(b.State, "open/"); open != nil {
		t.Errorf("left to be done: %v", open)
	}
}

// What keeps a run from beginning and may pass fails the invocation, and leaves the request to be tried again.
func TestARunThatCannotBegin(t *testing.T) {
	down := store.Error(store.ErrUnavailable, "get", "policies", "p.json", nil)
	b := newBench(t, func(c *pipeline.Config) {
		c.Policy = &admission.Policy{Source: "p.json", Read: func(context.Context) ([]byte, error) { return nil, down }}
	})
	q := b.upload("sample-1.0.0.zip",
		testkit.Zip(t, files{"manifest.json": manifestOf(""), "steps/run.sh": "echo ran"}))
	ended, err := b.Run(t.Context(), q, pipeline.Invocation{})
	failure := ended.Result.Error
	if !errors.Is(err, store.ErrUnavailable) || failure == nil || failure.Code != "policy.unavailable" {
		t.Errorf("error %v, result %+v", err, failure)
	}
	if ended.Result.Execution.Ran || b.stored(b.Results, "") != nil {
		t.Errorf("ran %t, stored %v", ended.Result.Execution.Ran, b.stored(b.Results, ""))
	}
	b.Policy = nil
	if r := b.run(q).Result; r.Status != evidence.StatusSuccess {
		t.Errorf("when it has passed: %s, %s", r.Status, r.Message)
	}
}

// A request for a package with parameter sets is no run: it stands for one run for each set. A set after one that did
// not succeed is skipped, with evidence that names that run.
func TestParameterSets(t *testing.T) {
	b := newBench(t)
	q := b.upload("sample-1.0.0.zip", testkit.Zip(t, files{
		"manifest.json": manifestOf(`,"parameter_sets":{"DE":{},"FR":{}}`), "steps/run.sh": "exit 1",
	}))
	all := b.run(q)
	if all.Sets == nil || all.Sets.Acquired == nil || all.Sets.KeepGoing || b.stored(b.Results, "runs/") != nil {
		t.Fatalf("%+v; results %v", all.Sets, b.stored(b.Results, ""))
	}
	if diff := cmp.Diff([]string{"DE", "FR"}, all.Sets.Claim.Sets); diff != "" {
		t.Error("sets (-want +got):\n" + diff)
	}
	q = all.Request
	q.ParameterSet = "DE"
	failed := b.run(q)
	if failed.Result.Status != evidence.StatusFailed || failed.Sets != nil {
		t.Fatalf("DE: %s, %s", failed.Result.Status, failed.Result.Message)
	}
	q.ParameterSet = "FR"
	skipped, err := b.SkipSet(t.Context(), q, pipeline.Invocation{}, failed, failed.Result)
	if err != nil {
		t.Fatal(err)
	}
	r := b.committed(skipped.Result.RunID)
	if r.Status != evidence.StatusSkipped || r.PreviousRunID != failed.Result.RunID || r.ParameterSet != "FR" {
		t.Errorf("FR: %s, previous run %s, set %s", r.Status, r.PreviousRunID, r.ParameterSet)
	}
	if r.Execution.Ran {
		t.Errorf("FR ran: %+v", r.Execution)
	}
	if diff := cmp.Diff(failed.Result.Package, r.Package); diff != "" {
		t.Error("package (-DE +FR):\n" + diff)
	}
}

// A package on which the executor died again and again is set aside, with a result, and is not looked at.
func TestSetAside(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ended, err := b.SetAside(t.Context(), b.upload("sample-1.0.0.zip", []byte("kills")), pipeline.Invocation{}, 3)
	if err != nil {
		t.Fatal(err)
	}
	r := b.committed(ended.Result.RunID)
	if r.Error == nil || r.Error.Code != "state.deaths" || !strings.Contains(r.Message, "3 times") {
		t.Errorf("%s: %+v", r.Message, r.Error)
	}
	if r.Package.SHA256 != "" || r.Execution.Ran {
		t.Errorf("it was looked at: %+v, %+v", r.Package, r.Execution)
	}
	if left := b.stored(b.State, "open/"); left != nil {
		t.Errorf("left to be done: %v", left)
	}
}

// Requests of which no run is made are answered, each as what it is, and leave nothing in any bucket.
func TestAnswersWithoutARun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	q := intake.Request{Bucket: "packages", Object: "sample-1.0.0.zip", Action: intake.ActionCheck, Reason: "because"}
	refusal := problem.New(problem.Problem{Code: "trigger.value", Where: "/action", Message: "no such action"}, nil)
	key := strings.Repeat("0", 64)
	running := claim.Claim{Key: key, RunID: "run-1", Attempt: 2, State: claim.Running}
	done := running
	done.State, done.Status = claim.Done, string(evidence.StatusFailed)
	type answer struct {
		Status    evidence.Status
		RunID     string
		Duplicate bool
		Code      string
	}
	for name, c := range map[string]struct {
		got  evidence.Result
		want answer
	}{
		"refused": {b.Refused(q, refusal), answer{Status: evidence.StatusRejected, Code: "trigger.value"}},
		"later":   {b.Later(q, "it waits"), answer{Status: evidence.StatusInProgress}},
		"done by another": {
			b.Duplicate(q, done), answer{Status: evidence.StatusFailed, RunID: "run-1", Duplicate: true},
		},
		"being done": {
			b.Duplicate(q, running), answer{Status: evidence.StatusInProgress, RunID: "run-1", Duplicate: true},
		},
	} {
		got := answer{Status: c.got.Status, RunID: c.got.RunID, Duplicate: c.got.Duplicate}
		if c.got.Error != nil {
			got.Code = c.got.Error.Code
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if c.got.Action != "check" || c.got.SourceObject != q.Object || c.got.Reason != "because" ||
			c.got.Message == "" {
			t.Errorf("%s does not say what was asked: %+v", name, c.got)
		}
	}
	if got := append(b.stored(b.Results, ""), b.stored(b.State, "")...); got != nil {
		t.Errorf("stored: %v", got)
	}
}
