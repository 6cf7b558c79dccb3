package followup

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// maxResult bounds the size of a result that is read back.
const maxResult = 16 << 20

// ReadResult reads the result of an earlier run, and returns it with its SHA-256.
func (f Follower) ReadResult(ctx context.Context, id string) (result evidence.Result, digest string, err error) {
	object := evidence.ResultObject(id)
	body, _, err := f.Results.Get(ctx, object, store.GetOptions{})
	if err != nil {
		return evidence.Result{}, "", err
	}
	defer body.Close()
	doc, err := io.ReadAll(io.LimitReader(body, maxResult))
	if err != nil {
		return evidence.Result{}, "", store.Error(store.ErrUnavailable, "read", f.Results.Name(), object, err)
	}
	result, err = evidence.Decode(doc)
	if err == nil && result.RunID != id {
		err = fmt.Errorf("it is of the run %s", result.RunID)
	}
	if err != nil {
		return evidence.Result{}, "", problem.New(problem.Problem{
			Code: "state.result", Where: f.Results.Name() + "/" + object, Message: "the result cannot be read",
			Hint: "see who wrote it; the executor never overwrites a result",
		}, err)
	}
	return result, fmt.Sprintf("%x", sha256.Sum256(doc)), nil
}

// resultOf returns the SHA-256 of the result that a claim names; "" if it names none, as those of earlier versions.
func resultOf(claimed *claim.Held) string {
	if change := claimed.Change(); claimed.Result == "" && change != nil {
		return change.Result
	}
	return claimed.Result
}

// Altered returns the error for a result that is not the one that the executor stored.
func (f Follower) Altered(code, runID string) error {
	return problem.New(problem.Problem{
		Code: code, Where: f.Results.Name() + "/" + evidence.ResultObject(runID),
		Message: "the result is not the one that the executor has stored",
		Hint:    "find out who changed the results bucket, and go on by hand",
	}, nil)
}

// Vouched refuses a result of an earlier run if its digest is not the one in the run's claim. A result passes if no
// claim has its digest, or only one that an earlier version wrote.
func (f Follower) Vouched(ctx context.Context, runID, digest string) error {
	claimed, err := f.Book.OfRun(ctx, runID)
	if err != nil || claimed == nil {
		return err
	}
	if known := resultOf(claimed); known != "" && known != digest {
		return f.Altered("request.altered", runID)
	}
	return nil
}
