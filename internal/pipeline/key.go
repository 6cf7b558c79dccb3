package pipeline

import (
	"cmp"
	"context"

	"cemli-executor/internal/claim"
)

// The run key is the idempotency key of a request: all requests that mean the same execution have the same key,
// however often and in whatever form they arrive. It is made of what the request names, of what the uploader chose
// by the object's metadata, and of the occurrence, which distinguishes intended repetitions. The run id, which
// people see, ends with the first digits of the key.

// key fixes the slot of the request and returns its run key.
func (r *report) key() string {
	r.request.Slot = r.request.Occurrence(r.result.Start)
	key := r.request.Key(r.exec.Environment)
	r.result.RequestKey = cmp.Or(claim.KeyOf(r.request.Parent), key)[:12]
	return key
}

// keyOfEarlierVersion returns the key under which an earlier version accepted a request that goes back and is not done;
// "" if there is none. Such keys include neither the reason nor what is taken from the run.
func (r *earlier) keyOfEarlierVersion(ctx context.Context) (string, error) {
	q := r.request
	if q.PreviousRun() == "" {
		return "", nil
	}
	q.Slot, q.Parameters = q.WayBack()+" "+q.PreviousRun(), nil
	if r.back != nil {
		q.Parameters = r.back.Given
	}
	key := q.Key(r.exec.Environment)
	claimed, err := r.exec.Book.Find(ctx, key)
	if err != nil || claimed == nil || claimed.State == claim.Done {
		return "", err
	}
	return key, nil
}

// runID returns the run id, and makes it first if need be: once the package's name is known, or will never be.
func (r *report) runID() string {
	if r.result.RunID == "" {
		r.setRunID(r.newRunID())
	}
	return r.result.RunID
}

func (r *report) newRunID() string {
	return r.result.Start.Format("20060102T150405Z") + "-" + r.name + "-" + r.key()[:12]
}
