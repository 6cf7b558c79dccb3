package evidence

import (
	"fmt"
	"strings"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/problem"
)

// Succeed sets status and message of a run that succeeded. Where nothing was begun, a note says why.
func (r *Result) Succeed(began bool) {
	r.Status, r.Message = StatusSuccess, r.Execution.Note
	if began || len(r.Steps) > 0 && r.Execution.Note == "" {
		r.Message = r.achieved()
	}
}

// Fail sets status, message and error of a run that failed. What was undone afterwards is part of all three.
func (r *Result) Fail(failure *problem.Error, message string) {
	r.Error = NewError(failure)
	r.Message = message
	r.Status = Status(codes.Of(failure.Code()).Status)
	if e := &r.Execution; e.Ran && e.ReturnCode == 0 {
		e.ReturnCode = -1 // it was not the script's own end
	}
	if r.Cancelled != nil {
		r.Message += ": " + r.Cancelled.Reason
	}
	undo := r.Rollback
	if undo == nil || undo.Status == StepNotRun || r.Action == "rollback" {
		return
	}
	ended, unfinished := StatusRolledBack, StatusFailed
	if r.Status == StatusCancelled {
		ended, unfinished = StatusCancelled, StatusCancelled
	}
	r.Status = ended
	switch {
	case undo.Error != nil:
		r.Status = unfinished
		r.Message += "; undo failed: " + undo.Error.Message
	case undo.WithoutUndo != nil:
		r.Message += "; what has an undo was undone, which these have not: " + strings.Join(undo.WithoutUndo, ", ")
	case len(undo.Steps) == 0:
		r.Message += "; nothing that had begun needs an undo"
	default:
		r.Message += "; everything that had begun was undone"
	}
}

// achieved is one sentence about a success.
func (r *Result) achieved() string {
	steps := r.Steps
	if r.Action == "rollback" {
		return r.achievedUndo()
	}
	var ok, tolerated, resumed, left int
	for _, s := range steps {
		switch s.Status {
		case StepSuccess:
			ok++
		case StepSkipped:
			resumed++
		case StepNotRun:
			left++
		default:
			tolerated++
		}
	}
	text := Counted(ok, "step") + " succeeded"
	if tolerated > 0 {
		text += fmt.Sprintf(", %d failed and may", tolerated)
	}
	if resumed > 0 {
		text += fmt.Sprintf(", %d had succeeded before", resumed)
	}
	if r.Action == "dry_run" {
		text = fmt.Sprintf("dry run: %s, %d not run", text, left)
	}
	return text
}

// achievedUndo is one sentence about a rollback that succeeded.
func (r *Result) achievedUndo() string {
	undo, ran := r.Rollback, 0
	for _, s := range undo.Steps {
		if s.Status == StepSuccess {
			ran++
		}
	}
	text := Counted(ran, "undo script") + " succeeded"
	if undo.WithoutUndo != nil {
		text += "; these steps have none: " + strings.Join(undo.WithoutUndo, ", ")
	}
	return text
}

// Counted is a number of things, in words: "1 step", "2 steps".
func Counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// SumUp makes the summary of all scripts that were run, by the records of steps and undo.
func (r *Result) SumUp() {
	sum := Execution{Note: r.Execution.Note}
	add := func(records []Step, counts bool) {
		for _, s := range records {
			if s.Attempts == 0 {
				continue
			}
			sum.Ran = true
			if counts {
				sum.ReturnCode = s.ReturnCode
			}
			sum.Stdout, sum.Stderr = Tail(sum.Stdout+s.StdoutTail), Tail(sum.Stderr+s.StderrTail)
		}
	}
	add(r.Steps, true)
	if r.Rollback != nil {
		add(r.Rollback.Steps, r.Action == "rollback")
	}
	r.Execution = sum
}

// LastError returns what a claim keeps of a failure, for the result; nil for no failure.
func LastError(failure error) *problem.Problem {
	if failure == nil {
		return nil
	}
	described := problem.Of(failure, problem.Problem{
		Code: codes.Internal, Message: "the executor could not do its work",
	})
	return &problem.Problem{Code: described.Code(), Message: Cut(described.Message(), 1000)}
}
