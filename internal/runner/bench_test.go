package runner

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// TestMain lets the sandbox start this program anew.
func TestMain(m *testing.M) {
	sandbox.Dispatch()
	os.Exit(m.Run())
}

const (
	someJob = "0123456789abcdef0123456789abcdef"
	secret  = "tiger-tiger-tiger"
)

// box is a mailbox in memory, as strict as Object Storage, in which everything can go wrong.
type box struct {
	mu      sync.Mutex
	objects map[string][]byte
	trail   []string      // what was written, in order
	ahead   time.Duration // of the store's clock
	// put and get may fail a call before anything is done; lose may fail a write that was done.
	put, get, lose func(name string) error
	wrote          func(name string, body []byte)
}

func (b *box) Put(_ context.Context, name string, body io.ReadSeeker, size int64, create bool) (time.Time, error) {
	if b.put != nil {
		if err := b.put(name); err != nil {
			return time.Time{}, err
		}
	}
	text, err := io.ReadAll(io.LimitReader(body, size))
	if err != nil || int64(len(text)) != size {
		return time.Time{}, fmt.Errorf("%d bytes of %d: %w", len(text), size, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, there := b.objects[name]; there && create {
		return time.Time{}, store.Error(store.ErrExists, "put", "mailbox", name, nil)
	}
	b.objects[name] = text
	b.trail = append(b.trail, name)
	if b.wrote != nil {
		b.wrote(name, text)
	}
	if b.lose != nil {
		if err := b.lose(name); err != nil {
			return time.Time{}, err
		}
	}
	return time.Now().Add(b.ahead).Truncate(time.Second), nil
}

func (b *box) Get(_ context.Context, name string, offset, length int64) (io.ReadCloser, store.Info, error) {
	if b.get != nil {
		if err := b.get(name); err != nil {
			return nil, store.Info{}, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	text, ok := b.objects[name]
	if !ok {
		return nil, store.Info{}, store.Error(store.ErrNotFound, "get", "mailbox", name, nil)
	}
	info := store.Info{Name: name, Size: int64(len(text)), ETag: "1"}
	text = text[offset:]
	if length > 0 {
		text = text[:min(length, int64(len(text)))]
	}
	return io.NopCloser(bytes.NewReader(text)), info, nil
}

// of is an object, and whether there is one.
func (b *box) of(name string) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	text, ok := b.objects[name]
	return string(text), ok
}

func (b *box) set(name, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[name] = []byte(text)
}

func down(op, name string) error { return store.Error(store.ErrUnavailable, op, "mailbox", name, nil) }

// bench is a runner with a job for it.
type bench struct {
	*testing.T
	config   Config
	job      jobs.Job
	zip      []byte
	attached bool // the zip is in the call
	box      *box
	log      testkit.Buffer
	every    time.Duration
	time     time.Duration // of the call
	doubts   []string
}

// newBench has a job whose steps are the scripts that are named, in this order. What is named u… after one is its undo.
func newBench(t *testing.T, files map[string]string, scripts ...string) *bench {
	t.Helper()
	b := &bench{T: t, box: &box{objects: map[string][]byte{}}, attached: true, every: every, time: time.Minute}
	b.config = Config{
		Kind: "function", Version: "1.2.3", Image: "registry/image@sha256:1", WorkDir: filepath.Join(testkit.TempDir(t), "w"),
		Level: sandbox.LevelBasic, PackageBytes: 1 << 30, Archive: bundle.DefaultLimits(),
		Open: func(string) (Mailbox, error) { return b.box, nil },
		Log:  slog.New(slog.NewJSONHandler(&b.log, nil)),
		Doubtful: func() error {
			if len(b.doubts) > 0 {
				return errors.New(b.doubts[0])
			}
			return nil
		},
		Doubt: func(form string, values ...any) { b.doubts = append(b.doubts, fmt.Sprintf(form, values...)) },
	}
	files["manifest.json"] = "{}"
	b.zip = testkit.Zip(t, files)
	stop := time.Now().Add(40 * time.Second).Truncate(time.Second)
	b.job = jobs.Job{
		V: jobs.Version, Job: someJob, RunID: "20261127T115900Z-sample-0123456789ab", Attempt: 1, Environment: "test",
		Action: jobs.ActionApply, Fence: "7", OnFailure: jobs.OnFailureRollback, Network: true, Level: "basic",
		Package: jobs.Package{
			Name: "sample", Version: "1.0.0", Type: "extension", SHA256: digest(b.zip), Size: int64(len(b.zip)),
			DirHash: dirHash(t, b.zip),
		},
		Limits:  jobs.Limits{LogBytes: 1 << 20, Artifacts: 100, ArtifactBytes: 1 << 20},
		Times:   jobs.Times{UndoMS: 20_000, StoreMS: 5000, StopAt: stop, KillAt: stop.Add(10 * time.Second)},
		Mailbox: "https://example.com/p/abcdefghijklmnop/n/ns/b/jobs/o/" + someJob + "/", AcceptInit: true,
	}
	for i, name := range scripts {
		s := jobs.Step{
			N: i + 1, Name: name, Phase: "run", Run: name, SHA256: digest([]byte(files[name])), Do: jobs.DoRun,
		}
		if undo, ok := files["u"+name]; ok {
			s.Rollback, s.RollbackSHA256 = "u"+name, digest([]byte(undo))
		}
		b.job.Plan = append(b.job.Plan, s)
	}
	return b
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// dirHash is the hash of a package's contents.
func dirHash(t *testing.T, zip []byte) string {
	t.Helper()
	archive, err := bundle.Check(bytes.NewReader(zip), int64(len(zip)), bundle.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	extracted, err := archive.Extract(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return extracted.DirHash
}

// call is what the runner is called with.
func (b *bench) call() []byte {
	b.Helper()
	zip := b.zip
	if !b.attached {
		zip = nil
	}
	call, err := b.job.Encode(zip)
	if err != nil {
		b.Fatal(err)
	}
	return call
}

// runner is one that nothing has called yet.
func (b *bench) runner() *Runner {
	r := New(b.config)
	r.every = b.every
	return r
}

// serve calls a runner.
func (b *bench) serve(r *Runner) (jobs.Answer, error) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), b.time)
	defer cancel()
	doc, err := r.Serve(ctx, b.call())
	if strings.Contains(b.log.String(), secret) || strings.Contains(b.log.String(), "abcdefghijklmnop") {
		b.Errorf("the log tells a secret:\n%s", &b.log)
	}
	if err != nil {
		return jobs.Answer{}, err
	}
	a, err := jobs.DecodeAnswer(doc)
	if err != nil {
		b.Fatal(err)
	}
	return a, nil
}

// run does the job, and returns its outcome, which is one of the job, and the same wherever it is.
func (b *bench) run() jobs.Outcome {
	b.Helper()
	a, err := b.serve(b.runner())
	if err != nil || a.Says != jobs.AnswersOutcome {
		b.Fatalf("%+v, %v\n%s", a, err, &b.log)
	}
	if stored, ok := b.box.of(jobs.MailOutcome); ok && stored != string(a.Outcome) {
		b.Errorf("answered %s\nstored %s", a.Outcome, stored)
	}
	o, err := jobs.DecodeOutcome(a.Outcome)
	if err == nil {
		err = jobs.Check(b.job, o)
	}
	if err != nil {
		b.Fatalf("%v\n%s\n%s", err, a.Outcome, &b.log)
	}
	if left, err := os.ReadDir(b.config.WorkDir); err == nil && len(left) > 0 {
		b.Errorf("left in the work folder: %v", left)
	}
	return o
}

// trail lists the steps of an outcome and of its undo with how they ended.
func trail(o jobs.Outcome) string {
	var list []string
	for _, s := range o.Steps {
		list = append(list, s.Name+" "+string(s.Status))
	}
	if o.Rollback != nil {
		list = append(list, "undo "+string(o.Rollback.Status))
		for _, s := range o.Rollback.Steps {
			list = append(list, s.Run+" "+string(s.Status))
		}
	}
	for _, p := range o.Refused {
		list = append(list, "refused "+p.Code)
	}
	return cmp.Or(strings.Join(list, ", "), "nothing")
}

// is fails unless an outcome has this trail and end.
func (b *bench) is(o jobs.Outcome, ended, want string) {
	b.Helper()
	if got := trail(o); got != want || o.Ended != ended {
		b.Errorf("%s: %s\nwant %s: %s\n%s", o.Ended, got, ended, want, &b.log)
	}
}

// hasLogs fails unless the mailbox has the log of each record, as it says.
func (b *bench) hasLogs(o jobs.Outcome) {
	b.Helper()
	records := o.Steps
	if o.Rollback != nil {
		records = slices.Concat(records, o.Rollback.Steps)
	}
	for _, s := range records {
		if s.Log == "" {
			continue
		}
		number := strings.TrimLeft(strings.Split(filepath.Base(s.Log), "-")[0], "0")
		if text, ok := b.box.of(jobs.MailLogs + number); !ok || digest([]byte(text)) != s.LogSHA256 {
			b.Errorf("%s of %s is %q, %t", s.Log, s.Name, text, ok)
		}
		times, _ := b.box.of(jobs.MailLogs + number + jobs.MailTimes)
		if _, err := evidence.DecodeTimes([]byte(times)); err != nil && s.Status != evidence.StepInterrupted {
			b.Errorf("the times of %s are %q: %v", s.Log, times, err)
		}
	}
}
