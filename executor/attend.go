package executor

import (
	"context"
	"time"

	"cemli-executor/internal/apart"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
)

// glance is how long a sweep looks at a run whose steps are apart.
const glance = 5 * time.Second

// attend looks at a run whose steps are apart and that no invocation stays with. If its runner has not ended, another
// invocation is asked to stay with it; where there is none, the next sweep looks again.
func (s *sweeping) attend(ctx context.Context, held *claim.Held) error {
	looking, cancel := context.WithTimeout(ctx, glance+apart.LastLook+s.Reserve)
	defer cancel()
	result, err := s.goOn(looking, held, s.callID)
	if isPassing(result) {
		s.swept.Waiting++
		return err
	}
	s.swept.Runs = append(s.swept.Runs, SweptRun{result.RunID, result.SourceObject, result.Status})
	return err
}

// goOn goes on with a run whose steps are apart, as far as there is time.
func (w *work) goOn(ctx context.Context, held *claim.Held, callID string) (evidence.Result, error) {
	end, err := w.Engine.Attend(ctx, held, callID, w.invocation())
	w.released = append(w.released, end.Left...)
	if end.HandOff != "" {
		w.handOffs = append(w.handOffs, end.HandOff)
	}
	return end.Result, err
}

// left returns the claim of a request whose run goes on apart and has no invocation with it; nil: it has none, or one.
func (w *work) left(ctx context.Context, pending string) (*claim.Held, error) {
	if w.Apart == nil {
		return nil, nil //nolint:nilnil // no run is apart
	}
	held, err := w.Book.Find(ctx, claim.KeyOf(pending))
	if err != nil || held == nil || !held.Left(w.Now()) {
		return nil, err
	}
	return held, nil
}
