// Package followup does what follows the result of a run, in whichever invocation: it notes in the package's record
// what is applied, leaves a to-do for what may take its time, announces the result, and concludes the claim. It also
// ends runs whose executor died, with the result that their checkpoint holds, and reads what earlier runs left.
package followup

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// Follower does what follows results in one environment.
type Follower struct {
	Book    claim.Book
	Results store.Bucket
	// Announce announces a run; nil: runs are not announced.
	Announce func(context.Context, evidence.Result) error
	// Requesters says that the uploader of a package is looked up, once the write log has the upload.
	Requesters bool
	Attempts   int // how often a run may be tried
	// Attend ends a run whose steps are apart, and reports whether it has; nil: there are none.
	Attend func(ctx context.Context, claimed *claim.Held) (bool, error)
	Now    func() time.Time
	Log    *slog.Logger
}

// The follow-ups of a result.
const (
	record   = "record"   // the package's record
	announce = "announce" // on the topic
	todo     = "todo"     // the entry of what may take its time
)

// inOrder lists the follow-ups of a result in their order; claim.FollowQueue comes last.
var inOrder = []string{record, todo, announce}

// Do does everything that follows the result of a run that holds a claim, and returns the end of that claim, which
// lists what failed. The result never changes, as its evidence is final. The digest is the result's SHA-256. The change
// is the entry of what the run applied or undid; nil: nothing. The history is the package's record as the run has read
// it; nil: it is read.
func (f Follower) Do(
	ctx context.Context, claimed *claim.Held, result evidence.Result, digest string, change *claim.Entry,
	history *claim.Package,
) claim.End {
	setDigest(change, result, digest)
	left := f.do(ctx, claimed, result, change, history, inOrder)
	return claim.End{
		Outcome: claim.Outcome{Status: string(result.Status), Result: digest, FollowUps: left}, Applies: change,
	}
}

// setDigest notes the digest of a run's result in the entry of what the run applies.
func setDigest(change *claim.Entry, result evidence.Result, digest string) {
	if change != nil && change.Result == "" && result.Action == string(intake.ActionApply) {
		change.Result = digest
	}
}

// Recorded reports whether the package's record contains what the run did whose claim ends so.
func Recorded(end claim.End) bool { return !slices.Contains(end.FollowUps, record) }

// Tell announces the result of a request that has no claim. A failure is not retried.
func (f Follower) Tell(ctx context.Context, result evidence.Result) {
	f.do(ctx, nil, result, nil, nil, []string{announce})
}

// does some of the follow-ups of a result and returns those that failed.
func (f Follower) do(
	ctx context.Context, claimed *claim.Held, result evidence.Result, change *claim.Entry, history *claim.Package,
	what []string,
) (left []string) {
	for _, one := range what {
		var err error
		switch one {
		case record:
			err = f.remember(ctx, result, change, history)
		case todo:
			err = f.leaveTodo(ctx, claimed, result)
		case announce:
			if f.Announce != nil {
				err = f.Announce(ctx, result)
			}
		}
		if err != nil {
			f.Log.Error("what follows a result could not be done", "run_id", result.RunID, "what", one,
				"error", err.Error())
			left = append(left, one)
		}
	}
	return left
}

// leaveTodo stores the to-do of a run that has a result, if there is something to do later.
func (f Follower) leaveTodo(ctx context.Context, claimed *claim.Held, result evidence.Result) error {
	var kinds []string
	if f.Requesters && result.Package.ETag != "" {
		kinds = append(kinds, TodoRequester)
	}
	if kinds == nil {
		return nil
	}
	t := &claim.Todo{
		Environment: f.Book.Environment, RunID: result.RunID, Kinds: kinds,
		ETag: result.Package.ETag, VersionID: result.Package.VersionID, Uploaded: uploadedAt(claimed, result),
		Created: f.Now(),
	}
	return t.Put(ctx, f.Book.State)
}

// uploadedAt returns when the package of a run was uploaded, as far as that is known. The time of an event is used only
// if it is plausible, as its sender can write anything.
func uploadedAt(claimed *claim.Held, result evidence.Result) time.Time {
	switch at := result.Trigger.EventTime; {
	case !claimed.Uploaded.IsZero():
		return claimed.Uploaded
	case at != nil && at.Before(result.Start) && at.After(result.Start.Add(-UploadWindow)):
		return *at
	}
	return result.Start
}

// Conclude notes in the claim how its run has ended; a sweep retries what fails.
func (f Follower) Conclude(ctx context.Context, claimed *claim.Held, end claim.End) {
	ok, err := claimed.Conclude(ctx, end)
	switch {
	case err != nil:
		f.Log.Error("the claim could not be updated", "run_id", claimed.RunID, "error", err.Error())
	case !ok:
		f.Log.Warn("the claim is not this run's any more", "run_id", claimed.RunID)
	}
}

// Finish does the follow-ups of a stored result that failed before.
func (f Follower) Finish(ctx context.Context, claimed *claim.Held) error {
	result, digest, err := f.ReadResult(ctx, claimed.RunID)
	if err != nil {
		return err
	}
	if known := resultOf(claimed); known != "" && known != digest {
		return f.Altered("state.result", claimed.RunID)
	}
	change := claimed.Change()
	setDigest(change, result, digest)
	left := f.do(ctx, claimed, result, change, nil, slices.Clone(claimed.FollowUps))
	f.Conclude(ctx, claimed, claim.End{
		Outcome: claim.Outcome{Status: claimed.Status, Result: digest, FollowUps: left}, Applies: change,
	})
	return nil
}

// Unrecorded returns the error for a run whose effect could not be recorded.
func Unrecorded(claimed *claim.Held) error {
	return problem.New(problem.Problem{
		Code: "state.record", Where: claimed.RunID,
		Message: "what that run did could not be noted, and the next run has to know it",
		Hint:    "nothing was executed; it is tried again",
	}, nil)
}

// AdoptStored does what follows the result of a run that stored it, without having begun a step, and was then released
// or died: a rollback that had nothing to execute has an effect all the same.
func (f Follower) AdoptStored(ctx context.Context, claimed *claim.Held) error {
	result, digest, err := f.ReadResult(ctx, claimed.RunID)
	if errors.Is(err, store.ErrNotFound) || claimed.Sets != nil {
		return nil // the run has done nothing
	}
	if err != nil {
		return err
	}
	f.Conclude(ctx, claimed, f.Do(ctx, claimed, result, digest, claimed.Change(), nil))
	return nil
}

// UploadWindow is how long after an upload a sweep still looks for it.
const UploadWindow = 14 * 24 * time.Hour

// TodoRequester is the to-do of a run whose requester.json is not stored yet.
const TodoRequester = "requester"
