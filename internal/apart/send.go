package apart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
)

const (
	// syncTime is how long a synchronous call may take; 300 seconds, less what a function's deadline may be early.
	syncTime = 298 * time.Second
	// startTime is how long a runner may take before its first script.
	startTime = time.Minute
	// leastStore and mostStore bound the time in which a runner stores what has come of the job.
	leastStore, mostStore = 2 * time.Second, time.Minute
)

// Attending is how long an invocation counts as staying with a run after it has last said that it does.
const Attending = 2 * time.Minute

// Run has the runner do the job. The context must have a deadline, by which the last script ends. Before the runner is
// called the journal is told that the first step begins: from then on Record says how others go on with the job. What
// else the journal is told, it is told once the runner has told it.
//
// Besides the failures of steps the error is ErrWithdrawn, with the reason, if nothing was started, or ErrLeft if this
// program is stopped before the job has ended. A job that was withdrawn because its runner could not be reached is sent
// again, up to three times in all.
func (p *Place) Run(ctx context.Context, job steps.Job, journal steps.Journal) (steps.Outcome, error) {
	if nothing, ok := nothingToDo(job); ok && len(job.Tools) == 0 { // the runner looks for tools
		return nothing, nil
	}
	stop := ctx
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(stop, func() {
		if errors.Is(stop.Err(), context.Canceled) {
			cancel() // this program is being stopped
		}
	})()
	end, _ := stop.Deadline()
	pause, half := time.Second, time.Now().Add(time.Until(end)/2)
	for try := 1; ; try++ {
		outcome, err := p.once(ctx, stop, job, journal)
		if err != nil && try > 1 && !p.sent {
			err = fmt.Errorf("%w: %w", ErrWithdrawn, err) // nothing was sent since
		}
		again := errors.Is(err, ErrWithdrawn) && codes.OfError(err).Retried && try < tries && !p.stopped &&
			time.Now().Before(half) // else an invocation with more time is to do it
		if !again || !store.Wait(stop, pause) {
			return outcome, err
		}
		p.desk.Log.Warn("the job was withdrawn, and is sent again", "job", p.record.Job, "error", err.Error())
		p.box.End(ctx) // somebody has decided in it
		p.box, pause = p.desk.Prepare(ctx, p.record.KillAt.Add(time.Minute)), 3*pause
	}
}

// tries is how often a job is sent whose runner cannot be reached.
const tries = 3

// once sends the job, and waits for what comes of it.
func (p *Place) once(
	ctx, stop context.Context, job steps.Job, journal steps.Journal,
) (steps.Outcome, error) {
	p.sent = false
	box, err := p.box.wait(ctx)
	if err != nil {
		return steps.Outcome{}, err
	}
	if end, _ := stop.Deadline(); time.Until(end) <= steps.Grace {
		return steps.Outcome{}, steps.ErrNoTime
	}
	p.plan(stop, job, box)
	call, err := p.encode(ctx)
	if err != nil {
		return steps.Outcome{}, err
	}
	if err := p.begin(stop, job, journal); err != nil {
		return steps.Outcome{}, err
	}
	p.sent = true
	answers := make(chan answer, 1)
	sent, detached := p.record, p.detached()
	go func() { answers <- p.desk.call(ctx, sent, call, detached) }()
	return p.follow(ctx, job, journal, answers)
}

// begin tells the journal that the first step may begin. The context ends when the last script does.
func (p *Place) begin(ctx context.Context, job steps.Job, journal steps.Journal) error {
	if first, ok := current(job.Interrupted(nil)); ok {
		return journal.Begins(ctx, first)
	}
	return nil
}

// current is the step that may run, by the outcome of a job of which nothing more is heard; ok is false if none may.
func current(lost steps.Outcome) (b steps.Beginning, ok bool) {
	for i, s := range append(slices.Clone(lost.Steps), undone(lost)...) {
		if s.Status == evidence.StepInterrupted {
			s.Status, s.Attempts = evidence.StepNotRun, 0
			return steps.Beginning{Step: s, Number: i + 1, Interrupted: lost}, true
		}
	}
	return steps.Beginning{}, false
}

// nothingToDo is the outcome of a job of which no script has to run; ok is false if one has to.
func nothingToDo(job steps.Job) (o steps.Outcome, ok bool) {
	o = job.Interrupted(nil)
	if _, runs := current(o); runs {
		return steps.Outcome{}, false
	}
	o.Began, o.Stopped = false, false
	if o.Rollback != nil {
		o.Rollback.Status = evidence.StepSuccess
	}
	return o, true
}

// undone are the records of undo scripts.
func undone(o steps.Outcome) []evidence.Step {
	if o.Rollback == nil {
		return nil
	}
	return o.Rollback.Steps
}

// plan makes the job's document, and the record for the claim.
func (p *Place) plan(ctx context.Context, job steps.Job, box Mailbox) {
	now := p.desk.Clock().UTC()
	running, store := times(ctx, job)
	o := p.order
	p.job = job.Document(steps.Apart{
		Job: randomID(), Attempt: o.Attempt, SHA256: o.Package.SHA256, DirHash: o.Package.DirHash, Size: o.Package.Size,
		Mask: o.Mask, StopAt: now.Add(running), KillAt: now.Add(running + store), Store: store, Mailbox: box.Address(),
		AcceptInit: o.AcceptInit,
	})
	p.restoring(job.Restored)
	p.record = claim.Apart{
		Kind: o.Runner.Kind, ID: o.Runner.ID, Label: o.Runner.Label, Job: p.job.Job, Prefix: box.Prefix, Grant: box.ID,
		Asked: now, KillAt: p.job.Times.KillAt, Attended: now.Add(Attending), Plan: withoutValues(p.job),
	}
	p.mail = p.desk.mailOf(p.record)
	if len(job.Restored) > 0 {
		p.record.Restored, _ = json.Marshal(job.Restored) // plain data
	}
}

// StopAt is when the last script of a job has to end so that all of the job is over by a time: the rest is for its
// runner to store what has come of it.
func (d *Desk) StopAt(end time.Time) time.Time {
	all := time.Until(end)
	if d.CallDetached == nil {
		all = min(all, syncTime)
	}
	return time.Now().Add(all - storing(all))
}

// storing is how much of a job's time is for storing what has come of it.
func storing(all time.Duration) time.Duration { return min(max(all/10, leastStore), mostStore, all/4) }

// times returns how long scripts of the job may run from now on, and how long their runner may store then. The context
// ends when the last script does.
func times(ctx context.Context, job steps.Job) (running, store time.Duration) {
	end, _ := ctx.Deadline()
	running = time.Until(end)
	store = storing(running * 10 / 9)
	if job.Times.Steps > 0 {
		running = min(running, startTime+job.Times.Steps+job.Times.Undo+4*steps.Grace)
	}
	return running, store
}

// detached reports whether the job may take longer than a call.
func (p *Place) detached() bool { return p.record.KillAt.Sub(p.record.Asked) > syncTime }

// withoutValues is the job as it may be stored: what an outcome is held against.
func withoutValues(j jobs.Job) json.RawMessage {
	j.Arguments, j.Secrets, j.Mask, j.Mailbox = nil, nil, nil, ""
	j.Outputs = maps.Clone(j.Outputs)
	plan := j.Plan
	j.Plan = nil
	for _, s := range plan {
		s.Args, s.Env, s.Secrets = nil, nil, nil
		j.Plan = append(j.Plan, s)
	}
	doc, _ := json.Marshal(j) // plain data
	return doc
}

// encode is what the runner is called with. What does not fit is put into the mailbox.
func (p *Place) encode(ctx context.Context) ([]byte, error) {
	alone, err := p.job.Encode(nil)
	if err != nil {
		return nil, err
	}
	fits := int64(len(alone))+1+p.order.Package.Size <= jobs.MaxCall
	if err := p.upload(ctx, !fits); err != nil || !fits {
		return alone, err
	}
	archive := make([]byte, p.order.Package.Size)
	if _, err := io.ReadFull(io.NewSectionReader(p.order.Package.Zip, 0, p.order.Package.Size), archive); err != nil {
		return nil, fmt.Errorf("read the package: %w", err)
	}
	return p.job.Encode(archive)
}

// answer is how a call ended.
type answer struct {
	says     jobs.Answer
	err      error
	detached bool
}

// call calls the runner. What is no answer to the job is as good as a lost one.
func (d *Desk) call(ctx context.Context, job claim.Apart, call []byte, detached bool) answer {
	if detached {
		return answer{err: d.CallDetached(ctx, job.ID, call), detached: true}
	}
	doc, err := d.Call(ctx, job.ID, call)
	if err != nil {
		return answer{err: err}
	}
	says, err := jobs.DecodeAnswer(doc)
	if err == nil && says.Job != job.Job {
		err = errors.New("it is for another job")
	}
	if err != nil {
		err = problem.New(problem.Problem{
			Code: "runner.unavailable", Where: job.ID,
			Message: "what the runner answered is no answer to the job: " + err.Error(),
			Hint:    "see the runner's log; deploy executor and runner from one image",
		}, err)
	}
	return answer{says: says, err: err}
}

// invalid is the failure of a runner that says what cannot be.
func invalid(where, message string) error {
	return problem.New(problem.Problem{
		Code: "runner.outcome", Where: where, Message: message,
		Hint: "see the run's last progress and the runner's log for what the scripts have done; then send rerun_of " +
			"or resume_from with a reason",
	}, nil)
}
