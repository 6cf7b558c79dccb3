package executor_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/testkit"
)

var fixtureFile = flag.String("fixture.write", "", "write what this version leaves in the buckets to this new file")

// TestWriteFixture writes a file that later versions have to go on from; where none is named, it looks at those
// that there are:
//
//	go test ./executor -run TestWriteFixture -fixture.write testdata/state-v3.json
func TestWriteFixture(t *testing.T) {
	if *fixtureFile == "" {
		for _, file := range fixtures {
			kept, err := loadKeptStore("testdata/" + file)
			if err != nil {
				t.Fatal(err)
			}
			for _, bucket := range []string{"packages", "results", "state"} {
				if len(kept.Buckets[bucket]) == 0 {
					t.Errorf("%s: the bucket %s is empty", file, bucket)
				}
			}
		}
		return
	}
	cryptotest.SetGlobalRandom(t, 1)
	sandbox.Probe() // it is asked once, outside of the bubble
	dir := scratch(t)
	synctest.Test(t, func(t *testing.T) {
		w := newTenant(t, dir, newKeptStore())
		w.history()
		w.swept()
		w.unfinished()
		err := w.save(*fixtureFile)
		w.dying.Wait()
		if err != nil {
			t.Fatal(err)
		}
	})
}

// perCountry are the members of a manifest of a package with a set for each country.
func perCountry(countries ...string) string {
	var sets []string
	for _, c := range countries {
		sets = append(sets, fmt.Sprintf(`%q:{"COUNTRY":%q}`, c, c))
	}
	return `,"parameters":{"COUNTRY":{"type":"string","required":true}},"parameter_sets":{` + strings.Join(sets, ",") +
		`}`
}

// add uploads a package with these scripts.
func (t *tenant) add(name, version, members string, scripts ...string) (object string) {
	contents := map[string]string{
		"manifest.json": fmt.Sprintf(`{"name":%q,"version":%q,"type":"extension"%s}`, name, version, members),
	}
	for _, s := range scripts {
		contents[s] = "#!/bin/bash\necho " + name + "\n"
	}
	object = name + "-" + version + ".zip"
	t.upload(object, testkit.Zip(t.t, contents), nil)
	return object
}

// plain uploads a package of one script.
func (t *tenant) plain(name string) executor.Request {
	return t.event(t.add(name, "1.0.0", "", "steps/run.sh"))
}

// ended has a call end with these states of its runs, in the order of the sets.
func (t *tenant) ended(request executor.Request, want ...evidence.Status) {
	t.t.Helper()
	results, err := (&keptCall{tenant: t}).run(request)
	var got []evidence.Status
	for _, r := range results {
		got = append(got, r.Status)
	}
	if err != nil || !slices.Equal(got, want) {
		t.t.Fatalf("%s ended %v, %v; want %v", request.Object, got, err, want)
	}
	time.Sleep(10 * time.Second)
}

// died has a call die.
func (t *tenant) died(c keptCall, request executor.Request) {
	t.t.Helper()
	c.tenant, c.death = t, make(chan struct{})
	ended := make(chan struct{})
	t.dying.Go(func() { // what it does after its death is waited for at the end alone
		defer close(ended)
		_, _ = c.run(request)
	})
	select {
	case <-c.death:
	case <-ended:
		t.t.Fatalf("%s did not die", request.Object)
	}
}

// goBack is a request by hand that names an earlier run of an object.
func (t *tenant) goBack(previous evidence.Result, reason string) executor.Request {
	return executor.Request{
		Bucket: "packages", Object: previous.SourceObject, ETag: previous.Package.ETag,
		ParameterSet: previous.ParameterSet,
		Reason:       reason, Reference: "INC0000042", Trigger: executor.Trigger{Kind: executor.TriggerRequest},
	}
}

func (t *tenant) rollback(previous evidence.Result, reason string) executor.Request {
	request := t.goBack(previous, reason)
	request.Action, request.RollbackOf = executor.ActionRollback, previous.RunID
	return request
}

func (t *tenant) rerun(previous evidence.Result, reason string) executor.Request {
	request := t.goBack(previous, reason)
	request.RerunOf = previous.RunID
	return request
}

// history is what is over.
func (t *tenant) history() {
	const ok, failed, skipped = evidence.StatusSuccess, evidence.StatusFailed, evidence.StatusSkipped
	t.plain("ancient") // from before the deployment
	time.Sleep(time.Minute)
	if err := (&keptCall{tenant: t}).sweep(); err != nil { // as a deployment does: it begins the watch
		t.t.Fatal(err)
	}
	t.ended(t.event(t.add("rates", "1.0.0", perCountry("DE", "FR"), "steps/run.sh")), ok, ok)
	for _, version := range []string{"1.0.0", "1.1.0"} {
		t.ended(t.event(t.add("ledger", version, perCountry("DE", "FR")+`,"x-since":"`+version+`"`, "steps/run.sh",
			"rollback/run.sh")), ok, ok)
	}
	t.ended(t.rollback(t.first("ledger-1.1.0.zip", "DE"), "wrong chart of accounts"), ok)
	invoice := t.plain("invoice")
	t.ended(invoice, ok)
	t.upload("invoice-again.zip", t.Buckets["packages"][invoice.Object].body, nil)
	t.ended(t.event("invoice-again.zip"), skipped)
	t.failing = "broken steps/2-load.sh"
	t.ended(t.event(t.add("broken", "1.0.0", "", "steps/1-prepare.sh", "steps/2-load.sh")), failed)
	t.failing = "undoes steps/2-load.sh"
	t.ended(t.event(t.add("undoes", "1.0.0", "", "steps/1-prepare.sh", "steps/2-load.sh", "rollback/1-prepare.sh",
		"rollback/2-load.sh")), evidence.StatusRolledBack)
	t.failing = "sites FR steps/run.sh"
	t.ended(t.event(t.add("sites", "1.0.0", perCountry("DE", "FR", "IT"), "steps/run.sh")), ok, failed, skipped)
	t.ended(t.event(t.add("refused", "1.0.0", `,"change_tiket":"CHG0000001"`, "steps/run.sh")), evidence.StatusRejected)
	t.upload("checked-1.0.0.zip", testkit.Zip(t.t, map[string]string{
		"manifest.json": `{"name":"checked","version":"1.0.0","type":"extension"}`, "steps/run.sh": "true\n",
	}),
		map[string]string{"cemli-action": "check", "cemli-reason": "a look first"})
	t.ended(t.event("checked-1.0.0.zip"), ok)
	limits := t.event(t.add("limits", "1.0.0", `,"parameters":{"MAX":{"type":"integer","default":1}}`, "steps/run.sh"))
	t.ended(limits, ok)
	t.ended(byHand(limits), ok)
	t.ended(t.event(t.add("hourly", "1.0.0", `,"idempotent":true`, "steps/run.sh")), ok)
}

// byHand is a request by hand with a parameter.
func byHand(request executor.Request) executor.Request {
	request.Trigger = executor.Trigger{Kind: executor.TriggerRequest}
	request.Parameters = map[string]json.RawMessage{"MAX": json.RawMessage("7")}
	request.Reason, request.Reference = "month end", "CHG0000002"
	return request
}

// swept leaves a sweep in the middle of the uploads: one that it found took long, and the next one
// waits for the next sweep.
func (t *tenant) swept() {
	t.plain("found")
	t.plain("ghost")
	t.slow = "found"
	if err := (&keptCall{tenant: t, alone: true}).sweep(); err != nil {
		t.t.Fatal(err)
	}
	t.slow = ""
	if _, ok := t.Buckets["state"]["sweep/prod.json"]; !ok ||
		t.first("found-1.0.0.zip", "").Status != evidence.StatusSuccess {
		t.t.Fatal("the sweep did not end in the middle")
	}
}

// unfinished is what is not over.
func (t *tenant) unfinished() {
	t.followers()
	t.released()
	t.group()
	t.claimed()
	state := slices.Sorted(maps.Keys(t.Buckets["state"]))
	t.t.Logf("at %s: %s", time.Now().UTC(), strings.Join(state, "\n\t"))
}

// followers are runs that have a result, but not all that follows one.
func (t *tenant) followers() {
	for _, c := range []keptCall{{fail: "put state/packages/prod/books"}, {silent: true}} {
		c.tenant = t
		name := "books"
		if c.silent {
			name = "notice"
		}
		if results, err := c.run(t.plain(name)); err != nil || results[0].Status != evidence.StatusSuccess {
			t.t.Fatal(results, err)
		}
	}
	t.died(keptCall{dieBefore: "delete state/open/"}, t.plain("receipts")) // all is done but for its mark
	// its result is there, and its claim does not know
	t.died(keptCall{dieBefore: "put state/packages/prod/adopted"}, t.plain("adopted"))
}

// released are requests that are open, and that nobody has.
func (t *tenant) released() {
	busy := &keptCall{tenant: t, fail: "get state/packages/prod/retry"}
	if results, err := busy.run(t.plain("retry")); err == nil {
		t.t.Fatal(results)
	}
	t.ended(t.event(t.add("lengthy", "1.0.0", `,"timeout":"10m"`, "steps/run.sh")), evidence.StatusInProgress)
	if len(t.handed) != 1 {
		t.t.Fatal("it was not handed on: ", t.handed)
	}
	late := &keptCall{tenant: t}
	ctx, cancel := late.context()
	defer cancel()
	if r, err := late.executor().Later(ctx, t.plain("batch")); err != nil {
		t.t.Fatal(r, err)
	}
	t.died(keptCall{dieBefore: "put state/claims/"}, t.plain("early"))
}

// unwritten is by how much ETags are moved on, which gives the marks of packages after that another order.
const unwritten = 1

// group is a concurrency group with a run that died in its second step, and a queue in another order
// than that of the events.
func (t *tenant) group() {
	const erp = `,"concurrency":{"group":"erp"}`
	schema := t.event(t.add("schema", "1.0.0", erp, "steps/1-create.sh", "steps/2-fill.sh"))
	t.Writes += unwritten
	tables := t.event(t.add("tables", "1.0.0", erp+perCountry("DE", "FR"), "steps/run.sh"))
	bridge := t.event(t.add("bridge", "1.0.0", erp, "steps/run.sh"))
	t.died(keptCall{dieIn: "schema steps/2-fill.sh"}, schema)
	t.ended(bridge, evidence.StatusInProgress)
	t.ended(tables, evidence.StatusInProgress)
	if first := t.openMarks("bridge", "tables"); first[0] != "bridge" {
		t.t.Fatalf("the order of the marks is that of the queue, %v: choose another number", first)
	}
	t.died(keptCall{dieIn: "sync steps/run.sh"}, t.event(t.add("sync", "1.0.0", `,"idempotent":true`, "steps/run.sh")))
}

// openMarks lists the packages of the marks, of these packages, in the order of the marks' names.
func (t *tenant) openMarks(packages ...string) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(t.Buckets["state"])) {
		for _, p := range packages {
			if strings.HasPrefix(name, "open/") &&
				bytes.Contains(t.Buckets["state"][name].body, []byte(`"`+p+`-1.0.0.zip"`)) {
				list = append(list, p)
			}
		}
	}
	return list
}

// claimed are requests under a lease whose calls died before the first step.
func (t *tenant) claimed() {
	const entering = "put state/groups/"
	t.died(keptCall{dieBefore: entering}, t.plain("orders"))
	regions := t.event(t.add("regions", "1.0.0", perCountry("DE", "FR"), "steps/run.sh"))
	t.died(keptCall{dieBefore: entering, skip: 2}, regions) // as the second set enters
	hourly := t.event("hourly-1.0.0.zip")
	hourly.Trigger, hourly.OncePer = executor.Trigger{Kind: executor.TriggerRequest}, 5*time.Minute
	t.died(keptCall{dieBefore: entering}, hourly)
	t.died(keptCall{dieBefore: entering}, t.rerun(t.first("invoice-1.0.0.zip", ""), "the target was restored"))
}
