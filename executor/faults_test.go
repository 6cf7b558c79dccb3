package executor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
)

const ledgerParam = `"parameters":{"LEDGER":{"type":"integer","default":1}}`

func TestARerunOfARejectedRunTakesItsParameters(t *testing.T) {
	b := newBench(t)
	b.upload("a.zip",
		pack(t, with(ledgerParam+`,"requires":{"base":">=1"}`, files{"steps/run.sh": "echo $CEMLI_PARAM_LEDGER"})),
		store.PutOptions{})
	first := b.asked(func(q *executor.Request) {
		q.Object, q.Parameters = "a.zip", map[string]json.RawMessage{"LEDGER": []byte("4711")}
	})[0]
	b.wants("base is missing", first, evidence.StatusRejected, "manifest.requires")
	b.uploaded("base.zip", files{
		"manifest.json": `{"name":"base","version":"1.0.0","type":"extension"}`, "steps/run.sh": "true",
	})
	r := b.back(rerunOf, first.RunID, "base is there now")
	if r.Status == evidence.StatusSuccess && r.Execution.Stdout != "4711\n" {
		t.Errorf("it ran with another ledger: %s %q", r.Status, r.Execution.Stdout)
	}
}

func TestARerunOfASkippedSetTakesItsParameters(t *testing.T) {
	b := newBench(t)
	b.upload("a.zip", pack(t, with(ledgerParam+`,"parameter_sets":{"A":{},"B":{}}`, files{
		"steps/run.sh": "echo $CEMLI_PARAM_LEDGER; [ $CEMLI_PARAM_LEDGER = 1 ]",
	})), store.PutOptions{})
	all := b.asked(func(q *executor.Request) {
		q.Object, q.Parameters = "a.zip", map[string]json.RawMessage{"LEDGER": []byte("4711")}
	})
	b.wants("second set", all[1], evidence.StatusSkipped, "")
	r := b.back(rerunOf, all[1].RunID, "go on")
	if r.Execution.Stdout != "4711\n" {
		t.Errorf("it ran with another ledger: %s %s %q", r.Status, r.Message, r.Execution.Stdout)
	}
}

func TestARollbackHasNoRequirements(t *testing.T) {
	b := newBench(t)
	base := b.uploaded("base.zip", files{
		"manifest.json": `{"name":"base","version":"1.0.0","type":"extension"}`, "steps/run.sh": "true",
		"rollback/run.sh": "true",
	})[0]
	needs := b.uploaded("needs.zip", files{
		"manifest.json": `{"name":"needs","version":"1.0.0","type":"extension","requires":{"base":">=1"}}`,
		"steps/run.sh":  "true", "rollback/run.sh": "true",
	})[0]
	b.wants("base back", b.back(rollBackOf, base.RunID, "wrong"), evidence.StatusSuccess, "")
	b.wants("needs back", b.back(rollBackOf, needs.RunID, "wrong"), evidence.StatusSuccess, "")
}

func TestForceAfterARefusal(t *testing.T) {
	b := newBench(t)
	first := b.uploaded("chg-1.0.0.zip", backup("1.0.0"))[0]
	b.uploaded("chg-1.1.0.zip", backup("1.1.0"))
	b.wants("refused", b.back(rollBackOf, first.RunID, "the ledger was dropped"), evidence.StatusRejected,
		"rollback.not_latest")
	r := b.asked(func(q *executor.Request) {
		rollBackOf(q, first.RunID)
		q.Reason, q.Force = "the ledger was dropped", true
	})[0]
	b.wants("with force, as the hint says", r, evidence.StatusSuccess, "")
}

func TestTheWayIsOpenAgain(t *testing.T) {
	b := newBench(t)
	first := b.uploaded("chg-1.0.0.zip", backup("1.0.0"))[0]
	second := b.uploaded("chg-1.1.0.zip", backup("1.1.0"))[0]
	b.wants("too early", b.back(rollBackOf, first.RunID, "all of it"), evidence.StatusRejected, "rollback.not_latest")
	b.wants("the later", b.back(rollBackOf, second.RunID, "all of it"), evidence.StatusSuccess, "")
	b.wants("then this one", b.back(rollBackOf, first.RunID, "now the rest"), evidence.StatusSuccess, "")
}

func TestAnEtagThatDiffers(t *testing.T) {
	b := newBench(t)
	first := b.uploaded("a.zip", files{"steps/run.sh": "true"})[0]
	r := b.asked(func(q *executor.Request) { q.RerunOf, q.Reason, q.ETag = first.RunID, "x", "nope" })[0]
	b.wants("with it", r, evidence.StatusRejected, "trigger.stale")
	b.wants("without it", b.back(rerunOf, first.RunID, "y"), evidence.StatusSuccess, "")
}

func TestContentsThatAreUploadedAgain(t *testing.T) {
	b := newBench(t)
	b.config.KeepPackages = false
	first := b.uploaded("chg-1.0.0.zip", files{"steps/run.sh": "echo A"})[0]
	_ = b.packages.Delete(t.Context(), "chg-1.0.0.zip", "")
	r := b.back(rerunOf, first.RunID, "x")
	b.wants("gone", r, evidence.StatusRejected, "request.gone")
	if !strings.Contains(r.Error.Hint, "another reason") {
		t.Errorf("hint %q", r.Error.Hint)
	}
	b.upload("chg-1.0.0.zip", b.zip(first), store.PutOptions{})
	b.wants("another reason", b.back(rerunOf, first.RunID, "y"), evidence.StatusSuccess, "")
}

func TestARerunOfAHostileName(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"a/../x.zip", "a\tb.zip", "/x.zip"} {
		r, err := b.run(t.Context(), event(name, "e1"))
		if err != nil {
			t.Fatal(name, err)
		}
		b.wants(name, r, evidence.StatusRejected, "trigger.object")
		q := executor.Request{
			Bucket: "packages", Trigger: executor.Trigger{Kind: executor.TriggerRequest},
			Back: executor.Back{RerunOf: r.RunID}, Reason: "x",
		}
		results, err := executor.New(b.config).Run(t.Context(), q)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		b.wants(name+" again", results[0], evidence.StatusRejected, "trigger.object")
	}
}

func TestSuccessesWhoseResultsAreLost(t *testing.T) {
	b := newBench(t)
	b.config.Policy = executor.InlinePolicy("inline", []byte(`{"environment":"test","version":{"downgrade":"deny"}}`))
	b.putState("packages/test/chg.json",
		`{"schema_version":1,"environment":"test","name":"chg","versions":[],"done":[{"key":"`+strings.Repeat("a", 64)+
			`","run_id":"20260101T000000Z-chg-000000000000","version":"1.1.0","end":"2026-01-01T00:00:00Z"}],`+
			`"current":"1.1.0"}`)
	b.wants("a downgrade", b.uploaded("chg-1.0.0.zip", backup("1.0.0"))[0], evidence.StatusRejected, "policy.downgrade")
	needs := b.uploaded("needs.zip", files{
		"manifest.json": `{"name":"needs","version":"1.0.0","type":"extension","requires":{"chg":">=1"}}`,
		"steps/run.sh":  "true",
	})[0]
	b.wants("a package that requires it", needs, evidence.StatusSuccess, "")
}

func TestARollbackOfARunWithoutAnEntry(t *testing.T) {
	b := newBench(t)
	first := b.uploaded("a.zip", files{"steps/run.sh": "echo A", "rollback/run.sh": "echo undone"})[0]
	// As version 1 left it: a success that was rolled back is not in the record.
	b.putState("packages/test/sample.json",
		`{"schema_version":1,"environment":"test","name":"sample","versions":[],"done":[],"current":""}`)
	b.wants("once", b.back(rollBackOf, first.RunID, "a"), evidence.StatusSuccess, "")
	r := b.back(rollBackOf, first.RunID, "b")
	b.wants("twice", r, evidence.StatusRejected, "rollback.undone")
}

func TestAnUploadDuringItsRollback(t *testing.T) {
	b := newBench(t)
	contents := files{"steps/run.sh": "echo A", "rollback/run.sh": "echo undone"}
	first := b.uploaded("a.zip", contents)[0]
	info := b.upload("a2.zip", pack(t, contents), store.PutOptions{})
	other := b.config
	other.WorkDir = filepath.Join(t.TempDir(), "other")
	b.config.Spawn = func(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error) {
		results, err := executor.New(other).Run(t.Context(), event("a2.zip", info.ETag))
		if err != nil || results[0].Status != evidence.StatusInProgress {
			t.Errorf("it does not wait for the rollback: %s, %s", results[0].Status, results[0].Message)
		}
		return sandbox.Run(ctx, c)
	}
	b.wants("rollback", b.back(rollBackOf, first.RunID, "wrong"), evidence.StatusSuccess, "")
	b.config.Spawn = nil
	b.wants("the upload, in the end", b.stored(b.again(event("a2.zip", info.ETag)).RunID), evidence.StatusSuccess, "")
}

func TestTheFirstRequestIsAMistake(t *testing.T) {
	b := newBench(t)
	r := b.asked(func(q *executor.Request) { q.Object = "typo.zip" })[0]
	b.wants("a typo", r, evidence.StatusError, "store.not_found")
	info := b.upload("a.zip", pack(t, files{"steps/run.sh": "echo A"}), store.PutOptions{})
	results, err := executor.New(b.config).Run(t.Context(), event("a.zip", info.ETag))
	if err != nil || results[0].Status != evidence.StatusSuccess {
		t.Errorf("%s %v", results[0].Message, err)
	}
}

func TestManySets(t *testing.T) {
	b := newBench(t)
	p := map[string]any{}
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("BU%03d", i))
	}
	for _, s := range names {
		var list []claim.Entry
		for v := range 30 {
			at := time.Now().Add(-time.Hour)
			list = append(list, claim.Entry{
				RunID: fmt.Sprintf("20260101T000000Z-sample-%03d%s", v, s), Standing: claim.Applied,
				Key: strings.Repeat("a", 64), Version: "1.0.0", DirHash: "h1:" + strings.Repeat("a", 44),
				SHA256: strings.Repeat("a", 64), Kept: true, Object: "sample-1.0.0.zip", Uploaded: at, Declares: names,
				Start: at, End: at, Result: strings.Repeat("b", 64),
			})
		}
		p[s] = list
	}
	doc, _ := json.Marshal(map[string]any{
		"schema_version": 2, "environment": "test", "name": "sample", "versions": []any{}, "done": []any{}, "sets": p,
	})
	b.putState("packages/test/sample.json", string(doc))
	sets := map[string]any{}
	for _, n := range names {
		sets[n] = map[string]any{"C": strings.Repeat("x", 1)}
	}
	ps, _ := json.Marshal(sets)
	info := b.upload("a.zip",
		pack(t,
			with(`"parameters":{"C":{"type":"string"}},"parameter_sets":`+string(ps),
				files{"steps/run.sh": "true"})), store.PutOptions{})
	results, err := executor.New(b.config).Run(t.Context(), event("a.zip", info.ETag))
	if last := results[len(results)-1]; err != nil || last.Status != evidence.StatusSuccess {
		t.Errorf("%d bytes: %s, %s, %v", len(b.stateText("packages/test/sample.json")), last.Status, last.Message, err)
	}
}
