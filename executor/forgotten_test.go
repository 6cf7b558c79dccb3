package executor_test

import (
	"encoding/json"
	"strings"
	"testing"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
)

// twoSets is a package whose first set fails, with a parameter of the request's that is no secret and one that is.
var twoSets = with(`"parameters":{"C":{"type":"string"},"LEDGER":{"type":"string","default":"none00"},"PW":{"type":"string","sensitive":true,"default":"unset0"}},
	"parameter_sets":{"BR":{"C":"br"},"DE":{"C":"de"}}`, files{
	"steps/run.sh": "echo $CEMLI_PARAM_LEDGER; [ $CEMLI_PARAM_C != br ]", "rollback/run.sh": "true",
})

func (b *bench) skippedSet(parameters string) evidence.Result {
	b.t.Helper()
	all := b.asks(twoSets, func(q *executor.Request) {
		if err := json.Unmarshal([]byte(parameters), &q.Parameters); err != nil {
			b.t.Fatal(err)
		}
		q.Trigger.Raw = []byte(`{"parameters":` + parameters + `}`)
	})
	if len(all) != 2 || all[1].Status != evidence.StatusSkipped {
		b.t.Fatalf("%+v", all)
	}
	return all[1]
}

// A set that is left out keeps what the request gave, as the set before it does: it is run later without
// giving it again.
func TestASkippedSetKeepsWhatWasGiven(t *testing.T) {
	b := newBench(t)
	skipped := b.skippedSet(`{"LEDGER":"ledger4711"}`)
	kept := b.stored(skipped.RunID)
	if kept.Parameters["LEDGER"] != "ledger4711" || !strings.Contains(string(kept.Trigger.Raw), "ledger4711") {
		t.Errorf("parameters %v, request %s", kept.Parameters, kept.Trigger.Raw)
	}
	r := b.back(rerunOf, skipped.RunID, "now this one")
	b.wants("once more", r, evidence.StatusSuccess, "")
	if r.ParameterSet != "DE" || r.Execution.Stdout != "ledger4711\n" {
		t.Errorf("set %s, stdout %q", r.ParameterSet, r.Execution.Stdout)
	}
}

// What is sensitive stays hidden in a set that is left out, also where it is the value of another parameter.
func TestASkippedSetHidesWhatIsSensitive(t *testing.T) {
	b := newBench(t)
	skipped := b.skippedSet(`{"LEDGER":"secretfive","PW":"secretfive"}`)
	if doc := b.object(evidence.ResultObject(skipped.RunID)); strings.Contains(doc, "secretfive") {
		t.Error("the result of a skipped set shows a secret:", doc)
	}
	default0 := b.skippedSet(`{"LEDGER":"is unset0"}`)
	if kept := b.stored(default0.RunID); kept.Parameters["LEDGER"] != "is ***" {
		t.Errorf("parameters %v: a sensitive default is shown", kept.Parameters)
	}
}

// Going back to what did nothing is refused for that, before anything is to be given again.
func TestNothingBeganComesBeforeWhatIsHidden(t *testing.T) {
	b := newBench(t)
	skipped := b.skippedSet(`{"PW":"secretfive"}`)
	undo := b.back(rollBackOf, skipped.RunID, "x")
	b.wants("rollback", undo, evidence.StatusRejected, "request.differs")
	if !strings.Contains(undo.Message, "nothing to undo") {
		t.Error(undo.Message)
	}
	b.wants("resume", b.back(resumeOf, skipped.RunID, "x"), evidence.StatusRejected, "request.not_partial")
	b.wants("rerun", b.back(rerunOf, skipped.RunID, "x"), evidence.StatusRejected, "request.hidden")
}
