package executor

import (
	"context"
	"errors"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/pipeline"
)

// requests serves a page of the pending requests.
func (s *sweeping) requests(ctx context.Context, cursor *claim.Cursor) error {
	names, next, err := s.Book.ListPending(ctx, cursor.Open, sweepRequests)
	if err != nil {
		return err
	}
	cursor.Listed += len(names)
	for _, name := range names {
		if s.full(ctx) {
			cursor.Open, s.cut = name, true
			return nil
		}
		s.swept.Open++
		s.note(s.request(ctx, name))
	}
	cursor.Open = next
	return nil
}

// request serves one pending request, unless another invocation does.
func (s *sweeping) request(ctx context.Context, name string) error {
	claimed, err := s.Book.Find(ctx, claim.KeyOf(name))
	switch {
	case err != nil:
		return err
	case claimed == nil && s.intents[claim.KeyOf(name)] != nil:
		if s.intents[claim.KeyOf(name)].Busy(s.Now()) {
			s.swept.Waiting++
		}
		return nil // serveSuspects serves it last
	case claimed == nil:
	case claimed.State == claim.Done && name == claimed.Pending() && len(claimed.FollowUps) > 0:
		return s.Follower.Finish(ctx, claimed)
	case claim.AttemptOf(name) > claimed.Attempt && claimed.State == claim.Done &&
		!s.Follower.MayRepeat(claimed, claimed.Status):
		return s.Book.Delete(ctx, name) // the attempt before was cancelled after this one had been accepted
	case claim.AttemptOf(name) > claimed.Attempt: // it died before it acquired the claim
	case claimed.State == claim.Done, claim.AttemptOf(name) < claimed.Attempt:
		return s.Book.Delete(ctx, name)
	case s.Apart != nil && claimed.Left(s.Now()):
		return s.glance(ctx, claimed, s.callID, &s.swept)
	case !claimed.Expired(s.Now()), s.recent(claimed.Updated): // it may just have been handed off
		s.swept.Waiting++
		return nil
	case claimed.State == claim.Claimed && claimed.Group != "":
		if waits, err := s.waits(ctx, claimed); waits || err != nil {
			s.swept.Waiting++
			return err
		}
	case claimed.State == claim.Running && claimed.Group != "":
		s.released = append(s.released, claimed.Group) // when that run has been ended, the next one has its turn
	}
	if s.mustHandOff(s.defaultNeed) && (claimed == nil || !claimed.DiedBeforeStart(s.Now())) {
		s.handOffs = append(s.handOffs, name)
		return nil
	}
	request, ok, err := s.reload(ctx, name, s.callID)
	if err != nil || !ok {
		return err
	}
	if claimed != nil && claimed.DiedBeforeStart(s.Now()) {
		// serveSuspects serves it last. A set is served with the request for all sets.
		if s.intents[claimed.Key] == nil && !request.ForSet {
			s.intents[claimed.Key] = &claim.Intent{
				Environment: s.Environment, Key: claimed.Key, Pending: claimed.Pending(), Tries: 1,
			}
		}
		return nil
	}
	var intent *claim.Intent
	if claimed == nil {
		if intent, err = s.newIntent(claim.KeyOf(name), name, request); err != nil {
			return err
		}
	}
	return s.withIntent(ctx, intent, func() error {
		err := s.serveRequest(ctx, request)
		return errors.Join(err, s.removeUnread(ctx, name, err))
	})
}

// waits reports whether a run still has to wait for its group. If the group is free for another run, it is noted as
// released.
func (s *sweeping) waits(ctx context.Context, claimed *claim.Held) (bool, error) {
	g, err := s.Book.Group(ctx, claimed.Group)
	if err != nil {
		return false, err
	}
	if first := g.First(); first == nil || first.Key == claimed.Key {
		return g.Occupied(ctx, claimed.Key)
	}
	s.released = append(s.released, claimed.Group)
	return g.Waits(claimed.Key), nil
}

// glanceTime is how long a sweep looks at a run whose steps are apart.
const glanceTime = 5 * time.Second

// glance looks at a run whose steps are apart and that no invocation stays with. If its runner has not ended, another
// invocation is asked to stay with it; where there is none, the next sweep looks again.
func (w *work) glance(ctx context.Context, held *claim.Held, callID string, swept *Swept) error {
	looking, cancel := context.WithTimeout(ctx, glanceTime+pipeline.LastLook+w.Reserve)
	defer cancel()
	result, err := w.goOn(looking, held, callID)
	if isPassing(result) {
		swept.Waiting++
		return err
	}
	swept.Runs = append(swept.Runs, SweptRun{result.RunID, result.SourceObject, result.Status})
	return err
}
