package executor

import (
	"context"
	"errors"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// serve answers a request, or hands it off if it needs more time than any invocation like this one has.
func (w *work) serve(ctx context.Context, request Request) ([]evidence.Result, error) {
	results, err := w.answer(ctx, request)
	if pending := w.needsMore; pending != "" {
		w.needsMore = ""
		return w.handOffOrRefuse(ctx, pending, request.CallID, results, err)
	}
	return results, err
}

// answer serves a request as far as there is time.
func (w *work) answer(ctx context.Context, request Request) ([]evidence.Result, error) {
	end, err := w.run(ctx, request)
	if end.Sets == nil {
		return []evidence.Result{end.Result}, err
	}
	if end.Sets.Acquired == nil {
		return w.answerSets(ctx, ofSet(request, end), end.Sets.Claim)
	}
	return w.runSets(ctx, ofSet(request, end), *end.Sets)
}

// drain makes the runs whose turn it is in the groups that were released, if enough time is left, and hands off what
// other invocations are to serve. A sweep retries what fails.
func (w *work) drain(ctx context.Context, callID string) {
	seen := map[string]string{}
	for len(w.released) > 0 {
		name := w.released[0]
		w.released = w.released[1:]
		first, err := w.Book.Turn(ctx, name)
		if err != nil {
			w.Log.Error("the queue of a concurrency group could not be looked at", "group", name, "error", err.Error())
			continue
		}
		if first == nil || seen[name] == first.Key {
			continue // no run waits, or its turn came and it did not begin
		}
		seen[name] = first.Key
		if w.mustHandOff(w.need(first.Need)) {
			w.handOffs = append(w.handOffs, first.Pending)
			continue
		}
		if !w.fits(min(w.need(first.Need), w.defaultNeed)) {
			w.Log.Info("left to the next sweep", "request", first.Pending, "group", name)
			continue
		}
		request, ok, err := w.reload(ctx, first.Pending, callID)
		if err == nil && ok {
			_, err = w.serve(ctx, request)
		}
		if err != nil {
			w.Log.Error("a run that waited could not be started", "request", first.Pending, "error", err.Error())
		}
		w.released = append(w.released, name)
	}
	for _, pending := range w.handOffs {
		_ = w.handOff(ctx, pending) // a sweep finds what fails
	}
	w.handOffs = nil
}

// handOffOrRefuse hands off a request for which an invocation like this one is too short. If there can be no other
// invocation, it ends the request with the reason.
func (w *work) handOffOrRefuse(
	ctx context.Context, pending, callID string, results []evidence.Result, err error,
) ([]evidence.Result, error) {
	refused := w.handOff(ctx, pending)
	if refused == nil || problem.CodeOf(refused) == "" || codes.Retryable(refused) || !w.fits(0) {
		return results, err
	}
	request, ok, loadErr := w.reload(ctx, pending, callID)
	if loadErr != nil || !ok {
		return results, errors.Join(err, loadErr)
	}
	request.Hopeless = refused
	return w.answer(ctx, request)
}
