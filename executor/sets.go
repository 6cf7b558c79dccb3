package executor

import (
	"context"
	"errors"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
)

// runSets runs the sets in the byte order of their names. After the first that does not succeed
// the others are recorded as skipped, unless the package wants to go on. Where one cannot be ended now,
// the request stays open. Once a set has begun, the others are of the same bytes.
func (w *work) runSets(ctx context.Context, request Request, all verdict) ([]evidence.Result, error) {
	var results []evidence.Result
	var stopped *verdict
	held := all.sets
	request.Parent = held.Pending()
	longest := time.Duration(0)
	status := evidence.StatusSuccess
	for i, name := range held.Sets {
		request.ParameterSet = name
		begun := time.Now()
		result, err := w.runSet(ctx, request, results, stopped, longest, i)
		results = append(results, result)
		if err != nil || isPassing(result) {
			return results, errors.Join(err, held.Release(ctx, err != nil, lastError(err)))
		}
		if result.Execution.Ran {
			request.Continued = false // a fresh invocation has more time than is left of this one
		}
		longest = max(longest, time.Since(begun))
		request.ETag, request.VersionID, request.Pinned = result.Package.ETag, result.Package.VersionID, w.pinned
		if status == evidence.StatusSuccess && !succeeded(result) {
			status = result.Status
		}
		if stopped == nil && !all.goesOn && !succeeded(result) {
			stopped = afterFailedSet(name, result)
		}
	}
	w.follower.Conclude(ctx, held, claim.End{Outcome: claim.Outcome{Status: string(status)}})
	return results, nil
}

// succeeded reports whether a set is as it is to be.
func succeeded(result evidence.Result) bool {
	return result.Status == evidence.StatusSuccess || result.Status == evidence.StatusSkipped
}

// runSet runs one set, or records that it is not run.
func (w *work) runSet(ctx context.Context, request Request, before []evidence.Result, stopped *verdict, longest time.Duration, number int) (evidence.Result, error) {
	switch {
	case stopped != nil:
		return w.recordSkipped(ctx, request, before[number-1], stopped)
	case w.Invoke != nil && !request.Continued && !w.fits(0), // what came before it has taken the time
		longest > 0 && !w.fits(2*longest) && (w.Invoke != nil || !w.fits(w.least)): // sets take about as long as each other
		if w.Invoke != nil {
			w.handOffs = append(w.handOffs, request.Parent)
		}
		return w.begin(request).goesOnLater("the parameter set goes on in another invocation"), nil
	}
	r, err := w.run(ctx, request)
	return r.result, err
}

// recordSkipped leaves the evidence of a set that is not run. What the package is, is known from
// the set before it.
func (w *work) recordSkipped(ctx context.Context, request Request, before evidence.Result, why *verdict) (evidence.Result, error) {
	r := w.begin(request)
	r.killAt = w.killAt
	r.name = before.Package.Name
	r.result.Package, r.result.Manifest, r.result.Policy = before.Package, before.Manifest, before.Policy
	r.hides = w.hides.For(r.request.Parameters)
	r.result.Parameters = r.hides.Asked(r.request.Parameters)
	r.result.Trigger, r.result.Reason, r.result.Reference = before.Trigger, before.Reason, before.Reference
	namespace, err := r.exec.Namespace(ctx)
	if err != nil {
		return r.result, err
	}
	r.request.Namespace = namespace
	err = r.end(ctx, why)
	return r.result, err
}

// answerSets is the answer to a duplicate of a request for all sets: what is known of each.
func (w *work) answerSets(ctx context.Context, request Request, all claim.Claim) ([]evidence.Result, error) {
	var results []evidence.Result
	for _, name := range all.Sets {
		request.ParameterSet, request.Parent = name, all.Pending()
		r := w.begin(request)
		held, err := w.book.Find(ctx, r.key())
		switch {
		case err != nil:
			return append(results, w.failed(request, err)), err
		case held == nil:
			results = append(results, r.goesOnLater("the same request is being done; this parameter set has not begun"))
		default:
			results = append(results, r.isDuplicate(held.Claim))
		}
	}
	return results, nil
}
