package executor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// resultsStored counts the results in the bucket.
func (b *bench) resultsStored() int {
	b.t.Helper()
	page, err := b.results.List(b.t.Context(), store.ListOptions{Prefix: "runs/"})
	if err != nil {
		b.t.Fatal(err)
	}
	count := 0
	for _, o := range page.Objects {
		if strings.HasSuffix(o.Name, "/result.json") {
			count++
		}
	}
	return count
}

func (b *bench) again(q executor.Request) evidence.Result {
	b.t.Helper()
	r, err := b.run(b.t.Context(), q)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func TestADuplicateIsAnsweredWithTheFirst(t *testing.T) {
	for name, contents := range map[string]files{
		"success":   {"steps/run.sh": "echo ran"},
		"failure":   {"steps/run.sh": "exit 3"},
		"rejection": {"manifest.json": manifestWith(`"requires":{"other":">=1"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			first := b.ran(contents)
			for range 3 {
				r := b.again(request("sample-1.0.0.zip", first.Package.ETag))
				if r.RunID != first.RunID || r.Status != first.Status || len(r.Steps) != 0 ||
					!strings.Contains(r.Message, first.RunID) {
					t.Errorf("run %s, status %s, %q; want those of %s", r.RunID, r.Status, r.Message, first.RunID)
				}
			}
			if n := b.resultsStored(); n != 1 {
				t.Errorf("%d results", n)
			}
		})
	}
}

// Many at once, as events that were delivered several times to several instances.
func TestOfManyAtOnceOneRuns(t *testing.T) {
	b := newBench(t)
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo executed; sleep 0.2"}), store.PutOptions{})
	results := make([]evidence.Result, 8)
	var all sync.WaitGroup
	for i := range results {
		config := b.config
		config.WorkDir = testkit.TempDir(t) + "/work"
		all.Go(func() {
			list, err := executor.New(config).Run(t.Context(), request(info.Name, info.ETag))
			if err != nil {
				t.Error(err)
				return
			}
			results[i] = list[0]
		})
	}
	all.Wait()
	executed := 0
	for _, r := range results {
		if len(r.Steps) > 0 {
			executed++
		} else if r.Status != evidence.StatusInProgress && r.Status != evidence.StatusSuccess || r.RunID == "" {
			t.Errorf("a duplicate says %s of run %q", r.Status, r.RunID)
		}
	}
	if executed != 1 || b.resultsStored() != 1 || strings.Count(b.log.String(), `"line":"executed"`) != 1 {
		t.Errorf("%d executions, %d results", executed, b.resultsStored())
	}
}

// recorder keeps every document that is put.
type recorder struct {
	store.Bucket
	mu   sync.Mutex
	puts map[string][]map[string]any
}

func (r *recorder) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, opts store.PutOptions,
) (store.Info, error) {
	var doc map[string]any
	if err := json.NewDecoder(body).Decode(&doc); err != nil {
		return store.Info{}, err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return store.Info{}, err
	}
	r.mu.Lock()
	r.puts[name] = append(r.puts[name], doc)
	r.mu.Unlock()
	return r.Bucket.Put(ctx, name, body, size, opts)
}

// record notes what the runs from here on write into the state bucket.
func (b *bench) record() {
	b.config.State = &recorder{Bucket: b.state, puts: map[string][]map[string]any{}}
}

func (b *bench) recorded(prefix string) (name string, docs []map[string]any) {
	b.t.Helper()
	for name, docs := range b.config.State.(*recorder).puts {
		if strings.HasPrefix(name, prefix) {
			return name, docs
		}
	}
	b.t.Fatalf("nothing was put under %s", prefix)
	return "", nil
}

// overwrite puts a document into the state bucket, whatever is there.
func (b *bench) overwrite(name string, doc any) {
	b.t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.state.Put(b.t.Context(), name, bytes.NewReader(text), int64(len(text)),
		store.PutOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

// leave brings the state back to how it was when the claim of a recorded run was last in a state,
// as if the instance had died there and its lease had ended. Its evidence is gone.
func (b *bench) leave(first evidence.Result, state claim.State) {
	b.t.Helper()
	name, docs := b.recorded("claims/test/")
	for _, doc := range docs {
		if doc["state"] == string(state) && !knowsTheEnd(doc) {
			doc["lease"] = time.Now().Add(-time.Hour).UTC()
			b.overwrite(name, doc)
		}
	}
	if state == claim.Claimed {
		// Nothing had started, so that nothing is known of it.
		if err := b.state.Delete(b.t.Context(), "packages/test/"+first.Package.Name+".json", ""); err != nil {
			b.t.Fatal(err)
		}
	}
	mark, marks := b.recorded("open/test/")
	b.overwrite(mark, marks[0])
	left, err := b.results.List(b.t.Context(), store.ListOptions{Prefix: evidence.Dir(first.RunID)})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, o := range left.Objects {
		if err := b.results.Delete(b.t.Context(), o.Name, ""); err != nil {
			b.t.Fatal(err)
		}
	}
}

// knowsTheEnd reports whether a claim says how all steps have ended.
func knowsTheEnd(claim map[string]any) bool {
	frame, ok := claim["frame"].(map[string]any)
	return ok && frame["status"] != string(evidence.StatusInterrupted)
}

// How the steps have ended is known from the moment that they have: whoever finds the run dead then stores that,
// and not that it was interrupted.
func TestTheEndOfTheStepsIsKnown(t *testing.T) {
	here(t, "the mailbox has all of what the steps did")
	for name, c := range map[string]struct {
		contents files
		want     evidence.Status
	}{
		"success": {files{"steps/1.sh": "echo one"}, evidence.StatusSuccess},
		"failure": {files{"steps/1.sh": "echo one", "steps/2.sh": "exit 1"}, evidence.StatusFailed},
		"undone":  {files{"steps/1.sh": "echo one; exit 1", "rollback/1.sh": "true"}, evidence.StatusRolledBack},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.config.Reserve = 3 * time.Second
			var once sync.Once
			b.config.Results = faulty{Bucket: b.results, put: func(name string) error {
				if strings.HasSuffix(name, "result.json") || strings.HasSuffix(name, "junit.xml") {
					once.Do(func() { t.Log("out of reach from here on") })
					return store.Error(store.ErrUnavailable, "put", "results", name, nil)
				}
				return nil
			}}
			info := b.upload("sample-1.0.0.zip", pack(t, c.contents), store.PutOptions{})
			if _, err := b.run(within(t, 8*time.Second), event(info.Name, info.ETag)); err == nil {
				t.Fatal("the evidence was stored")
			}
			b.config.Results = b.results
			name, doc := b.stateNames("claims/test/")[0], map[string]any{}
			if err := json.Unmarshal([]byte(b.stateText(name)), &doc); err != nil {
				t.Fatal(err)
			}
			doc["lease"] = time.Now().Add(-time.Hour).UTC()
			b.overwrite(name, doc)
			b.sweep()
			r := b.stored(doc["run_id"].(string))
			if r.Status != c.want || r.Steps[0].Attempts != 1 || r.Steps[0].Status == evidence.StepInterrupted ||
				!strings.Contains(r.Message, "before all of the evidence was stored") {
				t.Errorf("%s, %s, %+v", r.Status, r.Message, r.Steps)
			}
		})
	}
}

// A store that fails for a while, when the only step has ended, costs nothing while there is time.
func TestAnOutageAtTheEnd(t *testing.T) {
	b := newBench(t)
	var since time.Time
	var mu sync.Mutex
	b.config.Results = faulty{Bucket: b.results, put: func(name string) error {
		if strings.HasPrefix(name, "packages/") {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) < 5*time.Second {
			return store.Error(store.ErrUnavailable, "put", "results", name, nil)
		}
		return nil
	}}
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
	r, err := b.run(within(t, 40*time.Second), event(info.Name, info.ETag))
	if err != nil || r.Status != evidence.StatusSuccess ||
		b.object(evidence.Dir(r.RunID)+"steps/01-run.log") != "ran\n" {
		t.Errorf("%s, %s, %v", r.Status, r.Message, err)
	}
}

func TestAnExpiredClaimIsTakenOver(t *testing.T) {
	b := newBench(t)
	b.record()
	first := b.ran(files{"steps/run.sh": "exit 1"})
	b.leave(first, claim.Claimed)
	r := b.again(request("sample-1.0.0.zip", first.Package.ETag))
	if r.RunID != first.RunID || len(r.Steps) != 1 || b.stored(r.RunID).Status != evidence.StatusFailed {
		t.Errorf("run %s, steps %+v; want %s again", r.RunID, r.Steps, first.RunID)
	}
}

func TestAnInterruptedRun(t *testing.T) {
	here(t, "the mailbox has all of what the steps did")
	for name, c := range map[string]struct {
		members string
		again   bool
	}{"waits for a person": {`"x-a":1`, false}, "is run again where it may be": {`"idempotent":true`, true}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.record()
			first := b.ran(with(c.members, files{"steps/run.sh": "exit 1"}))
			b.leave(first, claim.Running)
			r := b.again(request("sample-1.0.0.zip", first.Package.ETag))
			lost := b.stored(first.RunID)
			if lost.Status != evidence.StatusInterrupted || lost.Error.Code != "step.interrupted" ||
				!strings.Contains(lost.Message, "or right before it began") {
				t.Errorf("the lost run says %s, %+v", lost.Status, lost.Error)
			}
			if !c.again {
				if r.RunID != first.RunID || r.Status != evidence.StatusInterrupted || len(r.Steps) > 0 {
					t.Errorf("run %s, status %s, steps %+v", r.RunID, r.Status, r.Steps)
				}
				return
			}
			if r.Attempt != 2 || !strings.HasSuffix(r.RunID, "-2") || r.PreviousRunID != first.RunID ||
				len(r.Steps) != 1 {
				t.Errorf("run %s, attempt %d after %s, steps %+v", r.RunID, r.Attempt, r.PreviousRunID, r.Steps)
			}
			b.stored(r.RunID)
		})
	}
}

// The result was stored, and the instance died before it could say so.
func TestAResultThatIsThereIsAdopted(t *testing.T) {
	b := newBench(t)
	b.record()
	first := b.ran(files{"steps/run.sh": "exit 4"})
	doc := b.object(evidence.ResultObject(first.RunID))
	b.leave(first, claim.Running)
	if _, err := b.results.Put(t.Context(), evidence.ResultObject(first.RunID), strings.NewReader(doc), int64(len(doc)),
		store.PutOptions{IfNoneMatch: true}); err != nil {
		t.Fatal(err)
	}
	r := b.again(request("sample-1.0.0.zip", first.Package.ETag))
	if r.Status != evidence.StatusFailed || r.RunID != first.RunID ||
		b.object(evidence.ResultObject(first.RunID)) != doc {
		t.Errorf("run %s, status %s", r.RunID, r.Status)
	}
}

func TestRerunAndOncePer(t *testing.T) {
	b := newBench(t)
	first := b.ran(files{"steps/run.sh": "echo ran"})
	q := request("sample-1.0.0.zip", first.Package.ETag)
	q.RerunOf, q.Reason = first.RunID, "the ledger was restored"
	again := b.again(q)
	if again.Status != evidence.StatusSuccess || again.RunID == first.RunID || len(again.Steps) != 1 ||
		again.PreviousRunID != first.RunID {
		t.Errorf("re-run: %s, status %s, %q", again.RunID, again.Status, again.Message)
	}
	if r := b.again(q); r.RunID != again.RunID || len(r.Steps) != 0 {
		t.Errorf("the same re-run ran twice: %s, %s", again.RunID, r.RunID)
	}

	b = newBench(t)
	first = b.ran(with(`"idempotent":true`, files{"steps/run.sh": "echo ran"}))
	q = request("sample-1.0.0.zip", first.Package.ETag)
	q.OncePer = 24 * 365 * 100 * time.Hour
	slot := b.again(q)
	if slot.RunID == first.RunID || len(slot.Steps) != 1 {
		t.Errorf("once in the slot: %s, %s", slot.RunID, slot.Message)
	}
	if r := b.again(q); r.RunID != slot.RunID || len(r.Steps) != 0 {
		t.Errorf("twice in the slot: %s, %s", slot.RunID, r.RunID)
	}
}

// A store that fails before the first step gives the claim back: the next delivery does the work.
func TestAFailureBeforeTheFirstStepIsTriedAgain(t *testing.T) {
	b := newBench(t)
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
	state := b.config.State
	b.config.State = faulty{Bucket: state, put: func(name string) error {
		if strings.HasPrefix(name, "groups/") {
			return store.Error(store.ErrUnavailable, "put", "state", name, nil)
		}
		return nil
	}}
	if r, err := b.run(t.Context(), request(info.Name, info.ETag)); err == nil || r.Execution.Ran ||
		b.resultsStored() != 0 {
		t.Fatalf("status %s, error %v, %d results: what passes is no outcome", r.Status, err, b.resultsStored())
	}
	b.config.State = state
	if r := b.again(request(info.Name, info.ETag)); r.Status != evidence.StatusSuccess || len(r.Steps) != 1 {
		t.Errorf("status %s, %q", r.Status, r.Message)
	}
}

func TestADamagedClaimStopsEverything(t *testing.T) {
	for doc, want := range map[string]string{
		"{": "state.corrupt", `{"schema_version":2}`: "state.newer",
		`{"schema_version":1,"key":"other"}`: "state.corrupt",
	} {
		b := newBench(t)
		first := b.ran(files{"steps/run.sh": "echo ran"})
		page, err := b.state.List(t.Context(), store.ListOptions{Prefix: "claims/"})
		if err != nil || len(page.Objects) != 1 {
			t.Fatal(page, err)
		}
		if _, err := b.state.Put(t.Context(), page.Objects[0].Name, strings.NewReader(doc), int64(len(doc)),
			store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		r, err := b.run(t.Context(), request("sample-1.0.0.zip", first.Package.ETag))
		if code(r) != want || len(r.Steps) > 0 || err == nil || b.resultsStored() != 1 {
			t.Errorf("%s: %+v, %v; want %s", doc, r.Error, err, want)
		}
	}
}

// Where the evidence cannot be stored and nothing had started, the next delivery does the work, too.
func TestEvidenceThatFailsBeforeTheFirstStepIsTriedAgain(t *testing.T) {
	b := newBench(t)
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "#!/no/such/shell"}), store.PutOptions{})
	results := b.config.Results
	b.config.Results = faulty{
		Bucket: results, put: func(name string) error {
			return store.Error(store.ErrUnavailable, "put", "results", name, nil)
		},
	}
	if _, err := b.run(t.Context(), request(info.Name, info.ETag)); err == nil {
		t.Fatal("the invocation does not fail")
	}
	b.config.Results = results
	if r := b.again(request(info.Name, info.ETag)); code(r) != "step.interpreter" || b.resultsStored() != 1 {
		t.Errorf("status %s, %q, %d results", r.Status, r.Message, b.resultsStored())
	}
}

// Two that come after a run that died may end it at once. Who finds that the other one has enters the group only
// when it is noted what that run did, even if the other could not note it.
func TestWhatARunDidIsNotedBeforeTheNext(t *testing.T) {
	b := newBench(t)
	b.record()
	const group = `"idempotent":true,"concurrency":{"group":"g"}`
	first := b.ran(with(group, files{"steps/1.sh": "echo one", "steps/2.sh": "echo two"}))
	b.leave(first, claim.Running)
	name, docs := b.recorded("groups/test/")
	for _, doc := range docs {
		if holder, ok := doc["holder"].(map[string]any); ok {
			holder["lease"] = time.Now().Add(-time.Hour).UTC()
			b.overwrite(name, doc)
		}
	}
	record := "packages/test/" + first.Package.Name + ".json"
	if err := b.state.Delete(t.Context(), record, ""); err != nil {
		t.Fatal(err)
	}
	b.config.State = b.state
	upload := func(name string) executor.Request {
		info := b.upload(name+"-1.0.0.zip", pack(t, files{
			"manifest.json": `{"name":"` + name + `","version":"1.0.0","type":"extension",` + group + `}`,
			"steps/run.sh":  "echo ran",
		}), store.PutOptions{})
		return request(info.Name, info.ETag)
	}
	outage := func(name string) error {
		if name == record {
			return store.Error(store.ErrUnavailable, "put", "state", name, nil)
		}
		return nil
	}
	other, ended := b.config, false
	other.WorkDir += "-other"
	other.State = faulty{Bucket: b.state, put: outage}
	second, third := upload("second"), upload("third")
	b.config.State = faulty{Bucket: b.state, put: outage}
	b.config.Results = faulty{Bucket: b.results, put: func(name string) error {
		if name == evidence.ResultObject(first.RunID) && !ended {
			ended = true
			if _, err := executor.New(other).Run(t.Context(), second); err == nil {
				t.Error("the other one has entered the group")
			}
		}
		return nil
	}}
	r, err := b.run(t.Context(), third)
	if !ended || err == nil || len(r.Steps) != 0 {
		t.Errorf("what the first run did is not noted, and the third has begun: %s, %v, %+v", r.Status, err, r.Steps)
	}
	b.config.State, b.config.Results = b.state, b.results
	if r, err := b.run(t.Context(), third); err != nil || r.Status != evidence.StatusSuccess ||
		!strings.Contains(b.stateText(record), first.RunID) {
		t.Errorf("%s, %v, record %s", r.Status, err, b.stateText(record))
	}
}

// A rollback that had nothing to execute has an effect as soon as its result is stored, also where nobody knows
// that it is, and another invocation holds its claim by now.
func TestARollbackThatNobodyKnowsToBeStored(t *testing.T) {
	b := newBench(t)
	first := b.ran(files{"steps/run.sh": "echo ran"})
	back := func(id string) executor.Request {
		q := request(first.SourceObject, first.Package.ETag)
		q.Action, q.RollbackOf, q.RequestID, q.Reason = executor.ActionRollback, first.RunID, id, "it was wrong"
		return q
	}
	results, lost := b.config.Results, ""
	isResult := func(name string) bool {
		return strings.HasSuffix(name, "/result.json") && !strings.Contains(name, first.RunID)
	}
	b.config.Results = faulty{Bucket: results, put: func(name string) error {
		if !isResult(name) {
			return nil
		}
		lost = name
		return store.Error(store.ErrUnavailable, "put", "results", name, errors.New("lost answer"))
	}}
	if _, err := b.run(within(t, 20*time.Second), back("1")); err == nil || lost == "" {
		t.Fatalf("the result is stored: %v", err)
	}
	b.config.Results = results
	// The write that nobody waited for any more arrives.
	r := first
	r.RunID, r.Action, r.PreviousRunID, r.Rollback = strings.Split(lost,
		"/")[1], string(executor.ActionRollback), first.RunID, &evidence.Rollback{Status: evidence.StepSuccess}
	r.Steps = nil
	doc, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := results.Put(t.Context(), lost, bytes.NewReader(doc), int64(len(doc)),
		store.PutOptions{IfNoneMatch: true}); err != nil {
		t.Fatal(err)
	}
	edit := func(prefix, part string, change func(map[string]any)) {
		for _, name := range b.stateNames(prefix) {
			var doc map[string]any
			if text := b.stateText(name); !strings.Contains(text, part) {
				continue
			} else if err := json.Unmarshal([]byte(text), &doc); err != nil {
				t.Fatal(err)
			}
			change(doc)
			b.overwrite(name, doc)
		}
	}
	edit("groups/", "sample", func(g map[string]any) {
		g["holder"].(map[string]any)["lease"] = time.Now().Add(-time.Hour).UTC()
	})
	edit("claims/", r.RunID, func(c map[string]any) { c["lease"] = time.Now().Add(time.Hour).UTC() })
	if again, err := b.run(t.Context(), back("2")); err != nil || code(again) != "rollback.undone" {
		t.Errorf("the second rollback: %s, %s, %v", again.Status, code(again), err)
	}
}

// seconds is a bucket that tells of a single object the second in which it was written, as Object Storage does.
type seconds struct{ store.Bucket }

func (s seconds) Head(ctx context.Context, name string) (store.Info, error) {
	info, err := s.Bucket.Head(ctx, name)
	info.Created = info.Created.Truncate(time.Second)
	return info, err
}

func (s seconds) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	body, info, err := s.Bucket.Get(ctx, name, o)
	info.Created = info.Created.Truncate(time.Second)
	return body, info, err
}

// All runs of one upload have its place, to the millisecond, those that are skipped among them.
func TestEverySetHasThePlaceOfItsUpload(t *testing.T) {
	b := newBench(t)
	b.config.Packages = seconds{b.packages}
	info := b.upload("sample-1.0.0.zip",
		pack(t,
			with(`"parameters":{"P":{"type":"string"}},"parameter_sets":{"A":{"P":"a"},"B":{"P":"b"}}`,
				files{"steps/run.sh": "exit 1"})), store.PutOptions{})
	q := event(info.Name, info.ETag)
	q.Trigger.EventTime = info.Created.Truncate(time.Second).Add(731 * time.Millisecond)
	if rs, err := executor.New(b.config).Run(t.Context(), q); err != nil || len(rs) != 2 ||
		rs[1].Status != evidence.StatusSkipped {
		t.Fatalf("%v, %+v", err, rs)
	}
	for _, name := range b.stateNames("claims/") {
		var c struct {
			Uploaded time.Time `json:"uploaded"`
		}
		if err := json.Unmarshal([]byte(b.stateText(name)), &c); err != nil || !c.Uploaded.Equal(q.Trigger.EventTime) {
			t.Errorf("%s: %s, %v; want %s", name, c.Uploaded, err, q.Trigger.EventTime)
		}
	}
}
