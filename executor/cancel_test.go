package executor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/executor"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// going is a run in another invocation.
type going struct {
	b    *bench
	id   string
	done chan []evidence.Result
}

// begins runs a package in another invocation and returns when one of its scripts has printed "begun".
func (b *bench) begins(name string, contents files) *going {
	b.t.Helper()
	info := b.upload(name, pack(b.t, contents), store.PutOptions{})
	return b.starts(b.t.Context(), request(info.Name, info.ETag))
}

func (b *bench) starts(ctx context.Context, q executor.Request) *going {
	b.t.Helper()
	config := b.config
	config.WorkDir = testkit.TempDir(b.t) + "/work"
	before := strings.Count(b.log.String(), `"line":"begun"`)
	g := &going{b: b, done: make(chan []evidence.Result, 1)}
	go func() {
		results, err := executor.New(config).Run(ctx, q)
		if err != nil {
			b.t.Error(err)
		}
		g.done <- results
	}()
	b.until("a step begins", func() bool { return strings.Count(b.log.String(), `"line":"begun"`) > before })
	for _, name := range b.stateNames("claims/") {
		var c claim.Claim
		if err := json.Unmarshal([]byte(b.stateText(name)), &c); err == nil && c.State == claim.Running {
			g.id = c.RunID
		}
	}
	return g
}

// until waits for a condition.
func (b *bench) until(what string, holds func() bool) {
	b.t.Helper()
	for end := time.Now().Add(60 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatal("it does not happen that " + what)
		}
	}
}

// ended waits for the only result of the run, as it is stored.
func (g *going) ended() evidence.Result {
	g.b.t.Helper()
	results := <-g.done
	return g.b.stored(results[0].RunID)
}

// waits returns a script that waits until release is called.
func (b *bench) waits() (script string, release func()) {
	b.t.Helper()
	here(b.t, elsewhere)
	dir := testkit.TempDir(b.t)
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // for the scripts' user
		b.t.Fatal(err)
	}
	b.config.Sandbox = "none" // the script meets the test in a folder
	return "echo begun; until [ -e " + dir + "/end ]; do sleep 0.05; done", func() {
		if err := os.WriteFile(dir+"/end", nil, 0o600); err != nil {
			b.t.Error(err)
		}
	}
}

// cancels asks for the end of a run.
func (b *bench) cancels(runID string, change ...func(*executor.Request)) (executor.Asked, error) {
	b.t.Helper()
	q := executor.Request{
		Action: executor.ActionCancel, Reason: "wrong ledger", Reference: "INC7",
		Trigger: executor.Trigger{Kind: executor.TriggerRequest},
	}
	q.RequestedBy = []evidence.Requester{{Subject: "ocid1.user.oc1..anna", Source: "test"}}
	q.Cancel.RunID = runID
	for _, c := range change {
		c(&q)
	}
	config := b.config
	config.WorkDir = testkit.TempDir(b.t) + "/work"
	return executor.New(config).Cancel(b.t.Context(), q)
}

func whole(q *executor.Request) { q.Cancel.WholeRequest = true }

// askedToEnd cancels a run and wants that to be heard.
func (b *bench) askedToEnd(runID string, want evidence.Status, change ...func(*executor.Request)) executor.Asked {
	b.t.Helper()
	a, err := b.cancels(runID, change...)
	if err != nil || a.Status != "asked" || a.RunID != runID || len(a.Runs) == 0 || a.Runs[0].Status != want {
		b.t.Fatalf("%+v, %v", a, err)
	}
	return a
}

// refusedToCancel wants a cancel to be refused.
func (b *bench) refusedToCancel(runID, code string) {
	b.t.Helper()
	if a, err := b.cancels(runID); problem.CodeOf(err) != code {
		b.t.Errorf("%+v, %v; want %s", a, err, code)
	}
}

// nothingLeft wants no request to be open, and no document of a run that has ended.
func (b *bench) nothingLeft() {
	b.t.Helper()
	for _, prefix := range []string{"open/", "progress/"} {
		if names := b.stateNames(prefix); len(names) > 0 {
			b.t.Errorf("left: %v", names)
		}
	}
}

// wasCancelled wants a result to say who cancelled the run, and why.
func (b *bench) wasCancelled(r evidence.Result, code string) {
	b.t.Helper()
	if r.Status != evidence.StatusCancelled || r.Error == nil || r.Error.Code != code || r.Cancelled == nil ||
		r.Cancelled.Reason != "wrong ledger" || r.Cancelled.Reference != "INC7" ||
		len(r.Cancelled.RequestedBy) != 1 || !strings.Contains(r.Message, "wrong ledger") {
		b.t.Errorf("status %s, %q, %+v, %+v", r.Status, r.Message, r.Error, r.Cancelled)
	}
}

// waitsForTerm is a script that waits until it is asked to end, and cleans up then.
const waitsForTerm = "trap 'echo cleaned up; exit 0' TERM; echo begun; sleep 100 & wait"

func TestProgressAndCancel(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var told []evidence.Result
	b.config.Announce = func(_ context.Context, r evidence.Result) error { told = append(told, r); return nil }
	b.config.Output = executor.OutputAll
	g := b.begins("sample-1.0.0.zip", files{
		"steps/1.sh": "echo early-secret", "steps/2.sh": `echo early-secret >"$CEMLI_MASK"; ` + waitsForTerm,
		"steps/3.sh": "echo never", "rollback/1.sh": "echo undone 1", "rollback/2.sh": "echo undone 2",
	})
	b.until("the document tells what was printed", func() bool {
		names := b.stateNames("progress/") // the first may be older than the script's line
		return len(names) == 1 && strings.Contains(b.stateText(names[0]), "begun")
	})
	doc := b.stateText("progress/test/" + g.id + ".json")
	var p claim.Progress
	if err := json.Unmarshal([]byte(doc), &p); err != nil || p.SchemaVersion != 1 || p.RunID != g.id || p.Step != "2" ||
		p.Phase != "run" || p.Number != 2 || p.Elapsed < 5000 || p.Tail != "***\nbegun\n" {
		t.Errorf("%s, %v", doc, err)
	}
	b.askedToEnd(g.id, evidence.StatusInProgress)
	b.askedToEnd(g.id, evidence.StatusInProgress) // once more does no harm
	r := g.ended()
	b.wasCancelled(r, "step.cancelled")
	if statuses(r) != "1 success, 2 cancelled, 3 not_run" || r.Rollback == nil || r.Rollback.Status != "success" ||
		len(r.Rollback.Steps) != 2 || !strings.Contains(b.object(evidence.Dir(g.id)+"steps/02-2.log"), "cleaned up") {
		t.Errorf("%s, undo %+v", statuses(r), r.Rollback)
	}
	if report := b.object(evidence.Dir(g.id) + "junit.xml"); !strings.Contains(report, `type="step.cancelled"`) {
		t.Errorf("the report is %s", report)
	}
	if len(told) != 1 || told[0].Status != evidence.StatusCancelled {
		t.Errorf("announced: %+v", told)
	}
	b.refusedToCancel(g.id, "request.ended")
	b.nothingLeft()
	// What it did is undone: nothing of it is applied, and there is nothing to go on with.
	if again := b.again(request("sample-1.0.0.zip", "")); !again.Duplicate || again.Status != evidence.StatusCancelled {
		t.Errorf("the same request: %+v", again)
	}
	q := request("sample-1.0.0.zip", "")
	q.ResumeFrom = g.id
	if again := b.again(q); code(again) != "request.not_partial" {
		t.Errorf("to go on with it: %s, %+v", again.Status, again.Error)
	}
}

// A run of less than five seconds leaves no document; one that is cancelled in that time reads it in its fifth second.
func TestCancelledInTheFirstSeconds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.record()
	short := b.ran(files{"steps/1.sh": "true"})
	for name := range b.config.State.(*recorder).puts {
		if strings.HasPrefix(name, "progress/") && short.End.Sub(short.Start) < 5*time.Second {
			t.Errorf("%s was stored", name)
		}
	}
	b.config.State = b.state
	g := b.begins("stop-1.0.0.zip", files{
		"manifest.json": `{"name":"stop","version":"1.0.0","type":"extension","on_failure":"stop"}`,
		"steps/1.sh":    waitsForTerm, "rollback/1.sh": "echo undone",
	})
	b.askedToEnd(g.id, evidence.StatusInProgress)
	r := g.ended()
	if b.wasCancelled(r, "step.cancelled"); r.Rollback != nil {
		t.Errorf("it was undone: %+v", r.Rollback)
	}
	b.nothingLeft()
}

// A run that ends before it has read that it is to end is as it is.
func TestCommittedFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	wait, release := b.waits()
	b.config.State = &unwatched{Bucket: b.state} // so that it reads nothing
	g := b.begins("sample-1.0.0.zip", files{"steps/1.sh": wait})
	b.config.State = b.state
	b.askedToEnd(g.id, evidence.StatusInProgress)
	release()
	if r := g.ended(); r.Status != evidence.StatusSuccess || r.Cancelled != nil {
		t.Errorf("status %s, %+v", r.Status, r.Cancelled)
	}
	b.sweep() // which removes what nobody reads any more
	b.nothingLeft()
}

// What is being undone is not stopped half way, whether it is known by then or not.
func TestAnUndoIsNotCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	contents := func(name, undo string) files {
		return files{
			"manifest.json": fmt.Sprintf(`{"name":%q,"version":"1.0.0","type":"extension"}`, name),
			"steps/1.sh":    "exit 1", "rollback/1.sh": undo,
		}
	}
	wait, release := b.waits()
	g := b.begins("late-1.0.0.zip", contents("late", wait))
	b.until("it says that it undoes", func() bool {
		names := b.stateNames("progress/")
		return len(names) == 1 && strings.Contains(b.stateText(names[0]), `"undoing":true`)
	})
	b.refusedToCancel(g.id, "request.undoing")
	release()
	if r := g.ended(); r.Status != evidence.StatusRolledBack {
		t.Errorf("status %s", r.Status)
	}
	g = b.begins("early-1.0.0.zip", contents("early", "echo begun; sleep 7"))
	if _, err := b.cancels(g.id); err != nil && problem.CodeOf(err) != "request.undoing" { // it hardly says so yet
		t.Error(err)
	}
	if r := g.ended(); r.Status != evidence.StatusRolledBack || r.Cancelled != nil {
		t.Errorf("status %s, %+v", r.Status, r.Cancelled)
	}
	b.nothingLeft()
}

// A rollback that has begun is an undo.
func TestARollbackIsNotCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	wait, release := b.waits()
	first := b.ran(files{"steps/1.sh": "true", "rollback/1.sh": wait})
	q := request("sample-1.0.0.zip", "")
	q.Action, q.RollbackOf, q.Reason = executor.ActionRollback, first.RunID, "wrong"
	g := b.starts(t.Context(), q)
	b.refusedToCancel(g.id, "request.undoing")
	release()
	if r := g.ended(); r.Status != evidence.StatusSuccess {
		t.Errorf("status %s", r.Status)
	}
}

func TestAQueuedRunIsCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.Sandbox = "none"
	release := b.busy("first", `,"concurrency":{"group":"erp"}`)
	var waiting []evidence.Result
	for _, name := range []string{"second", "third"} {
		b.upload(name+"-1.0.0.zip", pack(t, files{
			"manifest.json": `{"name":"` + name + `","version":"1.0.0","type":"extension",` +
				`"concurrency":{"group":"erp"}}`,
			"steps/run.sh": "echo " + name,
		}), store.PutOptions{})
		waiting = append(waiting, b.again(request(name+"-1.0.0.zip", "")))
	}
	b.askedToEnd(waiting[0].RunID, evidence.StatusCancelled)
	r := b.stored(waiting[0].RunID)
	if b.wasCancelled(r, "request.cancelled"); r.Execution.Ran || r.Package.Name != "second" {
		t.Errorf("%+v, %+v", r.Execution, r.Package)
	}
	if group := b.stateText("groups/test/erp.json"); strings.Contains(group, "second") ||
		!strings.Contains(group, "third") {
		t.Errorf("the queue is %s", group)
	}
	b.refusedToCancel(waiting[0].RunID, "request.ended")
	if release(); b.stored(waiting[1].RunID).Status != evidence.StatusSuccess {
		t.Error("the one after it did not run")
	}
	if strings.Contains(b.log.String(), `"line":"second"`) {
		t.Error("it was executed")
	}
	b.nothingLeft()
}

// A run that was given to another invocation does not begin there.
func TestAHandedOverRunIsCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	marks := b.handed()
	b.upload("sample-1.0.0.zip", pack(t, with(`"timeout":"1m"`, files{"steps/run.sh": "echo ran"})), store.PutOptions{})
	r, err := b.run(within(t, 20*time.Second), request("sample-1.0.0.zip", ""))
	if err != nil || len(*marks) != 1 {
		t.Fatal(r.Status, err, *marks)
	}
	b.askedToEnd(r.RunID, evidence.StatusCancelled)
	there, err := b.run(within(t, 5*time.Minute), executor.Request{Continue: (*marks)[0]})
	if err != nil || there.RunID != r.RunID || there.Status != evidence.StatusCancelled || !there.Duplicate {
		t.Errorf("%+v, %v", there, err)
	}
	b.nothingLeft()
}

// A run is not begun by the sweep any more, if it was pending or whoever had it died before its first step. One that
// had stored its result and died is as it was.
func TestAPendingRunIsCancelled(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{false, true} {
		b := newBench(t)
		b.record()
		first := b.ran(files{"steps/1.sh": "echo ran"})
		doc := b.object(evidence.ResultObject(first.RunID))
		b.leave(first, claim.Claimed)
		b.config.State = b.state
		want := evidence.StatusCancelled
		if stored {
			want = evidence.StatusSuccess
			_, err := b.results.Put(t.Context(), evidence.ResultObject(first.RunID), strings.NewReader(doc),
				int64(len(doc)), store.PutOptions{IfNoneMatch: true})
			if err != nil {
				t.Fatal(err)
			}
			b.refusedToCancel(first.RunID, "request.ended")
		} else {
			b.askedToEnd(first.RunID, want)
		}
		b.sweep()
		if r := b.stored(first.RunID); r.Status != want || b.resultsStored() != 1 {
			t.Errorf("stored %t: %s, %d results", stored, r.Status, b.resultsStored())
		}
		if n := strings.Count(b.log.String(), `"line":"ran"`); n != 1 {
			t.Errorf("stored %t: it was executed %d times", stored, n)
		}
		b.nothingLeft()
	}
}

// A run that is put off by whoever had it when it was cancelled does not begin later.
func TestCancelledAndPutOff(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	marks := b.handed()
	b.upload("sample-1.0.0.zip", pack(t, with(`"timeout":"1m"`, files{"steps/run.sh": "echo ran"})), store.PutOptions{})
	r, err := b.run(within(t, 20*time.Second), request("sample-1.0.0.zip", ""))
	if err != nil || len(*marks) != 1 {
		t.Fatal(r.Status, err, *marks)
	}
	b.overwrite("progress/test/"+r.RunID+".json", map[string]any{
		"schema_version": 1, "writer": "w", "environment": "test", "run_id": r.RunID, "elapsed_ms": 0, "tail": "",
		"at": time.Now().UTC(), "cancel": true, "reason": "wrong ledger", "reference": "INC7",
		"by": []any{map[string]any{"subject": "anna", "source": "test", "verified": false}},
	})
	there, err := b.run(within(t, 5*time.Minute), executor.Request{Continue: (*marks)[0]})
	if err != nil || there.RunID != r.RunID {
		t.Fatalf("%+v, %v", there, err)
	}
	if b.wasCancelled(b.stored(r.RunID), "request.cancelled"); there.Execution.Ran {
		t.Error("it was executed")
	}
	b.nothingLeft()
}

// Whoever cancelled a run whose executor died does not want another attempt of it, also if that was accepted before.
func TestCancelledAndDead(t *testing.T) {
	here(t, "the mailbox has all of what the steps did")
	t.Parallel()
	for _, cancelled := range []bool{false, true} {
		b := newBench(t)
		b.record()
		first := b.ran(with(`"idempotent":true`, files{"steps/1.sh": "echo ran"}))
		b.leave(first, claim.Running)
		b.config.State = b.state
		want := 2
		if cancelled {
			want = 1
			b.askedToEnd(first.RunID, evidence.StatusInProgress)
			name := b.stateNames("open/")[0]
			var pending claim.PendingRequest
			if err := json.Unmarshal([]byte(b.stateText(name)), &pending); err != nil {
				t.Fatal(err)
			}
			pending.Name = claim.PendingName(claim.KeyOf(pending.Name), 2)
			b.overwrite("open/test/"+pending.Name+".json", pending)
		}
		b.sweep()
		b.sweep()
		if r := b.stored(first.RunID); r.Status != evidence.StatusInterrupted || b.resultsStored() != want {
			t.Errorf("cancelled %t: %s, %d results", cancelled, r.Status, b.resultsStored())
		}
		b.nothingLeft()
	}
}

const setsABD = `"parameters":{"C":{"type":"string"}},"parameter_sets":{"A":{"C":"a"},"B":{"C":"b"},"D":{"C":"d"}}`

// setOfB has a set that waitsForTerm.
func setOfB(members string) files {
	return with(setsABD+members, files{"steps/run.sh": `[ $CEMLI_PARAM_C = b ] || exit 0; ` + waitsForTerm})
}

func TestASetIsCancelled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		members string
		change  []func(*executor.Request)
		want    string
	}{
		"later sets are skipped": {"", nil, "A success, B cancelled, D skipped"},
		"later sets run":         {`,"on_set_failure":"continue"`, nil, "A success, B cancelled, D success"},
		"the whole request": {
			`,"on_set_failure":"continue"`, []func(*executor.Request){whole}, "A success, B cancelled, D cancelled",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			g := b.begins("sample-1.0.0.zip", setOfB(c.members))
			asked := b.askedToEnd(g.id, evidence.StatusInProgress, c.change...)
			var got []string
			for _, r := range <-g.done {
				if r.RunID != "" {
					r = b.stored(r.RunID)
				}
				got = append(got, r.ParameterSet+" "+string(r.Status))
			}
			if diff := cmp.Diff(c.want, strings.Join(got, ", ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c.change != nil {
				other := asked.Runs[1]
				if r := b.stored(other.RunID); other.ParameterSet != "D" || other.Status != "cancelled" ||
					r.Package.Name != "sample" || r.Execution.Ran {
					t.Errorf("%+v, %+v", other, r.Package)
				}
			}
			if n := b.resultsStored(); n != 3 {
				t.Errorf("%d results", n)
			}
			b.nothingLeft()
		})
	}
}

// The sets after one that is being undone are cancelled, although it is not.
func TestTheSetsAfterAnUndo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	wait, release := b.waits()
	g := b.begins("sample-1.0.0.zip", with(setsABD+`,"on_set_failure":"continue"`, files{
		"steps/run.sh": "[ $CEMLI_PARAM_C != b ]", "rollback/run.sh": wait,
	}))
	b.until("it says that it undoes", func() bool {
		names := b.stateNames("progress/")
		return len(names) == 1 && strings.Contains(b.stateText(names[0]), `"undoing":true`)
	})
	a, err := b.cancels(g.id, whole)
	if err != nil || a.Status != "asked" || len(a.Runs) != 1 || a.Runs[0].ParameterSet != "D" ||
		a.Runs[0].Status != evidence.StatusCancelled || !strings.Contains(a.Message, "is being undone") {
		t.Errorf("%+v, %v", a, err)
	}
	release()
	var got []string
	for _, r := range <-g.done {
		got = append(got, r.ParameterSet+" "+string(r.Status))
	}
	if diff := cmp.Diff("A success, B rolled_back, D cancelled", strings.Join(got, ", ")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.nothingLeft()
}

// Sets that wait are cancelled together, and the request for all of them is done with the next sweep, or the invocation
// that is asked for that.
func TestSetsThatWaitAreCancelled(t *testing.T) {
	t.Parallel()
	for _, scope := range []string{"set", "request"} {
		b := newBench(t)
		b.config.Sandbox = "none"
		release := b.busy("first", `,"concurrency":{"group":"g"}`)
		b.upload("sample-1.0.0.zip", pack(t, with(setsABD+`,"concurrency":{"group":"g"},"on_set_failure":"continue"`,
			files{"steps/run.sh": "echo ran"})), store.PutOptions{})
		r := b.again(request("sample-1.0.0.zip", ""))
		if r.Status != evidence.StatusInProgress || r.ParameterSet != "A" {
			t.Fatal(r.Status, r.Message)
		}
		want := 1 + 3
		if scope == "request" {
			b.askedToEnd(r.RunID, evidence.StatusCancelled, whole)
		} else {
			b.askedToEnd(r.RunID, evidence.StatusCancelled)
		}
		release()
		b.sweep()
		if n := b.resultsStored(); n != want {
			t.Errorf("%s: %d results", scope, n)
		}
		ran := 2
		if scope == "request" {
			ran = 0
		}
		if n := strings.Count(b.log.String(), `"line":"ran"`); n != ran {
			t.Errorf("%s: %d sets ran", scope, n)
		}
		b.wasCancelled(b.stored(r.RunID), "request.cancelled")
		b.nothingLeft()
	}
}

func TestWhatCannotBeCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.refusedToCancel("20260101T000000Z-a-000000000000", "request.unknown_run")
	r := b.ran(files{"steps/1.sh": "true"})
	b.refusedToCancel(r.RunID, "request.ended")
	if err := b.state.Delete(t.Context(), b.stateNames("claims/")[0], ""); err != nil {
		t.Fatal(err)
	}
	b.refusedToCancel(r.RunID, "request.ended") // by its result
	b.nothingLeft()
}

// unwatched is a state bucket that takes no progress.
type unwatched struct {
	store.Bucket
	mu    sync.Mutex
	tried int
}

func (u *unwatched) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, o store.PutOptions,
) (store.Info, error) {
	if strings.HasPrefix(name, "progress/") {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.tried++
		return store.Info{}, store.Error(store.ErrUnavailable, "put", "state", name, os.ErrDeadlineExceeded)
	}
	return u.Bucket.Put(ctx, name, body, size, o)
}

// Progress that cannot be stored does not matter to the run.
func TestProgressThatCannotBeStored(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	state := &unwatched{Bucket: b.state}
	b.config.State, b.config.Output = state, executor.OutputNone
	if r := b.ran(files{"steps/1.sh": "sleep 6"}); r.Status != evidence.StatusSuccess || state.tried == 0 {
		t.Errorf("status %s, tried %d times", r.Status, state.tried)
	}
	b.nothingLeft()
}
