package pipeline

import (
	"cmp"
	"context"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/confinement"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
	"cemli-executor/internal/timing"
	"cemli-executor/internal/verdict"
)

// journal returns what the run does while its steps run: it notes in the claim that a step begins, stores logs as steps
// end, and logs both.
func (r *changing) journal(ctx context.Context) steps.Journal {
	j := steps.Journal{
		Begins: r.stepBegins,
		Ended:  func(s evidence.Step, log steps.Log) { r.stepEnded(ctx, s, log) },
		Tolerated: func(step string, failure error) {
			r.log.Warn("the step failed, and may", "step", step, "code", problem.CodeOf(failure))
		},
	}
	if r.away() != nil {
		j.Attends = r.attends
	}
	if r.exec.Output == OutputAll {
		j.Lines = func(step string, stream evidence.Stream) func([]string) {
			return r.exec.LogWriter.Lines(r.log.With("step", step, "stream", stream))
		}
	}
	return j
}

func (r *changing) stepBegins(ctx context.Context, b steps.Beginning) error {
	if err := r.progress(ctx, b); err != nil {
		return err
	}
	r.log.Info("step started", "step", b.Step.Name, "phase", b.Step.Phase, "number", b.Number)
	return nil
}

func (r *changing) stepEnded(ctx context.Context, s evidence.Step, log steps.Log) {
	if log.Err != nil {
		r.log.Error("cannot write the whole log", "step", s.Name, "error", log.Err.Error())
	}
	if r.exec.Output == OutputTail {
		r.logTail(s.Name, evidence.Stdout, s.StdoutTail)
		r.logTail(s.Name, evidence.Stderr, s.StderrTail)
	}
	r.log.Info("step finished", "step", s.Name, "phase", s.Phase, "status", s.Status,
		"returncode", s.ReturnCode, "signal", s.Signal, "duration_ms", s.DurationMS, "truncated", s.Truncated)
	r.stored.Log(ctx, evidence.Dir(r.result.RunID)+log.Name, log.File, log.Times, r.log.With("step", s.Name))
}

func (r *report) logTail(step string, stream evidence.Stream, text string) {
	if text != "" {
		r.log.Info("output", "step", step, "stream", stream, "line", text)
	}
}

// progress notes in the claim, right before a step starts, that it does: this is all that is known if the executor
// dies. It stops the run if the claim is lost or its lease has ended, as another invocation may have taken over.
func (r *changing) progress(ctx context.Context, b steps.Beginning) error {
	first := !r.started || r.away() != nil
	if p := r.away(); p != nil && r.claim.Apart != nil && r.claim.Apart.Job == p.Record().Job {
		return r.stepBegan(ctx, b)
	}
	checkpoint, err := r.checkpoint(b)
	if err != nil {
		return err
	}
	ok := false
	note := func(ctx context.Context) (err error) {
		ok, err = r.noteStart(ctx, first, checkpoint)
		return err
	}
	if first {
		err = note(ctx) // if this fails nothing has started, and the request is tried again
	} else {
		err = r.unnoted(b.Step, r.insistBeforeDeadline(ctx, note))
	}
	if err != nil || !ok {
		return cmp.Or(err, r.lostLease(first))
	}
	r.started, r.request.Pinned = true, r.result.Package.SHA256
	return nil
}

// stepBegan notes in the claim how far a run is whose steps are apart. What cannot be noted is noted with the next
// step: the runner goes on in any case.
func (r *changing) stepBegan(ctx context.Context, b steps.Beginning) error {
	ctx, cancel := r.perRequest(ctx)
	defer cancel()
	checkpoint, err := r.checkpoint(b)
	ok := false
	if err == nil {
		ok, err = r.noteStart(ctx, false, checkpoint)
	}
	if err != nil {
		r.log.Warn("how far the run is could not be noted yet", "step", b.Step.Name, "error", err.Error())
		return nil
	}
	return r.unlessTaken(ok)
}

// checkpoint encodes the result as it would be if the executor died during a step.
func (r *changing) checkpoint(b steps.Beginning) ([]byte, error) {
	dying := r.snapshot(b.Interrupted)
	result := &dying.result
	result.Execution.ReturnCode = -1
	result.Status, result.Message = evidence.StatusInterrupted, "the executor ended while the step "+b.Step.Name+
		" ran, or right before it began"
	result.Error = &evidence.Error{
		Code: "step.interrupted", Message: result.Message,
		Hint: "see which parts took effect; then send rerun_of or resume_from with a reason",
	}
	result.End = r.exec.Now()
	return dying.encodeCheckpoint()
}

// snapshot copies the run as it is now, with what the job has produced so far, for a result that another invocation may
// have to store.
func (r *changing) snapshot(o steps.Outcome) *changing {
	dying := *r
	dying.result.Evidence = r.stored.Listed()
	dying.takeOutcome(o)
	dying.result.Steps = nil
	for _, s := range o.Steps {
		s.StdoutTail, s.StderrTail = "", ""
		dying.result.Steps = append(dying.result.Steps, s)
	}
	dying.result.Execution = evidence.Execution{
		Ran: true, ReturnCode: dying.result.Execution.ReturnCode,
		Note: "the output is in the steps' logs, as far as they were stored",
	}
	return &dying
}

// takeOutcome puts what the job has produced into the result.
func (r *found) takeOutcome(o steps.Outcome) {
	r.outcome = o
	if p := r.away(); p != nil {
		r.result.Apart = p.Describe()
	}
	r.result.Steps, r.result.Rollback = o.Steps, o.Rollback
	switch {
	case r.away() != nil:
		r.result.Sandbox = confinement.Apart(r.job.Network, o.Layers, r.probed.Credentials, r.probed.Probed)
	case o.Layers != (sandbox.Layers{}):
		r.confinedBy(o.Layers)
	}
	if undo := o.Rollback; undo != nil && undo.Status != evidence.StepSuccess {
		undo.Request = r.request.FinishUndo(r.result)
	}
	r.result.SumUp()
}

// encodeCheckpoint encodes a snapshot for the claim.
func (r *changing) encodeCheckpoint() ([]byte, error) {
	r.result.Outputs = r.outcome.Outputs
	r.hides.Mask(&r.result)
	doc, err := r.result.Encode()
	if err == nil && len(doc) > maxCheckpoint {
		r.result.Manifest, r.result.Trigger.Raw = nil, nil // the package and the pending request still have them
		return r.result.Encode()
	}
	return doc, err
}

// maxCheckpoint is the largest size of a checkpoint that includes the manifest: the claim is written before each step.
const maxCheckpoint = 1 << 20

// noteStart notes that a step starts. It returns false if another invocation holds the claim or the group by now, or
// may hold it.
func (r *changing) noteStart(ctx context.Context, first bool, checkpoint []byte) (bool, error) {
	if (first || r.away() == nil) && r.exec.Now().After(r.claim.Lease) {
		return false, nil // apart the runner has begun, and goes on whatever the time is
	}
	if ok, err := r.renew(ctx, first); err != nil || !ok {
		return false, err
	}
	if r.until.IsZero() {
		r.until = r.exec.Time.StepsEnd(r.need)
	}
	start := claim.Start{
		Lease: r.leaseNow(), Group: r.claim.Group, Applies: r.change, SHA256: r.result.Package.SHA256,
		Checkpoint: checkpoint,
	}
	if r.group != nil {
		start.Group = r.group.Name
	}
	if r.away() != nil {
		return r.noteApart(ctx, start)
	}
	if r.need > 0 && r.until.Before(start.Lease) {
		start.Lease = r.until // if the executor dies, nobody waits longer than the steps may take
	}
	return r.claim.Progress(ctx, start)
}

// renew extends the group's lease before the first step if preparing the run took long. It returns false if another run
// holds the group by now.
func (r *acquired) renew(ctx context.Context, first bool) (bool, error) {
	if !first || r.group == nil || r.group.Holder.Lease.After(r.newLease().Add(-timing.Preparing/2)) {
		return true, nil
	}
	return r.group.Renew(ctx, r.newLease())
}

// leaseNow returns the lease for the claim: that of the group, if there is one, so that both end together.
func (r *acquired) leaseNow() time.Time {
	if r.group != nil {
		return r.group.Holder.Lease
	}
	return r.claim.Lease
}

// insistBeforeDeadline retries what has to be done before a step as long as there is still time for the step.
func (r *decided) insistBeforeDeadline(ctx context.Context, do func(context.Context) error) error {
	end, _ := ctx.Deadline() // Bound has set it
	ctx, cancel := context.WithDeadline(ctx, end.Add(-steps.Grace))
	defer cancel()
	return store.Patience(r.perRequest).Insist(ctx, do)
}

// unnoted returns the error for a step whose start could not be noted. Such a step is not begun: if the executor died,
// its result would say that the step had not run.
func (r *decided) unnoted(step evidence.Step, err error) error {
	if err == nil {
		return nil
	}
	cause := problem.Of(err, problem.Problem{Message: err.Error()})
	return problem.New(problem.Problem{
		Code: "state.unnoted", Where: step.Run,
		Message: "was not begun, as that could not be noted in the state bucket: " + cause.Message(),
		Hint: "check that the state bucket can be reached and written; then go on with resume_from or undo with " +
			"rollback_of",
	}, err)
}

// lostLease returns the error for a run whose claim may be another invocation's.
func (r *changing) lostLease(first bool) error {
	if first {
		return verdict.DuplicateOf(r.claim.Claim)
	}
	return problem.New(problem.Problem{
		Code: "state.lease_lost", Where: r.result.RunID,
		Message: "the run has taken longer than its lease, and another invocation may have taken over",
		Hint:    "see the results of this run and of later ones before you go on",
	}, nil)
}

// noteEnd notes in the claim how the steps have ended, before anything else is stored: if the executor dies now, a
// later invocation stores that as the run's result. If this fails, it is retried beside the other work.
func (r *changing) noteEnd(ctx context.Context, failure error) {
	if !r.started || r.away() != nil { // what a runner leaves is in the mailbox
		return
	}
	dying := r.snapshot(r.outcome)
	dying.conclude(failure)
	dying.result.Message += "; the executor ended before all of the evidence was stored"
	doc, err := dying.encodeCheckpoint()
	if err != nil {
		r.log.Warn("the end of the steps could not be noted", "error", err.Error())
		return
	}
	end := claim.Start{
		Lease: r.leaseNow(), Group: r.claim.Group, Applies: r.change, SHA256: r.result.Package.SHA256, Checkpoint: doc,
	}
	note := func(ctx context.Context) error {
		_, err := r.claim.Progress(ctx, end)
		return err
	}
	if err := store.Patience(r.perRequest).Once(context.WithoutCancel(ctx), note); err != nil {
		r.log.Warn("the end of the steps could not be noted yet", "error", err.Error())
		r.noteLater = note
	}
}
