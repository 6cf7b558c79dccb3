package executor_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
)

// asked runs a request by hand and returns all results, which are stored.
func (b *bench) asked(change func(*executor.Request)) []evidence.Result {
	b.t.Helper()
	q := executor.Request{Bucket: "packages", Trigger: executor.Trigger{Kind: executor.TriggerRequest}}
	change(&q)
	results, err := executor.New(b.config).Run(b.t.Context(), q)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range results {
		if r.RunID != "" && r.Status != evidence.StatusInProgress {
			b.stored(r.RunID)
		}
	}
	return results
}

// back goes back to a run in a way, with nothing but a reason.
func (b *bench) back(way func(q *executor.Request, id string), id, reason string) evidence.Result {
	b.t.Helper()
	results := b.asked(func(q *executor.Request) { way(q, id); q.Reason = reason })
	if len(results) != 1 {
		b.t.Fatalf("%d runs went back to one", len(results))
	}
	return results[0]
}

func rerunOf(q *executor.Request, id string)  { q.RerunOf = id }
func resumeOf(q *executor.Request, id string) { q.ResumeFrom = id }
func rollBackOf(q *executor.Request, id string) {
	q.Action, q.RollbackOf = executor.ActionRollback, id
}

func applyAgain(q *executor.Request, id string) { q.Action, q.RollbackOf = executor.ActionApply, id }

// uploaded uploads a package and delivers its event.
func (b *bench) uploaded(object string, contents files) []evidence.Result {
	b.t.Helper()
	info := b.upload(object, pack(b.t, contents), store.PutOptions{})
	results, err := executor.New(b.config).Run(b.t.Context(), event(object, info.ETag))
	if err != nil {
		b.t.Fatal(err)
	}
	return results
}

func (b *bench) wants(what string, r evidence.Result, status evidence.Status, code string) {
	b.t.Helper()
	got := ""
	if r.Error != nil {
		got = r.Error.Code
	}
	if r.Status != status || got != code {
		b.t.Errorf("%s: %s %s, %s; want %s %s", what, r.Status, got, r.Message, status, code)
	}
}

const threeSets = `"parameters":{"C":{"type":"string"}},"parameter_sets":{"BR":{"C":"br"},"DE":{"C":"de"},` +
	`"FR":{"C":"fr"}}`

// A run that goes back takes its parameter set from the run that it names, and leaves one result.
func TestARerunIsOfTheSameSet(t *testing.T) {
	b := newBench(t)
	mended := filepath.Join(t.TempDir(), "mended")
	b.config.Sandbox = sandbox.LevelNone // the script looks at a file outside
	all := b.uploaded("sets-1.0.0.zip", with(threeSets, files{
		"steps/run.sh": "echo $CEMLI_PARAM_C; [ $CEMLI_PARAM_C != de ] || [ -e " + mended + " ]",
	}))
	if got := fmt.Sprint(all[0].Status, all[1].Status, all[2].Status); got != "successfailedskipped" {
		t.Fatal(got)
	}
	if err := os.WriteFile(mended, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := b.resultsStored()
	r := b.back(rerunOf, all[1].RunID, "mended")
	if r.Status != evidence.StatusSuccess || r.ParameterSet != "DE" || r.Execution.Stdout != "de\n" ||
		r.PreviousRunID != all[1].RunID {
		t.Errorf("status %s, set %q, stdout %q, %s", r.Status, r.ParameterSet, r.Execution.Stdout, r.Message)
	}
	b.wants("no such run", b.back(rerunOf, "20260101T000000Z-sets-000000000000", "x"), evidence.StatusRejected,
		"request.unknown_run")
	if n := b.resultsStored() - before; n != 2 {
		t.Errorf("%d results of a rerun and of one that is refused; want one each", n)
	}
}

func TestARerunTakesTheParameters(t *testing.T) {
	b := newBench(t)
	contents := with(`"parameters":{"LEDGER":{"type":"integer","default":1},`+
		`"LONG":{"type":"number","default":0.12345678901234567890123},"RATE":{"type":"number","default":1.50}}`,
		files{"steps/run.sh": "echo $CEMLI_PARAM_LEDGER $CEMLI_PARAM_LONG $CEMLI_PARAM_RATE"})
	first := b.asks(contents, func(q *executor.Request) {
		q.Parameters = map[string]json.RawMessage{"LEDGER": []byte("4711")}
	})[0]
	if r := b.back(rerunOf, first.RunID, "again"); r.Status != evidence.StatusSuccess ||
		r.Execution.Stdout != "4711 0.12345678901234567890123 1.50\n" {
		t.Errorf("status %s, stdout %q", r.Status, r.Execution.Stdout)
	}
	with := func(name, value string) evidence.Result {
		return b.asked(func(q *executor.Request) {
			q.RerunOf, q.Reason, q.Parameters = first.RunID, "with "+name+
				value, map[string]json.RawMessage{name: []byte(value)}
		})[0]
	}
	b.wants("another value", with("LEDGER", "4712"), evidence.StatusRejected, "request.differs")
	b.wants("a name that it had not", with("LEDGR", "4711"), evidence.StatusRejected, "request.differs")
	b.wants("the same value", with("RATE", "15e-1"), evidence.StatusSuccess, "")
}

// What the request names besides the run must agree with it; codes that have changed say what they were.
func TestWhatARequestNamesBesides(t *testing.T) {
	b := newBench(t)
	first := b.uploaded("a-1.0.0.zip", with(threeSets, files{"steps/run.sh": "true"}))[1]
	b.uploaded("b-1.0.0.zip", files{"steps/run.sh": "true"})
	for name, change := range map[string]func(*executor.Request){
		"object": func(q *executor.Request) { q.Object = "b-1.0.0.zip" },
		"set":    func(q *executor.Request) { q.ParameterSet = "FR" },
		"action": func(q *executor.Request) { q.Action = executor.ActionDryRun },
	} {
		r := b.asked(func(q *executor.Request) { q.RerunOf, q.Reason = first.RunID, name; change(q) })[0]
		b.wants(name, r, evidence.StatusRejected, "request.differs")
		if r.Error != nil && (r.Error.Was != "trigger.previous_run" || r.Error.Hint == "") {
			t.Errorf("%s: was %q, hint %q", name, r.Error.Was, r.Error.Hint)
		}
	}
	r := b.asked(func(q *executor.Request) {
		q.RerunOf, q.Reason, q.Action = first.RunID, "the same", executor.ActionApply
		q.Object, q.ParameterSet = "a-1.0.0.zip", "DE"
	})[0]
	b.wants("the same", r, evidence.StatusSuccess, "")
}

// The contents are those that ran, also after their object was overwritten or deleted.
func TestARerunIsOfTheSameContents(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		b := newBench(t)
		b.config.KeepPackages = keeps
		first := b.uploaded("chg-1.0.0.zip", files{"steps/run.sh": "echo A"})[0]
		b.upload("chg-1.0.0.zip", pack(t, files{"steps/run.sh": "echo B"}), store.PutOptions{})
		r := b.asked(func(q *executor.Request) {
			q.Object, q.RerunOf, q.Reason = "chg-1.0.0.zip", first.RunID, "again"
		})[0]
		if !keeps {
			b.wants("no copy was kept", r, evidence.StatusRejected, "request.gone")
			b.upload("chg-1.0.0.zip", b.zip(first), store.PutOptions{})
			r = b.back(rerunOf, first.RunID, "uploaded again")
		}
		if r.Status != evidence.StatusSuccess || r.Execution.Stdout != "A\n" ||
			r.Package.SHA256 != first.Package.SHA256 {
			t.Errorf("keeps %v: status %s, %s, stdout %q", keeps, r.Status, r.Message, r.Execution.Stdout)
		}
		if err := b.packages.Delete(t.Context(), "chg-1.0.0.zip", ""); err != nil {
			t.Fatal(err)
		}
		want := map[bool]evidence.Status{true: evidence.StatusSuccess, false: evidence.StatusRejected}[keeps]
		if r := b.back(rerunOf, first.RunID, "deleted"); r.Status != want {
			t.Errorf("keeps %v, deleted: status %s, %s", keeps, r.Status, r.Message)
		}
	}
}

// zip makes the zip of the A package above again: packing is deterministic.
func (b *bench) zip(r evidence.Result) []byte {
	doc := pack(b.t, files{"steps/run.sh": "echo A"})
	if sum := sha256.Sum256(doc); hex.EncodeToString(sum[:]) != r.Package.SHA256 {
		b.t.Fatal("the zip is another one")
	}
	return doc
}

// Copies are made of what is applied, and of the policies, before the first step; not of what may hold a
// secret, nor of what changes nothing.
func TestCopies(t *testing.T) {
	b := newBench(t)
	policy := []byte(`{"environment":"test"}`)
	b.config.Policy = executor.InlinePolicy("inline", policy)
	var there []string
	b.config.Spawn = func(_ context.Context, c sandbox.Command) (sandbox.Outcome, error) {
		there = append(b.names(b.results, "packages/"), b.names(b.results, "policies/")...)
		return sandbox.Outcome{}, nil
	}
	b.asks(files{"steps/run.sh": "true", "x": "dry"}, func(q *executor.Request) { q.Action = executor.ActionCheck })
	if kept := b.names(b.results, "packages/"); len(kept) != 0 {
		t.Errorf("a check keeps %v", kept)
	}
	zip := pack(t, files{"steps/run.sh": "true"})
	info := b.upload("a.zip", zip, store.PutOptions{})
	r := b.again(event("a.zip", info.ETag))
	sum := sha256.Sum256(policy)
	want := []string{"packages/" + r.Package.SHA256 + ".zip", "policies/" + hex.EncodeToString(sum[:]) + ".json"}
	if !slices.Equal(there, want) || b.object(want[0]) != string(zip) || b.object(want[1]) != string(policy) {
		t.Errorf("before the first step there were %v; want %v", there, want)
	}
	b.asks(with(`"parameters":{"PW":{"type":"string","sensitive":true,"default":"s3cret-default"}}`,
		files{"steps/run.sh": "true"}), nil)
	if kept := b.names(b.results, "packages/"); len(kept) != 1 {
		t.Errorf("kept: %v; want no copy of a package with a secret in it", kept)
	}
}

func (b *bench) names(bucket store.Bucket, prefix string) []string {
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

// A copy that cannot be made stops the run before its first step.
func TestWithoutACopyNothingRuns(t *testing.T) {
	b := newBench(t)
	b.config.Results = faulty{Bucket: b.results, put: func(name string) error {
		if strings.HasPrefix(name, "packages/") {
			return store.Error(store.ErrUnavailable, "put", "results", name, nil)
		}
		return nil
	}}
	info := b.upload("a.zip", pack(t, files{"steps/run.sh": "true"}), store.PutOptions{})
	if r, err := b.run(t.Context(), event("a.zip", info.ETag)); err == nil || r.Execution.Ran {
		t.Errorf("status %s, ran %v, error %v", r.Status, r.Execution.Ran, err)
	}
	b.config.Results = b.results
	if r := b.again(event("a.zip", info.ETag)); r.Status != evidence.StatusSuccess {
		t.Errorf("tried again: %s, %s", r.Status, r.Message)
	}
}

// backup has a step without an undo before one that has one.
func backup(version string, more ...string) files {
	return files{
		"manifest.json": fmt.Sprintf(`{"name":"chg","version":%q,"type":"extension"%s}`, version,
			strings.Join(more, "")),
		"steps/01-backup.sh": "echo backup", "steps/02-apply.sh": "echo apply", "rollback/02-apply.sh": "echo undo",
	}
}

// What was rolled back is not applied any more, whatever had no undo: the same may be applied again, and
// who requires it waits.
func TestWhatWasRolledBackIsNotApplied(t *testing.T) {
	b := newBench(t)
	first := b.uploaded("chg-1.0.0.zip", backup("1.0.0"))[0]
	back := b.back(rollBackOf, first.RunID, "wrong")
	if back.Status != evidence.StatusSuccess || !slices.Equal(back.Rollback.WithoutUndo, []string{"01-backup"}) {
		t.Fatalf("status %s, %s, %+v", back.Status, back.Message, back.Rollback)
	}
	needs := func() evidence.Result {
		return b.uploaded("needs.zip", files{
			"manifest.json": `{"name":"needs","version":"1.0.0","type":"extension","requires":{"chg":">=1"}}`,
			"steps/run.sh":  "true",
		})[0]
	}
	b.wants("a package that requires it", needs(), evidence.StatusRejected, "manifest.requires")
	b.wants("a second rollback", b.back(rollBackOf, first.RunID, "once more"), evidence.StatusRejected,
		"rollback.undone")
	again := b.uploaded("chg-1.0.0.zip", backup("1.0.0"))[0]
	b.wants("the same upload again", again, evidence.StatusSuccess, "")
	b.wants("a package that requires it", needs(), evidence.StatusSuccess, "")
	b.wants("a repeat", b.uploaded("chg-1.0.0.zip", backup("1.0.0"))[0], evidence.StatusSkipped, "")
	third := b.back(rerunOf, again.RunID, "once more")
	b.wants("the rollback of a run that another followed", b.back(rollBackOf, again.RunID, "wrong"),
		evidence.StatusRejected, "rollback.not_latest")
	b.wants("the rollback of that one", b.back(rollBackOf, third.RunID, "wrong"), evidence.StatusSuccess, "")
	b.wants("then of the first", b.back(rollBackOf, again.RunID, "wrong, too"), evidence.StatusSuccess, "")
	b.wants("and the same again", b.uploaded("chg-1.0.0.zip", backup("1.0.0"))[0], evidence.StatusSuccess, "")
	b.wants("a rollback of a rollback", b.back(rollBackOf, back.RunID, "x"), evidence.StatusRejected,
		"rollback.of_rollback")
}

// Nothing goes back underneath a later run, unless somebody says so.
func TestNothingGoesBackUnderneath(t *testing.T) {
	b := newBench(t)
	first := b.uploaded("chg-1.0.0.zip", backup("1.0.0"))[0]
	second := b.uploaded("chg-1.1.0.zip", backup("1.1.0"))[0]
	for name, way := range map[string]func(*executor.Request, string){"rollback": rollBackOf, "rerun": rerunOf} {
		r := b.back(way, first.RunID, "x")
		b.wants(name, r, evidence.StatusRejected, "rollback.not_latest")
		if !strings.Contains(r.Message, second.RunID) || r.Execution.Ran {
			t.Errorf("%s does not name the later run: %s", name, r.Message)
		}
	}
	forced := b.asked(func(q *executor.Request) {
		rollBackOf(q, first.RunID)
		q.Reason, q.Force = "the ledger was dropped", true
	})[0]
	b.wants("with force", forced, evidence.StatusSuccess, "")
	b.wants("what is applied still", b.uploaded("chg-1.1.0.zip", backup("1.1.0"))[0], evidence.StatusSkipped, "")
	b.wants("then of the second", b.back(rollBackOf, second.RunID, "y"), evidence.StatusSuccess, "")
	b.wants("the first again", b.uploaded("chg-1.0.0.zip", backup("1.0.0"))[0], evidence.StatusSuccess, "")
}

// In every example environment there is a way back to an earlier version, which is that one again.
func TestTheWayBackToAnEarlierVersion(t *testing.T) {
	for _, environment := range []string{"dev", "test", "prod"} {
		t.Run(environment, func(t *testing.T) {
			b := newBench(t)
			doc, err := os.ReadFile(filepath.Join("..", "examples", "policies", environment+".json"))
			if err != nil {
				t.Fatal(err)
			}
			b.config.Environment, b.config.Policy = environment, executor.InlinePolicy("inline", unfrozen(t, doc))
			admitted := `,"change_ticket":"CHG0012345","owner":"erp","description":"x","network":false`
			first := b.uploaded("chg-1.0.0.zip", backup("1.0.0", admitted))[0]
			second := b.uploaded("chg-1.1.0.zip", backup("1.1.0", admitted))[0]
			if first.Status != evidence.StatusSuccess || second.Status != evidence.StatusSuccess {
				t.Fatalf("%s %s; %s %s", first.Status, first.Message, second.Status, second.Message)
			}
			left := b.asked(func(q *executor.Request) {
				applyAgain(q, second.RunID)
				q.Object, q.Reason = "chg-1.0.0.zip", "as it was until now"
			})[0]
			b.wants("the run to be left", left, evidence.StatusRejected, "request.differs")
			if left.Error == nil || !strings.Contains(left.Error.Hint, first.RunID) {
				t.Errorf("it does not say which run to name: %+v", left.Error)
			}
			again := b.asked(func(q *executor.Request) {
				applyAgain(q, first.RunID)
				q.Object, q.Reason = "chg-1.0.0.zip", "1.1.0 is slow"
			})[0]
			if again.Status != evidence.StatusSuccess || again.Package.Version != "1.0.0" || !again.Execution.Ran {
				t.Fatalf("the version before: %s, %s", again.Status, again.Message)
			}
			// Now 1.0.0 is what is applied, so 1.1.0 is an upgrade again, and no repeat.
			if r := b.uploaded("chg-1.1.0.zip", backup("1.1.0", admitted))[0]; r.Status != evidence.StatusSuccess {
				t.Errorf("forward again: %s, %s", r.Status, r.Message)
			}
		})
	}
}

// unfrozen is a policy without its freezes, which would hold at some times only.
func unfrozen(t *testing.T, doc []byte) []byte {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(doc, &members); err != nil {
		t.Fatal(err)
	}
	delete(members, "freeze")
	doc, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// The same request is the same run: by its id, else by its reason.
func TestTheSameRequest(t *testing.T) {
	b := newBench(t)
	contents := files{"steps/run.sh": "echo ran"}
	first := b.uploaded("chg-1.0.0.zip", contents)[0]
	rerun := func(reason, id string) evidence.Result {
		return b.asked(func(q *executor.Request) { q.RerunOf, q.Reason, q.RequestID = first.RunID, reason, id })[0]
	}
	one := rerun("the network was down", "")
	if one.Status != evidence.StatusSuccess || one.Duplicate || one.RunID == first.RunID {
		t.Fatalf("%s, %s", one.Status, one.Message)
	}
	if same := rerun("the network was down", ""); same.RunID != one.RunID || !same.Duplicate ||
		same.Status != evidence.StatusSuccess {
		t.Errorf("the same reason: run %s, duplicate %v, %s", same.RunID, same.Duplicate, same.Status)
	}
	other := rerun("and again", "")
	if other.RunID == one.RunID || other.Duplicate || !other.Execution.Ran {
		t.Errorf("another reason: run %s, duplicate %v, ran %v, %s", other.RunID, other.Duplicate, other.Execution.Ran,
			other.Message)
	}
	withID, sameID := rerun("x", "id-1"), rerun("another reason", "id-1")
	if withID.RunID == other.RunID || sameID.RunID != withID.RunID || !sameID.Duplicate {
		t.Errorf("by id: %s, then %s, duplicate %v", withID.RunID, sameID.RunID, sameID.Duplicate)
	}
	for _, r := range []evidence.Result{one, other, withID} {
		if stored := b.stored(r.RunID); stored.Duplicate || len(stored.RequestKey) != 12 ||
			!strings.Contains(r.RunID, stored.RequestKey) {
			t.Errorf("stored: duplicate %v, request key %q of run %s", stored.Duplicate, stored.RequestKey, r.RunID)
		}
	}
	// Without going back, an id makes an upload's content a request of its own, which is a repeat.
	alone := b.asked(func(q *executor.Request) {
		q.Object, q.Action, q.RequestID = "chg-1.0.0.zip", executor.ActionApply, "id-2"
	})[0]
	b.wants("an id alone", alone, evidence.StatusSkipped, "")
}

// The runs of one upload share a request key.
func TestSetsShareARequestKey(t *testing.T) {
	b := newBench(t)
	all := b.uploaded("sets.zip", with(threeSets, files{"steps/run.sh": "true"}))
	for _, r := range all {
		if r.RequestKey != all[0].RequestKey || len(r.RequestKey) != 12 ||
			b.stored(r.RunID).RequestKey != r.RequestKey {
			t.Errorf("request keys %q and %q", all[0].RequestKey, r.RequestKey)
		}
	}
}

// Metadata speaks for uploads; who asks by hand means what he says.
func TestMetadataIsTheUploaders(t *testing.T) {
	b := newBench(t)
	info := b.upload("chg.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{
		Metadata: map[string]string{"cemli-action": "check"},
	})
	if r := b.again(request("chg.zip", info.ETag)); r.Action != "apply" || !r.Execution.Ran {
		t.Errorf("by hand: %s, ran %v, %s", r.Action, r.Execution.Ran, r.Message)
	}
	if r := b.again(event("chg.zip", info.ETag)); r.Action != "check" || r.Execution.Ran {
		t.Errorf("the upload: %s, ran %v, %s", r.Action, r.Execution.Ran, r.Message)
	}
	if s := b.again(event("chg.zip", info.ETag)).Summarize("results"); s.Action != "check" {
		t.Errorf("the answer says %q", s.Action)
	}
}

// The set that an upload's metadata names is in its evidence.
func TestTheSetOfTheMetadataIsInTheResult(t *testing.T) {
	b := newBench(t)
	info := b.upload("sets.zip", pack(t, with(threeSets, files{"steps/run.sh": "true"})),
		store.PutOptions{Metadata: map[string]string{"cemli-parameter-set": "DE"}})
	r := b.again(event("sets.zip", info.ETag))
	if r.ParameterSet != "DE" || b.stored(r.RunID).ParameterSet != "DE" {
		t.Errorf("the result is of the set %q; want DE (%s)", r.ParameterSet, r.Message)
	}
}

// The answer to a rollback lists what was undone.
func TestTheAnswerOfARollback(t *testing.T) {
	b := newBench(t)
	first := b.uploaded("chg-1.0.0.zip", backup("1.0.0"))[0]
	s := b.back(rollBackOf, first.RunID, "x").Summarize("results")
	if s.Rollback == nil || len(s.Rollback.Steps) != 1 || s.Rollback.Steps[0].Name != "02-apply" ||
		s.Rollback.Steps[0].Status != evidence.StepSuccess || s.PreviousRunID != first.RunID {
		t.Errorf("%+v", s)
	}
}

// A request that its form may not make says nothing of the upload.
func TestARefusalForTheFormAlone(t *testing.T) {
	b := newBench(t)
	b.config.Policy = executor.InlinePolicy("inline", []byte(`{"environment":"test","actions":{"event":["apply"]}}`))
	info := b.upload("chg.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
	b.wants("by hand", b.again(request("chg.zip", info.ETag)), evidence.StatusRejected, "policy.action")
	if r := b.again(event("chg.zip", info.ETag)); r.Status != evidence.StatusSuccess || !r.Execution.Ran {
		t.Errorf("its own event: %s, %s", r.Status, r.Message)
	}
	b.config.Policy = executor.InlinePolicy("inline", []byte(`{"environment":"test","actions":{"request":["apply"]}}`))
	later := b.upload("later.zip", pack(t, files{
		"manifest.json": strings.Replace(manifestJSON, "1.0.0", "1.1.0", 1), "steps/run.sh": "echo later",
	}), store.PutOptions{})
	b.wants("an event", b.again(event("later.zip", later.ETag)), evidence.StatusRejected, "policy.action")
	if swept := b.sweep(); len(swept.Runs) != 0 {
		t.Errorf("a sweep asks again for what events may not: %+v", swept.Runs)
	}
	b.wants("by hand then", b.again(request("later.zip", later.ETag)), evidence.StatusSuccess, "")
}

// Only the latest run of a set is gone on with, and only if it left something half done.
func TestResumeIsOfTheLatest(t *testing.T) {
	b := newBench(t)
	mended := filepath.Join(t.TempDir(), "mended")
	b.config.Sandbox = sandbox.LevelNone // a step looks at a file outside
	contents := func(more string) files {
		return with(`"on_failure":"stop"`, files{
			"steps/1.sh": "echo one", "steps/2.sh": "[ -e " + mended + " ]", "rollback/1.sh": "echo undone", "x": more,
		})
	}
	first := b.uploaded("a.zip", contents("a"))[0]
	second := b.uploaded("b.zip", contents("b"))[0]
	r := b.back(resumeOf, first.RunID, "x")
	b.wants("an earlier one", r, evidence.StatusRejected, "rollback.not_latest")
	if !strings.Contains(r.Message, second.RunID) {
		t.Errorf("it does not name the later run: %s", r.Message)
	}
	if err := os.WriteFile(mended, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	resumed := b.back(resumeOf, second.RunID, "mended")
	b.wants("the latest", resumed, evidence.StatusSuccess, "")
	b.wants("one that was gone on with", b.back(resumeOf, second.RunID, "twice"), evidence.StatusRejected,
		"rollback.not_latest")
	// The resumed run has done all of it: its rollback undoes the step of the first one, too.
	undone := b.back(rollBackOf, resumed.RunID, "wrong")
	if undone.Status != evidence.StatusSuccess || undone.Execution.Stdout != "undone\n" {
		t.Errorf("rollback: %s, %s, %q", undone.Status, undone.Message, undone.Execution.Stdout)
	}
	b.wants("now the first is the latest", b.back(resumeOf, first.RunID, "mended"), evidence.StatusSuccess, "")
}

// A pre-check that fails changes nothing: the version may be uploaded again, mended.
func TestAFailedPrecheckChangesNothing(t *testing.T) {
	b := newBench(t)
	b.config.Policy = executor.InlinePolicy("inline", []byte(`{"environment":"test","version":{"reuse":"deny"}}`))
	r := b.uploaded("a.zip", files{"prechecks/p.sh": "exit 1", "steps/run.sh": "true"})[0]
	b.wants("a failing pre-check", r, evidence.StatusFailed, "step.failed")
	b.wants("there is nothing to go on with", b.back(resumeOf, r.RunID, "x"), evidence.StatusRejected,
		"request.not_partial")
	b.wants("mended", b.uploaded("a.zip", files{
		"prechecks/p.sh": "true", "steps/run.sh": "true",
	})[0], evidence.StatusSuccess, "")
	b.wants("build metadata is no other version", b.uploaded("b.zip", files{
		"manifest.json": strings.Replace(manifestJSON, "1.0.0", "1.0.0+b", 1), "steps/run.sh": "echo other",
	})[0],
		evidence.StatusRejected, "policy.reuse")
}

// The rollback that failed half way goes on where it failed.
func TestARollbackIsFinished(t *testing.T) {
	b := newBench(t)
	mended := filepath.Join(t.TempDir(), "mended")
	b.config.Sandbox = sandbox.LevelNone // an undo looks at a file outside
	contents := func() files {
		return files{
			"steps/1.sh": "true", "steps/2.sh": "true", "rollback/1.sh": "echo undo 1; [ -e " + mended + " ]",
			"rollback/2.sh": "echo undo 2",
		}
	}
	first := b.uploaded("a.zip", contents())[0]
	b.wants("the first try", b.back(rollBackOf, first.RunID, "wrong"), evidence.StatusFailed, "step.failed")
	b.wants("what is half undone is not applied", b.uploaded("a.zip", contents())[0], evidence.StatusSuccess, "")
	second := b.uploaded("a.zip", contents())[0]
	b.wants("a repeat of that", second, evidence.StatusSkipped, "")
	b.back(rollBackOf, second.PreviousRunID, "away")
	if err := os.WriteFile(mended, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.wants("the later one first", b.back(rollBackOf, first.RunID, "too early"), evidence.StatusRejected,
		"rollback.not_latest")
	b.wants("its second try", b.back(rollBackOf, second.PreviousRunID, "mended"), evidence.StatusSuccess, "")
	r := b.back(rollBackOf, first.RunID, "mended")
	if r.Status != evidence.StatusSuccess || r.Execution.Stdout != "undo 1\n" ||
		r.Message != "1 undo script succeeded" {
		t.Errorf("status %s, %s, stdout %q", r.Status, r.Message, r.Execution.Stdout)
	}
}

// A set that fails does not stop the others where the package says so.
func TestSetsGoOnAfterAFailure(t *testing.T) {
	b := newBench(t)
	contents := func() files {
		return with(threeSets+`,"on_set_failure":"continue"`, files{"steps/run.sh": "[ $CEMLI_PARAM_C != br ]"})
	}
	for range 2 { // the second time as a duplicate
		info, err := b.packages.Head(t.Context(), "sets.zip")
		if err != nil {
			info = b.upload("sets.zip", pack(t, contents()), store.PutOptions{})
		}
		results, err := executor.New(b.config).Run(t.Context(), event("sets.zip", info.ETag))
		if err != nil || len(results) != 3 || results[0].Status != evidence.StatusFailed ||
			results[1].Status != evidence.StatusSuccess || results[2].Status != evidence.StatusSuccess {
			t.Fatalf("%d results, %v", len(results), err)
		}
	}
}

// A package is required in the same set where it has that, else in all that it declares.
func TestRequiresBySets(t *testing.T) {
	b := newBench(t)
	mended := filepath.Join(t.TempDir(), "mended")
	b.config.Sandbox = sandbox.LevelNone // a step looks at a file outside
	base := func(version string) files {
		return files{
			"manifest.json": `{"name":"base","version":"` + version +
				`","type":"extension","parameter_sets":{"DE":{},"FR":{}},"on_set_failure":"continue"}`,
			"steps/run.sh": "[ -e " + mended + " ]",
		}
	}
	needs := func(name, sets string) []evidence.Result {
		return b.uploaded(name+".zip", files{
			"manifest.json": `{"name":"` + name + `","version":"1.0.0","type":"extension","requires":{"base":">=1"}` +
				sets + `}`, "steps/run.sh": "true",
		})
	}
	b.uploaded("base-1.0.0.zip", base("1.0.0"))
	b.wants("nothing is applied", needs("early", "")[0], evidence.StatusRejected, "manifest.requires")
	if err := os.WriteFile(mended, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	only := b.asked(func(q *executor.Request) {
		q.Object, q.Action, q.ParameterSet, q.RequestID = "base-1.0.0.zip", executor.ActionApply, "DE", "DE"
	})
	b.wants("one set", only[0], evidence.StatusSuccess, "")
	b.wants("all that it declares", needs("alone", "")[0], evidence.StatusRejected, "manifest.requires")
	sets := needs("same", `,"parameter_sets":{"DE":{},"FR":{}}`)
	b.wants("the same set", sets[0], evidence.StatusSuccess, "")
	b.wants("the other set", sets[1], evidence.StatusRejected, "manifest.requires")
	b.asked(func(q *executor.Request) {
		q.Object, q.Action, q.ParameterSet, q.RequestID = "base-1.0.0.zip", executor.ActionApply, "FR", "FR"
	})
	b.wants("all of them", needs("alone", "")[0], evidence.StatusSuccess, "")
}

// An upload that was replaced or deleted before its run began does not run, and says what is there now.
func TestAnUploadThatWasReplacedWhileItWaited(t *testing.T) {
	for _, how := range []string{"replaced", "deleted"} {
		b := newBench(t)
		var now store.Info
		group := `"concurrency":{"group":"g"}`
		info := b.upload("chg.zip", pack(t, files{
			"manifest.json": `{"name":"chg","version":"1.0.0","type":"extension",` + group + `}`,
			"steps/run.sh":  "echo A",
		}), store.PutOptions{})
		b.config.Spawn = func(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error) {
			b.config.Spawn = nil
			if r := b.again(event("chg.zip", info.ETag)); r.Status != evidence.StatusInProgress {
				t.Errorf("it does not wait: %s, %s", r.Status, r.Message)
			}
			if how == "replaced" {
				now = b.upload("chg.zip", pack(t, files{
					"manifest.json": `{"name":"chg","version":"1.0.1","type":"extension",` + group + `}`,
					"steps/run.sh":  "echo B",
				}), store.PutOptions{})
			} else if err := b.packages.Delete(ctx, "chg.zip", ""); err != nil {
				t.Error(err)
			}
			return sandbox.Run(ctx, c)
		}
		b.uploaded("first.zip", files{
			"manifest.json": `{"name":"first","version":"1.0.0","type":"extension",` + group + `}`,
			"steps/run.sh":  "true",
		})
		r := b.again(event("chg.zip", info.ETag))
		stored := b.stored(r.RunID)
		b.wants(how, stored, evidence.StatusRejected, "trigger.stale")
		if stored.Execution.Ran || !strings.Contains(stored.Message, how) ||
			!strings.Contains(stored.Message, now.ETag) {
			t.Errorf("%s: ran %v, %s", how, stored.Execution.Ran, stored.Message)
		}
		if swept := b.sweep(); how == "replaced" &&
			(len(swept.Runs) != 1 || b.stored(swept.Runs[0].RunID).Execution.Stdout != "B\n") {
			t.Errorf("what is there now: %+v", swept)
		}
	}
}

// Once a request has begun, its later sets are of the same bytes, whatever is uploaded meanwhile.
func TestSetsAreOfTheSameBytes(t *testing.T) {
	b := newBench(t)
	contents := func(what string) files { return with(threeSets, files{"steps/run.sh": "echo " + what}) }
	b.config.Spawn = func(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error) {
		b.upload("sets.zip", pack(t, contents("B")), store.PutOptions{})
		return sandbox.Run(ctx, c)
	}
	for _, r := range b.uploaded("sets.zip", contents("A")) {
		if r.Status != evidence.StatusSuccess || r.Execution.Stdout != "A\n" {
			t.Errorf("%s: %s, %s, %q", r.ParameterSet, r.Status, r.Message, r.Execution.Stdout)
		}
	}
}

// A result that somebody changed is not gone back to.
func TestAResultThatWasChanged(t *testing.T) {
	b := newBench(t)
	first := b.uploaded("chg.zip",
		with(`"parameters":{"LEDGER":{"type":"integer","default":1}}`,
			files{"steps/run.sh": "echo $CEMLI_PARAM_LEDGER"}))[0]
	object := evidence.ResultObject(first.RunID)
	forged := strings.Replace(b.object(object), `"LEDGER": 1`, `"LEDGER": 2`, 1)
	if _, err := b.results.Put(t.Context(), object, strings.NewReader(forged), int64(len(forged)),
		store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	b.wants("a forged result", b.back(rerunOf, first.RunID, "x"), evidence.StatusRejected, "request.altered")
}

// forge changes a stored result.
func (b *bench) forge(runID, old, fresh string) {
	b.t.Helper()
	object := evidence.ResultObject(runID)
	forged := strings.Replace(b.object(object), old, fresh, 1)
	if forged == b.object(object) {
		b.t.Fatalf("%s has no %s", object, old)
	}
	if _, err := b.results.Put(b.t.Context(), object, strings.NewReader(forged), int64(len(forged)),
		store.PutOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

// That of a run which no package's record has is not gone back to either: its claim knows its digest.
func TestAResultThatWasChangedOfADryRun(t *testing.T) {
	b := newBench(t)
	info := b.upload("dry.zip",
		pack(t, with(`"parameters":{"LEDGER":{"type":"integer","default":1}}`, files{"steps/run.sh": "true"})),
		store.PutOptions{})
	q := request(info.Name, info.ETag)
	q.Action = executor.ActionDryRun
	first := b.again(q)
	b.forge(first.RunID, `"LEDGER": 1`, `"LEDGER": 2`)
	b.wants("a forged result", b.back(rerunOf, first.RunID, "x"), evidence.StatusRejected, "request.altered")
}

// What follows a result is not done for one that was changed meanwhile, and nothing is forgotten.
func TestWhatFollowsAResultThatWasChanged(t *testing.T) {
	b := newBench(t)
	told := 0
	b.config.Announce = func(context.Context, evidence.Result) error {
		if told++; told == 1 {
			return store.Error(store.ErrUnavailable, "publish", "topic", "", nil)
		}
		return nil
	}
	first := b.ran(files{"steps/run.sh": "exit 1"})
	b.forge(first.RunID, `"status": "failed"`, `"status": "success"`)
	if _, err := executor.New(b.config).Sweep(t.Context(), ""); problem.CodeOf(err) != "state.result" || told != 1 {
		t.Errorf("error %v; told %d times", err, told)
	}
	b.forge(first.RunID, `"status": "success"`, `"status": "failed"`)
	if b.sweep(); told != 2 || len(b.stateNames("open/")) != 0 {
		t.Errorf("after it was mended: told %d times, open %v", told, b.stateNames("open/"))
	}
}
