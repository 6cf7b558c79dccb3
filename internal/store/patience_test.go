package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"cemli-executor/internal/store"
)

// unbounded is the patience of somebody who has all the time there is.
func unbounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}

func TestInsist(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fails []error // one after the other
		tries int
		want  error
	}{
		{"at once", nil, 1, nil},
		{"out of reach for a while", []error{store.ErrUnavailable, store.ErrUnavailable, store.ErrUnavailable}, 4, nil},
		{"refuses for a moment", []error{store.ErrDenied, store.ErrDenied}, 3, nil},
		{"refuses", []error{store.ErrDenied, store.ErrDenied, store.ErrDenied}, 3, store.ErrDenied},
		{"there already", []error{store.ErrExists}, 1, store.ErrExists},
	} {
		t.Run(c.name, func(t *testing.T) {
			tries := 0
			err := store.Patience(unbounded).Insist(t.Context(), func(context.Context) error {
				if tries++; tries > len(c.fails) {
					return nil
				}
				return store.Error(c.fails[tries-1], "put", "results", "a", nil)
			})
			if tries != c.tries || !errors.Is(err, c.want) {
				t.Errorf("%d tries, %v; want %d, %v", tries, err, c.tries, c.want)
			}
		})
	}
}

func TestInsistEndsWithTheTime(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := store.Patience(unbounded).Insist(ctx, func(context.Context) error {
		return store.Error(store.ErrUnavailable, "put", "results", "a", nil)
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
}
