package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// keptLog is a log that is not in the results bucket yet.
type keptLog struct {
	object string
	file   io.ReadSeekCloser
	size   int64
}

// unclaimed refuses to run under a run id that has a result already.
func (r *run) unclaimed(ctx context.Context) error {
	object := evidence.ResultObject(r.runID())
	_, err := r.Results.Head(ctx, object)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return store.Error(store.ErrExists, "start run", r.Results.Name(), object, nil)
}

// keepLog stores a step's log at once, so that it survives the function. What fails
// is tried again at the end of the run: a store that hiccups must not stop a change
// half way.
func (r *run) keepLog(ctx context.Context, log *stepLog, record *evidence.Step) {
	size, err := log.file.Seek(0, io.SeekEnd)
	if err != nil {
		r.log.Error("cannot read the log", "step", record.Name, "error", err.Error())
	}
	record.Log = log.object
	kept := keptLog{log.object, log.file, size}
	if err := r.storeLog(context.WithoutCancel(ctx), kept); err != nil {
		r.log.Warn("log not stored yet", "step", record.Name, "error", err.Error())
		r.kept = append(r.kept, kept)
	}
}

func (r *run) storeLog(ctx context.Context, log keptLog) error {
	ctx, cancel := context.WithTimeout(ctx, r.Reserve)
	defer cancel()
	if _, err := log.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if err := r.put(ctx, log.object, log.file, log.size, "text/plain; charset=utf-8"); err != nil {
		return err
	}
	return log.file.Close()
}

// put creates one object of the run's evidence.
func (r *run) put(ctx context.Context, name string, body io.ReadSeeker, size int64, contentType string) error {
	_, err := r.Results.Put(ctx, evidence.Dir(r.runID())+name, body, size, store.PutOptions{IfNoneMatch: true, ContentType: contentType})
	return err
}

// record ends the run: it says how it ended, stores what is not stored yet, commits
// the result, and logs the last line. The error says why the invocation must fail.
func (r *run) record(ctx context.Context, failure error) (evidence.Result, error) {
	ctx, cancel := r.forEvidence(ctx)
	defer cancel()
	r.conclude(failure)
	if err := r.commit(ctx, failure); err != nil {
		described := problem.Of(err, problem.Problem{Code: "store.evidence", Message: "the evidence could not be stored"})
		r.finishLog("the evidence could not be stored", err)
		r.result.Error, r.result.Status = evidence.NewError(described), evidence.StatusError
		return r.result, fmt.Errorf("store evidence of %s: %w", r.runID(), err)
	}
	if r.result.Status == evidence.StatusSuccess {
		r.noteSuccess(ctx)
	}
	r.finishLog("run finished", failure)
	if !r.started && undone(failure) {
		return r.result, failure
	}
	return r.result, nil
}

// forEvidence is a context that outlives a cancelled one, but not the process.
func (r *run) forEvidence(ctx context.Context) (context.Context, context.CancelFunc) {
	end := time.Now().Add(max(r.Reserve, time.Second))
	if hard, ok := ctx.Deadline(); ok && hard.Before(end) {
		end = hard
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end)
}

// undone reports whether a failure before the first step is the store's, so that the
// same request may succeed later.
func undone(failure error) bool {
	return slices.ContainsFunc([]error{store.ErrUnavailable, store.ErrDenied, store.ErrNoBucket, store.ErrCorrupt},
		func(kind error) bool { return errors.Is(failure, kind) }) || problem.CodeOf(failure) == "config.credentials"
}

// commit stores everything that is not stored yet and then the result.
func (r *run) commit(ctx context.Context, failure error) error {
	if errors.Is(failure, store.ErrExists) && !r.started {
		return nil // the result under this id is another run's, and stays
	}
	for _, log := range r.kept {
		if err := r.storeLog(ctx, log); err != nil {
			return err
		}
	}
	if err := r.collect(ctx); err != nil {
		return err
	}
	r.runID()
	r.result.End = time.Now().UTC()
	doc, err := r.result.Encode()
	if err != nil {
		return err
	}
	err = r.put(ctx, "result.json", bytes.NewReader(doc), int64(len(doc)), "application/json")
	var again *repeated
	if errors.Is(err, store.ErrExists) && errors.As(failure, &again) {
		return nil // asked twice within a second: the result that is there says as much
	}
	return err
}

// conclude sets status, message and error.
func (r *run) conclude(failure error) {
	r.result.End = time.Now().UTC()
	if failure == nil {
		r.result.Status = evidence.StatusSuccess
		switch n := len(r.result.Steps); n {
		case 0:
			r.result.Message = r.result.Execution.Note
		case 1:
			r.result.Message = "1 step succeeded"
		default:
			r.result.Message = fmt.Sprintf("%d steps succeeded", n)
		}
		return
	}
	var again *repeated
	if errors.As(failure, &again) {
		r.result.Status, r.result.Message, r.result.PreviousRunID = evidence.StatusSkipped, again.Error(), again.runID
		return
	}
	described := problem.Of(failure, problem.Problem{Code: "sandbox.internal", Message: "the executor could not do its work", Hint: "see the function's log"})
	r.result.Error = evidence.NewError(described)
	r.result.Message = described.Message()
	r.result.Status = statusOf(described.Code())
	if undone := r.result.Rollback; undone != nil {
		r.result.Status = evidence.StatusFailed
		if undone.Error == nil {
			r.result.Status = evidence.StatusRolledBack
			r.result.Message += "; everything that had begun was undone"
		} else {
			r.result.Message += "; undo failed: " + undone.Error.Message
		}
	}
}

// statusOf is how a run ends that failed with a code.
func statusOf(code string) evidence.Status {
	switch code {
	case "step.failed", "step.modified", "step.start":
		return evidence.StatusFailed
	case "step.timeout":
		return evidence.StatusTimedOut
	case "step.interrupted":
		return evidence.StatusInterrupted
	case "step.deadline":
		return evidence.StatusRejected
	}
	switch problem.Family(code) {
	case "archive", "manifest", "policy", "signature", "trigger":
		return evidence.StatusRejected
	}
	return evidence.StatusError
}

// finishLog is the run's last line, made for alarms to count.
func (r *run) finishLog(message string, failure error) {
	r.runID()
	res := &r.result
	fields := []any{
		"status", res.Status, "object", res.SourceObject, "version_id", res.Package.VersionID,
		"sha256", res.Package.SHA256, "dirhash", res.Package.DirHash, "start", res.Start, "end", res.End,
		"result", r.Results.Name() + "/" + evidence.ResultObject(res.RunID),
	}
	var again *repeated
	if failure == nil || errors.As(failure, &again) {
		r.log.Info(message, fields...)
		return
	}
	// The log has the causes too, which answers and evidence do not.
	r.log.Error(message, append(fields, "code", problem.CodeOf(failure), "error", failure.Error())...)
}
