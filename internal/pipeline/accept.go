package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/timing"
	"cemli-executor/internal/verdict"
	"cemli-executor/manifest"
)

// accept stores the pending request and claims the run key: from here on the request ends in a result, made by this
// invocation or a later one. It returns a duplicate verdict if another run holds the key, and a split verdict if the
// request stands for one run per parameter set. The manifest is nil if it could not be read.
func (r *acquired) accept(ctx context.Context, m *manifest.Manifest) error {
	if err := r.checkWatch(ctx); err != nil {
		return err
	}
	key := r.key()
	if former, err := r.fetcher().KeyOfEarlierVersion(ctx, r.request); err != nil {
		return err
	} else if former != "" {
		key = former
	}
	id := r.newRunID()
	r.pending = claim.PendingName(key, 1)
	made, err := r.exec.Accept(ctx, r.pending, r.request)
	if err != nil {
		return err
	}
	r.need = timing.NeedOf(m, r.undoable)
	if sets := r.setsOf(m); sets != nil {
		r.need *= time.Duration(len(sets))
	}
	want := claim.Claim{
		Key: key, Object: r.request.Object, Package: r.name, Uploaded: r.created, Repeatable: m != nil && m.Idempotent,
	}
	if sets := r.setsOf(m); sets != nil {
		want.Sets = sets
	} else {
		want.RunID = id
		r.setRunID(id)
	}
	claimed, found, err := r.exec.Book.Acquire(ctx, want, r.newLease)
	switch {
	case err != nil:
		return err
	case found == claim.DiedRunning:
		var ended bool
		if ended, err = r.exec.Follower.EndDead(ctx, claimed); err == nil {
			err = verdict.LostRace(ended, claimed)
		}
	case found == claim.Theirs && claimed.State == claim.Done && made:
		r.exec.Book.Remove(ctx, r.pending) // this accepted a request again that is already done
	}
	r.mayHaveResult = found == claim.TakenOver
	if err == nil && (found == claim.DiedRunning || found == claim.Theirs) {
		err = r.nextAttempt(ctx, claimed)
	}
	if err != nil {
		return err
	}
	r.takeOn(claimed)
	if claimed.Sets != nil {
		return verdict.SplitUp(claimed, m != nil && m.OnSetFailure == manifest.OnSetFailureContinue)
	}
	if err := r.fetcher().SameVersion(ctx, r.request); err != nil {
		return err
	}
	return claimed.TriesLeft(r.limits.Attempts)
}

// checkWatch refuses to run if the record of earlier runs is lost: the state bucket is empty although there are
// results. It starts the watch if nothing ever ran.
func (r *found) checkWatch(ctx context.Context) error {
	if r.request.Trigger.Kind == intake.TriggerCLI {
		return nil // a laptop's runs know of no others
	}
	since := r.exec.Now()
	if !r.created.IsZero() && r.created.Before(since) {
		since = r.created
	}
	_, err := r.exec.Follower.Watch(ctx, since)
	return err
}

// setsOf returns the package's parameter sets if the request names none of them.
func (r *asked) setsOf(m *manifest.Manifest) []string {
	if m == nil || r.request.ParameterSet != "" || len(m.ParameterSets) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m.ParameterSets))
}

// nextAttempt makes the run the next attempt of the claim that was found, if the attempt before was interrupted and the
// package may run again. Otherwise it returns a duplicate verdict.
func (r *acquired) nextAttempt(ctx context.Context, claimed *claim.Held) error {
	if claimed.State != claim.Done || !r.exec.Follower.MayRepeat(claimed, claimed.Status) {
		return verdict.DuplicateOf(claimed.Claim)
	}
	// The follow-ups of the attempt before come first, as its claim is about to be overwritten.
	if len(claimed.FollowUps) > 0 {
		if err := r.exec.Follower.Finish(ctx, claimed); err != nil {
			return err
		}
		if len(claimed.FollowUps) > 0 {
			return followup.Unrecorded(claimed)
		}
	}
	request, err := r.request.Encode()
	if err != nil {
		return err
	}
	before := claimed.RunID
	id := fmt.Sprintf("%s-%d", r.newRunID(), claimed.Attempt+1)
	if ok, err := claimed.NextAttempt(ctx, request, r.newLease, id); err != nil || !ok {
		return errors.Join(err, verdict.LostRace(ok || err != nil, claimed))
	}
	if r.request.PreviousRun() == "" {
		r.result.PreviousRunID = before
	}
	return nil
}

// takeOn gives the run the id, the attempt and the pinned bytes that its claim names.
func (r *acquired) takeOn(claimed *claim.Held) {
	r.claim = claimed
	r.pending = claimed.Pending()
	r.result.RunID, r.result.Attempt = claimed.RunID, claimed.Attempt
	r.request.Pinned = cmp.Or(r.request.Pinned, claimed.Pinned)
	if !claimed.Uploaded.IsZero() {
		r.created, r.request.Created = claimed.Uploaded, claimed.Uploaded
	}
	p := r.result.Package
	r.log = r.exec.Log.With("run_id", claimed.RunID, "package", p.Name, "version", p.Version)
}

// acceptRefused accepts a request that was refused, possibly before its object was read.
func (r *acquired) acceptRefused(ctx context.Context) error {
	if r.created.IsZero() {
		found, other, err := r.fetcher().LookBack(ctx, r.request)
		r.request, r.created = found.Request, found.Created
		if found.Learned && r.request.Action != "" {
			r.result.Action = string(r.request.Action)
		}
		switch {
		case err != nil:
			return err
		case other != nil:
			return verdict.DuplicateOf(other.Claim)
		}
	}
	return r.accept(ctx, nil)
}

// key fixes the slot of the request and returns its run key.
func (r *report) key() string {
	r.request.Slot = r.request.Occurrence(r.result.Start)
	key := r.request.Key(r.exec.Environment)
	r.result.RequestKey = cmp.Or(claim.KeyOf(r.request.Parent), key)[:12]
	return key
}

// runID returns the run id, and makes it first if need be: once the package's name is known, or will never be.
func (r *report) runID() string {
	if r.result.RunID == "" {
		r.setRunID(r.newRunID())
	}
	return r.result.RunID
}

func (r *report) newRunID() string {
	return r.result.Start.Format("20060102T150405Z") + "-" + r.name + "-" + r.key()[:12]
}
