package evidence_test

import (
	"strings"
	"testing"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// A run that was cancelled says so whatever became of its undo, and why.
func TestFailOfACancelledRun(t *testing.T) {
	t.Parallel()
	for says, undo := range map[string]*evidence.Rollback{
		"was stopped: wrong ledger":      nil,
		"everything that had begun":      {Status: evidence.StepSuccess, Steps: []evidence.Step{{}}},
		"undo failed: it hung":           {Status: evidence.StepFailed, Error: &evidence.Error{Message: "it hung"}},
		"what has an undo was undone, w": {Status: evidence.StepSuccess, WithoutUndo: []string{"load"}},
	} {
		r := evidence.Result{
			Action: "apply", Rollback: undo, Cancelled: &evidence.Cancellation{Reason: "wrong ledger"},
		}
		failure := problem.New(problem.Problem{Code: "step.cancelled", Message: "was stopped"}, nil)
		r.Fail(failure, "was stopped")
		if r.Status != evidence.StatusCancelled || r.Error.Code != "step.cancelled" ||
			!strings.Contains(r.Message, says) || !strings.Contains(r.Message, "wrong ledger") {
			t.Errorf("status %s, %+v, %q; want %q", r.Status, r.Error, r.Message, says)
		}
	}
}
