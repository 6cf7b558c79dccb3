package executor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/results"
	"cemli-executor/internal/store"
)

// settle ends what a run that died had begun: it gets a result that says so, unless it has one
// already, and then what follows a result is done.
func (e *Executor) settle(ctx context.Context, held *claim.Held) error {
	result, digest, err := e.lastWord(ctx, held)
	if err != nil {
		return err
	}
	change := noted(held.Change(), result, digest)
	e.Log.Warn("a run was found that its executor did not end", "found", held.RunID, "status", result.Status)
	if e.mayRepeat(held, string(result.Status)) {
		if err := held.AcceptNext(ctx); err != nil {
			return err
		}
	}
	pending := e.follow(ctx, held, result, change, nil, followers)
	ok, err := held.Conclude(ctx, claim.End{Status: string(result.Status), Result: digest, Applies: change, FollowUps: pending})
	return errors.Join(err, lost(ok || err != nil, held))
}

// lastWord stores the result of a run that died, or reads the one that it has stored itself, and
// returns it with its SHA-256.
func (e *Executor) lastWord(ctx context.Context, held *claim.Held) (evidence.Result, string, error) {
	result, err := e.fromFrame(ctx, held)
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
		return result, sum(doc), nil
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

// fromFrame is the result that a run left for the case of its death.
func (e *Executor) fromFrame(ctx context.Context, held *claim.Held) (evidence.Result, error) {
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
	mark, err := e.book.Pending(ctx, held.Pending())
	if err != nil {
		return result, err
	}
	if mark != nil && result.Trigger.Raw == nil { // an earlier version's frame has none
		var request Request
		if json.Unmarshal(mark.Request, &request) == nil && request.Parameters == nil {
			result.Trigger.Raw = request.Trigger.Raw // with parameters it may quote what is hidden
		}
	}
	return result, nil
}

// listLeft lists the objects that a run has stored before it died and not said so any more.
func (e *Executor) listLeft(ctx context.Context, result *evidence.Result) error {
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

// readResult reads the result of an earlier run, and its SHA-256.
func (e *Executor) readResult(ctx context.Context, id string) (result evidence.Result, digest string, err error) {
	object := evidence.ResultObject(id)
	body, _, err := e.Results.Get(ctx, object, store.GetOptions{})
	if err != nil {
		return evidence.Result{}, "", err
	}
	defer body.Close()
	doc, err := io.ReadAll(io.LimitReader(body, maxResult))
	if err != nil {
		return evidence.Result{}, "", store.Error(store.ErrUnavailable, "read", e.Results.Name(), object, err)
	}
	result, err = evidence.Decode(doc)
	if err == nil && result.RunID != id {
		err = fmt.Errorf("it is of the run %s", result.RunID)
	}
	if err != nil {
		return evidence.Result{}, "", problem.New(problem.Problem{
			Code: "state.result", Where: e.Results.Name() + "/" + object, Message: "the result cannot be read", Hint: "see who wrote it; the executor never overwrites a result",
		}, err)
	}
	return result, sum(doc), nil
}

// sum is the SHA-256 of a document, in hexadecimal.
func sum(doc []byte) string {
	digest := sha256.Sum256(doc)
	return hex.EncodeToString(digest[:])
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
func (e *Executor) follow(ctx context.Context, held *claim.Held, result evidence.Result, change *claim.Entry, record *claim.Package, todo []string) (pending []string) {
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
			pending = append(pending, what)
		}
	}
	return pending
}

// finishPending does what follows a result that is stored and could not be done then.
func (e *Executor) finishPending(ctx context.Context, held *claim.Held) error {
	result, digest, err := e.readResult(ctx, held.RunID)
	if err != nil {
		return err
	}
	if known := resultOf(held); known != "" && known != digest {
		return e.altered("state.result", held.RunID)
	}
	change := noted(held.Change(), result, digest)
	pending := e.follow(ctx, held, result, change, nil, slices.Clone(held.FollowUps))
	e.concludeClaim(ctx, held, claim.End{Status: held.Status, Result: digest, Applies: change, FollowUps: pending})
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
func (e *Executor) altered(code, runID string) error {
	return problem.New(problem.Problem{
		Code: code, Where: e.Results.Name() + "/" + evidence.ResultObject(runID), Message: "the result is not the one that the executor has stored",
		Hint: "find out who changed the results bucket, and go on by hand",
	}, nil)
}

// vouched refuses a result of an earlier run that is not the one that its claim knows; one that no claim
// or only that of an earlier version knows passes.
func (e *Executor) vouched(ctx context.Context, runID, digest string) error {
	held, err := e.book.OfRun(ctx, runID)
	if err != nil || held == nil {
		return err
	}
	if known := resultOf(held); known != "" && known != digest {
		return e.altered("request.altered", runID)
	}
	return nil
}
