package local_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/local"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// A person cancels a run that another instance of the function makes, with the permissions that the function has, and
// although the environment is frozen. What the run prints can be read meanwhile.
func TestCancelByHand(t *testing.T) {
	c := start(t, func(o *local.Options) {
		o.Instances = 2
		o.Settings = map[string]string{"CEMLI_POLICY": "cemli-policies/local.json"}
	})
	policy := func(freeze string) {
		t.Helper()
		doc := `{"environment":"local","freeze":[` + freeze + `]}`
		_, err := c.Person().Bucket("cemli-policies").Put(t.Context(), "local.json", strings.NewReader(doc),
			int64(len(doc)), store.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	policy("")
	c.put("sample-1.0.0.zip", testkit.Zip(t, map[string]string{
		"manifest.json":   `{"name":"sample","version":"1.0.0","type":"extension"}`,
		"steps/run.sh":    "trap 'echo cleaned up; exit 0' TERM; echo begun; sleep 100 & wait",
		"rollback/run.sh": "echo undone",
	}))
	c.awaitRunning(1)
	policy(`{"time_zone":"UTC","from":"2000-01-01T00:00","until":"2100-01-01T00:00","reason":"for good"}`)
	state := c.Person().Bucket(c.Buckets().State)
	var p struct {
		RunID string `json:"run_id"`
		Tail  string `json:"tail"`
	}
	for end := time.Now().Add(time.Minute); p.RunID == ""; time.Sleep(10 * time.Millisecond) {
		page, err := state.List(t.Context(), store.ListOptions{Prefix: "progress/local/"})
		if err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("nothing is said of the run; the function's log:\n%s", c.log)
		}
		if len(page.Objects) > 0 {
			if err := json.Unmarshal(c.read(state, page.Objects[0].Name), &p); err != nil {
				t.Fatal(err)
			}
		}
	}
	if p.Tail != "begun\n" {
		t.Errorf("it has printed %q", p.Tail)
	}
	ask := func(change string) (status, code string) {
		t.Helper()
		var a struct {
			Status string          `json:"status"`
			Error  *evidence.Error `json:"error"`
		}
		doc := invokeByHand(t, c, `{"action":"cancel","run_id":"`+p.RunID+`"`+change+`}`)
		if err := json.Unmarshal(doc, &a); err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		if a.Error != nil {
			code = a.Error.Code
		}
		return a.Status, code
	}
	if status, code := ask(""); status != "rejected" || code != "trigger.value" {
		t.Errorf("without a reason: %s %s", status, code)
	}
	if status, code := ask(`,"reason":"wrong ledger"`); status != "asked" || code != "" {
		t.Errorf("%s %s", status, code)
	}
	a := c.answer()
	for a.Status == "asked" || a.Status == evidence.StatusRejected { // answers of the cancels
		a = c.answer()
	}
	r := c.result(a)
	if r.Status != evidence.StatusCancelled || r.Cancelled == nil || r.Cancelled.Reason != "wrong ledger" ||
		r.Execution.Stdout != "begun\ncleaned up\nundone\n" || r.Rollback == nil {
		t.Errorf("status %s, %+v, stdout %q", r.Status, r.Cancelled, r.Execution.Stdout)
	}
	if status, code := ask(`,"reason":"wrong ledger"`); status != "rejected" || code != "request.ended" {
		t.Errorf("after the end: %s %s", status, code)
	}
	page, err := state.List(t.Context(), store.ListOptions{Prefix: "progress/"})
	if err != nil || len(page.Objects) > 0 {
		t.Errorf("left: %+v, %v", page.Objects, err)
	}
}
