package executor

import (
	"context"
	"errors"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
)

// A package on which the executor dies before a step would be tried first by every sweep, and the requests after it
// never. So before an invocation serves a request that has no claim, or whose holder died, it stores an intent
// (claim.Intent). An intent that is still there when its writer must have ended tells of a death: from then on the
// request is served last and alone, and it is set aside with a result after Limits.Deaths deaths.

// newIntent makes the intent for a request; nil for one set of a request, as the request for all sets has the intent.
func (e *Executor) newIntent(key, pending string, request Request) (*claim.Intent, error) {
	if request.ForSet {
		return nil, nil //nolint:nilnil // there is none
	}
	t := &claim.Intent{Environment: e.Environment, Key: key, Pending: pending}
	if pending != "" {
		return t, nil
	}
	var err error
	t.Request, err = request.Encode()
	return t, err
}

// withIntent stores the intent and calls do, unless another invocation has stored it first. However do ends, that is no
// death; in a panic the intent stays.
func (w *work) withIntent(ctx context.Context, t *claim.Intent, do func() error) error {
	if t == nil {
		return do()
	}
	until := w.Time.LeaseEnd(w.killAt, 0, w.Limits.RunTime)
	if ok, err := t.Begin(ctx, w.State, until); err != nil || !ok {
		return err
	}
	err := do()
	if endErr := t.End(ctx, err == nil); endErr != nil {
		w.Log.Warn("the intent could not be removed", "key", t.Key, "error", endErr.Error())
	}
	return err
}

// setAside ends a request on which the executor dies, without reading its package.
func (w *work) setAside(ctx context.Context, request Request, deaths int) (evidence.Result, error) {
	end, err := w.SetAside(ctx, request, w.invocation(), deaths)
	if sets := end.Sets; sets != nil && sets.Acquired != nil { // otherwise another run has claimed it meanwhile
		return w.setAsideSets(ctx, request, sets.Acquired, deaths)
	}
	return end.Result, err
}

// setAsideSets ends a request for several sets: it sets aside those that are not done.
func (w *work) setAsideSets(
	ctx context.Context, request Request, claimed *claim.Held, deaths int,
) (last evidence.Result, err error) {
	request.Parent = claimed.Pending()
	for _, request.ParameterSet = range claimed.Sets {
		if last, err = w.setAside(ctx, request, deaths); err != nil || isPassing(last) {
			return last, errors.Join(err, claimed.Release(ctx, false, evidence.LastError(err)))
		}
	}
	w.Follower.Conclude(ctx, claimed, claim.End{Outcome: claim.Outcome{Status: string(last.Status)}})
	return last, nil
}

// serveWithIntent serves a request that was handed off to this invocation, with an intent if the request has no claim.
func (w *work) serveWithIntent(
	ctx context.Context, pending string, request Request,
) (results []evidence.Result, err error) {
	refused := func(err error) ([]evidence.Result, error) { return []evidence.Result{w.Refused(request, err)}, err }
	t, err := w.intentOf(ctx, pending, request)
	if err != nil {
		return refused(err)
	}
	results = []evidence.Result{w.Engine.Later(request, "another invocation goes on with the request")}
	if t != nil && t.Busy(w.Now()) {
		return results, nil
	}
	err = w.withIntent(ctx, t, func() (err error) {
		if t != nil && t.Tries > w.Limits.Deaths { // this try included
			results[0], err = w.setAside(ctx, request, t.Tries-1)
			return err
		}
		results, err = w.serve(ctx, request)
		return err
	})
	if err != nil && len(results) == 0 {
		return refused(err)
	}
	return results, err
}

// intentOf returns the intent of a request that was handed off: the stored one, or a new one; nil if the request has a
// claim whose holder did not die.
func (w *work) intentOf(ctx context.Context, pending string, request Request) (*claim.Intent, error) {
	key := claim.KeyOf(pending)
	claimed, err := w.Book.Find(ctx, key)
	if err != nil || claimed != nil && !claimed.DiedBeforeStart(w.Now()) {
		return nil, err
	}
	t, err := w.Book.Intent(ctx, key)
	if err != nil || t != nil {
		return t, err
	}
	t, err = w.newIntent(key, pending, request)
	if t != nil && claimed != nil {
		t.Tries = 1
	}
	return t, err
}

// removeUnread removes the pending request of an upload or event once its object has been read: by then there is
// another pending request, which has the attempt in its name, or the request is done.
func (e *Executor) removeUnread(ctx context.Context, pending string, err error) error {
	if err != nil || pending == "" || claim.AttemptOf(pending) != 0 {
		return nil
	}
	return e.Book.Delete(ctx, pending)
}
