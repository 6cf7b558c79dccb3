package executor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// readIntents reads the intents of other invocations. Those whose request has been claimed since are removed, unless
// the claim's holder died.
func (s *sweeping) readIntents(ctx context.Context) {
	intents, err := s.Book.Deaths(ctx)
	s.note(err)
	if s.intents = intents; intents == nil {
		s.intents = map[string]*claim.Intent{}
	}
}

// serveSuspects is the last thing that a sweep does: of the requests on which the executor has died, it sets aside
// those with too many deaths, hands others off to invocations of their own, and serves one itself.
func (s *sweeping) serveSuspects(ctx context.Context) {
	var here *claim.Intent
	list := slices.SortedFunc(maps.Values(s.intents), func(a, b *claim.Intent) int {
		return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.Key, b.Key)) // so that each has its turn
	})
	for _, t := range list {
		switch {
		case t.Busy(s.Now()):
		case !s.fits(0) || len(s.handOffs)+s.handedOff >= sweepHandOffs:
			s.cut, s.swept.More = true, true
			return
		case t.Tries >= s.Limits.Deaths:
			s.note(s.serveSuspect(ctx, t, !s.handOffOnly))
		case here == nil:
			here = t
		case s.Invoke != nil:
			s.note(s.serveSuspect(ctx, t, false))
		}
	}
	s.drain(ctx, s.callID)
	if here != nil {
		s.note(s.serveSuspect(ctx, here, !s.mustHandOff(s.defaultNeed)))
	}
}

// serveSuspect serves a request on which the executor has died, here or in another invocation, or sets it aside.
func (s *sweeping) serveSuspect(ctx context.Context, t *claim.Intent, here bool) error {
	request, ok, err := s.suspectRequest(ctx, t)
	if err != nil {
		return err
	}
	if !ok {
		return t.End(ctx, true) // the request is done
	}
	s.Log.Warn("the executor has died on a request", "object", request.Object, "deaths", t.Tries)
	if !here {
		return s.acceptAndHandOff(ctx, t.Pending, request)
	}
	if deaths := t.Tries; deaths >= s.Limits.Deaths {
		return s.withIntent(ctx, t, func() error {
			result, err := s.setAside(ctx, request, deaths)
			s.swept.Runs = append(s.swept.Runs, SweptRun{result.RunID, result.SourceObject, result.Status})
			return errors.Join(err, s.removeUnread(ctx, t.Pending, err))
		})
	}
	return s.withIntent(ctx, t, func() error {
		err := s.serveRequest(ctx, request)
		return errors.Join(err, s.removeUnread(ctx, t.Pending, err))
	})
}

// suspectRequest reads the request of an intent; ok is false if it is done.
func (s *sweeping) suspectRequest(ctx context.Context, t *claim.Intent) (request Request, ok bool, err error) {
	if t.Pending != "" {
		return s.reload(ctx, t.Pending, s.callID)
	}
	if err := json.Unmarshal(t.Request, &request); err != nil {
		return request, false, problem.New(problem.Problem{
			Code: "state.corrupt", Where: s.State.Name() + "/taking/" + s.Environment + "/" + t.Key + ".json",
			Message: "the request of the intent cannot be read; nothing was run",
			Hint:    "find out who wrote it, or delete it: the upload is found again",
		}, err)
	}
	request.CallID = s.callID
	if intake.CheckObject(request.Object) != nil {
		return request, true, nil // no store can be asked for such a name
	}
	info, err := store.Describe(ctx, s.Packages, request.Object, request.VersionID)
	if errors.Is(err, store.ErrNotFound) {
		return request, false, nil
	}
	return request, err == nil && info.ETag == request.ETag, err
}
