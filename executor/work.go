package executor

import (
	"context"
	"encoding/json"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/pipeline"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/steps"
)

// work is what one invocation does: it serves its request, and then the runs whose turn that makes possible.
type work struct {
	*Executor
	killAt      time.Time     // when the process may be killed; zero: not said
	defaultNeed time.Duration // the time for a run that does not say what it needs
	released    []string      // concurrency groups in which runs may wait for their turn
	handOffs    []string      // pending requests that other invocations are to serve
	handedOff   int           // how many hand-offs were made or tried
	needsMore   string        // the pending request that had the time of a whole invocation, and needs more
	handOffOnly bool          // this invocation makes no runs, and hands everything off
}

func (e *Executor) startWork(ctx context.Context) *work {
	w := &work{Executor: e}
	if hard, ok := ctx.Deadline(); ok {
		w.killAt = hard
		w.defaultNeed = max(time.Until(hard)-e.Reserve-steps.Grace, 0) * 3 / 4
	}
	return w
}

// fits reports whether this invocation has enough time left for a run that needs so much, and may begin one.
func (w *work) fits(need time.Duration) bool {
	if w.Doubtful() != nil {
		return false
	}
	return w.killAt.IsZero() || time.Until(w.killAt)-w.Reserve-steps.Grace >= max(need, time.Second)
}

// mustHandOff reports whether another invocation has to make a run that needs so much time.
func (w *work) mustHandOff(need time.Duration) bool {
	return w.Invoke != nil && (w.handOffOnly || !w.fits(need))
}

// run makes one run.
func (w *work) run(ctx context.Context, request Request) (pipeline.Ended, error) {
	of := w.invocation()
	end, err := w.Engine.Run(ctx, request, of)
	w.released = append(w.released, end.Left...)
	switch {
	case end.HandOff == "":
	case of.FullTime:
		w.needsMore = end.HandOff
	default:
		w.handOffs = append(w.handOffs, end.HandOff)
	}
	return end, err
}

// invocation returns what a run has to know of this invocation.
func (w *work) invocation() pipeline.Invocation {
	return pipeline.Invocation{KillAt: w.killAt, FullTime: w.fits(w.defaultNeed)}
}

// HasTime reports whether an invocation has time to begin a run whose need is not known, and may begin one.
func (e *Executor) HasTime(ctx context.Context) bool {
	if e.Doubtful() != nil {
		return false
	}
	hard, ok := ctx.Deadline()
	return !ok || time.Until(hard)-e.Reserve-steps.Grace >= min(minItemTime, e.Reserve)
}

// minItemTime is the time that must be left to begin an item of a batch.
const minItemTime = 30 * time.Second

// need returns the time to give a run; one that does not say gets the default.
func (w *work) need(milliseconds int64) time.Duration {
	if milliseconds > 0 {
		return time.Duration(milliseconds)*time.Millisecond + steps.Grace
	}
	return w.defaultNeed
}

// handOff asks for another invocation, which has more time than is left of this one, to serve an accepted request that
// no invocation holds. A hand-off that fails counts as a failed try of the request.
func (w *work) handOff(ctx context.Context, pending string) error {
	w.handedOff++
	refused := w.Invoke(ctx, pending)
	if refused == nil {
		w.Log.Info("handed to another invocation", "request", pending)
		return nil
	}
	w.Log.Error("a request could not be handed to another invocation", "request", pending,
		"code", problem.CodeOf(refused), "error", refused.Error())
	if err := w.Book.CountFailure(ctx, claim.KeyOf(pending), evidence.LastError(refused)); err != nil {
		w.Log.Error("the failure could not be counted", "request", pending, "error", err.Error())
	}
	return refused
}

// reload reads a request that was accepted before; ok is false if it is done.
func (e *Executor) reload(ctx context.Context, pending, callID string) (request Request, ok bool, err error) {
	m, err := e.Book.Pending(ctx, pending)
	if err != nil || m == nil {
		return Request{}, false, err
	}
	if err := json.Unmarshal(m.Request, &request); err != nil {
		return Request{}, false, problem.New(problem.Problem{
			Code: "state.corrupt", Where: e.State.Name() + "/open/" + e.Environment + "/" + pending + ".json",
			Message: "the accepted request cannot be read; nothing was run",
			Hint:    "find out who wrote it, or restore an earlier version of the object",
		}, err)
	}
	if request.Parent != "" {
		// If the request for all sets is done, each set has a result, which is found before any step.
		if all, ok, err := e.reload(ctx, request.Parent, callID); ok || err != nil {
			all.ForSet = true
			return all, ok, err
		}
	}
	request.CallID = callID
	return request, true, nil
}

// Later accepts a request that this invocation has no time for. The next sweep serves it.
func (e *Executor) Later(ctx context.Context, request Request) (evidence.Result, error) {
	const why = "the request is accepted, and left to the next sweep: this invocation has no time for it"
	if request.Continue != "" {
		return e.Engine.Later(request, why), nil // it is accepted already
	}
	namespace, err := e.Namespace(ctx)
	if err == nil {
		request.Namespace = namespace
		request.Slot = request.Occurrence(e.Now())
		_, err = e.Accept(ctx, unreadPending(request, e.Environment), request)
	}
	if err != nil {
		return e.Refused(request, err), err
	}
	return e.Engine.Later(request, why), nil
}

// isPassing reports whether an answer does not end its request.
func isPassing(result evidence.Result) bool { return result.Status == evidence.StatusInProgress }

// unreadPending names the pending request of an event whose object has not been read.
func unreadPending(q Request, environment string) string {
	return claim.PendingName(q.Key(environment), 0)
}
