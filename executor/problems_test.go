package executor_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
)

// A request that is wrong in hundreds of ways has a result like any: small, and with all that helps.
func TestResultOfManyProblemsIsReadBack(t *testing.T) {
	b := newBench(t)
	var declared []string
	for i := range 1000 {
		declared = append(declared, fmt.Sprintf(`"P%s%04d":{"type":"string"}`, strings.Repeat("q", 58), i))
	}
	r := b.asks(with(`"parameters":{`+strings.Join(declared, ",")+`}`, files{"steps/run.sh": "true"}),
		func(q *executor.Request) {
			q.Parameters = map[string]json.RawMessage{}
			for i := range 256 {
				q.Parameters[fmt.Sprintf("Z%s%04d", strings.Repeat("r", 58), i)] = []byte(`"x"`)
			}
		})[0]
	doc := b.object(evidence.ResultObject(r.RunID))
	if len(doc) > 1<<20 {
		t.Errorf("the result has %d bytes", len(doc))
	}
	stored := b.stored(r.RunID)
	if stored.Error == nil || len(stored.Error.Problems) != 101 {
		t.Fatalf("%+v", stored.Error)
	}
	if last := stored.Error.Problems[100]; last.Code != "request.more" || !strings.Contains(last.Message, "156 more") {
		t.Errorf("%+v", last)
	}
	again := b.asked(func(q *executor.Request) { q.RerunOf, q.Reason = r.RunID, "again" })[0]
	if code(again) == "request.unknown_run" {
		t.Errorf("%s", again.Message)
	}
}

// What breaks a policy in hundreds of ways is listed as far as people read, too.
func TestManyViolationsAreLimited(t *testing.T) {
	b := newBench(t)
	var required []string
	for i := range 1000 {
		required = append(required, fmt.Sprintf(`"/x-%d":true`, i))
	}
	b.config.Policy = executor.InlinePolicy("inline",
		[]byte(`{"environment":"test","require":{`+strings.Join(required, ",")+`}}`))
	r := b.ran(files{"steps/run.sh": "true"})
	stored := b.stored(r.RunID)
	if n := len(stored.Policy.Violations); n != 101 ||
		!strings.Contains(stored.Policy.Violations[100].Message, "900 more") || len(stored.Error.Problems) != 101 {
		t.Errorf("%d violations, %+v", n, stored.Error)
	}
}
