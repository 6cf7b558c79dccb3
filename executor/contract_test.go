package executor_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"

	"github.com/google/go-cmp/cmp"
)

const rated = `"parameters":{"RATE":{"type":"number"}}`

// rate asks for a parameter's value, as it is written.
func rate(written string) func(*executor.Request) {
	return func(q *executor.Request) { q.Parameters = map[string]json.RawMessage{"RATE": []byte(written)} }
}

// The same number is the same, however it is written; scripts see it as it was.
func TestARepeatComparesNumbersByValue(t *testing.T) {
	b := newBench(t)
	contents := func() files { return with(rated, files{"steps/run.sh": "echo $CEMLI_PARAM_RATE"}) }
	first := b.asks(contents(), rate("1.50"))[0]
	if first.Status != evidence.StatusSuccess || first.Execution.Stdout != "1.50\n" {
		t.Fatalf("status %s, stdout %q", first.Status, first.Execution.Stdout)
	}
	for _, same := range []string{"1.5", "15e-1", "0.15E+1"} {
		if r := b.asks(contents(), rate(same))[0]; r.Status != evidence.StatusSkipped ||
			r.PreviousRunID != first.RunID {
			t.Errorf("%s: status %s, previous %q", same, r.Status, r.PreviousRunID)
		}
	}
	for _, other := range []string{"1.5000000000000000000000001", "1e-999999999"} {
		if r := b.asks(contents(), rate(other))[0]; r.Status != evidence.StatusSuccess {
			t.Errorf("%s: status %s, %s", other, r.Status, r.Message)
		}
	}
}

// What was recorded when numbers counted as they were written is still known.
func TestARepeatOfWhatWasRecordedBefore(t *testing.T) {
	b := newBench(t)
	contents := func() files { return with(rated, files{"steps/run.sh": "echo $CEMLI_PARAM_RATE"}) }
	first := b.asks(contents(), rate("1.50"))[0]
	record, key := b.stateText("packages/test/sample.json"), func(written string) string {
		sum := sha256.Sum256([]byte(`["` + first.Package.DirHash + `","",{"RATE":` + written + `}]`))
		return hex.EncodeToString(sum[:])
	}
	if !strings.Contains(record, key("1.5")) {
		t.Fatalf("the record does not know the number by its value: %s", record)
	}
	b.putState("packages/test/sample.json", strings.ReplaceAll(record, key("1.5"), key("1.50")))
	if r := b.asks(contents(), rate("1.50"))[0]; r.Status != evidence.StatusSkipped || r.PreviousRunID != first.RunID {
		t.Errorf("status %s, previous %q", r.Status, r.PreviousRunID)
	}
}

// Sets of a group with a name for each do not wait for each other.
func TestAGroupForEachSet(t *testing.T) {
	b := newBench(t)
	b.config.Policy = executor.InlinePolicy("inline",
		[]byte(`{"environment":"test","concurrency":{"group":"erp-{set}"}}`))
	b.asks(with(`"parameter_sets":{"DE":{},"FR":{}},"concurrency":{"group":"own"}`, files{"steps/run.sh": "echo ran"}),
		nil)
	want := []string{"groups/test/erp-DE.json", "groups/test/erp-FR.json"}
	if diff := cmp.Diff(want, b.stateNames("groups/")); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

// A step that needs no undo is none that was left without one.
func TestAStepThatNeedsNoUndo(t *testing.T) {
	r := newBench(t).ran(with(`"steps":[{"run":"backup.sh","rollback":"none"},`+
		`{"run":"apply.sh","rollback":"undo.sh"},{"run":"fail.sh","rollback":"none"}]`,
		files{"backup.sh": "echo saved", "apply.sh": "echo applied", "undo.sh": "echo undone", "fail.sh": "exit 1"}))
	if r.Status != evidence.StatusRolledBack || r.Rollback == nil || len(r.Rollback.WithoutUndo) != 0 ||
		!strings.Contains(r.Message, "everything that had begun was undone") {
		t.Errorf("status %s, %q, rollback %+v", r.Status, r.Message, r.Rollback)
	}
	alone := newBench(t).ran(with(`"steps":[{"run":"fail.sh","rollback":"none"}]`, files{"fail.sh": "exit 1"}))
	if alone.Status != evidence.StatusFailed || alone.Rollback != nil {
		t.Errorf("nothing to undo: status %s, rollback %+v", alone.Status, alone.Rollback)
	}
}

// In a freeze nothing runs a script but a rollback that names what it is for.
func TestAFreezeLetsARollbackPass(t *testing.T) {
	b := newBench(t)
	contents := func() files {
		return with(`"steps":[{"run":"1.sh","rollback":"u1.sh","dry_run":true}]`,
			files{"1.sh": "echo 1", "u1.sh": "echo undone"})
	}
	first := b.asks(contents(), nil)[0]
	b.config.Policy = executor.InlinePolicy("inline",
		[]byte(`{"environment":"test","freeze":[{"from":"2020-01-01T00:00","until":"2200-01-01T00:00",`+
			`"time_zone":"UTC","reason":"close"}]}`))
	dry := b.asks(contents(), func(q *executor.Request) { q.Action = executor.ActionDryRun })[0]
	back := func(reason, reference string) evidence.Result {
		return b.asks(contents(), func(q *executor.Request) {
			q.Action, q.RollbackOf, q.Reason, q.Reference = executor.ActionRollback, first.RunID, reason, reference
		})[0]
	}
	if code(dry) != "policy.freeze" || dry.Execution.Ran {
		t.Errorf("dry run: %s, %+v", dry.Status, dry.Error)
	}
	if check := b.asks(contents(),
		func(q *executor.Request) { q.Action = executor.ActionCheck })[0]; check.Status != evidence.StatusSuccess {
		t.Errorf("check: %s, %+v", check.Status, check.Error)
	}
	if r := back("wrong ledger", ""); code(r) != "policy.freeze" || r.Execution.Ran ||
		!strings.Contains(r.Error.Hint, "reference") {
		t.Errorf("without a reference: %s, %+v", r.Status, r.Error)
	}
}

// A freeze goes by the executor's clock, as leases do.
func TestAFreezeGoesByTheExecutorsClock(t *testing.T) {
	for ahead, want := range map[time.Duration]string{0: "policy.freeze", 5 * time.Second: ""} {
		quick(t, func(b *bench) {
			time.Sleep(57 * time.Second) // of the minute that is frozen
			b.config.Clock = func() time.Time { return time.Now().Add(ahead) }
			b.config.Policy = executor.InlinePolicy("inline",
				[]byte(`{"environment":"test","freeze":[{"from":"2000-01-01T00:00","until":"2000-01-01T00:01",`+
					`"time_zone":"UTC","reason":"close"}]}`))
			info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "true"}), store.PutOptions{})
			if r := b.again(event(info.Name, info.ETag)); code(r) != want {
				t.Errorf("%s ahead: %s, %+v", ahead, r.Status, r.Error)
			}
		})
	}
}

func TestAFreezeLetsARollbackWithAReferencePass(t *testing.T) {
	b := newBench(t)
	contents := func() files {
		return with(`"steps":[{"run":"1.sh","rollback":"u1.sh"}]`, files{"1.sh": "echo 1", "u1.sh": "echo undone"})
	}
	first := b.asks(contents(), nil)[0]
	b.config.Policy = executor.InlinePolicy("inline",
		[]byte(`{"environment":"test","freeze":[{"from":"2020-01-01T00:00","until":"2200-01-01T00:00",`+
			`"time_zone":"UTC","reason":"close"}]}`))
	r := b.asks(contents(), func(q *executor.Request) {
		q.Action, q.RollbackOf = executor.ActionRollback, first.RunID
		q.Reason, q.Reference = "wrong ledger", "INC0012345"
	})[0]
	if r.Status != evidence.StatusSuccess || r.Execution.Stdout != "undone\n" {
		t.Errorf("status %s, %+v", r.Status, r.Error)
	}
}
