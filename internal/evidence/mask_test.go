package evidence_test

import (
	"encoding/json"
	"strings"
	"testing"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// hiding hides the word secret, wherever it is.
type hiding struct{}

func (hiding) String(text string) string { return strings.ReplaceAll(text, "secret", "***") }

func (h hiding) Values(values map[string]string) map[string]string {
	masked := map[string]string{}
	for name, value := range values {
		masked[h.String(name)] = h.String(value)
	}
	return masked
}

// Secrets are masked wherever a script, a request or a message quotes them; what identifies the run is not masked.
func TestMask(t *testing.T) {
	t.Parallel()
	const s = "a secret"
	wrong := func() *evidence.Error {
		return &evidence.Error{
			Code: "step.failed", Message: s, Hint: s, Problems: []problem.Problem{{Where: s, Message: s, Hint: s}},
		}
	}
	step := func() evidence.Step {
		return evidence.Step{
			Name: "secret-step", Run: "secret.sh", StdoutTail: s, StderrTail: s, Error: wrong(),
			ChangedFiles: []string{s}, Outputs: map[string]string{s: s},
		}
	}
	r := evidence.Result{
		RunID: "secret-run", SourceObject: "secret.zip", Message: s, Reason: s, Reference: s, Summary: s,
		Error:     wrong(),
		Execution: evidence.Execution{Stdout: s, Stderr: s, Note: s}, Steps: []evidence.Step{step()},
		Outputs:   map[string]string{s: s},
		Cancelled: &evidence.Cancellation{Reason: s, Reference: s},
		Rollback:  &evidence.Rollback{Error: wrong(), Steps: []evidence.Step{step()}},
		Artifacts: []evidence.Artifact{{Name: s, Withheld: s}},
		Policy:    evidence.Policy{Violations: []problem.Problem{{Message: s}}},
	}
	r.Mask(hiding{})
	doc, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(doc), s) {
		t.Errorf("there is still a secret in %s", doc)
	}
	for _, name := range []string{"secret-run", "secret.zip", "secret-step", "secret.sh"} {
		if !strings.Contains(string(doc), name) {
			t.Errorf("%s is not there any more", name)
		}
	}
}
