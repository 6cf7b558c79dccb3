package store

import (
	"context"
	"errors"
	"time"

	"cemli-executor/internal/codes"
)

// Patience gives one request to a store its share of the time that is left, so that a request that stalls does not
// use up the time of the others.
type Patience func(context.Context) (context.Context, context.CancelFunc)

// refusals is how often a request that the store refused is tried again, because the reason may pass.
const refusals = 3

// Once runs do within its share of the time.
func (p Patience) Once(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := p(ctx)
	defer cancel()
	return do(ctx)
}

// Insist runs do again and again while the store is out of reach and time is left. After other failures that may
// pass, it tries only a few times.
func (p Patience) Insist(ctx context.Context, do func(context.Context) error) error {
	pause := 100 * time.Millisecond
	for try := 1; ; try++ {
		err := p.Once(ctx, do)
		outage := errors.Is(err, ErrUnavailable)
		if err == nil || !codes.OfError(err).Retried || try >= refusals && !outage || !Wait(ctx, pause) {
			return err
		}
		pause = min(2*pause, 3*time.Second)
	}
}

// Wait waits; it returns false if the context ends before.
func Wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
