package executor

import (
	"context"
	"errors"

	"cemli-executor/internal/claim"
)

// requests looks at a page of the pending requests.
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

// request goes on with one pending request, if no other invocation does.
func (s *sweeping) request(ctx context.Context, name string) error {
	held, err := s.Book.Find(ctx, claim.KeyOf(name))
	switch {
	case err != nil:
		return err
	case held == nil && s.takings[claim.KeyOf(name)] != nil:
		if s.takings[claim.KeyOf(name)].Busy(s.Now()) {
			s.swept.Waiting++
		}
		return nil // it comes last
	case held == nil:
	case held.State == claim.Done && name == held.Pending() && len(held.FollowUps) > 0:
		return s.Follower.Finish(ctx, held)
	case claim.AttemptOf(name) > held.Attempt: // the invocation that wanted to begin it died before
	case held.State == claim.Done, claim.AttemptOf(name) < held.Attempt:
		return s.Book.Delete(ctx, name)
	case !held.Expired(s.Now()), s.recent(held.Updated): // it may just have been handed over
		s.swept.Waiting++
		return nil
	case held.State == claim.Claimed && held.Group != "":
		if waits, err := s.waits(ctx, held); waits || err != nil {
			s.swept.Waiting++
			return err
		}
	case held.State == claim.Running && held.Group != "":
		s.released = append(s.released, held.Group) // once that run is ended
	}
	if s.mustHandOff(s.least) && (held == nil || !held.Died(s.Now())) {
		s.handOffs = append(s.handOffs, name)
		return nil
	}
	request, ok, err := s.reload(ctx, name, s.callID)
	if err != nil || !ok {
		return err
	}
	if held != nil && held.Died(s.Now()) {
		// It comes last. What is one set of a request comes with that.
		if s.takings[held.Key] == nil && !request.ForSet {
			s.takings[held.Key] = &claim.Taking{
				Environment: s.Environment, Key: held.Key, Pending: held.Pending(), Tries: 1,
			}
		}
		return nil
	}
	var taking *claim.Taking
	if held == nil {
		if taking, err = s.taking(claim.KeyOf(name), name, request); err != nil {
			return err
		}
	}
	return s.take(ctx, taking, func() error {
		err := s.goOn(ctx, request)
		return errors.Join(err, s.removeUnread(ctx, name, err))
	})
}

// waits reports whether a run still has to wait for its group; if that is free, its first is started.
func (s *sweeping) waits(ctx context.Context, held *claim.Held) (bool, error) {
	g, err := s.Book.Group(ctx, held.Group)
	if err != nil {
		return false, err
	}
	if first := g.First(); first == nil || first.Key == held.Key {
		return g.Occupied(ctx, held.Key)
	}
	s.released = append(s.released, held.Group)
	return g.Waits(held.Key), nil
}
