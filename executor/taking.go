package executor

import (
	"context"
	"errors"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/pipeline"
)

// A package on which the executor dies before a step would be tried first by every sweep, and what comes after it
// never. So before an invocation goes on with a request that nobody has claimed, or whose holder died, it notes
// that it does (claim.Taking). A note that is still there when its writer must have ended tells of a death:
// the request is taken last and alone from then on, and set aside with a result after Limits.Deaths of them.

// taking is the note for a request; nil where the claim of another request counts what becomes of it: a
// set's pending request stands for the request for all sets.
func (e *Executor) taking(key, pending string, request Request) (*claim.Taking, error) {
	if request.ForSet {
		return nil, nil //nolint:nilnil // there is none
	}
	t := &claim.Taking{Environment: e.Environment, Key: key, Pending: pending}
	if pending != "" {
		return t, nil
	}
	var err error
	t.Request, err = request.Encode()
	return t, err
}

// take goes on with a request after that was noted, unless somebody else does. It is no death where that
// ends, however; in a panic the note stays.
func (w *work) take(ctx context.Context, t *claim.Taking, goOn func() error) error {
	if t == nil {
		return goOn()
	}
	until := w.LeaseEnd(w.killAt, 0, w.Limits.RunTime)
	if ok, err := t.Begin(ctx, w.State, until); err != nil || !ok {
		return err
	}
	err := goOn()
	if endErr := t.End(ctx, err == nil); endErr != nil {
		w.Log.Warn("a note of what was taken could not be removed", "key", t.Key, "error", endErr.Error())
	}
	return err
}

// setAside ends a request that the executor dies on, without looking at its package.
func (w *work) setAside(ctx context.Context, request Request, deaths int) (evidence.Result, error) {
	end, err := w.SetAside(ctx, request, w.invocation(), deaths)
	if sets := end.Sets; sets != nil && sets.Held != nil { // else somebody has claimed it meanwhile
		return w.setAsideSets(ctx, request, sets.Held, deaths)
	}
	return end.Result, err
}

// setAsideSets ends a request for several sets: those that have not ended are set aside.
func (w *work) setAsideSets(
	ctx context.Context, request Request, held *claim.Held, deaths int,
) (last evidence.Result, err error) {
	request.Parent = held.Pending()
	for _, request.ParameterSet = range held.Sets {
		if last, err = w.setAside(ctx, request, deaths); err != nil || isPassing(last) {
			return last, errors.Join(err, held.Release(ctx, false, pipeline.LastError(err)))
		}
	}
	w.Follower.Conclude(ctx, held, claim.End{Outcome: claim.Outcome{Status: string(last.Status)}})
	return last, nil
}

// goOnAlone goes on with a request that was handed to this invocation, and notes that first where nobody has
// claimed it.
func (w *work) goOnAlone(ctx context.Context, pending string, request Request) (results []evidence.Result, err error) {
	fail := func(err error) ([]evidence.Result, error) { return []evidence.Result{w.Refused(request, err)}, err }
	t, err := w.takingOf(ctx, pending, request)
	if err != nil {
		return fail(err)
	}
	results = []evidence.Result{w.Engine.Later(request, "another invocation goes on with the request")}
	if t != nil && t.Busy(w.Now()) {
		return results, nil
	}
	err = w.take(ctx, t, func() (err error) {
		if t != nil && t.Tries > w.Limits.Deaths { // without this one
			results[0], err = w.setAside(ctx, request, t.Tries-1)
			return err
		}
		results, err = w.serve(ctx, request)
		return err
	})
	if err != nil && len(results) == 0 {
		return fail(err)
	}
	return results, err
}

// takingOf is the note for a request that was handed over: the one that is there, or a new one; nil where it
// is claimed and not died upon.
func (w *work) takingOf(ctx context.Context, pending string, request Request) (*claim.Taking, error) {
	key := claim.KeyOf(pending)
	held, err := w.Book.Find(ctx, key)
	if err != nil || held != nil && !held.Died(w.Now()) {
		return nil, err
	}
	t, err := w.Book.Taking(ctx, key)
	if err != nil || t != nil {
		return t, err
	}
	t, err = w.taking(key, pending, request)
	if t != nil && held != nil {
		t.Tries = 1
	}
	return t, err
}

// removeUnread removes the pending request of an upload or event once it has been looked at: by then there is another
// pending request, which has the attempt in its name, or the request is done.
func (e *Executor) removeUnread(ctx context.Context, pending string, err error) error {
	if err != nil || pending == "" || claim.AttemptOf(pending) != 0 {
		return nil
	}
	return e.Book.Delete(ctx, pending)
}
