package runner

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/workdir"
)

// work is one job, from its beginning to its outcome.
type work struct {
	runner *Runner
	job    jobs.Job
	zip    []byte // nil: it is in the mailbox
	box    Mailbox
	log    *slog.Logger
	masker *redact.Masker
	before int             // jobs of this runner
	base   context.Context // of the call, without its end

	stop, kill time.Time // by the monotonic clock: no script runs any more; nothing does

	dir     *workdir.Dir
	logs    *logs
	watch   *watch
	story   story
	outcome *steps.Outcome // of the steps, when they have ended
	failure error
}

// beginLimit bounds how long it is tried to begin a job.
const beginLimit = 30 * time.Second

// begin decides that the job begins, unless somebody else has decided: store.ErrExists.
func (w *work) begin(call context.Context) error {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // it never fails
	sent := time.Now()
	begun := jobs.Begun{
		Job: w.job.Job, By: jobs.ByRunner, Nonce: hex.EncodeToString(nonce), At: sent.Truncate(time.Second),
	}
	doc, err := begun.Encode()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(w.base, beginLimit)
	defer cancel()
	at, err := w.box.Put(ctx, jobs.MailBegun, bytes.NewReader(doc), int64(len(doc)), true)
	if err != nil {
		return err
	}
	w.limit(call, sent, at)
	return nil
}

// limit says when the job ends: by the store's clock, which was at a time when begun.json was stored, after it was
// sent. No script runs so late that this call's own end, by this machine's clock, leaves less time for storing.
func (w *work) limit(call context.Context, sent, at time.Time) {
	if at.IsZero() {
		at = sent.Round(0)
	} else {
		at = at.Add(time.Second) // the rest of a second was cut off
	}
	t := w.job.Times
	w.stop, w.kill = sent.Add(t.StopAt.Sub(at)), sent.Add(t.KillAt.Sub(at))
	if own, ok := call.Deadline(); ok {
		if latest := sent.Add(own.Sub(sent.Round(0)) - t.KillAt.Sub(t.StopAt)); latest.Before(w.stop) {
			w.stop = latest
		}
	}
	w.log.Info("job begins", "store_clock_ahead", at.Sub(sent.Round(0)).Round(time.Second).String(),
		"stop_in", time.Until(w.stop).Round(time.Second).String())
}

// until returns a context that ends so long before nothing of the job may run any more, or after a part of what is left
// if that is earlier: what follows needs time, too.
func (w *work) until(spare time.Duration) (context.Context, context.CancelFunc) {
	left := time.Until(w.kill)
	return context.WithTimeout(w.base, left-min(spare, left/4))
}

// Time that is left for what comes after.
const (
	forOutcome = 5 * time.Second
	forAnswer  = time.Second
)

// do runs the job, and says what has come of it, whatever happens.
func (w *work) do() (o jobs.Outcome) {
	w.logs, w.watch = newLogs(w), newWatch(w)
	defer w.cleanUp()
	defer func() {
		w.watch.stop()
		if p := recover(); p != nil {
			o = w.broken(p)
		}
		w.logs.rest()
	}()
	here, job, err := place{w}.prepare()
	if late := w.inTime(); late != nil {
		err = late // what was ended for that may say something else
	}
	if err != nil {
		return w.refused(err)
	}
	ctx, cancel := context.WithDeadline(w.base, w.stop)
	defer cancel()
	w.runSteps(ctx, here, job)
	w.watch.stop()
	left := steps.Left{}
	if w.outcome.Began {
		left = w.leavings(here, job)
	}
	return w.document(left)
}

// inTime refuses a job for whose first script no time is left.
func (w *work) inTime() error {
	if time.Until(w.stop) > steps.Grace {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "step.deadline", Message: "no time is left for the first script",
		Hint: "raise the functions' timeout; see whether the runner's clock is right",
	}, nil)
}

// runSteps runs the steps, between a look at what is there before and the cleaning after them.
func (w *work) runSteps(ctx context.Context, here steps.Here, job steps.Job) {
	if w.runner.Enter != nil {
		defer w.runner.Enter()()
	}
	outcome, err := here.Run(ctx, job, w.journal())
	w.outcome, w.failure = &outcome, err
	if err != nil {
		w.log.Warn("the job has not succeeded", "code", problem.CodeOf(err), "error", w.masker.String(err.Error()))
	}
}

// document is the outcome of steps that have ended.
func (w *work) document(left steps.Left) jobs.Outcome {
	cancelled := problem.CodeOf(w.failure) == "step.cancelled"
	o := w.outcome.Document(w.job.Job, cancelled, left, w.about())
	w.mask(&o)
	return o
}

// mask masks everything once more: the executor does not know what scripts have asked to be masked, which they may have
// done after it was printed, and what they gave to each other is until then as later scripts saw it.
func (w *work) mask(o *jobs.Outcome) {
	evidence.MaskSteps(o.Steps, w.masker)
	if o.Rollback != nil {
		o.Rollback.Error.Mask(w.masker)
		evidence.MaskSteps(o.Rollback.Steps, w.masker)
	}
	o.Summary = w.masker.String(o.Summary)
}

// refused is the outcome of a job that is not begun: nothing was executed.
func (w *work) refused(why error) jobs.Outcome {
	w.log.Error("the job is not begun", "code", problem.CodeOf(why), "error", w.masker.String(why.Error()))
	o := w.nothing()
	p := problem.Of(why, unknown)
	for _, p := range problem.Masked(problem.Limit(p.Problems, problem.Most, p.Code()), w.masker.String) {
		if !jobs.MayRefuse(p.Code) {
			p.Code = "runner.package" // all else that can fail is what the job brings
		}
		o.Refused = append(o.Refused, short(p))
	}
	return o
}

// nothing is the outcome of a job of which nothing was begun, still without the reason.
func (w *work) nothing() jobs.Outcome {
	return jobs.Outcome{
		V: jobs.Version, Job: w.job.Job, Ended: jobs.Stopped, Sandbox: jobs.Sandbox{Level: jobs.Levels[0]},
		Runner: w.about(),
	}
}

// maxText is how much of a problem is told.
const maxText = 5000

// short is a problem that fits a document.
func short(p problem.Problem) problem.Problem {
	for _, text := range []*string{&p.Where, &p.Message, &p.Hint} {
		*text = evidence.Cut(*text, maxText)
	}
	return p
}

// broken is the outcome of a job in whose middle this program has panicked. What is left of it is not known.
func (w *work) broken(panicked any) jobs.Outcome {
	w.log.Error("panic", "error", w.masker.String(fmt.Sprintf("%v\n%s", panicked, debug.Stack())))
	w.runner.Doubt("the runner has panicked in the middle of a job")
	why := problem.Problem{
		Code: "runner.internal", Message: "the runner has a fault, and ended the job", Hint: "see the runner's log",
	}
	switch {
	case w.outcome != nil:
		return w.document(steps.Left{})
	case w.story.begun == nil:
		return w.refused(problem.New(why, nil))
	}
	cut := w.story.cutOff(why)
	if cut.log {
		w.logs.lost(w.story.begun.Number)
	}
	return cut.outcome.Document(w.job.Job, false, steps.Left{}, w.about()).Abandoned(w.job, why)
}

// cleanUp removes the job's folder: the next job's scripts have the same user.
func (w *work) cleanUp() {
	if w.dir == nil {
		return
	}
	if err := w.dir.Remove(); err != nil {
		w.log.Error("cannot remove the job's folder", "error", err.Error())
		w.runner.Doubt("the folder of a job could not be removed: %v", err)
	}
}
