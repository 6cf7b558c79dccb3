package apart

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
)

const (
	// every is how often the mailbox is looked at.
	every = 5 * time.Second
	// soon is when a mailbox is first looked at where the outcome can only come by it.
	soon = time.Second
	// patience is how long a job may take to begin, where no answer to its call is waited for.
	patience = 90 * time.Second
	// unreadable is how long after the end of a job it is waited for a mailbox that cannot be read.
	unreadable = time.Hour
)

// LastLook bounds the last look at the mailbox, when nothing of the job runs any more.
const LastLook = 5 * time.Second

// Attend stays with a job that another invocation has sent, until its outcome or the end of its time. If the context
// ends before that, the error is ErrLeft.
func (p *Place) Attend(ctx context.Context, job steps.Job, journal steps.Journal) (steps.Outcome, error) {
	return p.follow(ctx, job, journal, nil)
}

// following is a job that is waited for.
type following struct {
	*Place
	job     steps.Job
	journal steps.Journal
	answers <-chan answer   // nil: no answer is to come
	alone   bool            // no answer is to come, or one has: the outcome is in the mailbox, or nowhere
	begins  map[string]bool // steps that the journal was told of
	refused error           // why what came is not taken as the outcome
	came    []byte          // an outcome of which it could not be told yet whether the job had begun
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
	f := &following{
		Place: p, job: job, journal: journal, answers: answers, alone: answers == nil, begins: map[string]bool{},
	}
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
		ended, err := f.take(ctx, a.says.Outcome)
		if err != nil {
			f.desk.Log.Warn("the mailbox of a job could not be read", "job", f.record.Job, "error", err.Error())
		}
		return ended
	case jobs.AnswersTaken:
		return f.unlessBegun(ctx)
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
	if !f.alone {
		return nil
	}
	ended, there, err := f.collect(ctx)
	if ended == nil && err == nil && !there && f.desk.Clock().Sub(f.record.Asked) > patience {
		return f.unlessBegun(ctx)
	}
	return ended
}

// collect takes the outcome that is in the mailbox, and reports whether there is one. The error says that it could not
// be read, which is logged.
func (f *following) collect(ctx context.Context) (ended *end, there bool, err error) {
	if f.refused != nil {
		return nil, true, nil
	}
	doc, err := f.came, error(nil)
	if doc == nil {
		doc, err = f.get(ctx, jobs.MailOutcome, jobs.MaxOutcome)
	}
	if err == nil && doc != nil {
		ended, err = f.take(ctx, doc)
	}
	if err != nil {
		f.desk.Log.Warn("the mailbox of a job could not be read", "job", f.record.Job, "error", err.Error())
	}
	return ended, doc != nil, err
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
	return f.withdrawn(ctx, f.notBegun())
}

// notBegun is why a job is withdrawn that nobody has begun.
func (p *Place) notBegun() error {
	return problem.New(problem.Problem{
		Code: "runner.unavailable", Where: p.record.ID, Message: "the runner was called, and did not begin the job",
		Hint: "see the runner's log",
	}, nil)
}

// over ends the waiting: nothing of the job can run any more.
func (f *following) over(ctx context.Context) (steps.Outcome, error) {
	ctx = context.WithoutCancel(ctx)
	if ended := f.last(ctx); ended != nil {
		return ended.outcome, ended.err
	}
	if f.refused == nil {
		f.refused = problem.New(problem.Problem{
			Code: "step.interrupted", Where: f.record.ID,
			Message: "the job may have begun, and nothing was heard of its end until its time was over",
			Hint: "see the runner's log and which parts took effect; then send rerun_of or resume_from with a " +
				"reason",
		}, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, LastLook)
	defer cancel()
	if err := f.listen(ctx); err != nil { // what was said since the last look
		return steps.Outcome{}, err
	}
	f.takeLogs(ctx, each(f.said.Steps), true)
	return f.hidden(f.job.Unheard(f.said.Steps)), f.refused
}

// last looks at the mailbox for the last time. It is nil if nothing is to come of the job any more.
func (f *following) last(ctx context.Context) *end {
	f.alone = true
	ended, err := f.lastOutcome(ctx)
	if ended != nil || f.refused != nil {
		return ended
	}
	if err == nil {
		if ended, err = f.unlessStarted(ctx); ended != nil {
			return ended
		}
	}
	if err != nil && f.came != nil { // nothing can begin the job any more, if nobody had: it is the runner's word
		o, _ := jobs.DecodeOutcome(f.came) // it was decoded before
		ctx, cancel := context.WithTimeout(ctx, LastLook)
		defer cancel()
		return f.accept(ctx, o)
	}
	if err != nil && f.desk.Clock().Before(f.record.KillAt.Add(unreadable)) {
		return &end{err: fmt.Errorf("%w: %w", ErrLeft, err)} // an outcome may be there
	}
	return nil
}

// lastOutcome takes the outcome, as long as there is time to read it.
func (f *following) lastOutcome(ctx context.Context) (*end, error) {
	ctx, cancel := context.WithTimeout(ctx, LastLook)
	defer cancel()
	for {
		ended, _, err := f.collect(ctx)
		if ended != nil || err == nil || !store.Wait(ctx, time.Second) {
			return ended, err
		}
	}
}

// unlessStarted withdraws a job that nobody has begun. For one that was begun it waits until nothing of it runs any
// more by the store's clock, which the runner goes by: this machine's may be ahead.
func (f *following) unlessStarted(ctx context.Context) (*end, error) {
	limited, cancel := context.WithTimeout(ctx, LastLook)
	defer cancel()
	ok, err := f.withdraw(limited)
	if err != nil {
		return nil, err
	}
	if ok {
		return &end{err: fmt.Errorf("%w: %w", ErrWithdrawn, f.notBegun())}, nil
	}
	now, err := f.storeTime(limited)
	left := f.record.KillAt.Sub(now)
	switch {
	case err != nil:
		return nil, err
	case now.IsZero() || left <= 0:
		return nil, nil //nolint:nilnil // it is over
	case left > 2*claim.MaxSkew || !store.Wait(ctx, left):
		return &end{err: fmt.Errorf("%w: by the store's clock it may last another %s", ErrLeft, left)}, nil
	}
	return f.lastOutcome(ctx)
}

// take takes an outcome. One that is not the job's does not end the waiting, as scripts may still run. The error says
// that it cannot be told yet whether it is the job's.
func (f *following) take(ctx context.Context, doc []byte) (*end, error) {
	o, err := jobs.DecodeOutcome(doc)
	if err == nil {
		err = jobs.Check(f.Place.job, o)
	}
	if err == nil {
		begun, unread := f.begun(ctx)
		if unread != nil && begun == nil {
			f.came = doc // it may be in the answer alone
			return nil, unread
		}
		err = cmp.Or(unread, f.checkBegun(begun))
	}
	if err != nil {
		f.refused = refusal(doc, err)
		f.desk.Log.Error("what came as the outcome of a job is none", "job", f.record.Job, "error", f.refused.Error())
		return nil, nil //nolint:nilnil // that is noted
	}
	return f.accept(ctx, o), nil
}

// accept ends the waiting with an outcome.
func (f *following) accept(ctx context.Context, o jobs.Outcome) *end {
	f.outcome, f.Ended = &o, f.desk.Clock()
	outcome, failure := f.job.Told(o)
	f.takeLogs(ctx, each(outcome.Steps, undone(outcome)), true)
	return &end{outcome: f.hidden(outcome), err: failure}
}

// checkBegun refuses an outcome of a job that its runner has not begun.
func (f *following) checkBegun(begun *jobs.Begun) error {
	if begun == nil || begun.By != jobs.ByRunner || begun.Job != f.record.Job {
		return invalid(f.record.ID, "the outcome of the job: the runner has not begun the job")
	}
	f.Begun = begun.At
	return nil
}
