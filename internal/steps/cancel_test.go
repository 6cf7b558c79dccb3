package steps_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
)

// cancelAt makes the job be cancelled when a script prints a line.
func (b *bench) cancelAt(line string) {
	b.cancelled = make(chan struct{})
	var once sync.Once
	b.cancel = func(got string) {
		if got == line {
			once.Do(func() { close(b.cancelled) })
		}
	}
}

// cancelAfter makes the job be cancelled when the first script has ended.
func (b *bench) cancelAfter() {
	b.cancelled = make(chan struct{})
	b.here.Spawn = func(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error) {
		o, err := sandbox.Run(ctx, c)
		close(b.cancelled)
		return o, err
	}
}

// A script that is cancelled is asked to end, and can clean up; then what had begun is undone, and no step follows.
func TestCancelled(t *testing.T) {
	b := newBench(t, map[string]string{
		"1": "", "2": "trap 'echo cleaned up; exit 0' TERM; echo now; sleep 100 & wait", "3": "",
		"u1": "", "u2": "echo undone",
	}, "1", "2", "3")
	b.job.Undo = steps.UndoOnFailure
	b.cancelAt("now")
	o, err := b.run()
	const want = "1 success, 2 cancelled, 3 not_run, undo success, u2 success, u1 success"
	if problem.CodeOf(err) != "step.cancelled" || trail(o) != want {
		t.Errorf("%s, %v", trail(o), err)
	}
	if got := b.logs["steps/02-2.log"]; got != "now\ncleaned up\n" {
		t.Errorf("its log is %q", got)
	}
	if e := o.Steps[1].Error; e == nil || e.Code != "step.cancelled" {
		t.Errorf("its error is %+v", e)
	}
}

// Without undo, what was cancelled stays as it is.
func TestCancelledWithoutUndo(t *testing.T) {
	b := newBench(t, map[string]string{"1": "echo now; sleep 100", "u1": "echo undone"}, "1")
	b.job.Undo = steps.UndoNever
	b.cancelAt("now")
	if o, err := b.run(); problem.CodeOf(err) != "step.cancelled" || trail(o) != "1 cancelled" {
		t.Errorf("%s, %v", trail(o), err)
	}
}

// A job that is cancelled before it begins executes nothing, and says so to nobody.
func TestCancelledBeforeItBegins(t *testing.T) {
	b := newBench(t, map[string]string{"1": "", "u1": ""}, "1")
	b.job.Undo = steps.UndoOnFailure
	b.cancelled = make(chan struct{})
	close(b.cancelled)
	o, err := b.run()
	if problem.CodeOf(err) != "step.cancelled" || trail(o) != "1 not_run" || o.Began || len(b.begun) != 0 {
		t.Errorf("%s, told %d times, %v", trail(o), len(b.begun), err)
	}
}

// A step that waits to be repeated is not repeated, and one that may fail does not make the job go on.
func TestCancelledBetweenAttempts(t *testing.T) {
	b := newBench(t, map[string]string{"1": "exit 1", "2": ""}, "1", "2")
	b.job.Plan[0].Retries, b.job.Plan[0].RetryDelay, b.job.Plan[0].ContinueOnError = 3, time.Hour, true
	b.cancelAfter()
	o, err := b.run()
	if problem.CodeOf(err) != "step.cancelled" || trail(o) != "1 failed, 2 not_run" || o.Steps[0].Attempts != 1 {
		t.Errorf("%s, %+v, %v", trail(o), o.Steps[0], err)
	}
}

// An undo that has begun goes on, and is repeated as often as the step may be.
func TestAnUndoIsNotCancelled(t *testing.T) {
	b := newBench(t, map[string]string{"1": "exit 1", "u1": "echo now; sleep 0.2; [ $CEMLI_ATTEMPT = 2 ]"}, "1")
	b.job.Undo, b.job.Plan[0].Retries = steps.UndoOnFailure, 1
	b.cancelAt("now")
	o, err := b.run()
	if problem.CodeOf(err) != "step.failed" || trail(o) != "1 failed, undo success, u1 success" ||
		o.Rollback.Steps[0].Attempts != 2 {
		t.Errorf("%s, %v", trail(o), err)
	}
}

// What succeeded before the cancel came is a success.
func TestCancelledTooLate(t *testing.T) {
	b := newBench(t, map[string]string{"1": ""}, "1")
	b.cancelAfter()
	o, err := b.run()
	if err != nil || trail(o) != "1 success" {
		t.Errorf("%s, %v", trail(o), err)
	}
}
