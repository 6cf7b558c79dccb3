package executor

import (
	"context"
	"errors"

	"cemli-executor/internal/claim"
)

// sweepProgress bounds how many progress documents a sweep looks at.
const sweepProgress = 200

// removeProgress removes the progress documents of runs that have ended: of an executor that died, or of a run that was
// asked to end when it had just done so.
func (e *Executor) removeProgress(ctx context.Context) error {
	runs, err := e.Book.Progress().List(ctx, sweepProgress)
	for _, id := range runs {
		held, oneErr := e.Book.OfRun(ctx, id)
		if oneErr == nil && (held == nil || held.State == claim.Done && len(held.FollowUps) == 0) {
			e.Book.Progress().Remove(ctx, id)
		}
		err = errors.Join(err, oneErr)
	}
	return err
}
