package executor_test

import (
	"testing"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// A request_id makes a request the same, also when its object was replaced in between: the same request does
// not run what came since.
func TestARequestIDIsOfOneVersion(t *testing.T) {
	contents := func(says string, sets bool) files {
		more := `"idempotent":true`
		if sets {
			more += "," + threeSets
		}
		return with(more, files{"steps/run.sh": "echo " + says})
	}
	for name, c := range map[string]struct{ before, after bool }{
		"no sets": {false, false}, "sets": {true, true}, "sets before": {true, false}, "sets since": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.upload("sample-1.0.0.zip", pack(t, contents("old", c.before)), store.PutOptions{})
			ask := func(id string) []evidence.Result {
				return b.asked(func(q *executor.Request) { q.Object, q.RequestID = "sample-1.0.0.zip", id })
			}
			first := ask("CHG1")
			b.wants("the first", first[0], evidence.StatusSuccess, "")
			if again := ask("CHG1"); !again[0].Duplicate || again[0].RunID != first[0].RunID {
				t.Errorf("the same at once: %s, %s", again[0].Status, again[0].Message)
			}
			b.upload("sample-1.0.0.zip", pack(t, contents("new", c.after)), store.PutOptions{})
			again := ask("CHG1")
			b.wants("the same, and another object", again[0], evidence.StatusRejected, "request.differs")
			for _, r := range again {
				if r.Execution.Ran || r.Status == evidence.StatusSuccess {
					t.Errorf("set %q ran: %s", r.ParameterSet, r.Message)
				}
			}
			if twice := ask("CHG1"); !twice[0].Duplicate || twice[0].Status != evidence.StatusRejected {
				t.Errorf("the same once more: %s, %s", twice[0].Status, twice[0].Message)
			}
			b.wants("another id", ask("CHG2")[0], evidence.StatusSuccess, "")
		})
	}
}
