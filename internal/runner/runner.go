// Package runner does what a runner does with a call: a job in, an answer out.
//
// A runner decides one thing, whether a job begins, and decides it once. Before it has done anything it refuses a job
// that it could not carry to its end. Then it creates begun.json in the job's mailbox. Whoever creates that has
// decided, so a call that is lost, late, delivered twice or withdrawn starts nothing twice. From then on the job has an
// outcome, whatever happens to it, as long as this program lives. That it lacks a tool, a sandbox level, the package's
// bytes or time is an outcome, too, which says that nothing was executed.
//
// While scripts run the runner writes how far they are, and reads whether the job is cancelled. It stores logs as steps
// end, what scripts left after the last one, and finally the outcome, which is also the answer. No script runs after
// the job's stop_at, and all is stored before its kill_at, by the store's clock: this machine's may be wrong.
//
// The runner interprets neither manifest nor policy, knows no bucket, and is granted nothing. Who has called does not
// matter to it, nor whether they are still there: a job goes on when its executor dies.
package runner

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
)

// Mailbox is the mailbox of one job. Errors are those of a store.
type Mailbox interface {
	// Put writes an object, or with ifNoneMatch creates it or fails with store.ErrExists. It returns the store's time,
	// in whole seconds; zero if that is unknown.
	Put(ctx context.Context, name string, body io.ReadSeeker, size int64, ifNoneMatch bool) (time.Time, error)
	// Get reads an object from an offset on, at most length bytes of it; 0: to its end.
	Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, store.Info, error)
}

// Config is where a runner runs jobs, and how.
type Config struct {
	Kind           string // function or host
	Version, Image string

	WorkDir string         // of this runner alone; it is emptied
	Level   sandbox.Level  // the least that has to be in force
	Scripts sandbox.Limits // what the platform allows scripts
	// PackageBytes and Archive bound a package. They should be the executor's, which has admitted it within those.
	PackageBytes int64
	Archive      bundle.Limits
	// Open opens the mailbox with an address. Its errors, and those of the mailbox, do not contain the address.
	Open func(address string) (Mailbox, error)

	// Keeper makes the scripts' parent a process of its own, which ends them when this program is killed.
	Keeper bool
	// Spawn runs one command until ctx ends; nil: sandbox.Run.
	Spawn func(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error)
	// Enter is called before the first script of a job, and what it returns after the last; may be nil.
	Enter func() (leave func())
	// Doubtful returns why this program may run nothing more, and Doubt notes a reason. Nil: it always may.
	Doubtful func() error
	Doubt    func(form string, values ...any)

	Log *slog.Logger
	// Lines returns what receives the lines of a step's stream for the log; nil: they are not logged.
	Lines func(log *slog.Logger) func(lines []string)
	// Tails says that the end of what a step has printed is logged when it has ended.
	Tails bool
}

// Runner does jobs, one at a time: of calls for the same job that come together, one begins it.
type Runner struct {
	Config
	done  atomic.Int64  // jobs that it has begun
	every time.Duration // between two documents of progress
}

// every is how long after its first script a job's progress is first written, and the time between two writes.
const every = 5 * time.Second

// New makes a runner.
func New(c Config) *Runner {
	if c.Doubtful == nil {
		c.Doubtful, c.Doubt = func() error { return nil }, func(string, ...any) {}
	}
	return &Runner{Config: c, every: every}
}

// Serve does the job that it is called with, and answers. The context must have the deadline at which the platform ends
// this call; its cancellation, as when the caller goes away, ends nothing. An error says that the call has failed:
// nothing was done, or the job has an outcome that cannot be told. If the call is no job the error's code is
// runner.job.
func (r *Runner) Serve(ctx context.Context, call []byte) (answer []byte, err error) {
	job, zip, err := jobs.DecodeJob(call)
	if err != nil {
		return nil, err
	}
	log := r.Log.With("job", job.Job, "run_id", job.RunID)
	if err := r.unfit(ctx, job); err != nil {
		return r.refuse(log, job, err)
	}
	box, err := r.Open(job.Mailbox)
	if err != nil {
		return r.refuse(log, job, err)
	}
	w := &work{
		runner: r, job: job, zip: zip, box: box, log: log, masker: redact.New(job.Mask), before: int(r.done.Load()),
		base: context.WithoutCancel(ctx),
	}
	switch err := w.begin(ctx); {
	case errors.Is(err, store.ErrExists):
		log.Info("somebody else has decided whether the job begins")
		return jobs.Answer{Job: job.Job, Says: jobs.AnswersTaken}.Encode()
	case err != nil:
		return nil, err
	}
	r.done.Add(1)
	return w.tell(w.do())
}

// Refuse answers a call with the reason why this runner does not do the job. The error says that the call is no job.
func (r *Runner) Refuse(call []byte, why error) ([]byte, error) {
	job, _, err := jobs.DecodeJob(call)
	if err != nil {
		return nil, err
	}
	return r.refuse(r.Log.With("job", job.Job, "run_id", job.RunID), job, why)
}

func (r *Runner) refuse(log *slog.Logger, job jobs.Job, why error) ([]byte, error) {
	log.Error("job refused", "code", problem.CodeOf(why), "error", why.Error())
	refused := problem.Of(why, unknown)
	answer := jobs.Answer{Job: job.Job, Says: jobs.AnswersRefused}
	for _, p := range problem.Limit(refused.Problems, problem.Most, refused.Code()) {
		answer.Refused = append(answer.Refused, short(p))
	}
	return answer.Encode()
}

// unknown stands for a failure that has no code.
var unknown = problem.Problem{
	Code: "runner.internal", Message: "the runner could not do its work", Hint: "see the runner's log",
}

// unfit says why this runner cannot carry the job to its end; nil if it can.
func (r *Runner) unfit(ctx context.Context, job jobs.Job) error {
	if err := r.Doubtful(); err != nil {
		return err
	}
	end, ok := ctx.Deadline()
	if ok && !end.Before(job.Times.KillAt) {
		return nil
	}
	message := "the call has no deadline"
	if ok {
		message = "the runner is ended at " + stamp(end) + ", and the job may last until " + stamp(job.Times.KillAt)
	}
	return problem.New(problem.Problem{
		Code: "runner.deadline", Message: message + "; nothing was begun",
		Hint: "give the runner's function at least the executor's timeout, and see whether their clocks agree",
	}, nil)
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// about is who tells of a job.
func (w *work) about() jobs.Runner {
	r := w.runner
	return jobs.Runner{
		Kind: r.Kind, Version: evidence.Cut(r.Version, 250), Image: evidence.Cut(r.Image, 2000), JobsBefore: w.before,
	}
}
