package pipeline

import (
	"context"
	"fmt"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/timing"
	"cemli-executor/internal/verdict"
)

// Invocation is what a run has to know of the invocation that makes it.
type Invocation struct {
	KillAt   time.Time // when the process may be killed; zero: not said
	FullTime bool      // most of the invocation's time is left
}

// Ended is how one invocation ended a request.
type Ended struct {
	Result  evidence.Result
	Request intake.Request // with everything that was learned about it
	Created time.Time      // when the package's object was written
	Hides   hiding.Hidden  // what is hidden of the run
	Left    []string       // concurrency groups that the run has left, and in which others wait
	HandOff string         // the pending request, if another invocation is to serve it
	// Sets is not nil if the request turned out to stand for several parameter sets: then there was no run.
	Sets *Sets
}

// Sets is a request that stands for one run per parameter set of its package.
type Sets struct {
	Claim     claim.Claim // of all sets
	Acquired  *claim.Held // the same, if this invocation has acquired it; nil: another one runs the sets, or has
	KeepGoing bool        // the sets after one that does not succeed run all the same
}

// New makes an Engine.
func New(config Config) *Engine {
	e := &Engine{Config: config}
	e.Now = func() time.Time {
		if config.Clock != nil {
			return config.Clock().UTC()
		}
		return time.Now().UTC()
	}
	e.Time = timing.Budget{Reserve: config.Reserve, Detached: config.Invoke != nil, Now: e.Now}
	e.Book = claim.Book{State: config.State, Environment: config.Environment, Clock: e.Now, Log: config.Log}
	e.Follower = followup.Follower{
		Book: e.Book, Results: config.Results, Announce: config.Announce, Requesters: config.WriteLog != nil,
		Attempts: config.Limits.Attempts, Now: e.Now, Log: config.Log,
	}
	if config.Apart != nil {
		e.Follower.Attend, e.Time.StopAt = e.attendDead, config.Apart.StopAt
	}
	return e
}

// Run makes one run of a request. It returns an error if the invocation itself has to fail, so that its sender tries
// again or is told; there is a result in any case.
func (e *Engine) Run(ctx context.Context, request intake.Request, of Invocation) (Ended, error) {
	r := e.begin(request)
	defer r.cleanUp()
	r.killAt, r.fullTime = of.KillAt, of.FullTime
	err := r.end(ctx, r.pipeline(ctx))
	return r.ended(), err
}

// SetAside ends a request on which the executor has died too often, without reading its package.
func (e *Engine) SetAside(ctx context.Context, request intake.Request, of Invocation, deaths int) (Ended, error) {
	r := e.begin(request)
	defer r.cleanUp()
	r.killAt = of.KillAt
	failure := r.supported(ctx)
	if failure == nil {
		failure = problem.New(problem.Problem{
			Code: "state.deaths", Where: request.Object,
			Message: fmt.Sprintf("the executor died %d times on the package before anything of it was executed; it "+
				"is set aside", deaths),
			Hint: "see the function's log and memory at those times; give the function more memory, or upload a " +
				"smaller package",
		}, nil)
	}
	err := r.end(ctx, failure)
	return r.ended(), err
}

// Withdrawn is a run that is cancelled before it has begun.
type Withdrawn struct {
	Package string
	Held    *claim.Held // its claim, which the caller has taken over; nil: nobody has claimed the run
	By      *evidence.Cancellation
}

// Cancel ends a run that has not begun.
func (e *Engine) Cancel(ctx context.Context, request intake.Request, of Invocation, w Withdrawn) (Ended, error) {
	r := e.begin(request)
	r.killAt, r.name, r.result.Package.Name = of.KillAt, w.Package, w.Package
	var failure error
	if w.Held == nil {
		failure = r.acceptRefused(ctx)
	} else {
		r.takeOn(w.Held)
	}
	if failure == nil {
		failure = r.cancelled(w.By)
	}
	err := r.end(ctx, failure)
	return r.ended(), err
}

// SkipSet leaves the evidence of a parameter set that does not run because one before it did not succeed. The package
// is described as in the set right before it.
func (e *Engine) SkipSet(
	ctx context.Context, request intake.Request, of Invocation, before Ended, failed evidence.Result,
) (Ended, error) {
	r := e.begin(request)
	r.killAt = of.KillAt
	was := before.Result
	r.name = was.Package.Name
	r.result.Package, r.result.Manifest, r.result.Policy = was.Package, was.Manifest, was.Policy
	r.hides = before.Hides.For(r.request.Parameters)
	r.result.Parameters = r.hides.Asked(r.request.Parameters)
	r.result.Trigger, r.result.Reason, r.result.Reference = was.Trigger, was.Reason, was.Reference
	namespace, err := e.Namespace(ctx)
	if err != nil {
		return r.ended(), err
	}
	r.request.Namespace = namespace
	err = r.end(ctx, verdict.AfterFailedSet(failed))
	return r.ended(), err
}

// ended returns how the run ended.
func (r *run) ended() Ended {
	end := Ended{
		Result: r.result, Request: r.request, Created: r.created, Hides: r.hides, Left: r.released, HandOff: r.handOff,
	}
	switch v := r.allSets; v.Kind {
	case verdict.Duplicate:
		end.Sets = &Sets{Claim: v.Claim}
	case verdict.Split:
		end.Sets = &Sets{Claim: v.Sets.Claim, Acquired: v.Sets, KeepGoing: v.KeepGoing}
	}
	return end
}

// Refused returns the answer to a request that could not become a run. It leaves no evidence.
func (e *Engine) Refused(request intake.Request, err error) evidence.Result {
	r := e.begin(request)
	r.conclude(err)
	return r.result
}

// Later returns the answer to a request that is served later. It leaves no evidence.
func (e *Engine) Later(request intake.Request, why string) evidence.Result {
	r := e.begin(request)
	if request.Continue == "" {
		r.key()
	}
	return r.answerLater(why)
}

// Duplicate returns the answer to a request that another run serves or has served. It leaves no evidence.
func (e *Engine) Duplicate(request intake.Request, other claim.Claim) evidence.Result {
	r := e.begin(request)
	if request.Continue == "" {
		r.key()
	}
	return r.isDuplicate(other)
}

// Attend goes on with a run whose steps are apart and that no invocation stays with, as far as there is time. It stores
// the run's result if its runner has ended, or nothing of the job can run any more.
func (e *Engine) Attend(ctx context.Context, held *claim.Held, callID string, of Invocation) (Ended, error) {
	request, err := e.Follower.Accepted(ctx, held)
	if err != nil {
		return Ended{Result: e.Refused(request, err)}, err
	}
	request.CallID = callID
	r := e.begin(request)
	defer r.cleanUp()
	r.killAt, r.fullTime = of.KillAt, of.FullTime
	err = r.end(ctx, r.attend(ctx, held))
	return r.ended(), err
}

// attendDead goes on with the run of a claim whose steps are apart, when nothing of its job runs any more.
func (e *Engine) attendDead(ctx context.Context, held *claim.Held) (bool, error) {
	hard, _ := ctx.Deadline()
	_, err := e.Attend(ctx, held, "", Invocation{KillAt: hard})
	return held.State == claim.Done, err // otherwise somebody else ends it, or nobody has
}
