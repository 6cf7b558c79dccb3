package executor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/pipeline"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// Asked is the answer to a request to cancel a run.
type Asked struct {
	Status  string     `json:"status"` // asked
	Message string     `json:"message"`
	RunID   string     `json:"run_id"`
	Runs    []AskedRun `json:"runs"` // the run and, if the whole request is cancelled, those of other sets
}

// AskedRun is a run that was asked to end.
type AskedRun struct {
	RunID        string `json:"run_id"`
	ParameterSet string `json:"parameter_set,omitempty"`
	// Status is cancelled if the run had not begun: then it has its result. It is in_progress if the run ends soon.
	Status evidence.Status `json:"status"`
}

// Cancel cancels the run that the request names. One that has not begun ends at once, with a result that says so; one
// that runs is asked to end, and does so as after a timeout, unless it ends before it has read that. One that has
// ended, or is being undone, stays as it is, and the error says so.
func (e *Executor) Cancel(ctx context.Context, request Request) (Asked, error) {
	c := &cancelling{work: e.startWork(ctx), request: request, by: &evidence.Cancellation{
		Reason: request.Reason, Reference: request.Reference, RequestedBy: request.RequestedBy,
	}}
	held, err := c.named(ctx)
	if err != nil {
		return Asked{}, err
	}
	accepted, err := c.accepted(ctx, held)
	if err != nil {
		return Asked{}, err
	}
	if request.Cancel.WholeRequest && accepted.Parent != "" {
		if err := c.others(ctx, accepted); err != nil { // first, so that none begins when the run has ended
			return Asked{}, err
		}
	}
	run, err := c.one(ctx, held, accepted)
	if err != nil && (len(c.runs) == 0 || !goesOn(err)) {
		return Asked{}, err
	}
	message := c.says(run, err != nil)
	if err == nil {
		c.runs = append([]AskedRun{run}, c.runs...)
	}
	c.goOn(ctx, accepted)
	e.Log.Warn("cancel asked", "call_id", request.CallID, "run_id", run.RunID, "runs", len(c.runs), "says", message,
		"reason", request.Reason)
	return Asked{Status: "asked", Message: message, RunID: run.RunID, Runs: c.runs}, nil
}

// goesOn reports whether a run is not cancelled because it has ended or is being undone.
func goesOn(refused error) bool {
	code := problem.CodeOf(refused)
	return code == "request.ended" || code == "request.undoing"
}

// cancelling is a cancel under way.
type cancelling struct {
	*work
	request Request
	by      *evidence.Cancellation
	runs    []AskedRun
}

// named finds the claim of the run that is to be cancelled.
func (c *cancelling) named(ctx context.Context) (*claim.Held, error) {
	id := c.request.Cancel.RunID
	held, err := c.Book.OfRun(ctx, id)
	if err != nil || held != nil {
		return held, err
	}
	switch result, _, err := c.Follower.ReadResult(ctx, id); {
	case err == nil:
		return nil, hasEnded(id, string(result.Status))
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	return nil, problem.New(problem.Problem{
		Code: "request.unknown_run", Where: id, Message: "no such run is known here; nothing was cancelled",
		Hint: "take the run_id of an answer of this environment; what was not begun yet may have none",
	}, nil)
}

// accepted reads the request of a run.
func (c *cancelling) accepted(ctx context.Context, held *claim.Held) (request Request, err error) {
	pending, err := c.Book.Pending(ctx, held.Pending())
	switch {
	case err != nil:
		return request, err
	case pending == nil && held.State == claim.Done:
		return request, hasEnded(held.RunID, held.Status)
	case pending == nil:
		return request, unreadable(c.State, held, nil)
	}
	if err := json.Unmarshal(pending.Request, &request); err != nil {
		return request, unreadable(c.State, held, err)
	}
	request.CallID = c.request.CallID
	return request, nil
}

// one cancels a run.
func (c *cancelling) one(ctx context.Context, held *claim.Held, accepted Request) (AskedRun, error) {
	run := AskedRun{held.RunID, accepted.ParameterSet, evidence.StatusInProgress}
	for asked := false; ; {
		var changed bool
		var err error
		switch {
		case held.State == claim.Done && asked && held.Status == string(evidence.StatusCancelled):
			run.Status = evidence.StatusCancelled
			return run, nil
		case held.State == claim.Done:
			if asked {
				c.Book.Progress().Remove(ctx, run.RunID) // nobody reads it any more
			}
			return run, hasEnded(run.RunID, held.Status)
		case held.State == claim.Claimed && held.Expired(c.Now()):
			if changed, err = held.TakeOver(ctx, c.Time.LeaseEnd(c.killAt, 0, c.Limits.RunTime)); changed {
				return c.withdraw(ctx, accepted, pipeline.Withdrawn{Package: held.Package, Held: held, By: c.by})
			}
		case asked:
			return run, nil
		default:
			asked, err = c.tell(ctx, held, accepted)
		}
		if err == nil {
			held, err = c.after(ctx, held)
		}
		if err != nil {
			return run, err
		}
	}
}

// after reads the claim of a run again.
func (c *cancelling) after(ctx context.Context, held *claim.Held) (*claim.Held, error) {
	now, err := c.Book.Find(ctx, held.Key)
	switch {
	case err != nil:
		return nil, err
	case now == nil || now.RunID != held.RunID: // another attempt has begun
		return nil, hasEnded(held.RunID, string(evidence.StatusInterrupted))
	}
	return now, ctx.Err()
}

// tell writes into the document of a run that it is to end. It returns false if others have written it meanwhile.
func (c *cancelling) tell(ctx context.Context, held *claim.Held, accepted Request) (bool, error) {
	p, err := c.Book.Progress().Of(ctx, held.RunID)
	switch {
	case err != nil:
		return false, err
	case p == nil:
		p = c.Book.Progress().New(held.RunID)
	case p.Cancel:
		return true, nil
	}
	if p.Undoing || accepted.Action == ActionRollback {
		return false, problem.New(problem.Problem{
			Code: "request.undoing", Where: held.RunID,
			Message: "the run is undoing what was done, and that is not stopped half way; nothing was cancelled",
			Hint:    "wait for its result",
		}, nil)
	}
	p.Cancel, p.Reason, p.Reference = true, c.by.Reason, c.by.Reference
	if p.By, err = json.Marshal(c.by.RequestedBy); err != nil {
		return false, fmt.Errorf("encode who cancels: %w", err)
	}
	return p.Put(ctx)
}

// withdraw ends a run that has not begun. Others may wait for the group that it waited for.
func (c *cancelling) withdraw(ctx context.Context, accepted Request, w pipeline.Withdrawn) (AskedRun, error) {
	if w.Held != nil && w.Held.Group != "" {
		c.released = append(c.released, w.Held.Group)
	}
	end, err := c.Engine.Cancel(ctx, accepted, c.invocation(), w)
	run := AskedRun{end.Result.RunID, accepted.ParameterSet, end.Result.Status}
	if err == nil && run.Status != evidence.StatusCancelled {
		err = hasEnded(run.RunID, string(run.Status)) // it had stored a result, and died
	}
	return run, err
}

// others cancels the other sets of a request, the last one first, as far as they have not ended.
func (c *cancelling) others(ctx context.Context, accepted Request) error {
	all, err := c.Book.Find(ctx, claim.KeyOf(accepted.Parent))
	if err != nil || all == nil {
		return err
	}
	for _, set := range slices.Backward(all.Sets) {
		q := accepted
		q.ParameterSet, q.Created = set, all.Uploaded
		if set == accepted.ParameterSet {
			continue
		}
		run, err := c.other(ctx, q, all.Package)
		if goesOn(err) {
			continue
		}
		if err != nil {
			return err
		}
		c.runs = append([]AskedRun{run}, c.runs...)
	}
	return nil
}

// other cancels another set of the request, of which there may be no claim yet.
func (c *cancelling) other(ctx context.Context, q Request, name string) (AskedRun, error) {
	held, err := c.Book.Find(ctx, q.Key(c.Environment))
	if err == nil && held == nil {
		run, err := c.withdraw(ctx, q, pipeline.Withdrawn{Package: name, By: c.by})
		if run.Status != evidence.StatusInProgress {
			return run, err
		}
		held, err = c.Book.Find(ctx, q.Key(c.Environment)) // another invocation was first
		if err != nil || held == nil {
			return run, err
		}
	}
	if err != nil {
		return AskedRun{}, err
	}
	return c.one(ctx, held, q)
}

// goOn asks for other invocations to go on with what waited for a run that is cancelled. If there can be none, the next
// sweep does.
func (c *cancelling) goOn(ctx context.Context, accepted Request) {
	withdrawn := func(run AskedRun) bool { return run.Status == evidence.StatusCancelled }
	if c.Invoke == nil || !slices.ContainsFunc(c.runs, withdrawn) {
		return
	}
	c.handOffOnly = true
	if accepted.Parent != "" {
		c.handOffs = append(c.handOffs, accepted.Parent)
	}
	c.drain(ctx, c.request.CallID)
}

// says says what becomes of the run, and of the others that were cancelled before it.
func (c *cancelling) says(run AskedRun, goesOn bool) string {
	text := "the run had not begun, and does not"
	switch {
	case goesOn:
		return "the run itself has ended or is being undone, and stays as it is; cancelled: " +
			evidence.Counted(len(c.runs), "other parameter set") + " of the request"
	case run.Status == evidence.StatusInProgress:
		text = "the run was asked to end, which it does within seconds, unless it ends by itself before that"
	}
	if n := len(c.runs); n > 0 {
		text += "; so with " + evidence.Counted(n, "other parameter set") + " of the request"
	}
	return text
}

// hasEnded refuses to cancel a run.
func hasEnded(runID, status string) error {
	return problem.New(problem.Problem{
		Code: "request.ended", Where: runID,
		Message: "the run has ended: " + cmp.Or(status, "its status is in its result") + "; nothing was cancelled",
		Hint:    "see its result; to undo what it did, send rollback with rollback_of",
	}, nil)
}

// unreadable is the error for a run whose request is missing or cannot be read.
func unreadable(state store.Bucket, held *claim.Held, cause error) error {
	return problem.New(problem.Problem{
		Code: "state.corrupt", Where: state.Name() + "/open/" + held.Environment + "/" + held.Pending() + ".json",
		Message: "the accepted request of the run cannot be read; nothing was cancelled",
		Hint:    "find out who wrote it, or restore an earlier version of the object",
	}, cause)
}
