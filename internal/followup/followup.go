// Package followup does what follows the result of a run, by whichever invocation: it notes in the package's record
// what is applied, leaves an entry for what may take its time, announces the result, and ends the claim. It also ends
// runs whose executor died, with the result that they left for that case, and reads what earlier runs left.
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
	// Announce tells of a run; nil: nobody is told.
	Announce func(context.Context, evidence.Result) error
	// Requesters says that it is looked for who uploaded a package, once the write log has it.
	Requesters bool
	Attempts   int // how often a run may be tried
	Now        func() time.Time
	Log        *slog.Logger
}

// What follows a result.
const (
	record   = "record"   // the package's record
	announce = "announce" // the topic
	todo     = "todo"     // the entry of what comes later
)

// inOrder is what follows a result, in its order; claim.FollowQueue comes last.
var inOrder = []string{record, todo, announce}

// Do does all that follows the result of a run that holds a claim, and returns the end of that claim, with what could
// not be done. The run itself never changes, as its evidence stands. The digest is the result's SHA-256. The change
// is the entry of what the run applied or undid; nil: nothing. The history is the package's record as the run has
// read it; nil: it is read.
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

// setDigest notes the digest of a run's result in the entry of what it applies.
func setDigest(change *claim.Entry, result evidence.Result, digest string) {
	if change != nil && change.Result == "" && result.Action == string(intake.ActionApply) {
		change.Result = digest
	}
}

// Recorded reports whether the package's record knows what a run did whose claim ends so.
func Recorded(end claim.End) bool { return !slices.Contains(end.FollowUps, record) }

// Tell announces the result of a request that has no claim: nothing of it is left for later.
func (f Follower) Tell(ctx context.Context, result evidence.Result) {
	f.do(ctx, nil, result, nil, nil, []string{announce})
}

// do does some of what follows a result and returns what could not be done.
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

// leaveTodo makes the entry of a run that has a result, if something is left for later.
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

// uploadedAt is when the package of a run was uploaded, as well as that is known. What an event says is taken only
// where it may be so: its sender can write anything.
func uploadedAt(claimed *claim.Held, result evidence.Result) time.Time {
	switch at := result.Trigger.EventTime; {
	case !claimed.Uploaded.IsZero():
		return claimed.Uploaded
	case at != nil && at.Before(result.Start) && at.After(result.Start.Add(-UploadWindow)):
		return *at
	}
	return result.Start
}

// Conclude notes in the claim how its run has ended; a sweep finds what could not be noted.
func (f Follower) Conclude(ctx context.Context, claimed *claim.Held, end claim.End) {
	ok, err := claimed.Conclude(ctx, end)
	switch {
	case err != nil:
		f.Log.Error("the claim could not be updated", "run_id", claimed.RunID, "error", err.Error())
	case !ok:
		f.Log.Warn("the claim is not this run's any more", "run_id", claimed.RunID)
	}
}

// Finish does what follows a result that is stored and could not be done then.
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

// Unrecorded is the error for a run whose effect could not be noted.
func Unrecorded(claimed *claim.Held) error {
	return problem.New(problem.Problem{
		Code: "state.record", Where: claimed.RunID,
		Message: "what that run did could not be noted, and the next run has to know it",
		Hint:    "nothing was executed; it is tried again",
	}, nil)
}

// AdoptStored does what follows the result of a run that was put off or died after it had stored that, and before
// that had begun no step: a rollback that had nothing to execute has an effect all the same.
func (f Follower) AdoptStored(ctx context.Context, claimed *claim.Held) error {
	result, digest, err := f.ReadResult(ctx, claimed.RunID)
	if errors.Is(err, store.ErrNotFound) || claimed.Sets != nil {
		return nil // it has done nothing
	}
	if err != nil {
		return err
	}
	f.Conclude(ctx, claimed, f.Do(ctx, claimed, result, digest, claimed.Change(), nil))
	return nil
}

// UploadWindow is how long an upload is looked after.
const UploadWindow = 14 * 24 * time.Hour

// TodoRequester is what is left of a run whose requester.json is not there yet.
const TodoRequester = "requester"
