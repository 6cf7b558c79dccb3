package executor_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
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

	"cemli-executor/executor"
	"cemli-executor/internal/apart"
	"cemli-executor/internal/confinement"
	"cemli-executor/internal/runner"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// everyRunApart says that every bench of these tests has its steps run by a runner: so all of them say that a run is the
// same there.
var everyRunApart = os.Getenv("CEMLI_TEST_APART") != ""

const runnerID = "ocid1.fnfunc.oc1.phx.runner"

// office is a runner in this process, with its mailboxes in a folder.
type office struct {
	jobs   store.Bucket
	runner *runner.Runner
	desk   *apart.Desk
	log    *testkit.Buffer
	made   int
	mu     sync.Mutex
	open   map[string]bool // the mailboxes that were not ended
	// deliver brings a call to the runner; tests put something before it.
	deliver func(ctx context.Context, call []byte) ([]byte, error)
	// fails is how a request to a mailbox by its address fails; nil: none does.
	fails func(op, name string) error
	// detached are the calls that nobody waits for.
	detached sync.WaitGroup
}

// here skips a test of what is otherwise where steps run apart.
func here(t *testing.T, why string) {
	t.Helper()
	if everyRunApart {
		t.Skip("where steps run apart " + why)
	}
}

// elsewhere is why a script cannot wait for a test's sign there.
const elsewhere = "a script has a user and a folder of its own, and cannot meet the test in another"

// mail is a mailbox in the office.
type mail struct {
	jobs   store.Bucket
	prefix string
	fails  func(op, name string) error
}

func (m mail) Put(ctx context.Context, name string, body io.ReadSeeker, size int64, create bool) (time.Time, error) {
	if err := m.fails("put", name); err != nil {
		return time.Time{}, err
	}
	_, err := m.jobs.Put(ctx, m.prefix+name, body, size, store.PutOptions{IfNoneMatch: create})
	return time.Now().Truncate(time.Second), err
}

func (m mail) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, store.Info, error) {
	if err := m.fails("get", name); err != nil {
		return nil, store.Info{}, err
	}
	return m.jobs.Get(ctx, m.prefix+name, store.GetOptions{Offset: offset, Length: length})
}

// apart has the bench's steps run by a runner.
func (b *bench) apart() *office {
	b.t.Helper()
	dir := filepath.Join(b.t.TempDir(), "jobs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	folder, err := store.OpenFolder(dir)
	if err != nil {
		b.t.Fatal(err)
	}
	o := &office{jobs: folder, log: &testkit.Buffer{}, open: map[string]bool{}}
	const address = "https://mail/"
	o.runner = runner.New(runner.Config{
		Kind: "function", Version: "test", WorkDir: filepath.Join(testkit.TempDir(b.t), "runner"),
		Level: sandbox.LevelBasic, PackageBytes: b.config.Limits.PackageBytes, Archive: b.config.Limits.Archive,
		Open: func(at string) (runner.Mailbox, error) {
			return mail{folder, strings.TrimPrefix(at, address), o.usable}, nil
		},
		Log: slog.New(slog.NewJSONHandler(o.log, nil)),
		Lines: func(*slog.Logger) func([]string) {
			log := slog.New(slog.NewJSONHandler(b.log, nil)) // where tests look for a script's sign, as it comes
			return func(lines []string) {
				if slices.Contains(lines, "begun") {
					log.Info("output of the runner", "line", "begun")
				}
			}
		},
		Spawn: func(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error) {
			if b.config.Spawn != nil {
				o, err := b.config.Spawn(ctx, c)
				if o.Layers == (sandbox.Layers{}) { // no process was started
					o.Start, o.Layers = time.Now(), confinement.Planned(sandbox.LevelBasic, true)
				}
				return o, err
			}
			return sandbox.Run(ctx, c)
		},
	})
	o.deliver = o.call
	o.desk = &apart.Desk{
		Jobs: folder, Clock: func() time.Time { return time.Now().UTC() },
		Log: slog.New(slog.NewJSONHandler(b.log, nil)),
		NewMailbox: func(context.Context, time.Time) (apart.Mailbox, error) {
			random := make([]byte, 16)
			_, _ = rand.Read(random)
			id := hex.EncodeToString(random)
			o.mu.Lock()
			defer o.mu.Unlock()
			o.open[id], o.made = true, o.made+1
			return apart.Mailbox{ID: id, Prefix: id + "/", Address: func() string { return address + id + "/" }}, nil
		},
		EndMailbox: func(_ context.Context, id string) error {
			o.mu.Lock()
			defer o.mu.Unlock()
			delete(o.open, id)
			return nil
		},
		Call: func(ctx context.Context, id string, call []byte) ([]byte, error) {
			if id != runnerID {
				return nil, fmt.Errorf("no function %s", id)
			}
			return o.deliver(ctx, call)
		},
	}
	b.config.Apart = o.desk
	b.config.Runners = []executor.Runner{{Label: "default", Kind: executor.KindFunction, ID: runnerID}}
	b.t.Cleanup(o.detached.Wait)
	return o
}

func (o *office) usable(op, name string) error {
	if o.fails == nil {
		return nil
	}
	return o.fails(op, name)
}

// call calls the runner as the platform does: it goes on when its caller is gone.
func (o *office) call(ctx context.Context, call []byte) ([]byte, error) {
	type said struct {
		answer []byte
		err    error
	}
	answers := make(chan said, 1)
	o.detached.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
		defer cancel()
		answer, err := o.runner.Serve(ctx, call)
		answers <- said{answer, err}
	})
	select {
	case s := <-answers:
		return s.answer, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
