package executor

import (
	"context"
	"errors"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/pipeline"
)

// runSets runs the sets of a package in the byte order of their names. After the first that does not succeed it records
// the others as skipped, unless the package wants them to run. If one set cannot be ended now, the request for all of
// them stays pending. Once a set has begun, the others run the same bytes.
func (w *work) runSets(ctx context.Context, request Request, all pipeline.Sets) ([]evidence.Result, error) {
	claimed := all.Acquired
	var results []evidence.Result
	var before pipeline.Ended
	var failed *evidence.Result // the first that did not succeed; nil: none, or the others run all the same
	longest, status := time.Duration(0), evidence.StatusSuccess
	for _, request.ParameterSet = range claimed.Sets {
		begun := time.Now()
		end, err := w.runSet(ctx, request, before, failed, longest)
		results = append(results, end.Result)
		if err != nil || isPassing(end.Result) {
			return results, errors.Join(err, claimed.Release(ctx, err != nil, evidence.LastError(err)))
		}
		if end.Result.Execution.Ran {
			request.Continued = false // a fresh invocation has more time than is left of this one
		}
		longest = max(longest, time.Since(begun))
		request.ETag, request.VersionID = end.Result.Package.ETag, end.Result.Package.VersionID
		request.Pinned = end.Request.Pinned
		if !succeeded(end.Result) && status == evidence.StatusSuccess {
			status = end.Result.Status
			if !all.KeepGoing {
				failed = &end.Result
			}
		}
		before = end
	}
	w.Follower.Conclude(ctx, claimed, claim.End{Outcome: claim.Outcome{Status: string(status)}})
	return results, nil
}

// ofSet makes a request that turned out to stand for all sets into one for a single set: of the same version and the
// same execution.
func ofSet(request Request, all pipeline.Ended) Request {
	found := all.Request
	request.ETag, request.VersionID = all.Result.Package.ETag, all.Result.Package.VersionID
	request.Action, request.Slot, request.Namespace = Action(all.Result.Action), found.Slot, found.Namespace
	request.Created, request.Pinned = all.Created, found.Pinned
	request.Parent = all.Sets.Claim.Pending()
	return request
}

// succeeded reports whether a set is as it should be.
func succeeded(result evidence.Result) bool {
	return result.Status == evidence.StatusSuccess || result.Status == evidence.StatusSkipped
}

// runSet runs one set, or records that it does not run because one before it has failed.
func (w *work) runSet(
	ctx context.Context, request Request, before pipeline.Ended, failed *evidence.Result, longest time.Duration,
) (pipeline.Ended, error) {
	sameMayFit := longest == 0 || w.fits(2*longest) // sets take about as long as each other
	switch {
	case failed != nil:
		return w.SkipSet(ctx, request, w.invocation(), before, *failed)
	case w.Invoke != nil && !request.Continued && !w.fits(0), // what came before it has taken the time
		!sameMayFit && (w.Invoke != nil || !w.fits(w.defaultNeed)):
		if w.Invoke != nil {
			w.handOffs = append(w.handOffs, request.Parent)
		}
		return pipeline.Ended{Result: w.Engine.Later(request, "the parameter set goes on in another invocation")}, nil
	}
	return w.run(ctx, request)
}

// answerSets answers a duplicate of a request for all sets with what is known of each set.
func (w *work) answerSets(ctx context.Context, request Request, all claim.Claim) ([]evidence.Result, error) {
	var results []evidence.Result
	for _, request.ParameterSet = range all.Sets {
		claimed, err := w.Book.Find(ctx, request.Key(w.Environment))
		switch {
		case err != nil:
			return append(results, w.Refused(request, err)), err
		case claimed == nil:
			results = append(results,
				w.Engine.Later(request, "the same request is being done; this parameter set has not begun"))
		default:
			results = append(results, w.Duplicate(request, claimed.Claim))
		}
	}
	return results, nil
}
