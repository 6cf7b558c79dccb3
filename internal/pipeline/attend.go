package pipeline

import (
	"context"
	"time"

	"cemli-executor/internal/apart"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/secrets"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/verdict"
	"cemli-executor/manifest"
)

// attend takes over a run, and waits for its runner.
func (r *run) attend(ctx context.Context, held *claim.Held) error {
	r.takeOn(held)
	r.started = true
	if err := r.exec.Book.CheckClock(ctx); err != nil { // it may only look as if no invocation stayed with the run
		return r.lookLater(err)
	}
	switch ok, err := held.Adopt(ctx, r.exec.Now().Add(apart.Attending)); {
	case err != nil:
		return r.lookLater(err)
	case !ok:
		return verdict.LostRace(ok, held)
	}
	job, err := r.resume(ctx, held)
	if err != nil {
		return r.notResumed(ctx, held, err)
	}
	if hard, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, hard.Add(-r.exec.Reserve-apart.LastLook))
		defer cancel()
	}
	r.log.Warn("a run was found that no invocation stays with", "runner", held.Apart.Label, "job", held.Apart.Job)
	return r.follow(ctx, func(journal steps.Journal) (steps.Outcome, error) {
		return r.away().Attend(ctx, job, journal)
	})
}

// notResumed leaves a run to others that this invocation has taken over, and could not go on with.
func (r *run) notResumed(ctx context.Context, held *claim.Held, why error) error {
	if err := held.Leave(ctx); err != nil {
		r.log.Warn("the run is taken to be looked after for a while", "error", err.Error())
	}
	return r.lookLater(why)
}

// resume makes the run what it was when its last invocation noted how far it is.
func (r *run) resume(ctx context.Context, held *claim.Held) (steps.Job, error) {
	result, err := r.exec.Follower.FromCheckpoint(ctx, held)
	if err != nil {
		return steps.Job{}, err
	}
	result.Error, result.Message, result.Status = nil, "", ""
	r.result, r.name, r.change = result, result.Package.Name, held.Change()
	r.begun = time.Now().Add(-r.exec.Now().Sub(result.Start))
	r.stored.Seed(result.Evidence)
	r.takeOn(held)
	if held.Group != "" {
		g, err := r.exec.Book.Group(ctx, held.Group)
		if err != nil {
			return steps.Job{}, err
		}
		if g.Rejoin(held.Key) {
			r.group = g
		}
	}
	masked := r.hideAgain(ctx)
	place, job, err := r.exec.Apart.Adopt(*held.Apart, r.hides.Masker, !masked)
	if err != nil {
		return job, err
	}
	r.place, r.job, r.runner = place, job, place.Runner()
	return job, nil
}

// hideAgain hides what the run hides, and reports whether that is all of it.
func (r *run) hideAgain(ctx context.Context) bool {
	m, err := manifest.Parse(r.result.Manifest)
	if err != nil { // it was too large for the claim
		m = nil
	}
	r.hides = hiding.Of(r.request.Parameters, m)
	values, all := secrets.Again(ctx, r.exec.SecretVersion, r.perRequest, r.result.Secrets, r.log)
	r.hides = r.hides.And(values)
	return all && m != nil
}
