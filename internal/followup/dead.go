package followup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/results"
	"cemli-executor/internal/store"
)

// EndDead ends the run of a claim whose holder died: it stores a result that says so, unless there is one, and does
// what follows a result. It returns false if another invocation was faster.
//
// Of a run apart the mailbox is looked at first.
func (f Follower) EndDead(ctx context.Context, claimed *claim.Held) (bool, error) {
	if claimed.Apart != nil && f.Attend != nil {
		return f.Attend(ctx, claimed)
	}
	result, digest, err := f.resultOfDead(ctx, claimed)
	if err != nil {
		return false, err
	}
	f.Log.Warn("a run was found that its executor did not end", "found", claimed.RunID, "status", result.Status)
	claimed.Watched = true
	if f.MayRepeat(claimed, string(result.Status)) {
		cancelled, err := f.Book.Progress().Of(ctx, claimed.RunID)
		if err != nil {
			return false, err
		}
		claimed.Repeatable = cancelled == nil || !cancelled.Cancel // else whoever cancelled it wants it no more
	}
	if f.MayRepeat(claimed, string(result.Status)) {
		if err := claimed.AcceptNext(ctx); err != nil {
			return false, err
		}
	}
	return claimed.Conclude(ctx, f.Do(ctx, claimed, result, digest, claimed.Change(), nil))
}

// resultOfDead stores the result of a run that died, or reads the one that the run has stored itself, and returns it
// with its SHA-256.
func (f Follower) resultOfDead(ctx context.Context, claimed *claim.Held) (evidence.Result, string, error) {
	result, err := f.FromCheckpoint(ctx, claimed)
	if err != nil {
		return result, "", err
	}
	doc, err := result.Encode()
	if err != nil {
		return result, "", err
	}
	object := evidence.ResultObject(claimed.RunID)
	_, err = f.Results.Put(ctx, object, bytes.NewReader(doc), int64(len(doc)),
		store.PutOptions{IfNoneMatch: true, ContentType: "application/json"})
	if err == nil {
		return result, fmt.Sprintf("%x", sha256.Sum256(doc)), nil
	}
	stored, digest, readErr := f.ReadResult(ctx, claimed.RunID)
	if readErr == nil {
		return stored, digest, nil
	}
	if errors.Is(err, store.ErrExists) {
		return stored, "", readErr
	}
	return stored, "", err
}

// FromCheckpoint returns the result in a claim's checkpoint.
func (f Follower) FromCheckpoint(ctx context.Context, claimed *claim.Held) (evidence.Result, error) {
	result, err := evidence.Decode(claimed.Checkpoint)
	if err != nil || result.RunID != claimed.RunID {
		return result, problem.New(problem.Problem{
			Code:    "state.corrupt",
			Where:   f.Book.State.Name() + "/claims/" + claimed.Environment + "/" + claimed.Key + ".json",
			Message: "the record of a run that did not end does not say what it did; nothing was run",
			Hint:    "find out who wrote it, or restore an earlier version of the object",
		}, err)
	}
	result.End = f.Now()
	if err := f.listLeft(ctx, &result); err != nil {
		return result, err
	}
	pending, err := f.Book.Pending(ctx, claimed.Pending())
	if err != nil {
		return result, err
	}
	if pending != nil && result.Trigger.Raw == nil { // a checkpoint of an earlier version has none
		var request intake.Request
		if json.Unmarshal(pending.Request, &request) == nil && request.Parameters == nil {
			result.Trigger.Raw = request.Trigger.Raw // with parameters it may contain what is hidden
		}
	}
	return result, nil
}

// listLeft adds the objects to a result that the run stored after its last checkpoint.
func (f Follower) listLeft(ctx context.Context, result *evidence.Result) error {
	dir, start := evidence.Dir(result.RunID), ""
	for more := true; more; more = start != "" {
		page, err := f.Results.List(ctx, store.ListOptions{Prefix: dir, Start: start})
		if err != nil {
			return err
		}
		for _, o := range page.Objects {
			known := func(listed evidence.Object) bool { return listed.Object == o.Name }
			if o.Name == evidence.ResultObject(result.RunID) || slices.ContainsFunc(result.Evidence, known) {
				continue
			}
			left, err := results.Describe(ctx, f.Results, o.Name)
			if err != nil {
				return err
			}
			result.List(left)
		}
		start = page.Next
	}
	return nil
}

// ErrGoesOn says that a run goes on, or that nobody can tell yet.
var ErrGoesOn = errors.New("the run goes on apart")

// EndFormer ends the run that died in a group before the run with the given key enters it: that run has to know what
// the former did. It is ErrGoesOn if that cannot be told yet.
func (f Follower) EndFormer(ctx context.Context, g *claim.Group, key string) error {
	former, err := g.Former(ctx, key)
	if err != nil || former == nil {
		return err
	}
	if former.State == claim.Running && former.Expired(f.Now()) {
		var ended bool
		if ended, err = f.EndDead(ctx, former); err == nil && !ended {
			// Another invocation has ended it, but may have failed to record what it did.
			if former, err = g.Former(ctx, key); former == nil {
				return err
			}
		}
	}
	switch {
	case err != nil:
		return err
	case former.State == claim.Done && len(former.FollowUps) > 0:
		err = f.Finish(ctx, former)
	case former.State == claim.Running && former.Expired(f.Now()): // its mailbox could not be read
		err = ErrGoesOn
	case former.State == claim.Claimed: // the invocation that holds the claim now has not entered the group
		err = f.AdoptStored(ctx, former)
	}
	if err == nil && slices.Contains(former.FollowUps, record) {
		err = Unrecorded(former)
	}
	return err
}

// MayRepeat reports whether a run that ended with a status may be tried again.
func (f Follower) MayRepeat(claimed *claim.Held, status string) bool {
	return status == string(evidence.StatusInterrupted) && claimed.MayRepeat(f.Attempts)
}

// AcceptNext accepts the next attempt of a run that ended with a result, if there is one to be. It returns false if
// that has failed: then the next sweep does it, and what follows.
func (f Follower) AcceptNext(ctx context.Context, claimed *claim.Held, ended evidence.Result) bool {
	if ended.Cancelled != nil || !f.MayRepeat(claimed, string(ended.Status)) {
		return true
	}
	err := claimed.AcceptNext(ctx)
	if err != nil {
		f.Log.Error("the next attempt could not be accepted; the next sweep does it", "run_id", ended.RunID, "error",
			err.Error())
	}
	return err == nil
}
