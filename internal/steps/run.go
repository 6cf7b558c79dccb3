package steps

import (
	"context"
	"fmt"
	"maps"
	"time"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/workdir"
)

// execute runs the scripts in order, stops at the first that fails, and then undoes the steps that had begun.
func (r *run) execute(ctx context.Context) error {
	stop, cancel := context.WithDeadline(ctx, r.stepsEnd(ctx))
	defer cancel()
	var failure error
	for i, s := range r.scripts {
		record := s.Describe(evidence.StepNotRun)
		switch {
		case failure != nil || s.Do == Leave:
		case s.Do == Skip:
			record.Status, record.Outputs = evidence.StepSkipped, s.Outputs
			maps.Copy(r.outcome.Outputs, s.Outputs)
		default:
			record, failure = r.step(stop, i+1, s)
			if s.ContinueOnError && passing(failure, stop) {
				r.journal.Tolerated(s.Name, failure)
				failure = nil
			}
			r.note(stop, record, failure)
		}
		r.outcome.Steps = append(r.outcome.Steps, record)
	}
	if failure != nil && r.outcome.Began && r.job.Undo == UndoOnFailure {
		r.undoBegun(ctx)
	}
	return failure
}

// note notes what a failure says of the job that its step's record does not.
func (r *run) note(ctx context.Context, record evidence.Step, failure error) {
	if failure == nil {
		return
	}
	r.outcome.Stopped = ctx.Err() != nil || !hasTime(ctx)
	if record.Attempts == 0 {
		r.outcome.Refused = r.here.refusal(failure)
	}
}

// stepsEnd is the time by which the steps must have ended.
func (r *run) stepsEnd(ctx context.Context) time.Time {
	end, _ := ctx.Deadline()
	end = end.Add(-r.job.Times.Kept)
	if most := r.job.Times.Steps; most > 0 && time.Now().Add(most+Grace).Before(end) {
		end = time.Now().Add(most + Grace)
	}
	return end
}

// passing reports whether a job may go on after a failure, or a step be repeated: the failure is the script's own,
// and not the end of the steps' time.
func passing(failure error, ctx context.Context) bool {
	return failure != nil && ctx.Err() == nil && codes.OfError(failure).Tolerated
}

// step runs one script, and repeats it after a failure as often as the step allows.
func (r *run) step(ctx context.Context, number int, s script) (evidence.Step, error) {
	record := s.Describe(evidence.StepNotRun)
	if isClosed(r.cancelOf(s)) {
		return record, cancelled(s, "was not begun, as the run was cancelled")
	}
	if !hasTime(ctx) {
		if !r.outcome.Began {
			none := problem.Problem{Code: "step.deadline", Where: s.Run, Message: "no time is left for it"}
			return record, problem.New(none, ErrNoTime)
		}
		return record, stepError("step.timeout", s, "was not started: the time of the run had ended",
			"make the steps before it faster, split the package, or raise the timeout")
	}
	log, err := r.newLog(number, s)
	if err != nil {
		return record, err
	}
	begins := Beginning{Step: record, Number: number, Interrupted: r.interrupted(record)}
	if err := r.journal.Begins(ctx, begins); err != nil {
		_ = log.file.Close() // it is empty
		return record, err
	}
	if r.journal.Started != nil {
		r.journal.Started(record, number)
	}
	var failure error
	for {
		failure = r.attempt(ctx, number, s, log, &record)
		if failure == nil || record.Attempts > s.Retries || !passing(failure, ctx) || !r.pause(ctx, s, log, record) {
			break
		}
	}
	if record.Attempts == 0 {
		_ = log.file.Close() // it is empty
		return record, failure
	}
	record.Log = log.name
	kept := log.finish(&record)
	r.nameChanged(&record)
	record.Error = r.describe(failure)
	r.journal.Ended(record, kept)
	return record, failure
}

// describe gives the reason why a step is not a success for its record.
func (r *run) describe(failure error) *evidence.Error {
	if failure == nil {
		return nil
	}
	unknown := problem.Problem{Code: "step.failed", Message: "the step did not succeed"}
	e := evidence.NewError(problem.Of(failure, unknown))
	e.Mask(r.here.Masker)
	return e
}

// pause waits before the next attempt; it returns false if there is no time for one. It does not wait if the job is
// cancelled, as the attempt does not begin then.
func (r *run) pause(ctx context.Context, s script, log *stepLog, record evidence.Step) bool {
	timer := time.NewTimer(s.RetryDelay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-r.cancelOf(s):
		return true
	case <-timer.C:
	}
	if !hasTime(ctx) {
		return false
	}
	log.output.Note(fmt.Sprintf("attempt %d of %d, as the one before ended with %s",
		record.Attempts+1, s.Retries+1, record.Status))
	return true
}

// attempt runs a script once and adds to its record how it ended.
func (r *run) attempt(ctx context.Context, number int, s script, log *stepLog, record *evidence.Step) error {
	if isClosed(r.cancelOf(s)) {
		return cancelled(s, "was not begun, as the run was cancelled")
	}
	r.here.Dir.Reopen()
	file, err := r.unmodified(s)
	if err != nil {
		return err
	}
	defer file.Close()
	stop, release := cancellable(ctx, r.cancelOf(s))
	defer release()
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		stop, cancel = context.WithTimeout(stop, s.Timeout+Grace)
		defer cancel()
	}
	r.outcome.Began = true
	record.Attempts++
	could := r.masks.usable()
	outputs := workdir.OutputFile(number, record.Attempts)
	before := log.elapsed()
	outcome, err := r.spawn(stop, s, file, log, r.environment(s, record.Attempts, outputs, stopTime(stop)))
	r.here.Dir.Reopen() // so that the files it left can be read even if it took the rights away
	if err != nil {
		record.Status, record.ReturnCode = evidence.StepFailed, -1
		return problem.Of(err, problem.Problem{
			Code: "step.start", Where: s.Run, Message: "the script could not be started",
			Hint: "see the function's log",
		})
	}
	log.lost = log.lost || outcome.OutputLost
	if err := judge(stop, s, outcome, before, record); err != nil {
		return err
	}
	if could && !r.masks.usable() {
		record.Status = evidence.StepFailed
		return r.masks.unusable(s)
	}
	return r.takeOutputs(s, outputs, record)
}
