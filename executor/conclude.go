package executor

import (
	"cmp"
	"fmt"
	"strings"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// conclude sets status, message and error.
func (r *earlier) conclude(failure error) {
	r.result.End = r.ended()
	if failure == nil {
		r.result.Status, r.result.Message = evidence.StatusSuccess, r.achieved()
		return
	}
	if v := verdictOf(failure); v.kind == skipped {
		r.result.Status, r.result.Message, r.result.PreviousRunID = evidence.StatusSkipped, v.why, v.runID
		return
	}
	described := problem.Of(failure, problem.Problem{Code: codes.Internal, Message: "the executor could not do its work", Hint: "see the function's log"})
	r.result.Error = evidence.NewError(described)
	r.result.Message = described.Message() + r.without()
	r.result.Status = evidence.Status(codes.Of(described.Code()).Status)
	if e := &r.result.Execution; e.Ran && e.ReturnCode == 0 {
		e.ReturnCode = -1 // it was not the script's own end
	}
	if undo := r.result.Rollback; undo != nil && undo.Status != evidence.StepNotRun && r.result.Action != string(ActionRollback) {
		r.result.Status = evidence.StatusFailed
		switch {
		case undo.Error == nil && undo.WithoutUndo != nil:
			r.result.Status = evidence.StatusRolledBack
			r.result.Message += "; what has an undo was undone, which these have not: " + strings.Join(undo.WithoutUndo, ", ")
		case undo.Error == nil && len(undo.Steps) == 0:
			r.result.Status = evidence.StatusRolledBack
			r.result.Message += "; nothing that had begun needs an undo"
		case undo.Error == nil:
			r.result.Status = evidence.StatusRolledBack
			r.result.Message += "; everything that had begun was undone"
		default:
			r.result.Message += "; undo failed: " + undo.Error.Message
		}
	}
}

// achieved is one sentence about a success.
func (r *earlier) achieved() string {
	steps := r.result.Steps
	if !r.outcome.Began && (len(steps) == 0 || r.result.Execution.Note != "") {
		return r.result.Execution.Note
	}
	if r.result.Action == string(ActionRollback) {
		return r.achievedUndo()
	}
	var ok, tolerated, resumed, left int
	for _, s := range steps {
		switch s.Status {
		case evidence.StepSuccess:
			ok++
		case evidence.StepSkipped:
			resumed++
		case evidence.StepNotRun:
			left++
		default:
			tolerated++
		}
	}
	text := counted(ok, "step") + " succeeded"
	if tolerated > 0 {
		text += fmt.Sprintf(", %d failed and may", tolerated)
	}
	if resumed > 0 {
		text += fmt.Sprintf(", %d had succeeded before", resumed)
	}
	if r.result.Action == string(ActionDryRun) {
		text = fmt.Sprintf("dry run: %s, %d not run", text, left)
	}
	return text
}

// achievedUndo is one sentence about a rollback that succeeded.
func (r *earlier) achievedUndo() string {
	undo, ran := r.result.Rollback, 0
	for _, s := range undo.Steps {
		if s.Status == evidence.StepSuccess {
			ran++
		}
	}
	text := counted(ran, "undo script") + " succeeded"
	if undo.WithoutUndo != nil {
		text += "; these steps have none: " + strings.Join(undo.WithoutUndo, ", ")
	}
	return text + r.without()
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// isDuplicate is the answer to a request that another run has done or is doing: that run, and how
// it ended. It leaves no evidence of its own.
func (r *report) isDuplicate(other claim.Claim) evidence.Result {
	why := duplicateOf(other).why
	r.result.RunID, r.result.Attempt, r.result.Message, r.result.Duplicate = other.RunID, other.Attempt, why, true
	r.request.pinned = cmp.Or(r.request.pinned, other.Pinned)
	r.result.Status = evidence.StatusInProgress
	if other.State == claim.Done {
		r.result.Status = evidence.Status(other.Status)
	}
	r.result.Execution.Note = why
	r.exec.Log.Info("duplicate", "run_id", other.RunID, "object", r.request.Object, "status", r.result.Status)
	return r.result
}
