package executor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// counter counts the requests to a bucket.
type counter struct {
	store.Bucket
	requests *[]string
}

func (c counter) note(op, name string) { *c.requests = append(*c.requests, op+" "+name) }

func (c counter) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	c.note("get", name)
	return c.Bucket.Get(ctx, name, o)
}

func (c counter) Head(ctx context.Context, name string) (store.Info, error) {
	c.note("head", name)
	return c.Bucket.Head(ctx, name)
}

func (c counter) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, o store.PutOptions,
) (store.Info, error) {
	c.note("put", name)
	return c.Bucket.Put(ctx, name, body, size, o)
}

func (c counter) Delete(ctx context.Context, name, ifMatch string) error {
	c.note("delete", name)
	return c.Bucket.Delete(ctx, name, ifMatch)
}

func (c counter) List(ctx context.Context, o store.ListOptions) (store.Page, error) {
	c.note("list", o.Prefix)
	return c.Bucket.List(ctx, o)
}

// A run makes eleven requests to the state bucket, and one for each step, however much ran before.
func TestRequestsOfARun(t *testing.T) {
	b := newBench(t)
	b.sweep() // as a deployment does: it begins the watch
	var requests []string
	b.config.State = counter{b.state, &requests}
	for n := range 30 {
		requests = nil
		name := fmt.Sprintf("sample-1.0.%d.zip", n)
		info := b.upload(name, pack(t, files{
			"manifest.json": fmt.Sprintf(`{"name":"sample","version":"1.0.%d","type":"extension"}`, n),
			"steps/1.sh":    "true", "steps/2.sh": "true",
		}), store.PutOptions{})
		if r := b.again(request(name, info.ETag)); r.Status != evidence.StatusSuccess {
			t.Fatalf("status %s, %s", r.Status, r.Message)
		}
		if len(requests) > 11+2 {
			t.Fatalf("run %d made %d requests:\n%s", n, len(requests), strings.Join(requests, "\n"))
		}
	}
}

// putState puts a text into the state bucket.
func (b *bench) putState(name, text string) {
	b.t.Helper()
	if _, err := b.state.Put(b.t.Context(), name, strings.NewReader(text), int64(len(text)),
		store.PutOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

// Whatever is wrong with the state, nothing is executed and nothing overwritten; the invocation
// fails, and the request is not over.
func TestBadState(t *testing.T) {
	future := time.Now().Add(100 * 24 * time.Hour).UTC().Format(time.RFC3339)
	queue := func(n int) string {
		var list []string
		for i := range n {
			list = append(list,
				fmt.Sprintf(`{"created":"2020-01-01T00:00:00Z","object":"%05d.zip","etag":"e","key":"k%d",`+
					`"mark":"m%d-1"}`, i, i, i))
		}
		return fmt.Sprintf(`{"schema_version":1,"environment":"test","name":"sample","fence":7,`+
			`"holder":{"key":"other","run_id":"other-run","lease":%q},"queue":[%s]}`,
			time.Now().Add(time.Hour).UTC().Format(time.RFC3339), strings.Join(list, ","))
	}
	for name, c := range map[string]struct {
		object, doc, want string
	}{
		"watch damaged": {"watch.json", `[]`, "state.corrupt"},
		"watch newer":   {"watch.json", `{"schema_version":9}`, "state.newer"},
		"group damaged": {"groups/test/sample.json", `{"schema_version":1,"fence":"x"}`, "state.corrupt"},
		"group of another name": {
			"groups/test/sample.json", `{"schema_version":1,"environment":"test","name":"other","fence":1,"queue":[]}`,
			"state.corrupt",
		},
		"group newer": {
			"groups/test/sample.json", `{"schema_version":2,"environment":"test","name":"sample"}`, "state.newer",
		},
		"group leased for ever": {
			"groups/test/sample.json",
			`{"schema_version":1,"environment":"test","name":"sample","fence":1,"holder":{"key":"k","run_id":"r",` +
				`"lease":"` + future + `"},"queue":[]}`, "state.lease",
		},
		"a queue of 5,000": {"groups/test/sample.json", queue(5000), "state.queue"},
		"record damaged":   {"packages/test/sample.json", `{`, "state.corrupt"},
		"record newer":     {"packages/test/sample.json", `{"schema_version":3}`, "state.newer"},
		"record of another": {
			"packages/test/sample.json", `{"schema_version":1,"environment":"test","name":"other"}`, "state.corrupt",
		},
		"results and no state":     {"", "", "state.lost"},
		"a store that refuses all": {"", "", "state.conflict"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			marker := filepath.Join(testkit.TempDir(t), "ran")
			info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo >" + marker}), store.PutOptions{})
			switch c.want {
			case "state.lost":
				doc := strings.NewReader("{}")
				if _, err := b.results.Put(t.Context(), "runs/20200101T000000Z-x-000000000000/result.json", doc, 2,
					store.PutOptions{}); err != nil {
					t.Fatal(err)
				}
			case "state.conflict":
				b.config.State = faulty{
					Bucket: b.state, put: func(name string) error {
						return store.Error(store.ErrExists, "put", "state", name, nil)
					},
				}
			default:
				b.putState(c.object, c.doc)
			}
			before := b.results
			r, err := b.run(t.Context(), request(info.Name, info.ETag))
			if err == nil || code(r) != c.want || r.Execution.Ran {
				t.Errorf("status %s, %+v, error %v; want %s", r.Status, r.Error, err, c.want)
			}
			if len(r.Error.Hint) == 0 {
				t.Error("no hint says what to do")
			}
			if _, err := os.Stat(marker); err == nil {
				t.Error("a script ran")
			}
			if page, err := before.List(t.Context(), store.ListOptions{Prefix: "runs/2"}); err != nil ||
				len(page.Objects) > 1 {
				t.Errorf("results %+v, %v", page.Objects, err)
			}
			if c.object != "" {
				if got := b.stateText(c.object); got != c.doc {
					t.Errorf("%s is now %.200s", c.object, got)
				}
			}
		})
	}
}

func (b *bench) stateText(name string) string {
	b.t.Helper()
	body, _, err := b.state.Get(b.t.Context(), name, store.GetOptions{})
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

func (b *bench) stateNames(prefix string) []string { return b.names(b.state, prefix) }

func TestClocksThatDisagree(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, -20 * time.Second, 20 * time.Second, time.Hour} {
		b := newBench(t)
		info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
		b.config.Clock = func() time.Time { return time.Now().Add(off) }
		if r, err := b.run(t.Context(), request(info.Name, info.ETag)); err == nil || code(r) != "state.clock" ||
			r.Execution.Ran {
			t.Errorf("%s: status %s, %+v, error %v", off, r.Status, r.Error, err)
		}
		b.config.Clock = nil
		if r := b.again(request(info.Name, info.ETag)); r.Status != evidence.StatusSuccess {
			t.Errorf("%s: with the clock set: %s, %s", off, r.Status, r.Message)
		}
	}
}

func TestAClaimLeasedForEver(t *testing.T) {
	b := newBench(t)
	b.record()
	first := b.ran(files{"steps/run.sh": "echo ran"})
	name, docs := b.recorded("claims/test/")
	doc := docs[0]
	doc["lease"] = time.Now().Add(100 * 24 * time.Hour).UTC()
	b.overwrite(name, doc)
	if r, err := b.run(t.Context(), request("sample-1.0.0.zip", first.Package.ETag)); err == nil ||
		code(r) != "state.lease" || r.Execution.Ran {
		t.Errorf("status %s, %+v, error %v", r.Status, r.Error, err)
	}
}

// busy runs a package whose script waits until release is called, and returns when it has begun.
func (b *bench) busy(name, members string) (release func() evidence.Result) {
	b.t.Helper()
	here(b.t, elsewhere)
	dir := testkit.TempDir(b.t)
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // for the scripts' user
		b.t.Fatal(err)
	}
	info := b.upload(name+"-1.0.0.zip", pack(b.t, files{
		"manifest.json": fmt.Sprintf(`{"name":%q,"version":"1.0.0","type":"extension"%s}`, name, members),
		"steps/run.sh": "touch " + dir + "/begun; until [ -e " + dir +
			"/end ]; do sleep 0.02; done; echo fence $CEMLI_FENCE",
	}), store.PutOptions{})
	config := b.config
	config.WorkDir += "-" + name
	config.Sandbox = "none" // the script meets the test in a folder
	done := make(chan evidence.Result, 1)
	go func() {
		results, err := executor.New(config).Run(context.Background(), request(info.Name, info.ETag))
		if err != nil {
			b.t.Error(err)
		}
		done <- results[0]
	}()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(dir + "/begun"); err == nil {
			break
		}
		if time.Now().After(end) {
			b.t.Fatal("the first run does not begin")
		}
	}
	return func() evidence.Result {
		if err := os.WriteFile(dir+"/end", nil, 0o600); err != nil {
			b.t.Fatal(err)
		}
		return <-done
	}
}

func TestRunsOfAGroupWaitForEachOther(t *testing.T) {
	const group = `,"concurrency":{"group":"erp"}`
	b := newBench(t)
	release := b.busy("first", group)
	waiting := map[string]evidence.Result{}
	for _, name := range []string{"third", "second"} { // the earlier upload arrives later
		if name == "third" {
			b.upload("second-1.0.0.zip", pack(t, files{
				"manifest.json": `{"name":"second","version":"1.0.0","type":"extension"` + group + `}`,
				"steps/run.sh":  "echo second",
			}), store.PutOptions{})
			time.Sleep(10 * time.Millisecond)
			b.upload("third-1.0.0.zip", pack(t, files{
				"manifest.json": `{"name":"third","version":"1.0.0","type":"extension"` + group + `}`,
				"steps/run.sh":  "echo third",
			}), store.PutOptions{})
		}
		r := b.again(request(name+"-1.0.0.zip", ""))
		if r.Status != evidence.StatusInProgress || len(r.Steps) > 0 || !strings.Contains(r.Message, "erp") {
			t.Fatalf("%s did not wait: %s, %s", name, r.Status, r.Message)
		}
		waiting[name] = r
	}
	if r := b.again(request("third-1.0.0.zip", "")); r.Status != evidence.StatusInProgress ||
		r.RunID != waiting["third"].RunID {
		t.Errorf("a duplicate of one that waits: %s, run %s; want %s", r.Status, r.RunID, waiting["third"].RunID)
	}
	b.upload("bad-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"bad","version":"1.0.0","type":"extension","environments":["other"]` + group + `}`,
	}), store.PutOptions{})
	if r := b.again(request("bad-1.0.0.zip", "")); code(r) != "manifest.environment" {
		t.Errorf("a package that is refused waits for its refusal: %s, %+v", r.Status, r.Error)
	}
	b.upload("hasty-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"hasty","version":"1.0.0","type":"extension","concurrency":{"group":"erp",` +
			`"on_busy":"reject"}}`, "steps/run.sh": "true",
	}), store.PutOptions{})
	if r := b.again(request("hasty-1.0.0.zip", "")); code(r) != "state.busy" || r.Status != evidence.StatusRejected {
		t.Errorf("a package that does not wait: %s, %+v", r.Status, r.Error)
	}
	// Whoever ends the first run starts the others, before it answers.
	if r := release(); r.Status != evidence.StatusSuccess {
		t.Errorf("the first run ended %s", r.Status)
	}
	second, third := b.stored(waiting["second"].RunID), b.stored(waiting["third"].RunID)
	if second.Status != evidence.StatusSuccess || third.Status != evidence.StatusSuccess || second.Late || third.Late ||
		third.Steps[0].Start.Before(*second.Steps[0].End) {
		t.Errorf("second %s, late %v; third %s, late %v", second.Status, second.Late, third.Status, third.Late)
	}
	if open := b.stateNames("open/"); len(open) > 0 {
		t.Errorf("open: %v", open)
	}
}

func TestARunThatComesAfterALaterOne(t *testing.T) {
	b := newBench(t)
	early := b.upload("early-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"early","version":"1.0.0","type":"extension","concurrency":{"group":"g"}}`,
		"steps/run.sh":  "echo $CEMLI_FENCE",
	}), store.PutOptions{})
	time.Sleep(10 * time.Millisecond)
	late := b.upload("later-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"later","version":"1.0.0","type":"extension","concurrency":{"group":"g"}}`,
		"steps/run.sh":  "echo $CEMLI_FENCE",
	}), store.PutOptions{})
	first, second := b.again(request(late.Name, late.ETag)), b.again(request(early.Name, early.ETag))
	if first.Late || !second.Late {
		t.Errorf("late: %v, %v", first.Late, second.Late)
	}
	var fences [2]int64
	for i, r := range []evidence.Result{first, second} {
		if _, err := fmt.Sscan(r.Execution.Stdout, &fences[i]); err != nil {
			t.Fatal(err)
		}
	}
	if fences[0] >= fences[1] || fences[0] < 1 {
		t.Errorf("fences %v", fences)
	}
}

// handed collects the requests that are handed to another invocation.
func (b *bench) handed() *[]string {
	var marks []string
	var mu sync.Mutex
	b.config.Invoke = func(_ context.Context, mark string) error {
		mu.Lock()
		defer mu.Unlock()
		marks = append(marks, mark)
		return nil
	}
	return &marks
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestALongPackageGoesOnElsewhere(t *testing.T) {
	b := newBench(t)
	marks := b.handed()
	info := b.upload("sample-1.0.0.zip", pack(t, with(`"timeout":"1m"`, files{"steps/run.sh": "echo ran"})),
		store.PutOptions{})
	q := request(info.Name, info.ETag)
	q.Trigger.EventID = "event-1"
	r, err := b.run(within(t, 20*time.Second), q)
	if err != nil || r.Status != evidence.StatusInProgress || len(*marks) != 1 || b.resultsStored() != 0 {
		t.Fatalf("status %s, %s, error %v, handed over %v", r.Status, r.Message, err, *marks)
	}
	there, err := b.run(within(t, 5*time.Minute), executor.Request{Continue: (*marks)[0]})
	if err != nil || there.Status != evidence.StatusSuccess || there.RunID != r.RunID ||
		there.Trigger.EventID != "event-1" {
		t.Errorf("run %s, status %s, trigger %+v, error %v", there.RunID, there.Status, there.Trigger, err)
	}
	if again, err := b.run(t.Context(), executor.Request{Continue: (*marks)[0]}); err != nil ||
		again.RunID != r.RunID || again.Status != evidence.StatusSuccess {
		t.Errorf("delivered twice: run %s, status %s, error %v", again.RunID, again.Status, err)
	}
	// Where not even that invocation is long enough, the package is refused.
	info = b.upload("longer-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"longer","version":"1.0.0","type":"extension","timeout":"1h"}`,
		"steps/run.sh":  "echo ran",
	}), store.PutOptions{})
	if r, err := b.run(within(t, 20*time.Second), request(info.Name, info.ETag)); err != nil ||
		r.Status != evidence.StatusInProgress || len(*marks) != 2 {
		t.Fatalf("status %s, error %v", r.Status, err)
	}
	if r, err := b.run(within(t, time.Minute), executor.Request{Continue: (*marks)[1]}); err != nil ||
		code(r) != "step.deadline" || r.Status != evidence.StatusRejected {
		t.Errorf("status %s, %+v, error %v", r.Status, r.Error, err)
	}
	if open := b.stateNames("open/"); len(open) > 0 {
		t.Errorf("open: %v", open)
	}
}

func (b *bench) sweep() executor.Swept {
	b.t.Helper()
	swept, err := executor.New(b.config).Sweep(b.t.Context(), "sweep-call")
	if err != nil {
		b.t.Fatal(err)
	}
	return swept
}

func TestSweepFindsUploads(t *testing.T) {
	b := newBench(t)
	b.upload("old-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"old","version":"1.0.0","type":"extension"}`, "steps/run.sh": "echo ran",
	}), store.PutOptions{})
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // what is watched is said in seconds
	if swept := b.sweep(); swept.Uploads != 0 || len(swept.Runs) != 0 {
		t.Errorf("an upload from before the watch: %+v", swept)
	}
	b.upload("new-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"new","version":"1.0.0","type":"extension"}`, "steps/run.sh": "echo ran",
	}), store.PutOptions{})
	b.upload("checked.zip", pack(t, files{
		"manifest.json": `{"name":"checked","version":"1.0.0","type":"extension"}`, "steps/run.sh": "echo ran",
	}), store.PutOptions{Metadata: map[string]string{"cemli-action": "check"}})
	b.upload("notes.txt", []byte("x"), store.PutOptions{})
	swept := b.sweep()
	if swept.Uploads != 2 || len(swept.Runs) != 2 || swept.Status != evidence.StatusSuccess || swept.More {
		t.Fatalf("%+v", swept)
	}
	for _, run := range swept.Runs {
		r := b.stored(run.RunID)
		want := map[string]string{"new-1.0.0.zip": "apply", "checked.zip": "check"}[r.SourceObject]
		if r.Status != evidence.StatusSuccess || r.Trigger.Kind != "sweep" || r.Action != want {
			t.Errorf("%s: %s, %s, trigger %+v", r.SourceObject, r.Status, r.Action, r.Trigger)
		}
	}
	if swept := b.sweep(); len(swept.Runs) != 0 || b.resultsStored() != 2 {
		t.Errorf("once more: %+v", swept)
	}
}

func TestSweepEndsWhatDied(t *testing.T) {
	here(t, "the mailbox has all of what the steps did")
	for name, c := range map[string]struct {
		state claim.State
		want  evidence.Status
	}{
		"before its first step": {claim.Claimed, evidence.StatusFailed},
		"in a step":             {claim.Running, evidence.StatusInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.record()
			first := b.ran(files{"steps/1.sh": "echo one", "steps/2.sh": "exit 1", "steps/3.sh": "echo three"})
			b.leave(first, c.state)
			if swept := b.sweep(); swept.Open != 1 || len(swept.Runs) != 1 || swept.Runs[0].Status != c.want {
				t.Fatalf("%+v", swept)
			}
			r := b.stored(first.RunID)
			var steps []string
			for _, s := range r.Steps {
				steps = append(steps, s.Name+" "+string(s.Status))
			}
			if got := strings.Join(steps, ", "); c.state == claim.Running &&
				got != "1 success, 2 interrupted, 3 not_run" {
				t.Errorf("what was begun is told as %s", got)
			}
			if r.Status != c.want || r.Package.DirHash != first.Package.DirHash || len(b.stateNames("open/")) != 0 {
				t.Errorf("status %s, open %v", r.Status, b.stateNames("open/"))
			}
		})
	}
}

func TestSweepDoesWhatFollows(t *testing.T) {
	b := newBench(t)
	told := 0
	b.config.Announce = func(context.Context, evidence.Result) error {
		if told++; told == 1 {
			return store.Error(store.ErrUnavailable, "publish", "topic", "", nil)
		}
		return nil
	}
	state := b.config.State
	b.config.State = faulty{Bucket: state, put: func(name string) error {
		if strings.HasPrefix(name, "packages/") {
			return store.Error(store.ErrUnavailable, "put", "state", name, nil)
		}
		return nil
	}}
	first := b.ran(files{"steps/run.sh": "echo ran"})
	b.config.State = state
	if swept := b.sweep(); swept.Open != 1 || told != 2 || len(b.stateNames("open/")) != 0 {
		t.Errorf("%+v, told %d times, open %v", swept, told, b.stateNames("open/"))
	}
	info := b.upload("again-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
	r, err := b.run(t.Context(), request(info.Name, info.ETag))
	if err != nil {
		t.Fatal(err)
	}
	if r.Status == evidence.StatusInProgress { // the group is the first run's until its lease ends
		page := b.stateText("groups/test/sample.json")
		var g map[string]any
		if err := json.Unmarshal([]byte(page), &g); err != nil {
			t.Fatal(err)
		}
		g["holder"].(map[string]any)["lease"] = time.Now().Add(-time.Hour).UTC()
		b.overwrite("groups/test/sample.json", g)
		r = b.again(request(info.Name, info.ETag))
	}
	if r.Status != evidence.StatusSkipped || r.PreviousRunID != first.RunID {
		t.Errorf("the same again: %s, %s", r.Status, r.Message)
	}
}

func TestASweepGoesOnWhereTheLastOneEnded(t *testing.T) {
	b := newBench(t)
	b.sweep()
	for n := range 1100 {
		b.upload(fmt.Sprintf("notes-%04d.txt", n), []byte("x"), store.PutOptions{})
	}
	b.upload("zzz-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"zzz","version":"1.0.0","type":"extension"}`, "steps/run.sh": "echo ran",
	}), store.PutOptions{})
	if swept := b.sweep(); !swept.More || len(swept.Runs) != 0 {
		t.Errorf("the first page: %+v", swept)
	}
	if swept := b.sweep(); swept.More || len(swept.Runs) != 1 {
		t.Errorf("the second page: %+v", swept)
	}
	// At rest, a bucket of that size is no reason to sweep again.
	b.sweep()
	b.sweep()
	for range 2 {
		if swept := b.sweep(); swept.More || swept.Message != "nothing is left where this sweep looked" {
			t.Errorf("at rest: %+v", swept)
		}
	}
}

// One that a schedule begins, which is detached, looks at page after page.
func TestADetachedSweepGoesOn(t *testing.T) {
	b := newBench(t)
	b.sweep()
	for n := range 2100 {
		b.upload(fmt.Sprintf("notes-%04d.txt", n), []byte("x"), store.PutOptions{})
	}
	b.upload("zzz-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"zzz","version":"1.0.0","type":"extension"}`, "steps/run.sh": "echo ran",
	}), store.PutOptions{})
	swept, err := executor.New(b.config).Sweep(within(t, time.Hour), "sweep-call")
	if err != nil || swept.More || len(swept.Runs) != 1 || swept.Uploads != 1 {
		t.Errorf("%+v, %v", swept, err)
	}
}

// A sweep that ends while requests are not done does not say that nothing is left.
func TestASweepSaysWhatRemains(t *testing.T) {
	b := newBench(t)
	release := b.busy("sample", "")
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
	if r := b.again(request(info.Name, info.ETag)); r.Status != evidence.StatusInProgress {
		t.Fatalf("%s, %s", r.Status, r.Message)
	}
	if swept := b.sweep(); swept.Waiting == 0 || swept.Open < swept.Waiting ||
		!strings.Contains(swept.Message, "not done yet") {
		t.Errorf("%+v", swept)
	}
	release()
}

// A request with no parameters in its list of them is the one without a list, also when it is read back.
func TestNoParametersAreNoParameters(t *testing.T) {
	b := newBench(t)
	release := b.busy("first", `,"concurrency":{"group":"g"}`)
	info := b.upload("sample-1.0.0.zip",
		pack(t, with(`"concurrency":{"group":"g"}`, files{"steps/run.sh": "echo ran"})), store.PutOptions{})
	q := request(info.Name, info.ETag)
	q.Parameters = map[string]json.RawMessage{}
	if r := b.again(q); r.Status != evidence.StatusInProgress {
		t.Fatalf("%s, %s", r.Status, r.Message)
	}
	release()
	b.sweep()
	if open := b.stateNames("open/"); len(open) != 0 || b.resultsStored() != 2 {
		t.Errorf("open are %v, %d results", open, b.resultsStored())
	}
	if r := b.again(request(info.Name, info.ETag)); !r.Duplicate {
		t.Errorf("the same without the list: %s, %s", r.Status, r.Message)
	}
}

// In the time that an event's invocation has left, what others left is looked for, now and then, and
// given to other invocations.
func TestASweepInSpareTime(t *testing.T) {
	b := newBench(t)
	b.sweep()
	marks := b.handed()
	now := time.Now()
	b.config.Clock = func() time.Time { return now }
	b.upload("lost-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"lost","version":"1.0.0","type":"extension"}`, "steps/run.sh": "echo ran",
	}), store.PutOptions{})
	spare := func(ctx context.Context) int {
		t.Helper()
		if err := executor.New(b.config).SweepInSpareTime(ctx, "call"); err != nil {
			t.Error(err)
		}
		return len(*marks)
	}
	if n := spare(within(t, time.Minute)); n != 0 {
		t.Errorf("%d requests handed over right after a sweep", n)
	}
	now = now.Add(6 * time.Minute)
	if n := spare(within(t, 5*time.Second)); n != 0 {
		t.Errorf("%d requests handed over in time that is the evidence's", n)
	}
	if n := spare(within(t, time.Minute)); n != 1 || b.resultsStored() != 0 {
		t.Errorf("%d requests handed over, %d results", n, b.resultsStored())
	}
	if n := spare(within(t, time.Minute)); n != 1 {
		t.Errorf("%d requests handed over within five minutes", n)
	}
}

// What the invocation itself has just handed over is not handed over once more.
func TestASweepInSpareTimeLeavesWhatWasHandedOver(t *testing.T) {
	b := newBench(t)
	marks := b.handed()
	info := b.upload("sample-1.0.0.zip", pack(t, with(`"timeout":"1m"`, files{"steps/run.sh": "echo ran"})),
		store.PutOptions{})
	e := executor.New(b.config)
	ctx := within(t, 30*time.Second)
	if _, err := e.Run(ctx, event(info.Name, info.ETag)); err != nil || len(*marks) != 1 {
		t.Fatalf("handed over %v, %v", *marks, err)
	}
	if err := e.SweepInSpareTime(ctx, "call"); err != nil || len(*marks) != 1 {
		t.Errorf("handed over %v, %v", *marks, err)
	}
}

// One thing that cannot be gone on with does not keep the sweep from the others, and is told.
func TestASweepGoesOnAfterAFailure(t *testing.T) {
	b := newBench(t)
	b.sweep()
	key := strings.Repeat("0", 64)
	b.putState("open/test/"+key+"-1.json", "{")
	b.putState("claims/test/"+key+".json", "{")
	b.upload("new-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"new","version":"1.0.0","type":"extension"}`, "steps/run.sh": "echo ran",
	}), store.PutOptions{})
	swept, err := executor.New(b.config).Sweep(t.Context(), "")
	if err == nil || swept.Status != evidence.StatusError || swept.Error.Code != "state.corrupt" ||
		len(swept.Runs) != 1 || swept.Runs[0].Status != evidence.StatusSuccess {
		t.Errorf("%+v, %v", swept, err)
	}
	if b.stateText("claims/test/"+key+".json") != "{" {
		t.Error("the damaged claim was overwritten")
	}
}

// An item of a batch that has no time left is kept for the sweep.
func TestLater(t *testing.T) {
	b := newBench(t)
	b.sweep()
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
	run := executor.New(b.config)
	if run.HasTime(within(t, 2*time.Second)) || !run.HasTime(within(t, time.Minute)) {
		t.Error("it is not told what fits")
	}
	q := request(info.Name, info.ETag)
	q.Reason = "in a batch"
	for range 2 {
		if r, err := run.Later(t.Context(), q); err != nil || r.Status != evidence.StatusInProgress {
			t.Fatalf("status %s, error %v", r.Status, err)
		}
	}
	swept := b.sweep()
	if len(swept.Runs) != 1 || b.stored(swept.Runs[0].RunID).Reason != "in a batch" || len(b.stateNames("open/")) != 0 {
		t.Errorf("%+v, open %v", swept, b.stateNames("open/"))
	}
}

// Sets of which one waits, or that do not fit, go on where they were.
func TestSetsGoOnLater(t *testing.T) {
	b := newBench(t)
	marks := b.handed()
	const members = `,"concurrency":{"group":"g"},"parameters":{"C":{"type":"string","default":"x"}},` +
		`"parameter_sets":{"DE":{},"FR":{}}`
	release := b.busy("first", `,"concurrency":{"group":"g"}`)
	info := b.upload("sets-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"sets","version":"1.0.0","type":"extension"` + members + `}`,
		"steps/run.sh":  "echo ran",
	}), store.PutOptions{})
	q := request(info.Name, info.ETag)
	results, err := executor.New(b.config).Run(t.Context(), q)
	if err != nil || len(results) != 1 || results[0].Status != evidence.StatusInProgress {
		t.Fatalf("%+v, %v", results, err)
	}
	if again, err := executor.New(b.config).Run(t.Context(), q); err != nil || len(again) != 1 ||
		again[0].Status != evidence.StatusInProgress {
		t.Errorf("a duplicate: %+v, %v", again, err)
	}
	release()
	if len(*marks) != 0 {
		t.Errorf("handed over: %v", *marks)
	}
	answers, err := executor.New(b.config).Run(t.Context(), q)
	if err != nil || len(answers) != 2 || b.resultsStored() != 3 || len(b.stateNames("open/")) != 0 {
		t.Fatalf("%d answers, %v, %d results, open %v", len(answers), err, b.resultsStored(), b.stateNames("open/"))
	}
	for i, set := range []string{"DE", "FR"} {
		if r := b.stored(answers[i].RunID); r.ParameterSet != set || r.Status != evidence.StatusSuccess {
			t.Errorf("set %s: %s %s", set, r.ParameterSet, r.Status)
		}
	}
}

// A run that fails before its first step again and again is ended by a result.
func TestTriesAreBounded(t *testing.T) {
	b := newBench(t)
	b.config.Limits.Attempts = 3
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
	state := b.config.State
	b.config.State = faulty{Bucket: state, get: func(name string) error {
		if strings.HasPrefix(name, "groups/") {
			return store.Error(store.ErrUnavailable, "get", "state", name, nil)
		}
		return nil
	}}
	for try := 1; try <= 3; try++ {
		r, err := b.run(t.Context(), request(info.Name, info.ETag))
		if err == nil || r.Execution.Ran || b.resultsStored() != try/3 {
			t.Errorf("try %d: status %s, error %v, %d results", try, r.Status, err, b.resultsStored())
		}
	}
	if r := b.again(request(info.Name, info.ETag)); r.Status != evidence.StatusError || b.resultsStored() != 1 {
		t.Errorf("afterwards: %s, %s", r.Status, r.Message)
	}
}

const sets = `,"parameters":{"C":{"type":"string","default":"x"}},"parameter_sets":{"DE":{},"FR":{}}`

// A set that is to be skipped is not run by a sweep that finds it half recorded.
func TestASkippedSetStaysSkipped(t *testing.T) {
	for n := range 6 { // the sweep takes marks in the order of run keys, which the name decides
		b := newBench(t)
		name := fmt.Sprintf("sets%d", n)
		info := b.upload(name+".zip", pack(t, files{
			"manifest.json": `{"name":"` + name + `","version":"1.0.0","type":"extension"` + sets + `}`,
			"steps/run.sh":  "echo ran; exit 1",
		}), store.PutOptions{})
		stored := 0
		results := b.config.Results
		b.config.Results = faulty{Bucket: results, put: func(name string) error {
			if strings.HasSuffix(name, "/result.json") {
				if stored++; stored > 1 {
					return store.Error(store.ErrUnavailable, "put", "results", name, nil)
				}
			}
			return nil
		}}
		if _, err := executor.New(b.config).Run(within(t, 40*time.Second), request(info.Name, info.ETag)); err == nil {
			t.Fatal("the second result was stored")
		}
		b.config.Results = results
		b.sweep()
		b.sweep()
		answers, err := executor.New(b.config).Run(t.Context(), request(info.Name, info.ETag))
		if err != nil || len(answers) != 2 || answers[0].Status != evidence.StatusFailed ||
			answers[1].Status != evidence.StatusSkipped {
			t.Fatalf("%+v, %v", answers, err)
		}
		if n := strings.Count(b.log.String(), `"line":"ran"`); n != 1 {
			t.Errorf("%d sets were executed", n)
		}
	}
}

// What the uploader chose by metadata holds for sets that are skipped, too.
func TestASkippedSetIsOfTheSameAction(t *testing.T) {
	b := newBench(t)
	info := b.upload("sets.zip",
		pack(t, files{
			"manifest.json":  `{"name":"sets","version":"1.0.0","type":"extension"` + sets + `}`,
			"prechecks/p.sh": "exit 1",
		}), store.PutOptions{Metadata: map[string]string{"cemli-action": "dry_run"}})
	for range 2 {
		results, err := executor.New(b.config).Run(t.Context(), event(info.Name, info.ETag))
		if err != nil || len(results) != 2 || results[1].Status != evidence.StatusSkipped ||
			b.stored(results[1].RunID).Action != "dry_run" {
			t.Fatalf("%+v, %v", results, err)
		}
	}
}

// A set for which a detached invocation has no time left goes on in another one.
func TestASetGoesOnInAnotherInvocation(t *testing.T) {
	here(t, "a run has less time: its runner stores what has come of it")
	b := newBench(t)
	marks := b.handed()
	info := b.upload("sets.zip", pack(t, files{
		"manifest.json": `{"name":"sets","version":"1.0.0","type":"extension","timeout":"6s"` + sets + `}`,
		"steps/run.sh":  "sleep 2",
	}), store.PutOptions{})
	q := request(info.Name, info.ETag)
	if r, err := b.run(within(t, 5*time.Second), q); err != nil || r.Status != evidence.StatusInProgress ||
		len(*marks) != 1 {
		t.Fatalf("status %s, %s, %v", r.Status, r.Message, err)
	}
	for n := 2; n > 0; n-- {
		results, err := executor.New(b.config).Run(within(t, 9*time.Second),
			executor.Request{Continue: (*marks)[len(*marks)-1]})
		if last := results[len(results)-1]; err != nil || n == 2 && last.Status != evidence.StatusInProgress ||
			n == 1 && last.Status != evidence.StatusSuccess {
			t.Fatalf("%d to go: %s, %s, %v", n, last.Status, last.Message, err)
		}
	}
	if b.resultsStored() != 2 || len(b.stateNames("open/")) != 0 {
		t.Errorf("%d results, open %v", b.resultsStored(), b.stateNames("open/"))
	}
}

// A hand-over that fails again and again ends the request.
func TestAHandOverThatFails(t *testing.T) {
	b := newBench(t)
	b.config.Limits.Attempts = 3
	b.config.Invoke = func(context.Context, string) error {
		return store.Error(store.ErrUnavailable, "invoke", "function", "", nil)
	}
	info := b.upload("sample-1.0.0.zip", pack(t, with(`"timeout":"1m"`, files{"steps/run.sh": "echo ran"})),
		store.PutOptions{})
	for try := range 4 {
		r, err := b.run(within(t, 20*time.Second), request(info.Name, info.ETag))
		if err != nil || try < 3 && r.Status != evidence.StatusInProgress || try == 3 && code(r) != "state.attempts" {
			t.Fatalf("try %d: %s, %s, %v", try, r.Status, r.Message, err)
		}
		if try == 3 && !strings.Contains(b.stored(r.RunID).Error.Message, "store.unavailable") {
			t.Errorf("the result does not say why: %+v", r.Error)
		}
	}
}

// Where the function may not invoke itself, a package that needs more time than it has is told so at
// once, and not after as many sweeps as there are tries.
func TestAHandOverThatIsRefused(t *testing.T) {
	for name, members := range map[string]string{
		"one run": `"timeout":"1m"`, "parameter sets": `"timeout":"1m"` + sets,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.config.Invoke = func(context.Context, string) error {
				return problem.New(problem.Problem{
					Code: "config.invoke", Message: "the function may not invoke itself: 404",
				}, nil)
			}
			info := b.upload("sample-1.0.0.zip", pack(t, with(members, files{"steps/run.sh": "echo ran"})),
				store.PutOptions{})
			results, err := executor.New(b.config).Run(within(t, 20*time.Second), event(info.Name, info.ETag))
			if err != nil || len(results) == 0 || code(results[0]) != "config.invoke" ||
				results[0].Status != evidence.StatusError {
				t.Fatalf("%+v, %v", results, err)
			}
			if stored := b.stored(results[0].RunID); code(stored) != "config.invoke" {
				t.Errorf("%+v", stored.Error)
			}
			if open := b.stateNames("open/"); len(open) > 0 {
				t.Errorf("open: %v", open)
			}
		})
	}
}

// Each way of going back to a run is a request of its own.
func TestWaysBackAreApart(t *testing.T) {
	b := newBench(t)
	first := b.ran(files{"steps/run.sh": "echo ran"})
	q := request("sample-1.0.0.zip", first.Package.ETag)
	q.ResumeFrom = first.RunID
	if r := b.again(q); code(r) != "request.not_partial" {
		t.Fatalf("resumed: %s, %s", r.Status, r.Message)
	}
	q.ResumeFrom, q.RerunOf, q.Reason = "", first.RunID, "once more"
	if r := b.again(q); r.Status != evidence.StatusSuccess || len(r.Steps) != 1 {
		t.Errorf("run again: %s, %s", r.Status, r.Message)
	}
}

// Where a claim is gone, the package's record knows what ran.
func TestAClaimThatIsGone(t *testing.T) {
	b := newBench(t)
	first := b.ran(files{"steps/run.sh": "echo ran; exit 1"})
	if err := b.state.Delete(t.Context(), b.stateNames("claims/")[0], ""); err != nil {
		t.Fatal(err)
	}
	b.config.Clock = func() time.Time { return time.Now().Add(2 * time.Second) } // the runs have ids of their own
	for range 2 {
		if r, err := b.run(t.Context(), request("sample-1.0.0.zip", first.Package.ETag)); err == nil ||
			code(r) != "state.lost" || r.Execution.Ran {
			t.Fatalf("status %s, %+v, %v", r.Status, r.Error, err)
		}
	}
	q := request("sample-1.0.0.zip", first.Package.ETag)
	q.RerunOf, q.Reason = first.RunID, "the claim was deleted"
	if r := b.again(q); r.Status != evidence.StatusFailed {
		t.Errorf("run again: %s, %s", r.Status, r.Message)
	}
}

// A late delivery for a version that is gone is a duplicate of what was done with it.
func TestAStaleDuplicate(t *testing.T) {
	b := newBench(t)
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}),
		store.PutOptions{Metadata: map[string]string{"cemli-action": "check"}})
	first := b.again(event(info.Name, info.ETag))
	b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo other"}), store.PutOptions{})
	if r := b.again(event(info.Name, info.ETag)); r.RunID != first.RunID || b.resultsStored() != 1 {
		t.Errorf("run %s, %s, %d results; want %s", r.RunID, r.Message, b.resultsStored(), first.RunID)
	}
}

// A refusal that comes before the package is read is of the action that the uploader chose.
func TestARefusalBeforeThePackageIsRead(t *testing.T) {
	b := newBench(t)
	b.config.Policy = executor.InlinePolicy("inline", []byte("{"))
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}),
		store.PutOptions{Metadata: map[string]string{"cemli-action": "check"}})
	first := b.again(event(info.Name, info.ETag))
	b.config.Policy = nil
	swept := b.sweep()
	if code(first) != "policy.unavailable" || len(swept.Runs) != 0 || b.resultsStored() != 1 {
		t.Errorf("%+v; swept %+v", first.Error, swept)
	}
}

// An undo that was under way when the executor died is told as that.
func TestDeathDuringUndo(t *testing.T) {
	here(t, "a run goes on when its executor is stopped")
	b := newBench(t)
	b.record()
	first := b.ran(files{
		"steps/1.sh": "true", "rollback/1.sh": "echo undone", "steps/2.sh": "exit 1", "rollback/2.sh": "echo undone",
	})
	b.leave(first, claim.Running)
	b.sweep()
	r := b.stored(first.RunID)
	if r.Status != evidence.StatusInterrupted || len(r.Steps) != 2 || r.Rollback == nil ||
		r.Rollback.Status != evidence.StepInterrupted ||
		len(r.Rollback.Steps) != 2 || r.Rollback.Steps[0].Status != evidence.StepSuccess ||
		r.Rollback.Steps[1].Status != evidence.StepInterrupted || r.Rollback.Request == nil {
		t.Errorf("status %s, steps %+v, rollback %+v", r.Status, r.Steps, r.Rollback)
	}
}

// leases is when the leases of claims and groups end, as each step begins.
func (b *bench) leases() *[]time.Time {
	var leases []time.Time
	b.config.Spawn = func(context.Context, sandbox.Command) (sandbox.Outcome, error) {
		for _, name := range append(b.stateNames("claims/"), b.stateNames("groups/")...) {
			var doc struct {
				Lease  time.Time `json:"lease"`
				Holder json.RawMessage
			}
			if err := json.Unmarshal([]byte(b.stateText(name)), &doc); err != nil {
				b.t.Error(err)
			}
			if strings.HasPrefix(name, "groups/") {
				if err := json.Unmarshal(doc.Holder, &doc); err != nil {
					b.t.Error(err)
				}
			}
			leases = append(leases, doc.Lease)
		}
		return sandbox.Outcome{}, nil
	}
	return &leases
}

// A lease is what the run still needs, however long the invocation may last: when its function dies, nobody
// waits for the end of that.
func TestALeaseIsWhatTheRunNeeds(t *testing.T) {
	here(t, "leases end with the job")
	for _, c := range []struct {
		members     string
		contents    files
		least, most time.Duration
	}{
		{`"timeout":"40s"`, files{"steps/run.sh": "true"}, 40 * time.Second, time.Minute},
		{`"timeout":"40s"`, files{"steps/run.sh": "true", "rollback/run.sh": "true"}, 5 * time.Minute, 6 * time.Minute},
		{
			`"timeout":"40s","rollback_timeout":"10s"`,
			files{"steps/run.sh": "true", "rollback/run.sh": "true"},
			50 * time.Second, 70 * time.Second,
		},
		{
			`"timeout":"40s","on_failure":"stop"`, files{
				"steps/run.sh": "true", "rollback/run.sh": "true",
			}, 40 * time.Second, time.Minute,
		},
		{`"idempotent":true`, files{"steps/run.sh": "true"}, 59 * time.Minute, 61 * time.Minute}, // it does not say
	} {
		b := newBench(t)
		leases := b.leases()
		info := b.upload("sample-1.0.0.zip", pack(t, with(c.members, c.contents)), store.PutOptions{})
		if _, err := b.run(within(t, time.Hour), event(info.Name, info.ETag)); err != nil {
			t.Fatal(err)
		}
		if l := *leases; len(l) != 2 || l[0].After(l[1]) || time.Until(l[0]) < c.least || time.Until(l[0]) > c.most ||
			time.Until(l[1]) > c.most+2*time.Minute {
			t.Errorf("%s: leases of claim and group end in %v", c.members, l)
		}
	}
}

// A sweep that a schedule begins has an hour, and leases what does not say what it needs for a quarter.
func TestALeaseOfADetachedSweep(t *testing.T) {
	here(t, "leases end with the job")
	b := newBench(t)
	b.sweep()
	leases := b.leases()
	b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "true"}), store.PutOptions{})
	if _, err := executor.New(b.config).Sweep(within(t, time.Hour), "sweep-call"); err != nil {
		t.Fatal(err)
	}
	if l := *leases; len(l) != 2 || time.Until(l[0]) < 14*time.Minute || time.Until(l[1]) > 16*time.Minute {
		t.Errorf("leases of claim and group end in %v", l)
	}
}

// A group whose holder's claim is done is free, though nobody has given it up.
func TestAGroupOfARunThatIsDone(t *testing.T) {
	b := newBench(t)
	b.config.State = faulty{Bucket: b.state, put: func(name string) error {
		if strings.HasPrefix(name, "groups/") && len(b.stateNames("groups/")) > 0 { // it is held by now
			return store.Error(store.ErrUnavailable, "put", "state", name, nil)
		}
		return nil
	}}
	zip := func(script string) []byte { return pack(t, files{"steps/run.sh": script}) }
	one := b.upload("a.zip", zip("echo 1"), store.PutOptions{})
	if r := b.again(event("a.zip", one.ETag)); r.Status != evidence.StatusSuccess {
		t.Fatalf("%s, %s", r.Status, r.Message)
	}
	if !strings.Contains(b.stateText("groups/test/sample.json"), `"holder":{`) {
		t.Fatal("the group was given up")
	}
	b.config.State = b.state
	two := b.upload("b.zip", zip("echo 2"), store.PutOptions{})
	if r := b.again(event("b.zip", two.ETag)); r.Status != evidence.StatusSuccess || !r.Execution.Ran {
		t.Errorf("%s, %s", r.Status, r.Message)
	}
}
