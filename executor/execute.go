package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

// jobOf is what a plan means for whoever runs its steps, as far as it is known before secrets are read.
func (r *run) jobOf(plan *manifest.Plan) steps.Job {
	m, p := plan.Manifest(), r.result.Package
	job := steps.Job{
		World: steps.World{
			RunID: r.result.RunID, Package: p.Name, Version: p.Version, Type: p.Type,
			Environment: r.exec.Environment, Action: r.result.Action, Fence: r.fence(), DryRun: r.result.Action == string(ActionDryRun),
		},
		Undo: r.undoOf(m), Tools: m.Tools, Level: r.level, Network: m.Network, Keep: m.Outputs,
		Times: steps.Times{Steps: m.Timeout, Undo: undoTime(m)},
		Limits: steps.Limits{
			LogBytes: r.limits.LogBytes, Artifacts: r.limits.Artifacts, ArtifactBytes: r.limits.ArtifactBytes,
		},
	}
	for _, a := range plan.Arguments() {
		job.Arguments = append(job.Arguments, steps.Variable{Name: a.Name, Value: a.Value.Text()})
	}
	for _, s := range plan.Steps() {
		job.Plan = append(job.Plan, r.stepOf(s))
	}
	return job
}

// fence is the number that tells this run of its group from every earlier one; "" outside of one.
func (r *held) fence() string {
	if r.group == nil {
		return ""
	}
	return fmt.Sprint(r.group.Fence)
}

// undoOf says when what a run does is undone.
func (r *decided) undoOf(m *manifest.Manifest) steps.Undo {
	switch {
	case r.result.Action == string(ActionRollback):
		return steps.UndoOnly
	case r.result.Action == string(ActionApply) && m.OnFailure != manifest.OnFailureStop:
		return steps.UndoOnFailure
	}
	return steps.UndoNever
}

// stepOf is a step of the plan for whoever runs it. A dry run leaves out what does not promise to change
// nothing.
func (r *decided) stepOf(s manifest.Step) steps.Step {
	step := steps.Step{
		Name: s.Name, Phase: s.Phase, Run: s.Run, SHA256: s.SHA256, Args: s.Args, Env: s.Env, Secrets: s.Secrets,
		Timeout: s.Timeout, Retries: s.Retries, RetryDelay: s.RetryDelay, ContinueOnError: s.ContinueOnError,
		Undo: s.Rollback, UndoSHA256: s.RollbackSHA256, NoUndo: s.NoUndo,
	}
	if r.result.Action == string(ActionApply) || r.result.Action == string(ActionDryRun) && (s.Phase == manifest.PhasePreCheck || s.DryRun) {
		step.Do = steps.Run
	}
	return step
}

// here is where the steps run.
func (r *found) here() steps.Here {
	return steps.Here{Dir: r.dir, Files: r.files, Masker: r.masker, Limits: r.exec.Scripts, Keeper: r.exec.Keeper, Spawn: r.exec.Spawn}
}

// execute has the job done.
func (r *run) execute(ctx context.Context, plan *manifest.Plan) error {
	if err := r.decide(ctx); err != nil {
		return err
	}
	r.job.Times.Kept = undoShare(ctx, plan)
	outcome, err := r.here().Run(ctx, r.job, r.journal(ctx))
	r.take(outcome)
	switch {
	case errors.Is(err, steps.ErrNoTime):
		return r.tooLong(r.noTime())
	case len(r.job.Plan) == 0:
		r.result.Execution.Note = "the package has no scripts; nothing was executed"
	}
	if err == nil && r.result.Action == string(ActionRollback) && !outcome.Began {
		r.result.Execution.Note = "nothing of that run has an undo that is left to be done; nothing was executed"
	}
	return err
}

// decide makes the job go by the run that this one goes back to, if there is one.
func (r *run) decide(ctx context.Context) error {
	switch {
	case r.result.Action == string(ActionRollback):
		return r.rollBack(ctx)
	case r.request.ResumeFrom != "":
		r.leaveOut()
	}
	return nil
}

// progress notes, right before a step starts, that it does: if the executor dies, this is what is
// known. A claim that is lost, or whose lease has ended, stops the run: another may have begun.
func (r *held) progress(ctx context.Context, b steps.Beginning) error {
	first := !r.noted
	frame, err := r.frame(b)
	if err != nil {
		return err
	}
	ok := false
	note := func(ctx context.Context) (err error) {
		ok, err = r.noteStart(ctx, first, frame)
		return err
	}
	if first {
		err = note(ctx) // else nothing has been started, and the request is tried again
	} else {
		err = r.unnotable(b.Step, r.untilTooLate(ctx, note))
	}
	if err != nil || !ok {
		return cmp.Or(err, r.lostLease(first))
	}
	r.noted, r.request.pinned = true, r.result.Package.SHA256
	return nil
}

// frame is the result as it would be if the executor died during a step.
func (r *held) frame(b steps.Beginning) ([]byte, error) {
	dying := r.snapshot(b.Interrupted)
	result := &dying.result
	result.Execution.ReturnCode = -1
	result.Status, result.Message = evidence.StatusInterrupted, "the executor ended while the step "+b.Step.Name+" ran, or right before it began"
	result.Error = &evidence.Error{
		Code: "step.interrupted", Message: result.Message,
		Hint: "see which parts took effect; then send rerun_of or resume_from with a reason",
	}
	result.End = r.exec.now()
	return dying.framed()
}

// snapshot is the run as it is now, with what has come of the job, for a result that somebody else may have
// to store.
func (r *held) snapshot(o steps.Outcome) *held {
	dying := *r
	dying.result.Evidence = r.stored.Listed()
	dying.take(o)
	dying.result.Steps = nil
	for _, s := range o.Steps {
		s.StdoutTail, s.StderrTail = "", ""
		dying.result.Steps = append(dying.result.Steps, s)
	}
	dying.result.Execution = evidence.Execution{Ran: true, ReturnCode: dying.result.Execution.ReturnCode, Note: "the output is in the steps' logs, as far as they were stored"}
	return &dying
}

// take puts what has come of the job into the result.
func (r *decided) take(o steps.Outcome) {
	r.outcome = o
	r.result.Steps, r.result.Rollback = o.Steps, o.Rollback
	if o.Layers != (sandbox.Layers{}) {
		r.describeSandbox(o.Layers)
	}
	if undo := o.Rollback; undo != nil && undo.Status != evidence.StepSuccess {
		undo.Request = r.undoRequest()
	}
	r.result.Execution = r.sumUp(o)
}

// sumUp is the summary of all scripts that were run.
func (r *report) sumUp(o steps.Outcome) evidence.Execution {
	sum := evidence.Execution{Note: r.result.Execution.Note}
	add := func(records []evidence.Step, counts bool) {
		for _, s := range records {
			if s.Attempts == 0 {
				continue
			}
			sum.Ran = true
			if counts {
				sum.ReturnCode = s.ReturnCode
			}
			sum.Stdout, sum.Stderr = evidence.Tail(sum.Stdout+s.StdoutTail), evidence.Tail(sum.Stderr+s.StderrTail)
		}
	}
	add(o.Steps, true)
	if o.Rollback != nil {
		add(o.Rollback.Steps, r.result.Action == string(ActionRollback))
	}
	return sum
}

// undoRequest is the request that does what is left to be undone.
func (r *report) undoRequest() *evidence.UndoRequest {
	run := r.result.RunID
	reason := "finish the undo of " + run
	if r.result.Action == string(ActionRollback) {
		run = r.request.RollbackOf
		// With the reason of this run it would be the same request.
		reason = "finish the undo of " + run + ", which " + r.result.RunID + " did not"
	}
	return &evidence.UndoRequest{
		Action: string(ActionRollback), Object: r.request.Object, VersionID: r.result.Package.VersionID,
		ParameterSet: r.request.ParameterSet, RollbackOf: run, Reason: reason,
	}
}

// framed encodes a snapshot for the claim.
func (r *held) framed() ([]byte, error) {
	r.result.Outputs = r.outcome.Outputs
	r.mask()
	doc, err := r.result.Encode()
	if err == nil && len(doc) > maxFrame {
		r.result.Manifest, r.result.Trigger.Raw = nil, nil // the package has one, and the mark the other
		return r.result.Encode()
	}
	return doc, err
}

// maxFrame is how large a frame may be that has the manifest in it: a claim is written before each step.
const maxFrame = 1 << 20

// noteStart notes that a step starts. False: the claim or the group is another's by now, or may be.
func (r *held) noteStart(ctx context.Context, first bool, frame []byte) (bool, error) {
	if r.exec.now().After(r.claim.Lease) {
		return false, nil
	}
	if ok, err := r.renew(ctx, first); err != nil || !ok {
		return false, err
	}
	if r.until.IsZero() {
		r.until = r.exec.now().Add(r.need + r.exec.Reserve + leaseMargin).UTC()
	}
	start := claim.Start{Lease: r.longest(), Group: r.claim.Group, Applies: r.doing, SHA256: r.result.Package.SHA256, Checkpoint: frame}
	if r.group != nil {
		start.Group = r.group.Name
	}
	if r.need > 0 && r.until.Before(start.Lease) {
		start.Lease = r.until // if the executor dies, nobody waits for what it had to prepare and to store
	}
	return r.claim.Progress(ctx, start)
}

// renew makes the lease of the group last for the steps, where preparing them took long. False: the group
// is another's by now.
func (r *held) renew(ctx context.Context, first bool) (bool, error) {
	if !first || r.group == nil || r.group.Holder.Lease.After(r.lease().Add(-preparing/2)) {
		return true, nil
	}
	return r.group.Renew(ctx, r.lease())
}

// longest is the lease that the claim may have: whoever finds that of the group ended finds both.
func (r *held) longest() time.Time {
	if r.group != nil {
		return r.group.Holder.Lease
	}
	return r.claim.Lease
}

// untilTooLate does what has to be done before a step, as often as there is still time for the step then.
func (r *decided) untilTooLate(ctx context.Context, do func(context.Context) error) error {
	end, _ := ctx.Deadline() // bound has set it
	ctx, cancel := context.WithDeadline(ctx, end.Add(-grace))
	defer cancel()
	return store.Patience(r.part).Insist(ctx, do)
}

// unnotable is the error for a step that could not be noted, and so is not begun: if the executor died, its
// result would say that it had not run.
func (r *decided) unnotable(step evidence.Step, err error) error {
	if err == nil {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "state.unnoted", Where: step.Run, Message: "was not begun, as that could not be noted in the state bucket: " + problem.Of(err, problem.Problem{Message: err.Error()}).Message(),
		Hint: "check that the state bucket can be reached and written; then go on with resume_from or undo with rollback_of",
	}, err)
}

func (r *held) lostLease(first bool) error {
	if first {
		return duplicateOf(r.claim.Claim)
	}
	return problem.New(problem.Problem{
		Code: "state.lease_lost", Where: r.result.RunID, Message: "the run has taken longer than its lease, and another invocation may have taken over",
		Hint: "see the results of this run and of later ones before you go on",
	}, nil)
}

// noteEnd notes in the claim how the steps have ended, before anything else waits for the store: whoever finds
// the run dead then stores that as its result. What fails is tried again beside that.
func (r *held) noteEnd(ctx context.Context, failure error) {
	if !r.noted {
		return
	}
	dying := r.snapshot(r.outcome)
	dying.conclude(failure)
	dying.result.Message += "; the executor ended before all of the evidence was stored"
	doc, err := dying.framed()
	if err != nil {
		r.log.Warn("the end of the steps could not be noted", "error", err.Error())
		return
	}
	end := claim.Start{Lease: r.longest(), Group: r.claim.Group, Applies: r.doing, SHA256: r.result.Package.SHA256, Checkpoint: doc}
	note := func(ctx context.Context) error {
		_, err := r.claim.Progress(ctx, end)
		return err
	}
	if err := store.Patience(r.part).Once(context.WithoutCancel(ctx), note); err != nil {
		r.log.Warn("the end of the steps could not be noted yet", "error", err.Error())
		r.unnoted = note
	}
}

// noting notes the end of the steps, if that could not be done before, until there is no time left or the
// function that it returns is called: then the claim is nobody else's to change.
func (r *held) noting(ctx context.Context) (stop func(enough bool)) {
	if r.unnoted == nil {
		return func(bool) {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() {
		if err := store.Patience(r.part).Insist(ctx, r.unnoted); err != nil {
			r.log.Warn("the end of the steps could not be noted", "error", err.Error())
		}
	})
	return func(enough bool) {
		if enough {
			cancel()
		}
		beside.Wait()
		cancel()
	}
}
