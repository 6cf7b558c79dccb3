package executor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/results"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

// followUp does what follows the result, and says in the claim how the run has ended. What fails
// is found by the sweep.
func (r *run) followUp(ctx context.Context) {
	if r.claim == nil { // a request that was refused as it stands: its sender may mend it and ask again
		r.exec.follow(ctx, nil, r.result, nil, nil, []string{followAnnounce})
		return
	}
	followUps := r.exec.follow(ctx, r.claim, r.result, withDigest(r.doing, r.result, r.digest), r.history, followers)
	if !slices.Contains(followUps, followRecord) {
		r.leave(ctx) // else the next of the group would not know of this run
	}
	r.exec.concludeClaim(ctx, r.claim, claim.End{Outcome: claim.Outcome{Status: string(r.result.Status), Result: r.digest, FollowUps: followUps}, Applies: r.doing})
}

// What follows a result, in this order; claim.FollowQueue comes last.
const (
	followRecord   = "record"   // the package's record
	followAnnounce = "announce" // the topic
	followTodo     = "todo"     // the entry of what comes later
)

var followers = []string{followRecord, followTodo, followAnnounce}

// follow does what follows a result and returns what could not be done. It never changes the run,
// whose evidence stands. The package's record is the one that the run has read; nil: it is read. Without a claim
// nothing is left for later.
func (e *environment) follow(ctx context.Context, held *claim.Held, result evidence.Result, change *claim.Entry, record *claim.Package, todo []string) (left []string) {
	for _, what := range todo {
		var err error
		switch what {
		case followRecord:
			err = e.remember(ctx, result, change, record)
		case followTodo:
			err = e.leaveTodo(ctx, held, result)
		case followAnnounce:
			if e.Announce != nil {
				err = e.Announce(ctx, result)
			}
		}
		if err != nil {
			e.Log.Error("what follows a result could not be done", "run_id", result.RunID, "what", what, "error", err.Error())
			left = append(left, what)
		}
	}
	return left
}

// remember notes in the package's record what a run has done. The record is the one that the run has
// read; nil: it is read.
func (e *environment) remember(ctx context.Context, result evidence.Result, change *claim.Entry, record *claim.Package) error {
	back := hasUndone(result)
	applies := change != nil && result.Action == string(ActionApply) && began(result)
	if !applies && !back {
		return nil
	}
	if record == nil {
		var err error
		if record, err = e.readRecord(ctx, result.Package.Name); err != nil {
			return err
		}
	}
	p := result.Package
	return record.Update(ctx, func(record *claim.Package) {
		if back {
			if change != nil && change.RunID == result.PreviousRunID {
				record.Insert(result.ParameterSet, *change) // an earlier version had not noted it
			}
			record.RolledBack(result.ParameterSet, result.PreviousRunID, result.RunID, undoneBy(result))
			return
		}
		record.Began(claim.Version{Version: p.Version, DirHash: p.DirHash, RunID: result.RunID, Start: result.Start})
		record.Add(result.ParameterSet, entry(result, *change))
	})
}

// hasUndone reports whether a run is a rollback that has begun to undo, or had nothing left to.
func hasUndone(result evidence.Result) bool {
	if result.Action != string(ActionRollback) || result.Rollback == nil {
		return false
	}
	return result.Status == evidence.StatusSuccess || undoBegan(result)
}

// undoBegan reports whether an undo script of a run has run.
func undoBegan(result evidence.Result) bool {
	return result.Rollback != nil && slices.ContainsFunc(result.Rollback.Steps, func(s evidence.Step) bool { return s.Attempts > 0 })
}

// undoneBy is the standing of a run after a rollback of it that began.
func undoneBy(rollback evidence.Result) claim.Standing {
	if rollback.Status == evidence.StatusSuccess {
		return claim.Undone
	}
	return claim.Partial
}

// began reports whether the first run-phase step of a run began, here or in the run that it resumed:
// what ended before has changed nothing.
func began(result evidence.Result) bool {
	return slices.ContainsFunc(result.Steps, func(s evidence.Step) bool {
		return s.Phase == string(manifest.PhaseRun) && (s.Attempts > 0 || s.Status == evidence.StepSkipped)
	})
}

// ranAny reports whether any step of a run began, here or in the run that it resumed.
func ranAny(result evidence.Result) bool {
	return slices.ContainsFunc(result.Steps, func(s evidence.Step) bool { return s.Attempts > 0 || s.Status == evidence.StepSkipped })
}

// entry is what the record says of a run that applied something.
func entry(result evidence.Result, change claim.Entry) claim.Entry {
	p := result.Package
	change.RunID, change.Standing = result.RunID, standing(result.Status)
	change.Version, change.DirHash, change.SHA256, change.Object = p.Version, p.DirHash, p.SHA256, result.SourceObject
	change.Start, change.End = result.Start, result.End
	return change
}

// standing is what became of what a run applied.
func standing(status evidence.Status) claim.Standing {
	switch status {
	case evidence.StatusSuccess:
		return claim.Applied
	case evidence.StatusRolledBack:
		return claim.Undone
	}
	return claim.Partial
}

// withDigest is the entry of what a run applies with the digest of its result.
func withDigest(change *claim.Entry, result evidence.Result, digest string) *claim.Entry {
	if change != nil && change.Result == "" && result.Action == string(ActionApply) {
		change.Result = digest
	}
	return change
}

// leaveTodo makes the entry of a run that has a result, if something is left for later.
func (e *environment) leaveTodo(ctx context.Context, held *claim.Held, result evidence.Result) error {
	var kinds []string
	if e.WriteLog != nil && result.Package.ETag != "" {
		kinds = append(kinds, todoRequester)
	}
	if kinds == nil {
		return nil
	}
	t := &claim.Todo{
		Environment: e.Environment, RunID: result.RunID, Kinds: kinds,
		ETag: result.Package.ETag, VersionID: result.Package.VersionID, Uploaded: uploadedAt(held, result), Created: e.now(),
	}
	return t.Put(ctx, e.State)
}

// uploadedAt is when the package of a run was uploaded, as well as that is known. What an event says is taken only
// where it may be so: its sender can write anything.
func uploadedAt(held *claim.Held, result evidence.Result) time.Time {
	switch at := result.Trigger.EventTime; {
	case !held.Uploaded.IsZero():
		return held.Uploaded
	case at != nil && at.Before(result.Start) && at.After(result.Start.Add(-uploadWindow)):
		return *at
	}
	return result.Start
}

// leave gives the group up, and notes who is to be started now.
func (r *held) leave(ctx context.Context) {
	if r.group == nil {
		return
	}
	g, err := r.group.Leave(ctx)
	if err != nil {
		r.log.Error("the concurrency group could not be left; it is free when the lease ends", "group", r.group.Name, "error", err.Error())
		return
	}
	if g.First() != nil {
		r.released = append(r.released, g.Name)
	}
	r.group = nil
}

// concludeClaim notes in the claim how its run has ended; a sweep finds what could not be noted.
func (e *environment) concludeClaim(ctx context.Context, held *claim.Held, end claim.End) {
	ok, err := held.Conclude(ctx, end)
	switch {
	case err != nil:
		e.Log.Error("the claim could not be updated", "run_id", held.RunID, "error", err.Error())
	case !ok:
		e.Log.Warn("the claim is not this run's any more", "run_id", held.RunID)
	}
}

// endDead ends what a run that died had begun: it gets a result that says so, unless it has one
// already, and then what follows a result is done.
func (e *environment) endDead(ctx context.Context, held *claim.Held) error {
	result, digest, err := e.resultOfDead(ctx, held)
	if err != nil {
		return err
	}
	change := withDigest(held.Change(), result, digest)
	e.Log.Warn("a run was found that its executor did not end", "found", held.RunID, "status", result.Status)
	if e.mayRepeat(held, string(result.Status)) {
		if err := held.AcceptNext(ctx); err != nil {
			return err
		}
	}
	followUps := e.follow(ctx, held, result, change, nil, followers)
	ok, err := held.Conclude(ctx, claim.End{Outcome: claim.Outcome{Status: string(result.Status), Result: digest, FollowUps: followUps}, Applies: change})
	return errors.Join(err, lost(ok || err != nil, held))
}

// resultOfDead stores the result of a run that died, or reads the one that it has stored itself, and
// returns it with its SHA-256.
func (e *environment) resultOfDead(ctx context.Context, held *claim.Held) (evidence.Result, string, error) {
	result, err := e.fromCheckpoint(ctx, held)
	if err != nil {
		return result, "", err
	}
	doc, err := result.Encode()
	if err != nil {
		return result, "", err
	}
	object := evidence.ResultObject(held.RunID)
	_, err = e.Results.Put(ctx, object, bytes.NewReader(doc), int64(len(doc)), store.PutOptions{IfNoneMatch: true, ContentType: "application/json"})
	if err == nil {
		return result, fmt.Sprintf("%x", sha256.Sum256(doc)), nil
	}
	stored, digest, readErr := e.readResult(ctx, held.RunID)
	if readErr == nil {
		return stored, digest, nil
	}
	if errors.Is(err, store.ErrExists) {
		return stored, "", readErr
	}
	return stored, "", err
}

// fromCheckpoint is the result that a run left for the case of its death.
func (e *environment) fromCheckpoint(ctx context.Context, held *claim.Held) (evidence.Result, error) {
	result, err := evidence.Decode(held.Checkpoint)
	if err != nil || result.RunID != held.RunID {
		return result, problem.New(problem.Problem{
			Code: "state.corrupt", Where: e.State.Name() + "/claims/" + held.Environment + "/" + held.Key + ".json",
			Message: "the record of a run that did not end does not say what it did; nothing was run", Hint: "find out who wrote it, or restore an earlier version of the object",
		}, err)
	}
	result.End = e.now()
	if err := e.listLeft(ctx, &result); err != nil {
		return result, err
	}
	pending, err := e.book.Pending(ctx, held.Pending())
	if err != nil {
		return result, err
	}
	if pending != nil && result.Trigger.Raw == nil { // a checkpoint of an earlier version has none
		var request Request
		if json.Unmarshal(pending.Request, &request) == nil && request.Parameters == nil {
			result.Trigger.Raw = request.Trigger.Raw // with parameters it may quote what is hidden
		}
	}
	return result, nil
}

// listLeft lists the objects that a run has stored before it died and not said so any more.
func (e *environment) listLeft(ctx context.Context, result *evidence.Result) error {
	dir, start := evidence.Dir(result.RunID), ""
	for more := true; more; more = start != "" {
		page, err := e.Results.List(ctx, store.ListOptions{Prefix: dir, Start: start})
		if err != nil {
			return err
		}
		for _, o := range page.Objects {
			known := func(listed evidence.Object) bool { return listed.Object == o.Name }
			if o.Name == evidence.ResultObject(result.RunID) || slices.ContainsFunc(result.Evidence, known) {
				continue
			}
			left, err := results.Describe(ctx, e.Results, o.Name)
			if err != nil {
				return err
			}
			result.List(left)
		}
		start = page.Next
	}
	return nil
}

// finishFollowUps does what follows a result that is stored and could not be done then.
func (e *environment) finishFollowUps(ctx context.Context, held *claim.Held) error {
	result, digest, err := e.readResult(ctx, held.RunID)
	if err != nil {
		return err
	}
	if known := resultOf(held); known != "" && known != digest {
		return e.altered("state.result", held.RunID)
	}
	change := withDigest(held.Change(), result, digest)
	followUps := e.follow(ctx, held, result, change, nil, slices.Clone(held.FollowUps))
	e.concludeClaim(ctx, held, claim.End{Outcome: claim.Outcome{Status: held.Status, Result: digest, FollowUps: followUps}, Applies: change})
	return nil
}

// endFormer ends the run that died in a group, before the run of key enters, which has to know what that one did.
func (e *environment) endFormer(ctx context.Context, g *claim.Group, key string) error {
	former, err := g.Former(ctx, key)
	if err != nil || former == nil {
		return err
	}
	if former.State == claim.Running && former.Expired(e.now()) {
		if err = e.endDead(ctx, former); verdictOf(err).kind == duplicate {
			// Another invocation has ended it, and perhaps not noted what it did.
			if former, err = g.Former(ctx, key); former == nil {
				return err
			}
		}
	}
	switch {
	case err != nil:
		return err
	case former.State == claim.Done && len(former.FollowUps) > 0:
		err = e.finishFollowUps(ctx, former)
	case former.State == claim.Claimed: // an invocation that holds the claim now has not entered the group
		err = e.adoptStored(ctx, former)
	}
	if err == nil && slices.Contains(former.FollowUps, followRecord) {
		err = unrecorded(former)
	}
	return err
}

// unrecorded is the error for a run whose effect could not be noted.
func unrecorded(held *claim.Held) error {
	return problem.New(problem.Problem{
		Code: "state.record", Where: held.RunID, Message: "what that run did could not be noted, and the next run has to know it", Hint: "nothing was executed; it is tried again",
	}, nil)
}

// adoptStored does what follows the result of a run that was put off or died after it had stored that, and before
// that had begun no step: a rollback that had nothing to execute has an effect all the same.
func (e *environment) adoptStored(ctx context.Context, held *claim.Held) error {
	result, digest, err := e.readResult(ctx, held.RunID)
	if errors.Is(err, store.ErrNotFound) || held.Sets != nil {
		return nil // it has done nothing
	}
	if err != nil {
		return err
	}
	change := withDigest(held.Change(), result, digest)
	followUps := e.follow(ctx, held, result, change, nil, followers)
	e.concludeClaim(ctx, held, claim.End{Outcome: claim.Outcome{Status: string(result.Status), Result: digest, FollowUps: followUps}, Applies: change})
	return nil
}

// resultOf is the SHA-256 of the result that a claim knows; "" if it knows none, as those of earlier
// versions.
func resultOf(held *claim.Held) string {
	if change := held.Change(); held.Result == "" && change != nil {
		return change.Result
	}
	return held.Result
}

// altered is the error for a result that is not the one that was stored.
func (e *environment) altered(code, runID string) error {
	return problem.New(problem.Problem{
		Code: code, Where: e.Results.Name() + "/" + evidence.ResultObject(runID), Message: "the result is not the one that the executor has stored",
		Hint: "find out who changed the results bucket, and go on by hand",
	}, nil)
}

// vouched refuses a result of an earlier run that is not the one that its claim knows; one that no claim
// or only that of an earlier version knows passes.
func (e *environment) vouched(ctx context.Context, runID, digest string) error {
	held, err := e.book.OfRun(ctx, runID)
	if err != nil || held == nil {
		return err
	}
	if known := resultOf(held); known != "" && known != digest {
		return e.altered("request.altered", runID)
	}
	return nil
}
