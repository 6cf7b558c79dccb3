package steps

import (
	"context"
	"errors"
)

// errCancelled is the cause with which the context of a script ends if the job is cancelled.
var errCancelled = errors.New("the job was cancelled")

// cancelOf returns what is closed when a script must not begin, or go on, because the job is cancelled; nil for an
// undo, which is never stopped for that.
func (r *run) cancelOf(s script) <-chan struct{} {
	if s.Phase == phaseRollback {
		return nil
	}
	return r.journal.Cancelled
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// cancellable returns a context for a script that ends when the job is cancelled. Only the script gets it: what is
// noted of a step has to be noted all the same.
func cancellable(ctx context.Context, asked <-chan struct{}) (context.Context, context.CancelFunc) {
	if asked == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-asked:
			cancel(errCancelled)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// cancelled is the error for a script that was stopped, or not begun, because the run was cancelled.
func cancelled(s script, what string) error {
	return stepError("step.cancelled", s, what, "see which parts took effect before you run it again")
}
