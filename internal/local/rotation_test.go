package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/sandbox"
)

const rotationExample = "../../examples/credential-rotation"

// rotating starts a local OCI with the example of a rotation: its policy, its secret, and its package, which has run
// once.
func rotating(t *testing.T) *cloud {
	t.Helper()
	policy, err := os.ReadFile(rotationExample + "/policy.json")
	if err != nil {
		t.Fatal(err)
	}
	if !sandbox.Probe().Strongest().Reaches(sandbox.LevelIsolated) { // that scripts are given secrets all the same
		policy = bytes.Replace(policy, []byte(`"environment"`), []byte(`"sandbox": "basic", "environment"`), 1)
	}
	c := start(t, func(o *local.Options) { o.Settings = map[string]string{"CEMLI_POLICY": string(policy)} })
	c.rotate("the first of all passwords")
	var zip bytes.Buffer
	if _, err := bundle.Create(&zip, os.DirFS(rotationExample)); err != nil {
		t.Fatal(err)
	}
	c.put("credential-rotation-1.0.0.zip", zip.Bytes())
	if r := c.result(c.answer()); r.Status != evidence.StatusSuccess || r.Secrets[0].Version != "1" {
		t.Fatalf("uploaded: status %s, %s, secrets %+v", r.Status, r.Message, r.Secrets)
	}
	return c
}

// rotate puts a new version of the example's secret into the vault.
func (c *cloud) rotate(password string) {
	c.t.Helper()
	if _, err := c.Server().PutSecret("bank-interface-password", []byte(password)); err != nil {
		c.t.Fatal(err)
	}
}

// runs counts the results.
func (c *cloud) runs(t *testing.T) int {
	t.Helper()
	count := 0
	for _, name := range c.names(t, c.Buckets().Results) {
		if strings.HasPrefix(name, "runs/") && strings.HasSuffix(name, "/result.json") {
			count++
		}
	}
	return count
}

// A rotated secret starts its package once, however often the event is delivered, and the next rotation once more.
func TestARotationStartsOneRun(t *testing.T) {
	c := rotating(t)
	c.rotate("the second of all passwords")
	a := c.answer()
	r := c.result(a)
	if r.Status != evidence.StatusSuccess || a.Duplicate || r.Secrets[0].Version != "2" ||
		!strings.Contains(r.Execution.Stdout, "login works") {
		t.Fatalf("status %s, %s, secrets %+v, stdout %q", r.Status, r.Message, r.Secrets, r.Execution.Stdout)
	}
	tr := r.Trigger
	if tr.Kind != "event" || tr.EventType != "com.oraclecloud.vaultsecret.createsecretversion" || tr.EventID == "" {
		t.Errorf("trigger %+v", tr)
	}

	invoked, err := c.invoke(string(r.Trigger.Raw)) // as the evidence has it
	if err != nil {
		t.Fatal(err)
	}
	var again answer
	if err := json.Unmarshal(invoked, &again); err != nil || again.RunID != r.RunID || !again.Duplicate {
		t.Errorf("the same event: %s, %v", invoked, err)
	}
	<-c.answers

	if err := c.Server().SetFaults(localoci.Faults{EventDuplicate: 1}); err != nil {
		t.Fatal(err)
	}
	c.rotate("the third of all passwords")
	first, second, third := c.answer(), c.answer(), c.answer()
	if first.RunID == r.RunID || first.Duplicate || second.RunID != first.RunID || !second.Duplicate ||
		third.RunID != first.RunID || !third.Duplicate {
		t.Errorf("the next rotation: %+v, %+v, %+v", first.Summary, second.Summary, third.Summary)
	}
	if n := c.runs(t); n != 3 { // the upload's and two rotations'
		t.Errorf("%d runs", n)
	}
}

// Such events come in batches, too, beside others: each item is answered by itself.
func TestRotationsInABatch(t *testing.T) {
	c := rotating(t)
	event := func(id, secret string) string {
		return fmt.Sprintf(`{"cloudEventsVersion":"0.1","eventID":%q,"source":"VaultSecret",`+
			`"eventType":"com.oraclecloud.vaultsecret.createsecretversion","data":{"resourceName":%q}}`, id, secret)
	}
	cloudEvent := `{"specversion":"1.0","id":"rotation-2","source":"s",` +
		`"type":"com.oraclecloud.vaultsecret.createsecretversion","data":{"resourceName":"bank-interface-password"}}`
	invoked, err := c.invoke("[" + strings.Join([]string{
		event("rotation-1", "bank-interface-password"), event("rotation-1", "bank-interface-password"),
		event("rotation-1", "another-password"), cloudEvent,
	}, ",") + "]")
	if err != nil {
		t.Fatal(err)
	}
	var answers []answer
	if err := json.Unmarshal(invoked, &answers); err != nil || len(answers) != 4 {
		t.Fatalf("%s, %v", invoked, err)
	}
	one, two, other, three := answers[0], answers[1], answers[2], answers[3]
	if one.Status != evidence.StatusSuccess || one.Duplicate || two.RunID != one.RunID || !two.Duplicate {
		t.Errorf("the same event: %+v, %+v", one.Summary, two.Summary)
	}
	if other.Status != "ignored" || !strings.Contains(other.Reason, "createsecretversion") {
		t.Errorf("of another secret: %+v", other)
	}
	if three.Status != evidence.StatusSuccess || three.RunID == one.RunID || three.Duplicate {
		t.Errorf("the CloudEvent: %+v", three.Summary)
	}
	if n := c.runs(t); n != 3 {
		t.Errorf("%d runs", n)
	}
}
