package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"cemli-executor/internal/apart"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
	"cemli-executor/internal/workdir"
	"cemli-executor/manifest"
)

// place is where the steps of a run run.
type place interface {
	Run(context.Context, steps.Job, steps.Journal) (steps.Outcome, error)
	Summary() string
	Collect(context.Context, steps.Job, time.Time, steps.Keep) ([]evidence.Artifact, error)
}

// at returns the place of the run's steps.
func (r *run) at(plan *manifest.Plan) place {
	if r.exec.Apart == nil {
		return r.here()
	}
	p := r.result.Package
	return r.exec.Apart.At(apart.Order{
		Runner: r.runner, Attempt: r.result.Attempt, Mask: r.hides.Values(), Masker: r.hides.Masker,
		Package: apart.Package{SHA256: p.SHA256, DirHash: p.DirHash, Size: p.Size, Zip: r.zip},
		Restored: func(a evidence.Artifact) (io.ReadSeekCloser, error) {
			return r.dir.Root().Open(workdir.Artifacts + "/" + a.Name)
		},
		AcceptInit: r.lowLevelAccepted,
	}, r.box)
}

// away returns the runner of the run's steps; nil: they run here.
func (r *found) away() *apart.Place {
	p, _ := r.place.(*apart.Place)
	return p
}

// attends tells the claim now and then that this invocation stays with a run whose steps are apart.
func (r *acquired) attends(ctx context.Context) error {
	if r.claim.Apart == nil || r.claim.Apart.Attended.Sub(r.exec.Now()) > apart.Attending*2/3 {
		return nil
	}
	ok, err := r.claim.Attend(ctx, r.exec.Now().Add(apart.Attending))
	if err != nil {
		r.log.Warn("that this invocation stays with the run could not be noted yet", "error", err.Error())
		return nil
	}
	return r.unlessTaken(ok)
}

// unlessTaken returns the verdict for a run whose steps are apart, and with which another invocation goes on.
func (r *acquired) unlessTaken(ok bool) error {
	if ok {
		return nil
	}
	r.group = nil // it is that invocation's
	return &verdict{kind: later, why: "another invocation has gone on with the run"}
}

// noteApart notes in the claim that a runner is asked to begin, or how far it is. Claim and group are the run's until
// nothing of the job runs any more.
func (r *acquired) noteApart(ctx context.Context, start claim.Start) (bool, error) {
	record := r.away().Record()
	record.Attended = r.exec.Now().Add(apart.Attending).UTC()
	start.Apart, start.Lease = record, record.KillAt.Add(leaseMargin).UTC()
	if r.group != nil && r.group.Holder.Lease.Before(start.Lease) {
		if ok, err := r.group.Renew(ctx, start.Lease); err != nil || !ok {
			return false, err
		}
	}
	return r.claim.Progress(ctx, start)
}

// withdrawn ends a run whose job was withdrawn: nothing of it was started.
func (r *run) withdrawn(ctx context.Context, by *evidence.Cancellation, why error) error {
	ok, err := r.claim.Withdraw(context.WithoutCancel(ctx))
	if err != nil || !ok {
		return errors.Join(err, r.unlessTaken(ok || err != nil))
	}
	r.started, r.outcome, r.result.Steps = false, steps.Outcome{}, nil
	if by != nil {
		return r.cancelled(by)
	}
	return why
}

// left ends this invocation's part in a run whose steps are apart and go on.
func (r *run) left(ctx context.Context) error {
	v := &verdict{kind: later, why: "the run goes on in its runner, and another invocation stays with it"}
	if r.exec.Invoke != nil {
		v.handOff = r.pending
	}
	if _, err := r.claim.Attend(context.WithoutCancel(ctx), r.exec.Now().Add(-2*claim.MaxSkew)); err != nil {
		v.handOff = "" // it would find the run attended
	}
	return v
}

// Attend goes on with a run whose steps are apart and that no invocation stays with, as far as there is time. It stores
// the run's result if its runner has ended, or nothing of the job can run any more.
func (e *Engine) Attend(ctx context.Context, held *claim.Held, callID string, of Invocation) (Ended, error) {
	request, err := e.accepted(ctx, held)
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

// accepted reads the request of a claim.
func (e *Engine) accepted(ctx context.Context, held *claim.Held) (request intake.Request, err error) {
	p, err := e.Book.Pending(ctx, held.Pending())
	if err != nil || p == nil {
		return request, err // without it the claim says enough
	}
	if err := json.Unmarshal(p.Request, &request); err != nil {
		return request, fmt.Errorf("the accepted request of %s cannot be read: %w", held.RunID, err)
	}
	return request, nil
}

// attend takes over a run, and waits for its runner.
func (r *run) attend(ctx context.Context, held *claim.Held) error {
	ok, err := held.Adopt(ctx, r.exec.Now().Add(apart.Attending))
	if err != nil || !ok {
		return errors.Join(err, lostRace(ok || err != nil, held))
	}
	job, err := r.resume(ctx, held)
	if err != nil {
		return err
	}
	if hard, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, hard.Add(-r.exec.Reserve))
		defer cancel()
	}
	r.log.Warn("a run was found that no invocation stays with", "runner", held.Apart.Label, "job", held.Apart.Job)
	return r.follow(ctx, func(journal steps.Journal) (steps.Outcome, error) {
		return r.away().Attend(ctx, job, journal)
	})
}

// resume makes the run what it was when its last invocation noted how far it is.
func (r *run) resume(ctx context.Context, held *claim.Held) (steps.Job, error) {
	result, err := r.exec.Follower.FromCheckpoint(ctx, held)
	if err != nil {
		return steps.Job{}, err
	}
	result.Error, result.Message, result.Status = nil, "", ""
	r.result, r.name, r.change, r.started = result, result.Package.Name, held.Change(), true
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
	all := m != nil
	var values []string
	for _, s := range r.result.Secrets {
		value, err := r.secret(ctx, s)
		if err != nil {
			r.log.Error("a secret cannot be read again, so that the output is withheld", "variable", s.Env,
				"version", s.Version, "error", err.Error())
			all = false
		}
		values = append(values, value)
	}
	r.hides = r.hides.And(values)
	return all
}

// secret reads the version of a secret that scripts saw.
func (r *asked) secret(ctx context.Context, s evidence.Secret) (value string, err error) {
	if r.exec.SecretVersion == nil {
		return "", errors.New("there is no vault here")
	}
	err = store.Patience(r.perRequest).Insist(ctx, func(ctx context.Context) error {
		doc, err := r.exec.SecretVersion(ctx, s.SecretID, s.Version)
		value = string(doc)
		return err
	})
	return value, err
}

// attendDead goes on with the run of a claim whose steps are apart, when nothing of its job runs any more.
func (e *Engine) attendDead(ctx context.Context, held *claim.Held) (bool, error) {
	hard, _ := ctx.Deadline()
	end, err := e.Attend(ctx, held, "", Invocation{KillAt: hard})
	return end.Result.Status != evidence.StatusInProgress, err
}

// endMailbox ends the mailbox of a job that does not go on.
func (r *run) endMailbox() {
	if r.exec.Apart == nil || r.started && r.result.Status == evidence.StatusInProgress {
		return
	}
	ctx, cancel := r.perRequest(context.Background())
	defer cancel()
	if r.box != nil {
		r.box.End(ctx)
	} else if p := r.away(); p != nil {
		p.EndMailbox(ctx)
	}
}

// lastProbe reads, beside other work, what the runner found of itself when it was last probed.
func (r *run) lastProbe(ctx context.Context) <-chan claim.Runner {
	found := make(chan claim.Runner, 1)
	if r.away() == nil {
		found <- claim.Runner{}
		return found
	}
	go func() {
		probed, err := claim.RunnersOf(r.exec.Book).Of(ctx, r.runner.Label, r.runner.ID)
		if err != nil || probed == nil {
			probed = &claim.Runner{} // the result says nothing of it
		}
		found <- *probed
	}()
	return found
}
