package pipeline

import (
	"context"
	"io"
	"time"

	"cemli-executor/internal/apart"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/progress"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/timing"
	"cemli-executor/internal/verdict"
	"cemli-executor/internal/workdir"
)

// here returns the place where the steps run.
func (r *found) here() steps.Here {
	return steps.Here{
		Dir: r.dir, Files: r.files, Masker: r.hides.Masker, Limits: r.exec.Scripts, Keeper: r.exec.Keeper,
		Spawn: r.exec.Spawn,
	}
}

// at returns the place of the run's steps.
func (r *found) at() steps.Place {
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

// attends tells the claim now and then that this invocation stays with a run whose steps are apart.
func (r *changing) attends(ctx context.Context) error {
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
func (r *changing) unlessTaken(ok bool) error {
	if ok {
		return nil
	}
	r.group = nil // it is that invocation's
	return verdict.PutOff("another invocation has gone on with the run", "")
}

// noteApart notes in the claim that a runner is asked to begin, or how far it is. Claim and group are the run's until
// nothing of the job runs any more.
func (r *changing) noteApart(ctx context.Context, start claim.Start) (bool, error) {
	record := r.away().Record()
	record.Attended = r.exec.Now().Add(apart.Attending).UTC()
	start.Apart, start.Lease = record, record.KillAt.Add(timing.LeaseMargin).UTC()
	if r.group != nil && r.group.Holder.Lease.Before(start.Lease) {
		if ok, err := r.group.Renew(ctx, start.Lease); err != nil || !ok {
			return false, err
		}
	}
	return r.claim.Progress(ctx, start)
}

// withdrawn ends a run whose job was withdrawn: nothing of it was started.
func (r *changing) withdrawn(ctx context.Context, by *evidence.Cancellation, why error) error {
	ok, err := r.claim.Withdraw(context.WithoutCancel(ctx))
	switch {
	case err != nil:
		r.endMailboxNow()
		return r.lookLater(err) // whoever does finds the job withdrawn
	case !ok:
		return r.unlessTaken(ok)
	}
	r.started, r.outcome, r.result.Steps = false, steps.Outcome{}, nil
	if by != nil {
		return r.cancelled(by)
	}
	return why
}

// left ends this invocation's part in a run whose steps are apart and go on.
func (r *changing) left(ctx context.Context) error {
	v := verdict.PutOff("the run goes on in its runner, and another invocation stays with it", "")
	if r.exec.Invoke != nil {
		v.HandOff = r.pending
	}
	if r.claim.Leave(ctx) != nil {
		v.HandOff = "" // it would find the run attended
	}
	return v
}

// prepareMailbox begins to make the mailbox of a job that is going to be sent.
func (r *found) prepareMailbox(ctx context.Context) {
	if r.exec.Apart == nil || r.result.Action == string(intake.ActionCheck) {
		return
	}
	end, _ := ctx.Deadline() // Bound has set it
	r.box = r.exec.Apart.Prepare(ctx, end.Add(time.Minute))
}

// endMailbox ends the mailbox of a job that does not go on.
func (r *acquired) endMailbox() {
	if r.exec.Apart == nil || r.started && r.result.Status == evidence.StatusInProgress {
		return
	}
	r.endMailboxNow()
}

func (r *found) endMailboxNow() {
	ctx, cancel := r.perRequest(context.Background())
	defer cancel()
	if p := r.away(); p != nil {
		p.EndMailbox(ctx) // it may be another than the first
		return
	}
	r.box.End(ctx)
}

// cancelledBefore returns who has cancelled the run, if the invocation that told the runner so is not this one.
func (r *changing) cancelledBefore(ctx context.Context) *evidence.Cancellation {
	if r.away() == nil {
		return nil
	}
	found, err := r.exec.Book.Progress().Of(context.WithoutCancel(ctx), r.result.RunID)
	if err != nil {
		r.log.Error("who has cancelled the run could not be read", "error", err.Error())
	}
	return progress.Cancellation(found)
}

// acceptNext accepts the next attempt of a run apart that ended with a result, if there is one to be. It returns
// false if that has failed: then the next sweep does it, and what follows.
func (r *acquired) acceptNext(ctx context.Context, ended evidence.Result) bool {
	if r.away() == nil || ended.Cancelled != nil || !r.exec.Follower.MayRepeat(r.claim, string(ended.Status)) {
		return true
	}
	err := r.claim.AcceptNext(ctx)
	if err != nil {
		r.log.Error("the next attempt could not be accepted; the next sweep does it", "error", err.Error())
	}
	return err == nil
}

// lookLater leaves a run to others that this invocation cannot go on with.
func (r *changing) lookLater(why error) error {
	r.log.Error("the run goes on in its runner, and could not be looked at", "code", problem.CodeOf(why), "error",
		why.Error())
	described := problem.Of(why, problem.Problem{Message: "see the function's log"})
	return verdict.PutOff("the run goes on in its runner, and could not be looked at: "+described.Message(), "")
}
