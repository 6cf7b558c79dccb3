package evidence_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

func TestResultRoundTrip(t *testing.T) {
	t.Parallel()
	want := evidence.Result{
		SchemaVersion: 1, RunID: "20260102T030405Z-x-0123456789ab", Status: evidence.StatusFailed, Message: "m <&>",
		Error: &evidence.Error{Code: "step.failed", Message: "m"}, Start: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Manifest: json.RawMessage(`{"name":"x"}`), RequestedBy: []evidence.Requester{},
		Parameters: map[string]any{"A": "b"}, Outputs: map[string]string{}, Secrets: []evidence.Secret{},
		Policy: evidence.Policy{Source: "none", Violations: []problem.Problem{}}, Artifacts: []evidence.Artifact{},
		Evidence: []evidence.Object{},
		Steps:    []evidence.Step{{Name: "a", Status: evidence.StepFailed, ReturnCode: 3}},
	}
	doc, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), "m <&>") {
		t.Error("text is escaped for HTML, though people read it")
	}
	got, err := evidence.Decode(doc)
	if err != nil {
		t.Fatal(err)
	}
	compact := cmp.Transformer("compact", func(m json.RawMessage) string {
		return strings.Join(strings.Fields(string(m)), "")
	})
	if diff := cmp.Diff(want, got, compact); diff != "" {
		t.Error("round trip (-want +got):\n" + diff)
	}
}

func TestDecodeRefusesOtherVersions(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{`{"schema_version":2}`, `{}`, `not json`, ``} {
		if _, err := evidence.Decode([]byte(doc)); err == nil {
			t.Errorf("Decode(%q) succeeded", doc)
		}
	}
}

func TestSummaryStaysUnderTheAnswerLimit(t *testing.T) {
	t.Parallel()
	tail := strings.Repeat("\x01", evidence.TailBytes) // each byte is six in JSON
	r := evidence.Result{Execution: evidence.Execution{Stdout: tail, Stderr: tail}, Error: &evidence.Error{}}
	for range 100_000 {
		r.Steps = append(r.Steps, evidence.Step{Name: strings.Repeat("n", 255), Phase: "post_check"})
		r.Error.Problems = append(r.Error.Problems,
			problem.Problem{Code: "archive.x", Where: strings.Repeat("w", 1024), Message: "m"})
	}
	doc, err := json.Marshal(r.Summarize("results"))
	if err != nil {
		t.Fatal(err)
	}
	if len(doc) > evidence.MaxAnswer {
		t.Errorf("summary of %d bytes; want at most %d", len(doc), evidence.MaxAnswer)
	}
	if len(r.Error.Problems) != 100_000 {
		t.Error("summarizing changed the result")
	}
}

// A document is not indented if white space would make it many times as long.
func TestALargeResultIsNotIndented(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 30) + strings.Repeat("1,", 400_000) + "1" + strings.Repeat("]", 30)
	r := evidence.Result{RunID: "x", Manifest: json.RawMessage(`{"name":"x","x-a":` + deep + `}`)}
	doc, err := r.Encode()
	if err != nil || len(doc) > 2<<20 {
		t.Fatalf("%d bytes, %v", len(doc), err)
	}
	back, err := evidence.Decode(doc)
	if err != nil || string(back.Manifest) != string(r.Manifest) {
		t.Errorf("it does not come back: %v", err)
	}
}
