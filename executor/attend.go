package executor

import (
	"context"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
)

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
