package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
	"cemli-executor/internal/verdict"
)

// end acts on the verdict or the failure that stopped its stages. It stores the evidence that is not stored yet,
// commits the result, and logs the last line, if this invocation has the run to end. The error says why the invocation
// must fail.
func (r *run) end(ctx context.Context, failure error) error {
	ctx, cancel := r.exec.Time.ForEvidence(ctx, r.started, r.leaseEnd())
	defer cancel()
	unknown := false // the state bucket refuses access, so that nobody can tell what ran and what has a result
	if r.claim == nil && r.endsRequest(failure) {
		// A request that is refused before it has a claim ends too, and only once.
		if err := r.acceptRefused(ctx); err != nil {
			failure, unknown = err, errors.Is(err, store.ErrRefused)
		}
	}
	if r.claim == nil && failure != nil && !verdict.Of(failure).OfAllSets() {
		// The watch starts with the first result.
		if err := r.checkWatch(ctx); err != nil {
			failure, unknown = err, errors.Is(err, store.ErrRefused)
		}
	}
	switch v := verdict.Of(failure); {
	case v.OfAllSets():
		r.allSets = v // this was no run
		return nil
	case v.Kind == verdict.Duplicate:
		r.leave(ctx)
		r.isDuplicate(v.Claim)
		return nil
	case v.Kind == verdict.HasResult && !r.started:
		return r.adoptResult(ctx, failure)
	case v.Kind == verdict.Later:
		r.postpone(ctx, v)
		return nil
	case unknown, !r.started && codes.Retryable(failure) && r.triesLeft(failure):
		r.retryLater(ctx, failure)
		return failure
	}
	r.conclude(failure)
	stop := r.keepNoting(ctx)
	err := r.commit(ctx)
	other := err != nil && verdict.Of(err).Kind == verdict.HasResult
	stop(err == nil || other)
	switch {
	case other:
		return r.adoptResult(ctx, failure)
	case err != nil:
		return r.unstored(ctx, err)
	}
	return r.committed(ctx, failure)
}

// endsRequest reports whether a failure before the claim ends the request: it is about one version of the object, or
// one event.
func (r *run) endsRequest(failure error) bool {
	kind := verdict.Of(failure).Kind
	if failure == nil || codes.Retryable(failure) || kind == verdict.Duplicate || kind == verdict.Split {
		return false
	}
	return (r.request.ETag != "" || r.request.OnEvent) && r.request.Bucket == r.exec.Packages.Name()
}

// triesLeft reports whether the request may be tried once more.
func (r *acquired) triesLeft(failure error) bool {
	return r.claim == nil || !codes.OfError(failure).Counted || r.claim.Tries+1 < r.limits.Attempts
}

// retryLater ends a run that could not begin for a reason that may pass. It leaves no evidence, as a later invocation
// serves the request.
func (r *run) retryLater(ctx context.Context, failure error) {
	r.release(ctx, failure, codes.OfError(failure).Counted)
	r.conclude(failure)
	if next := "; nothing was executed, and "; r.pending == "" && r.request.ByHand() {
		r.result.Message += next + "the request was not accepted: send it again"
	} else {
		r.result.Message += next + "the request is tried again"
	}
	r.log.Warn("the run could not begin", "object", r.request.Object, "code", problem.CodeOf(failure),
		"error", failure.Error())
}

// postpone ends a run that is served later.
func (r *run) postpone(ctx context.Context, v verdict.Verdict) {
	r.release(ctx, nil, false)
	r.handOff = v.HandOff
	r.answerLater(v.Why)
}

// keepNoting retries to note the end of the steps, if that has failed before, until the time is over or until the
// returned function stops it, after which the claim no longer changes.
func (r *changing) keepNoting(ctx context.Context) (stop func(enough bool)) {
	if r.noteLater == nil {
		return func(bool) {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() {
		if err := store.Patience(r.perRequest).Insist(ctx, r.noteLater); err != nil {
			r.log.Warn("the end of the steps could not be noted", "error", err.Error())
		}
	})
	return func(enough bool) {
		if enough {
			cancel()
		}
		beside.Wait()
		cancel()
	}
}

// committed does what follows the result.
func (r *run) committed(ctx context.Context, failure error) error {
	r.followUp(ctx)
	r.finishLog("run finished", failure)
	if !r.started && codes.Retryable(failure) {
		return failure
	}
	return nil
}

// adoptResult ends a run whose result exists already: an earlier holder of the claim stored it and died, or a later one
// found this run dead.
func (r *run) adoptResult(ctx context.Context, failure error) error {
	stored, digest, err := r.exec.Follower.ReadResult(ctx, r.runID())
	switch {
	case err != nil:
		return r.unstored(ctx, err)
	case digest == r.digest: // this run stored it, although the store's answer was an error
		return r.committed(ctx, failure)
	}
	r.log.Warn("the run has a result already", "status", stored.Status)
	known := claim.Claim{
		RunID: stored.RunID, Attempt: stored.Attempt, State: claim.Done,
		Outcome: claim.Outcome{Status: string(stored.Status)},
	}
	// Otherwise the invocation that took this run for dead notes how it ended, and frees the group.
	if r.claim != nil && (!r.started || r.away() != nil && r.exec.Follower.AcceptNext(ctx, r.claim, stored)) {
		change := cmp.Or(r.claim.Change(), r.change)
		end := r.exec.Follower.Do(ctx, r.claim, stored, digest, change, nil)
		if followup.Recorded(end) {
			r.leave(ctx)
		}
		r.exec.Follower.Conclude(ctx, r.claim, end)
	}
	r.isDuplicate(known)
	return nil
}

// unstored ends a run whose evidence could not be stored.
func (r *run) unstored(ctx context.Context, err error) error {
	described := problem.Of(err, problem.Problem{Code: "store.evidence", Message: "the evidence could not be stored"})
	if given := r.releaseClaim(ctx, err, true); given && !r.mayStillAppear() {
		r.leave(ctx)
	}
	r.logResult()
	r.finishLog("the evidence could not be stored", err)
	r.result.Error, r.result.Status = evidence.NewError(described), evidence.StatusError
	r.result.Message = "the evidence could not be stored: " + described.Message()
	return fmt.Errorf("store evidence of %s: %w", r.runID(), err)
}

// mayStillAppear reports whether the result may still be stored by a request to the store that is no longer waited for,
// and has an effect. The next run of the group has to know of it, so the group stays occupied until its lease ends.
func (r *run) mayStillAppear() bool { return r.digest != "" && r.change != nil }

// logResult puts the result into the log, as it is stored nowhere.
func (r *found) logResult() {
	r.result.Outputs, r.result.Evidence = r.outcome.Outputs, r.stored.Listed()
	r.hides.Mask(&r.result)
	if doc, err := r.result.EncodeShort(); err == nil {
		r.log.Error("result that could not be stored", "result", json.RawMessage(doc))
	}
}

// followUpTime is the part of the time for evidence that is reserved for what follows the result.
const followUpTime = 2 * time.Second

// commit stores the evidence that is not stored yet, and then the result.
func (r *found) commit(ctx context.Context) error {
	end, _ := ctx.Deadline() // ForEvidence has set it
	ctx, cancel := context.WithDeadline(ctx, end.Add(-min(followUpTime, time.Until(end)/4)))
	defer cancel()
	if err := r.copies.Wait(); err != nil {
		return err
	}
	if err := r.stored.Rest(ctx); err != nil {
		return err
	}
	if r.away() != nil {
		r.result.NameStored(r.stored.Listed())
	}
	if err := r.collect(ctx); err != nil {
		return err
	}
	if r.result.RunID == "" {
		r.runID()
	}
	r.result.End = r.result.Start.Add(time.Since(r.begun))
	r.result.Outputs = r.outcome.Outputs
	r.hides.Mask(&r.result)
	err := r.putJUnit(ctx)
	if errors.Is(err, store.ErrExists) {
		r.log.Warn("there is a JUnit report of an earlier try, which stays") // by a try that stored no result
		err = r.stored.Adopt(ctx, evidence.Dir(r.runID())+junitReport)
	}
	if err != nil {
		return err
	}
	r.result.Evidence = r.stored.Listed()
	doc, err := r.result.EncodeShort()
	if err != nil {
		return err
	}
	r.digest = fmt.Sprintf("%x", sha256.Sum256(doc))
	err = r.create(ctx, "result.json", doc, "application/json")
	if errors.Is(err, store.ErrExists) {
		return errors.Join(verdict.ErrHasResult, err)
	}
	return err
}

// collect stores what the scripts left as a summary and as artifacts.
func (r *found) collect(ctx context.Context) error {
	if !r.outcome.Began {
		return nil
	}
	r.result.Summary = r.place.Summary()
	end, _ := ctx.Deadline() // ForEvidence has set it; the result itself needs time, too
	until := time.Now().Add(time.Until(end) * 2 / 3)
	keep := func(f io.ReadSeeker, a evidence.Artifact) (evidence.Artifact, error) {
		return r.stored.Artifact(ctx, r.result.RunID, f, a)
	}
	var err error
	r.result.Artifacts, err = r.place.Collect(ctx, r.job, until, keep)
	return err
}

const junitReport = "junit.xml"

// putJUnit stores the JUnit report.
func (r *report) putJUnit(ctx context.Context) error {
	doc, err := r.result.JUnit()
	if err != nil {
		return err
	}
	return r.create(ctx, junitReport, doc, "application/xml")
}

// create stores one document of the evidence, create-only.
func (r *report) create(ctx context.Context, name string, doc []byte, contentType string) error {
	return r.stored.Insist(ctx, r.document(name, contentType, bytes.NewReader(doc), int64(len(doc))))
}

// finishLog logs the run's last line, which alarms can count.
func (r *report) finishLog(message string, failure error) {
	if r.result.RunID == "" {
		r.runID()
	}
	res := &r.result
	fields := []any{
		"status", res.Status, "object", res.SourceObject, "version_id", res.Package.VersionID,
		"sha256", res.Package.SHA256, "dirhash", res.Package.DirHash, "start", res.Start, "end", res.End,
		"result", r.exec.Results.Name() + "/" + evidence.ResultObject(res.RunID),
	}
	if failure == nil || res.Status == evidence.StatusSkipped {
		r.log.Info(message, fields...)
		return
	}
	// Only the log has the causes; answers and evidence do not.
	r.log.Error(message,
		append(fields, "code", problem.CodeOf(failure), "error", r.hides.Masker.String(failure.Error()))...)
}

// cleanUp removes the run's directory. If that fails it logs why, and the next run tries again.
func (r *run) cleanUp() {
	r.endMailbox()
	r.stored.Close()
	if r.dir == nil {
		return
	}
	if err := r.dir.Remove(); err != nil {
		r.log.Error("cannot remove the run's directory", "error", err.Error())
	}
}

// followUp does what follows the result and concludes the claim. A sweep retries what fails.
func (r *run) followUp(ctx context.Context) {
	if r.claim == nil { // the request was refused as it stands; its sender may correct it and send it again
		r.exec.Follower.Tell(ctx, r.result)
		return
	}
	if r.away() != nil && !r.exec.Follower.AcceptNext(ctx, r.claim, r.result) {
		return
	}
	end := r.exec.Follower.Do(ctx, r.claim, r.result, r.digest, r.change, r.history)
	if followup.Recorded(end) {
		r.leave(ctx) // otherwise the next run of the group would not know of this one
	}
	r.exec.Follower.Conclude(ctx, r.claim, end)
}
