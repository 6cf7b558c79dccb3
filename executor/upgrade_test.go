package executor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/testkit"
)

// fixtures are what versions with a state of their own have left in the buckets, the first one first.
var fixtures = []string{"state-v1.json", "state-v2.json"}

// TestGoesOnFromEarlierVersions goes on with the buckets as earlier versions left them, which TestWriteFixture
// describes: whatever the state looks like by now, what was begun then is ended, once.
func TestGoesOnFromEarlierVersions(t *testing.T) {
	for name, test := range map[string]func(*tenant){
		"what runs is in progress":     runsOn,
		"what is done is known":        isDone,
		"the same contents again":      sameAgain,
		"what died is gone on with":    goesOn,
		"a run is undone":              undoneAfterwards,
		"a run is made again":          madeAgain,
		"a run is gone on with":        resumedAfterwards,
		"a set's run is gone on with":  setResumedAfterwards,
		"an interrupted run goes on":   interruptedGoesOn,
		"an undone run stays undone":   staysUndone,
		"an open request is not taken": notTaken,
		"policy goes by the record":    judged,
	} {
		for _, file := range fixtures {
			t.Run(name+" "+file, func(t *testing.T) { fromFixture(t, "testdata/"+file, test) })
		}
	}
}

// fromFixture has a test begin a second after the moment of a fixture.
func fromFixture(t *testing.T, file string, test func(*tenant)) {
	kept, err := loadKeptStore(file)
	if err != nil {
		t.Fatal(err)
	}
	sandbox.Probe() // it is asked once, outside of the bubble
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(kept.Time.Add(time.Second)))
		test(newTenant(t, dir, kept))
	})
}

// keptClaim is what of a claim has to be known of any version's.
type keptClaim struct {
	Object  string   `json:"object"`
	RunID   string   `json:"run_id"`
	State   string   `json:"state"`
	Pending []string `json:"pending"`
}

// claims reads all claims, and wants none to be damaged.
func (t *tenant) claims() []keptClaim {
	var list []keptClaim
	for name, o := range t.Buckets["state"] {
		if !strings.HasPrefix(name, "claims/") {
			continue
		}
		var c keptClaim
		if err := json.Unmarshal(o.body, &c); err != nil {
			t.t.Errorf("%s: %v", name, err)
		}
		list = append(list, c)
	}
	return list
}

// keptGroup is what of a group has to be known of any version's.
type keptGroup struct {
	Fence  int64 `json:"fence"`
	Holder struct {
		RunID string `json:"run_id"`
	} `json:"holder"`
	Queue []json.RawMessage `json:"queue"`
}

func (t *tenant) readGroup(name string) keptGroup {
	t.t.Helper()
	var g keptGroup
	if err := json.Unmarshal(t.Buckets["state"]["groups/prod/"+name+".json"].body, &g); err != nil {
		t.t.Fatal(err)
	}
	return g
}

// answers has a request answered by a call that goes well.
func (t *tenant) answers(request executor.Request) []evidence.Result {
	t.t.Helper()
	results, err := (&keptCall{tenant: t}).run(request)
	if err != nil || len(results) == 0 {
		t.t.Fatalf("%s: %v, %v", request.Object, results, err)
	}
	return results
}

// ran lists what these packages executed, in its order; without names all of them.
func (t *tenant) ran(packages ...string) []string {
	var list []string
	for _, e := range t.executed {
		if len(packages) == 0 || slices.Contains(packages, e.env["CEMLI_PACKAGE"]) {
			list = append(list, e.what)
		}
	}
	return list
}

// equal wants two values to be equal.
func (t *tenant) equal(what string, want, got any) {
	t.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// held are the packages whose runs were under way, or waited for one that was.
var held = []string{"schema", "tables", "bridge", "sync", "orders", "regions"}

// While the leases last a run is left alone, by its own events and by sweeps.
func runsOn(t *tenant) {
	inProgress := func(object string) []evidence.Result {
		t.t.Helper()
		results := t.answers(t.event(object))
		for _, r := range results {
			t.equal("the status of "+object, evidence.StatusInProgress, r.Status)
		}
		return results
	}
	t.equal("the run of schema", t.readGroup("erp").Holder.RunID, inProgress("schema-1.0.0.zip")[0].RunID)
	inProgress("tables-1.0.0.zip")
	for _, name := range []string{"bridge", "orders", "sync"} {
		object := name + "-1.0.0.zip"
		t.equal("whose run it is", object, t.objectOf(inProgress(object)[0].RunID))
	}
	t.sweeps(1)
	t.equal("what was executed", []string(nil), t.ran(held...))
	t.equal("who holds the group", "schema-1.0.0.zip", t.objectOf(t.readGroup("erp").Holder.RunID))
}

func (t *tenant) objectOf(runID string) string {
	for _, c := range t.claims() {
		if c.RunID == runID {
			return c.Object
		}
	}
	return "nobody"
}

// done are the uploads that were over, with their sets.
var done = map[string][]string{
	"rates-1.0.0.zip": {"DE", "FR"}, "ledger-1.0.0.zip": {"DE", "FR"}, "ledger-1.1.0.zip": {"DE", "FR"},
	"sites-1.0.0.zip":   {"DE", "FR", "IT"},
	"invoice-1.0.0.zip": {""}, "invoice-again.zip": {""}, "broken-1.0.0.zip": {""}, "undoes-1.0.0.zip": {""},
	"refused-1.0.0.zip": {""},
	"checked-1.0.0.zip": {""}, "found-1.0.0.zip": {""}, "books-1.0.0.zip": {""}, "notice-1.0.0.zip": {""},
	"receipts-1.0.0.zip": {""},
	"limits-1.0.0.zip":   {""}, "hourly-1.0.0.zip": {""},
}

// An event that comes once more is answered with the first run, and how it ended.
func isDone(t *tenant) {
	for _, object := range slices.Sorted(maps.Keys(done)) {
		var want, got []string
		for _, set := range done[object] {
			r := t.first(object, set)
			want = append(want, fmt.Sprint(r.RunID, " ", r.Status))
		}
		for _, r := range t.answers(t.event(object)) {
			got = append(got, fmt.Sprint(r.RunID, " ", r.Status))
		}
		t.equal("the answer for "+object, want, got)
	}
	again := t.answers(byHand(t.event("limits-1.0.0.zip")))[0]
	t.equal("the parameters of the run by hand", map[string]any{"MAX": json.Number("7")},
		t.results()[again.RunID].Parameters)
	for _, e := range t.executed {
		if _, ok := done[t.objectOf(e.runID)]; ok {
			t.t.Errorf("%s was executed", e.what)
		}
	}
}

// Contents that are applied are not applied again, and it is said which run has.
func sameAgain(t *tenant) {
	for _, object := range []string{"invoice-1.0.0.zip", "rates-1.0.0.zip", "found-1.0.0.zip", "receipts-1.0.0.zip"} {
		t.skipped(object, done[object]...)
	}
	t.equal("what was executed", []string(nil), t.ran("invoice", "rates", "found", "receipts"))
}

// skipped wants an upload of the same bytes to do nothing.
func (t *tenant) skipped(object string, sets ...string) {
	t.t.Helper()
	t.upload("again-"+object, t.Buckets["packages"][object].body, nil)
	results := t.answers(t.event("again-" + object))
	if len(results) != len(sets) {
		t.t.Fatalf("%d runs of %s", len(results), object)
	}
	for i, r := range results {
		first := t.first(object, sets[i])
		t.equal("again "+object+" "+sets[i], fmt.Sprint(evidence.StatusSkipped, " ", first.RunID),
			fmt.Sprint(r.Status, " ", r.PreviousRunID))
	}
}

// sweeps has the schedule's sweeps go on with what is left, and calls those that they ask for.
func (t *tenant) sweeps(times int) {
	t.t.Helper()
	for range times {
		if err := (&keptCall{tenant: t}).sweep(); err != nil {
			t.t.Error(err)
		}
		marks := t.handed
		t.handed = nil
		for _, mark := range marks {
			if _, err := (&keptCall{tenant: t, limit: time.Hour}).run(executor.Request{
				Continue: mark,
				Bucket:   "packages",
			}); err != nil {
				t.t.Error(err)
			}
		}
		time.Sleep(time.Minute)
	}
}

// goesOn ends everything that was begun.
func goesOn(t *tenant) {
	before, claimed, fence := maps.Clone(t.Buckets["results"]), t.claims(), t.readGroup("erp").Fence
	time.Sleep(6 * time.Minute) // the leases are over
	t.sweeps(15)
	t.equal("the group's order", []string{
		"tables DE steps/run.sh", "tables FR steps/run.sh", "bridge steps/run.sh",
	}, t.ran("schema", "tables", "bridge"))
	executed := t.ran()
	slices.Sort(executed)
	t.equal("what was executed", []string{
		"batch steps/run.sh", "bridge steps/run.sh", "early steps/run.sh", "ghost steps/run.sh", "hourly steps/run.sh",
		"invoice steps/run.sh",
		"lengthy steps/run.sh", "orders steps/run.sh", "regions FR steps/run.sh", "retry steps/run.sh",
		"sync steps/run.sh",
		"tables DE steps/run.sh", "tables FR steps/run.sh",
	}, executed)
	t.fenced(fence)
	t.haveEnded(before, claimed)
	t.nothingIsLeft()
	t.nothingNewComes()
}

// fenced wants each run in the group to have a larger fence than all before it.
func (t *tenant) fenced(last int64) {
	for _, e := range t.executed {
		if !slices.Contains([]string{"tables", "bridge"}, e.env["CEMLI_PACKAGE"]) {
			continue
		}
		fence, err := strconv.ParseInt(e.env["CEMLI_FENCE"], 10, 64)
		if err != nil || fence <= last {
			t.t.Errorf("%s has the fence %q after %d", e.what, e.env["CEMLI_FENCE"], last)
		}
		last = fence
	}
}

// haveEnded wants a result of each run that was open, under its run id, beside those that there were.
func (t *tenant) haveEnded(before map[string]*keptObject, claimed []keptClaim) {
	for name, o := range before {
		if now := t.Buckets["results"][name]; now == nil || !bytes.Equal(now.body, o.body) {
			t.t.Errorf("%s was changed", name)
		}
	}
	results := t.results()
	for _, c := range claimed {
		if _, ok := results[c.RunID]; c.RunID != "" && !ok {
			t.t.Errorf("the run %s has no result", c.RunID)
		}
	}
	var got []string
	for id, r := range results {
		if _, ok := before[evidence.ResultObject(id)]; ok {
			continue
		}
		got = append(got,
			strings.Join(strings.Fields(fmt.Sprint(r.Package.Name, " ", r.ParameterSet, " ", r.Attempt, " ", r.Status)),
				" "))
		if t.announced[id] == 0 {
			t.t.Errorf("the run %s was not announced", id)
		}
	}
	slices.Sort(got)
	t.equal("new results", []string{
		"batch 1 success", "bridge 1 success", "early 1 success", "ghost 1 success", "hourly 1 success",
		"invoice 1 success",
		"lengthy 1 success", "orders 1 success", "regions FR 1 success", "retry 1 success", "schema 1 interrupted",
		"sync 1 interrupted", "sync 2 success", "tables DE 1 success", "tables FR 1 success",
	}, got)
	if id := t.first("notice-1.0.0.zip", "").RunID; t.announced[id] == 0 {
		t.t.Error("the run that could not be announced still is not")
	}
}

// nothingIsLeft wants nobody to have anything to do.
func (t *tenant) nothingIsLeft() {
	for name := range t.Buckets["state"] {
		if strings.HasPrefix(name, "open/") {
			t.t.Errorf("%s is left", name)
		}
		if group, ok := strings.CutPrefix(name, "groups/prod/"); ok &&
			len(t.readGroup(strings.TrimSuffix(group, ".json")).Queue) > 0 {
			t.t.Errorf("somebody waits in %s", group)
		}
	}
	for _, c := range t.claims() {
		if c.State != "done" || len(c.Pending) > 0 {
			t.t.Errorf("the claim of %s %s is %s, pending %v", c.Object, c.RunID, c.State, c.Pending)
		}
	}
}

// nothingNewComes wants events that come once more, and the same contents, to do nothing.
func (t *tenant) nothingNewComes() {
	executed, results := len(t.executed), t.results()
	for _, object := range slices.Sorted(maps.Keys(t.Buckets["packages"])) {
		if object == "ancient-1.0.0.zip" {
			continue // its event never came, and uploads before the watch are nobody's
		}
		for _, r := range t.answers(t.event(object)) {
			t.equal("how "+r.RunID+" of "+object+" ended", results[r.RunID].Status, r.Status)
		}
	}
	for _, name := range []string{
		"books", "adopted", "notice", "orders", "batch", "early", "retry", "ghost", "bridge",
	} {
		t.skipped(name+"-1.0.0.zip", "")
	}
	t.skipped("tables-1.0.0.zip", "DE", "FR")
	t.skipped("regions-1.0.0.zip", "DE", "FR")
	t.equal("what was executed besides", 0, len(t.executed)-executed)
}

// wentBack has a run go back to an earlier one, and wants it to execute this alone.
func (t *tenant) wentBack(request executor.Request, previous evidence.Result, script string) execution {
	t.t.Helper()
	for range 2 { // the second request is the same
		r := t.answers(request)[0]
		t.equal("the status", evidence.StatusSuccess, r.Status)
		t.equal("the run that it went back to", previous.RunID, t.results()[r.RunID].PreviousRunID)
	}
	if got := t.ran(); !slices.Equal(got, []string{script}) {
		t.t.Fatalf("executed %q; want %q", got, script)
	}
	return t.executed[0]
}

func undoneAfterwards(t *tenant) {
	previous := t.first("ledger-1.1.0.zip", "FR")
	undo := t.wentBack(t.rollback(previous, "wrong month"), previous, "ledger FR rollback/run.sh")
	t.equal("what the step had saved", "what "+previous.RunID+" replaced\n", undo.found)
	t.equal("its output", previous.RunID, undo.env["CEMLI_OUT_BY"])
	t.upload("ledger-again.zip", t.Buckets["packages"]["ledger-1.1.0.zip"].body, nil)
	for _, r := range t.answers(t.event("ledger-again.zip")) {
		t.equal("after the undo", evidence.StatusSuccess, r.Status)
	}
}

func madeAgain(t *tenant) {
	previous := t.first("rates-1.0.0.zip", "FR")
	t.wentBack(t.rerun(previous, "the target was restored"), previous, "rates FR steps/run.sh")
}

func (t *tenant) resume(previous evidence.Result) executor.Request {
	request := t.goBack(previous, "the table is there now")
	request.ResumeFrom = previous.RunID
	return request
}

func resumedAfterwards(t *tenant) {
	previous := t.first("broken-1.0.0.zip", "")
	step := t.wentBack(t.resume(previous), previous, "broken steps/2-load.sh")
	t.equal("the output of the step before", previous.RunID, step.env["CEMLI_OUT_BY"])
}

func setResumedAfterwards(t *tenant) {
	previous := t.first("sites-1.0.0.zip", "FR")
	t.wentBack(t.resume(previous), previous, "sites FR steps/run.sh")
}

// The result that a later version makes of a run that died says what it did.
func interruptedGoesOn(t *tenant) {
	time.Sleep(6 * time.Minute)
	t.sweeps(5)
	previous := t.first("schema-1.0.0.zip", "")
	var steps []string
	for _, s := range previous.Steps {
		steps = append(steps, fmt.Sprint(s.Run, " ", s.Status))
	}
	t.equal("the steps", []string{"steps/1-create.sh success", "steps/2-fill.sh interrupted"}, steps)
	t.executed = nil
	t.wentBack(t.resume(previous), previous, "schema steps/2-fill.sh")
}

// What was undone may be applied again, and what was not is known.
func staysUndone(t *tenant) {
	t.upload("ledger-again.zip", t.Buckets["packages"]["ledger-1.1.0.zip"].body, nil)
	results := t.answers(t.event("ledger-again.zip"))
	if len(results) != 2 {
		t.t.Fatalf("%d runs", len(results))
	}
	t.equal("the set that was undone", evidence.StatusSuccess, results[0].Status)
	t.equal("the set that was not", t.first("ledger-1.1.0.zip", "FR").RunID, results[1].PreviousRunID)
	t.equal("what was executed", []string{"ledger DE steps/run.sh"}, t.ran("ledger"))
}

// A request by hand that is open is one with the same request, before and after its lease.
func notTaken(t *tenant) {
	again := t.rerun(t.first("invoice-1.0.0.zip", ""), "the target was restored")
	t.equal("while it is leased", evidence.StatusInProgress, t.answers(again)[0].Status)
	t.equal("what was executed", []string(nil), t.ran("invoice"))
	time.Sleep(6 * time.Minute)
	t.equal("afterwards", evidence.StatusSuccess, t.answers(again)[0].Status)
	t.sweeps(5)
	t.equal("what was executed", []string{"invoice steps/run.sh"}, t.ran("invoice"))
}

// What is applied, and under which contents a version began, counts for policy and requirements.
func judged(t *tenant) {
	policy := executor.InlinePolicy("inline", []byte(`{"environment":"prod","version":{"downgrade":"deny"}}`))
	outcome := func(request executor.Request) string {
		results, err := (&keptCall{tenant: t, policy: policy}).run(request)
		if err != nil || len(results) != 1 {
			t.t.Fatal(results, err)
		}
		return fmt.Sprint(results[0].Package.Name, " ", results[0].Status)
	}
	older := t.event(t.add("ledger", "1.0.5", perCountry("DE", "FR"), "steps/run.sh"))
	older.ParameterSet, older.Trigger = "FR", executor.Trigger{Kind: executor.TriggerRequest}
	t.equal("an older version", "ledger rejected", outcome(older))
	changed := testkit.Zip(t.t, map[string]string{
		"manifest.json": `{"name":"broken","version":"1.0.0","type":"extension"}`, "steps/other.sh": "true\n",
	})
	t.upload("broken-changed.zip", changed, nil)
	t.equal("the same version with other contents", "broken rejected", outcome(t.event("broken-changed.zip")))
	t.equal("what needs a failed package", "lacking rejected",
		outcome(t.event(t.add("lacking", "1.0.0", `,"requires":{"broken":"*"}`, "steps/run.sh"))))
	t.equal("what needs an applied one", "content success",
		outcome(t.event(t.add("content", "1.0.0", `,"requires":{"rates":"^1.0.0"}`, "steps/run.sh"))))
	t.equal("what was executed", []string{"content steps/run.sh"}, t.ran())
}
