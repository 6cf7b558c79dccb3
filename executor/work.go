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

// work is what one invocation does: the request it was sent, and then what that made possible.
type work struct {
	*Executor
	killAt    time.Time     // when the process may be killed; zero: not said
	least     time.Duration // what a run is given at least that does not say what it needs
	released  []string      // concurrency groups whose queues are to be looked at
	handOffs  []string      // pending requests that other invocations are to go on with
	handed    int           // requests that they were asked for
	needsMore string        // the pending request that had the time of a whole invocation, and needs more
	// spare says that this invocation runs nothing any more, and hands everything to others.
	spare bool
}

func (e *Executor) begins(ctx context.Context) *work {
	w := &work{Executor: e}
	if hard, ok := ctx.Deadline(); ok {
		w.killAt = hard
		w.least = max(time.Until(hard)-e.Reserve-steps.Grace, 0) * 3 / 4
	}
	return w
}

// fits reports whether a run that needs so much time can still be made by this invocation, and by this program.
func (w *work) fits(need time.Duration) bool {
	if w.Doubtful() != nil {
		return false
	}
	return w.killAt.IsZero() || time.Until(w.killAt)-w.Reserve-steps.Grace >= max(need, time.Second)
}

// mustHandOff reports whether a run that needs so much time is to be made by another invocation.
func (w *work) mustHandOff(need time.Duration) bool {
	return w.Invoke != nil && (w.spare || !w.fits(need))
}

// run makes one run.
func (w *work) run(ctx context.Context, request Request) (pipeline.Ended, error) {
	of := w.invocation()
	end, err := w.Engine.Run(ctx, request, of)
	w.released = append(w.released, end.Left...)
	switch {
	case end.HandOff == "":
	case of.Whole:
		w.needsMore = end.HandOff
	default:
		w.handOffs = append(w.handOffs, end.HandOff)
	}
	return end, err
}

// invocation is what a run has to know of this invocation.
func (w *work) invocation() pipeline.Invocation {
	return pipeline.Invocation{KillAt: w.killAt, Whole: w.fits(w.least)}
}

// HasTime reports whether a run may begin in an invocation, and there is time for it as far as can be said of one
// that is not known.
func (e *Executor) HasTime(ctx context.Context) bool {
	if e.Doubtful() != nil {
		return false
	}
	hard, ok := ctx.Deadline()
	return !ok || time.Until(hard)-e.Reserve-steps.Grace >= min(leastTime, e.Reserve)
}

// leastTime is what an item of a batch is begun with at least.
const leastTime = 30 * time.Second

// need is the time that a run has to be given; one that does not say may take as long as it can have.
func (w *work) need(milliseconds int64) time.Duration {
	if milliseconds > 0 {
		return time.Duration(milliseconds)*time.Millisecond + steps.Grace
	}
	return w.least
}

// hand gives an accepted request, which nobody holds, to another invocation, which has more time than
// is left of this one. One that cannot be handed over has failed once more.
func (w *work) hand(ctx context.Context, pending string) error {
	w.handed++
	refused := w.Invoke(ctx, pending)
	if refused == nil {
		w.Log.Info("handed to another invocation", "request", pending)
		return nil
	}
	w.Log.Error("a request could not be handed to another invocation", "request", pending, "code", problem.CodeOf(refused), "error", refused.Error())
	if err := w.Book.CountFailure(ctx, claim.KeyOf(pending), pipeline.LastError(refused)); err != nil {
		w.Log.Error("the failure could not be counted", "request", pending, "error", err.Error())
	}
	return refused
}

// reload reads a request that was accepted before; ok is false if nothing is left of it to be done.
func (e *Executor) reload(ctx context.Context, pending, callID string) (request Request, ok bool, err error) {
	m, err := e.Book.Pending(ctx, pending)
	if err != nil || m == nil {
		return Request{}, false, err
	}
	if err := json.Unmarshal(m.Request, &request); err != nil {
		return Request{}, false, problem.New(problem.Problem{
			Code: "state.corrupt", Where: e.State.Name() + "/open/" + e.Environment + "/" + pending + ".json", Message: "the accepted request cannot be read; nothing was run",
			Hint: "find out who wrote it, or restore an earlier version of the object",
		}, err)
	}
	if request.Parent != "" {
		// Without the request for all sets each of them has a result, which is found before any step.
		if all, ok, err := e.reload(ctx, request.Parent, callID); ok || err != nil {
			all.ForSet = true
			return all, ok, err
		}
	}
	request.CallID = callID
	return request, true, nil
}

// Later accepts a request that this invocation has no time for. The sweep goes on with it.
func (e *Executor) Later(ctx context.Context, request Request) (evidence.Result, error) {
	const why = "the request is accepted, and left to the next sweep: this invocation has no time for it"
	if request.Continue != "" {
		return e.Engine.Later(request, why), nil // it is accepted already
	}
	namespace, err := e.Namespace(ctx)
	if err == nil {
		request.Namespace = namespace
		request.Slot = request.Occurrence(e.Now())
		_, err = e.Accept(ctx, beforehand(request, e.Environment), request)
	}
	if err != nil {
		return e.Refused(request, err), err
	}
	return e.Engine.Later(request, why), nil
}

// isPassing reports whether an answer is not the end of a request.
func isPassing(result evidence.Result) bool { return result.Status == evidence.StatusInProgress }

// beforehand names the pending request of an event of which nothing has been looked at.
func beforehand(q Request, environment string) string {
	return claim.PendingName(q.Key(environment), 0)
}
