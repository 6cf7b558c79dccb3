package executor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
)

// quick plays a test in which only time passes: scripts say their names, and succeed at once.
func quick(t *testing.T, play func(b *bench)) {
	t.Helper()
	sandbox.Probe() // it is asked once, outside of any such time
	b := newBench(t)
	b.config.Apart, b.config.Runners = nil, nil // a runner's folders and times are real
	b.config.Spawn = func(_ context.Context, c sandbox.Command) (sandbox.Outcome, error) {
		_, err := io.WriteString(c.Stdout, c.ScriptPath+"\n")
		return sandbox.Outcome{Start: time.Now()}, err
	}
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		play(b)
	})
}

// unanswered keeps the results that are put, and says nothing.
type unanswered struct {
	store.Bucket
	results map[string][]byte
}

func (u unanswered) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, opts store.PutOptions,
) (info store.Info, err error) {
	if !strings.HasSuffix(name, "/result.json") {
		return u.Bucket.Put(ctx, name, body, size, opts)
	}
	if u.results[name], err = io.ReadAll(body); err == nil {
		err = store.Error(store.ErrUnavailable, "put", "results", name, nil)
	}
	return info, err
}

// A result that could not be stored may appear yet, where a request that nobody waits for any more is carried
// out. What it says is known to the next run of the group, although nothing was executed.
func TestAResultThatAppearsLate(t *testing.T) {
	b := newBench(t)
	first := b.ran(with(`"on_failure":"stop"`, files{"steps/run.sh": "true"}))
	late := map[string][]byte{}
	b.config.Results = unanswered{b.results, late}
	undo := executor.Request{
		Bucket: "packages", Action: executor.ActionRollback, Back: executor.Back{RollbackOf: first.RunID},
		Reason: "a mistake", Trigger: executor.Trigger{Kind: executor.TriggerRequest},
	}
	if _, err := b.run(within(t, 6*time.Second), undo); err == nil || len(late) != 1 {
		t.Fatalf("%v, %d results", err, len(late))
	}
	b.config.Results = b.results
	for name, doc := range late {
		if _, err := b.results.Put(t.Context(), name, bytes.NewReader(doc), int64(len(doc)),
			store.PutOptions{IfNoneMatch: true}); err != nil {
			t.Fatal(err)
		}
	}
	b.config.Results = faulty{Bucket: b.results, head: func(name string) error {
		return store.Error(store.ErrUnavailable, "head", "results", name, nil)
	}}
	if r, err := b.run(t.Context(), undo); err == nil {
		t.Fatalf("%s, %s: nobody can tell what is stored", r.Status, r.Message)
	}
	b.config.Results = b.results
	undo.Reason = "the same mistake"
	r, err := b.run(t.Context(), undo)
	if err != nil || r.Status != evidence.StatusInProgress {
		t.Fatalf("%s, %s, %v: it does not wait for what the other did", r.Status, r.Message, err)
	}
	group := b.stateNames("groups/")[0]
	var doc map[string]any
	if err := json.Unmarshal([]byte(b.stateText(group)), &doc); err != nil {
		t.Fatal(err)
	}
	doc["holder"].(map[string]any)["lease"] = time.Now().Add(-time.Hour).UTC()
	b.overwrite(group, doc)
	b.sweep()
	b.wants("an undo of what the other has undone", b.stored(r.RunID), evidence.StatusRejected, "rollback.undone")
}

// outageOf makes the state bucket fail, from when on a condition of what is put holds and for so long.
func (b *bench) outageOf(long time.Duration, begins func(name string, doc map[string]any) bool) {
	var mu sync.Mutex
	var since time.Time
	b.config.State = putting{b.state, func(name string, doc map[string]any) error {
		mu.Lock()
		defer mu.Unlock()
		if since.IsZero() && begins(name, doc) {
			since = time.Now()
		}
		if !since.IsZero() && time.Since(since) < long {
			return store.Error(store.ErrUnavailable, "put", "state", name, nil)
		}
		return nil
	}}
}

// putting asks before it stores a document.
type putting struct {
	store.Bucket
	ask func(name string, doc map[string]any) error
}

func (p putting) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, opts store.PutOptions,
) (store.Info, error) {
	var doc map[string]any
	if err := json.NewDecoder(body).Decode(&doc); err != nil {
		return store.Info{}, err
	}
	if err := p.ask(name, doc); err != nil {
		return store.Info{}, err
	}
	_, err := body.Seek(0, io.SeekStart)
	if err != nil {
		return store.Info{}, err
	}
	return p.Bucket.Put(ctx, name, body, size, opts)
}

// secondBegins reports whether a claim is to say that the second step begins.
func secondBegins(name string, doc map[string]any) bool {
	frame, _ := doc["frame"].(map[string]any)
	steps, _ := frame["steps"].([]any)
	return strings.HasPrefix(name, "claims/") && len(steps) == 2 &&
		steps[1].(map[string]any)["status"] == string(evidence.StepInterrupted)
}

// A step begins when that is noted, and not before: if the executor died, its result would say that it had not run.
func TestAStepThatCannotBeNoted(t *testing.T) {
	contents := files{"steps/1.sh": "echo one", "steps/2.sh": "echo two"}
	for outage, status := range map[time.Duration]evidence.Status{
		30 * time.Second: evidence.StatusSuccess, time.Minute: evidence.StatusFailed,
	} {
		quick(t, func(b *bench) {
			b.outageOf(outage, secondBegins)
			info := b.upload("sample-1.0.0.zip", pack(t, contents), store.PutOptions{})
			r, err := b.run(within(b.t, time.Minute), event(info.Name, info.ETag))
			if err != nil || r.Status != status || r.Steps[0].Status != evidence.StepSuccess {
				t.Fatalf("%s, %s, %+v, %v", r.Status, r.Message, r.Steps, err)
			}
			began := strings.Contains(b.log.String(), `"line":"steps/2.sh"`)
			if status == evidence.StatusSuccess && (!began || r.Steps[1].Start.Sub(*r.Steps[0].Start) < outage) {
				t.Errorf("it began before that was noted: %+v", r.Steps)
			}
			if status == evidence.StatusFailed &&
				(began || code(r) != "state.unnoted" || r.Steps[1].Status != evidence.StepNotRun) {
				t.Errorf("began %v; %+v, %+v", began, r.Error, r.Steps)
			}
		})
	}
}

// The end of the steps is noted as long as there is time, whatever else cannot be stored.
func TestTheEndIsNotedAfterAnOutage(t *testing.T) {
	quick(t, func(b *bench) {
		b.config.Results = faulty{Bucket: b.results, put: func(name string) error {
			if strings.HasPrefix(name, "packages/") {
				return nil
			}
			return store.Error(store.ErrUnavailable, "put", "results", name, nil)
		}}
		b.outageOf(12*time.Second, func(_ string, doc map[string]any) bool { return knowsTheEnd(doc) })
		info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/1.sh": "true"}), store.PutOptions{})
		if _, err := b.run(within(b.t, time.Minute), event(info.Name, info.ETag)); err == nil {
			t.Fatal("the evidence was stored")
		}
		b.config.Results, b.config.State = b.results, b.state
		b.age()
		b.sweep()
		if r, ok := b.resultOf("sample"); !ok || r.Status != evidence.StatusSuccess ||
			r.Steps[0].Status != evidence.StepSuccess {
			t.Errorf("%s, %s, %+v", r.Status, r.Message, r.Steps)
		}
	})
}

// hangs is a bucket where the first request to put an object hangs until its sender gives up.
type hangs struct {
	store.Bucket
	suffix string
	once   *sync.Once
}

func (h hangs) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, opts store.PutOptions,
) (store.Info, error) {
	if strings.HasSuffix(name, h.suffix) {
		h.once.Do(func() { <-ctx.Done() })
		if ctx.Err() != nil {
			return store.Info{}, store.Error(store.ErrUnavailable, "put", "results", name, ctx.Err())
		}
	}
	return h.Bucket.Put(ctx, name, body, size, opts)
}

// One request that hangs costs a part of the time that is left, and the run nothing.
func TestARequestThatHangsAtTheEnd(t *testing.T) {
	for _, name := range []string{"01-run.log", "junit.xml", "result.json"} {
		t.Run(name, func(t *testing.T) {
			quick(t, func(b *bench) {
				b.config.Results = hangs{b.results, name, new(sync.Once)}
				info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "true"}), store.PutOptions{})
				r, err := b.run(within(b.t, 10*time.Second), event(info.Name, info.ETag))
				if err != nil || r.Status != evidence.StatusSuccess ||
					b.object(evidence.Dir(r.RunID)+"steps/01-run.log") != "steps/run.sh\n" {
					t.Errorf("%s, %s, %v", r.Status, r.Message, err)
				}
			})
		})
	}
}

// A sweep in spare time takes five seconds at most, whatever the store does.
func TestASweepInSpareTimeEnds(t *testing.T) {
	quick(t, func(b *bench) {
		b.sweep()
		b.handed()
		time.Sleep(10 * time.Minute)
		b.config.State = silent{b.state}
		start := time.Now()
		if err := executor.New(b.config).SweepInSpareTime(within(b.t, time.Minute), "call"); err == nil ||
			time.Since(start) > 5*time.Second {
			t.Errorf("it took %s, error %v", time.Since(start), err)
		}
	})
}

// silent is a bucket that never answers.
type silent struct{ store.Bucket }

func (s silent) Get(ctx context.Context, name string, _ store.GetOptions) (io.ReadCloser, store.Info, error) {
	<-ctx.Done()
	return nil, store.Info{}, store.Error(store.ErrUnavailable, "get", "state", name, ctx.Err())
}
