package apart

import (
	"context"
	"fmt"
	"time"

	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/steps"
)

const (
	// every is how often the mailbox is looked at.
	every = 5 * time.Second
	// soon is when a mailbox is first looked at where the outcome can only come by it.
	soon = time.Second
	// patience is how long a job may take to begin, where no answer to its call is waited for.
	patience = 90 * time.Second
	// lastLook bounds the last look at the mailbox, when nothing of the job can run any more.
	lastLook = 5 * time.Second
)

// Attend stays with a job that another invocation has sent, until its outcome comes or its time is over. If the context
// ends before that, the error is ErrLeft.
func (p *Place) Attend(ctx context.Context, job steps.Job, journal steps.Journal) (steps.Outcome, error) {
	return p.follow(ctx, job, journal, nil)
}

// following is a job that is waited for.
type following struct {
	*Place
	job     steps.Job
	journal steps.Journal
	answers <-chan answer // nil: no answer is to come
	alone   bool          // no answer is to come, or one has: the outcome is in the mailbox, or nowhere
	refused error         // why what came is not taken as the outcome
	came    []byte        // an outcome of which it could not be told yet whether the job had begun
}

// end is how a job ended; nil while it has not.
type end struct {
	outcome steps.Outcome
	err     error
}

// follow waits for the outcome.
func (p *Place) follow(
	ctx context.Context, job steps.Job, journal steps.Journal, answers <-chan answer,
) (steps.Outcome, error) {
	f := &following{Place: p, job: job, journal: journal, answers: answers, alone: answers == nil}
	first := every
	if f.alone || p.detached() {
		first = soon
	}
	look, over := time.NewTimer(first), time.NewTimer(p.record.KillAt.Sub(p.desk.Clock()))
	defer look.Stop()
	defer over.Stop()
	cancelled := journal.Cancelled
	for {
		var ended *end
		select {
		case a := <-f.answers:
			f.answers = nil
			ended = f.answered(ctx, a)
		case <-cancelled:
			cancelled, p.stopped = nil, true
			ended = f.cancel(ctx)
		case <-look.C:
			ended = f.look(ctx)
			look.Reset(every)
		case <-over.C:
			return f.over(ctx)
		case <-ctx.Done():
			if p.desk.Clock().Before(p.record.KillAt.Add(-time.Second)) {
				return steps.Outcome{}, fmt.Errorf("%w: %w", ErrLeft, context.Cause(ctx))
			}
			return f.over(ctx)
		}
		if ended != nil {
			return ended.outcome, ended.err
		}
	}
}

// answered acts on the answer to the call.
func (f *following) answered(ctx context.Context, a answer) *end {
	switch {
	case a.detached && a.err == nil:
		f.alone = true
		return nil
	case a.err != nil:
		f.desk.Log.Warn("the call of the runner failed", "job", f.record.Job, "runner", f.record.Label,
			"error", a.err.Error())
		return f.withdrawn(ctx, a.err)
	}
	switch f.alone = true; a.says.Says {
	case jobs.AnswersRefused:
		return f.withdrawn(ctx, &problem.Error{Problems: f.reasons(a.says.Refused)})
	case jobs.AnswersOutcome:
		return f.take(ctx, a.says.Outcome)
	}
	return f.look(ctx)
}

// reasons are a runner's for refusing a job, masked. Codes of others, which would say how the run ends and who is to
// mend that, are not for a runner to give.
func (f *following) reasons(said []problem.Problem) []problem.Problem {
	why := problem.Masked(said, f.order.Masker.String)
	for i := range why {
		if !jobs.MayRefuse(why[i].Code) {
			why[i].Code = "runner.unavailable"
		}
	}
	return why
}

// withdrawn withdraws a job whose call failed. If it has begun, or that cannot be told, it is waited for.
func (f *following) withdrawn(ctx context.Context, why error) *end {
	f.alone = true
	ok, err := f.withdraw(ctx)
	if err != nil {
		f.desk.Log.Warn("a job could not be withdrawn yet", "job", f.record.Job, "error", err.Error())
		return nil
	}
	if !ok {
		return nil
	}
	return &end{err: fmt.Errorf("%w: %w", ErrWithdrawn, why)}
}

// cancel cancels the job: it is withdrawn, or the runner is told.
func (f *following) cancel(ctx context.Context) *end {
	ok, err := f.withdraw(ctx)
	switch {
	case ok:
		return &end{err: ErrWithdrawn}
	case err == nil:
		err = f.stop(ctx)
	}
	if err != nil {
		f.desk.Log.Warn("a job could not be cancelled yet", "job", f.record.Job, "error", err.Error())
	}
	return nil
}

// look looks at the mailbox.
func (f *following) look(ctx context.Context) *end {
	if f.stopped && !f.told {
		if ended := f.cancel(ctx); ended != nil {
			return ended
		}
	}
	if err := f.listen(ctx); err != nil {
		return &end{err: err}
	}
	if !f.alone || f.refused != nil {
		return nil
	}
	doc, err := f.came, error(nil)
	if doc == nil {
		doc, err = f.get(ctx, jobs.MailOutcome, jobs.MaxOutcome)
	}
	switch {
	case err != nil:
		f.desk.Log.Warn("the mailbox of a job could not be read", "job", f.record.Job, "error", err.Error())
	case doc != nil:
		return f.take(ctx, doc)
	case doc == nil && f.desk.Clock().Sub(f.record.Asked) > patience:
		return f.unlessBegun(ctx)
	}
	return nil
}

// unlessBegun withdraws a job that nobody has begun for long.
func (f *following) unlessBegun(ctx context.Context) *end {
	if !f.Begun.IsZero() {
		return nil
	}
	begun, err := f.begun(ctx)
	if err != nil || begun != nil && begun.By == jobs.ByRunner {
		if begun != nil {
			f.Begun = begun.At
		}
		return nil
	}
	return f.withdrawn(ctx, problem.New(problem.Problem{
		Code: "runner.unavailable", Where: f.record.ID, Message: "the runner was called, and did not begin the job",
		Hint: "see the runner's log",
	}, nil))
}

// over ends the waiting: nothing of the job can run any more.
func (f *following) over(ctx context.Context) (steps.Outcome, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	f.alone = true
	if ended := f.look(ctx); ended != nil {
		return ended.outcome, ended.err
	}
	if f.refused == nil {
		ok, err := f.withdraw(ctx)
		if err == nil && ok {
			return steps.Outcome{}, ErrWithdrawn
		}
		f.refused = problem.New(problem.Problem{
			Code: "step.interrupted", Where: f.record.ID,
			Message: "the runner began the job, and nothing was heard of its end until it was over",
			Hint: "see the runner's log and which parts took effect; then send rerun_of or resume_from with a " +
				"reason",
		}, err)
	}
	f.takeLogs(ctx, each(f.said.Steps), true)
	return f.hidden(f.job.Interrupted(f.said.Steps)), f.refused
}

// take takes an outcome. What is none of the job's does not end the waiting: scripts may still run.
func (f *following) take(ctx context.Context, doc []byte) *end {
	o, err := jobs.DecodeOutcome(doc)
	if err == nil {
		err = jobs.Check(f.Place.job, o)
	}
	if err == nil {
		var known bool
		if known, err = f.checkBegun(ctx); !known {
			f.came = doc
			f.desk.Log.Warn("whether a job had begun could not be read yet", "job", f.record.Job, "error", err.Error())
			return nil
		}
	}
	if err != nil {
		f.refused = refusal(doc, err)
		f.desk.Log.Error("what came as the outcome of a job is none", "job", f.record.Job, "error", f.refused.Error())
		return nil
	}
	f.outcome, f.Ended = &o, f.desk.Clock()
	outcome, failure := f.job.Told(o)
	f.takeLogs(ctx, each(outcome.Steps, undone(outcome)), true)
	return &end{outcome: f.hidden(outcome), err: failure}
}

// checkBegun refuses an outcome of a job that its runner has not begun. If that could not be read it is not known.
func (f *following) checkBegun(ctx context.Context) (known bool, err error) {
	begun, err := f.begun(ctx)
	switch {
	case err != nil:
		return problem.CodeOf(err) == "runner.mailbox", err
	case begun == nil || begun.By != jobs.ByRunner || begun.Job != f.record.Job:
		return true, invalid(f.record.ID, "the outcome of the job: the runner has not begun the job")
	}
	f.Begun = begun.At
	return true, nil
}
