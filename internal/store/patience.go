package store

import (
	"context"
	"errors"
	"time"

	"cemli-executor/internal/codes"
)

// Patience gives one request to a store its part of the time that there is, so that one that stalls does
// not cost the others theirs.
type Patience func(context.Context) (context.Context, context.CancelFunc)

// refusals is how often a store is asked again that refuses, as that may pass.
const refusals = 3

// Once does what asks a store for something, within its part of the time.
func (p Patience) Once(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := p(ctx)
	defer cancel()
	return do(ctx)
}

// Insist does it again and again while the store is out of reach and time is left. Another failure that may
// pass is given a few tries.
func (p Patience) Insist(ctx context.Context, do func(context.Context) error) error {
	pause := 100 * time.Millisecond
	for try := 1; ; try++ {
		err := p.Once(ctx, do)
		outage := errors.Is(err, ErrUnavailable)
		if err == nil || !codes.OfError(err).Retried || try >= refusals && !outage || !wait(ctx, pause) {
			return err
		}
		pause = min(2*pause, 3*time.Second)
	}
}

// wait waits; false if there is no time for that.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
