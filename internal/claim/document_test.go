package claim_test

import (
	"context"
	"io"
	"testing"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// racing refuses to write that often, as if others had been first.
type racing struct {
	store.Bucket
	left int
}

func (r *racing) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, o store.PutOptions,
) (store.Info, error) {
	if r.left--; r.left >= 0 {
		return store.Info{}, store.Error(store.ErrExists, "put", "state", name, nil)
	}
	return r.Bucket.Put(ctx, name, body, size, o)
}

// A store that refuses to write the clock's object again, because its own first attempt succeeded, says nothing about
// the clock.
func TestClockIsWrittenAgain(t *testing.T) {
	t.Parallel()
	b, err := store.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := book(&racing{b, 2}, "prod").CheckClock(t.Context()); err != nil {
		t.Error(err)
	}
	if err := book(&racing{b, 1000}, "prod").CheckClock(t.Context()); problem.CodeOf(err) != "state.conflict" {
		t.Error(err)
	}
}
