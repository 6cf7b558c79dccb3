package executor

import (
	"cmp"
	"context"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/store"
)

// The run key is the idempotency key of a request: all requests that mean the same execution have the same one,
// however often and in whatever form they come. It is made of what the request names, of what the uploader chose
// by the object's metadata, and of the occurrence, which tells apart what is asked for again on purpose. The run
// id, which people see, ends with its first digits.

// key is the run key of the request, whose slot it fixes.
func (r *report) key() string {
	r.request.Slot = r.request.Occurrence(r.result.Start)
	key := r.request.Key(r.exec.Environment)
	r.result.RequestKey = cmp.Or(claim.KeyOf(r.request.Parent), key)[:12]
	return key
}

// openBefore is the key under which an earlier version has accepted a request that goes back and has
// not ended it; "" if there is none. Its key knew neither the reason nor what is taken from the run.
func (r *earlier) openBefore(ctx context.Context) (string, error) {
	q := r.request
	if q.PreviousRun() == "" {
		return "", nil
	}
	q.Slot, q.Parameters = q.WayBack()+" "+q.PreviousRun(), nil
	if r.back != nil {
		q.Parameters = r.back.Given
	}
	key := q.Key(r.exec.Environment)
	held, err := r.exec.book.Find(ctx, key)
	if err != nil || held == nil || held.State == claim.Done {
		return "", err
	}
	return key, nil
}

// runID names the run, once its package's name is known or will never be.
func (r *report) runID() string {
	if r.result.RunID == "" {
		r.named(r.newRunID())
	}
	return r.result.RunID
}

func (r *report) newRunID() string {
	return r.result.Start.Format("20060102T150405Z") + "-" + r.name + "-" + r.key()[:12]
}

// begunBefore finds out whether the request has begun before, and with which bytes: from then on it is
// of those, whatever the packages bucket has now.
func (r *report) begunBefore(ctx context.Context) error {
	actions := []Action{r.request.Action}
	if r.request.Action == "" { // the metadata may have said it
		actions = []Action{ActionApply, ActionDryRun}
	}
	for _, action := range actions {
		request := r.request
		request.Action, request.Slot = action, request.Occurrence(r.result.Start)
		held, err := r.exec.book.Find(ctx, request.Key(r.exec.Environment))
		if err != nil {
			return err
		}
		if held == nil {
			continue
		}
		r.request.Pinned, err = r.pinOf(ctx, request, held)
		return err
	}
	return nil
}

// pinOf is the SHA-256 of the zip that a claim's request has begun with, in any of its sets; "" if it
// has not.
func (r *asked) pinOf(ctx context.Context, request Request, held *claim.Held) (string, error) {
	if held.Sets == nil {
		return held.Pinned, nil
	}
	for _, set := range held.Sets {
		request.ParameterSet = set
		one, err := r.exec.book.Find(ctx, request.Key(r.exec.Environment))
		if err != nil || one == nil {
			return "", err // sets begin in their order
		}
		if one.Pinned != "" {
			return one.Pinned, nil
		}
	}
	return "", nil
}

// lookBack finds out what the uploader chose by metadata, which is part of what the request means. Of
// a version that is gone only claims and pending requests tell.
func (r *found) lookBack(ctx context.Context) error {
	if intake.CheckObject(r.request.Object) != nil {
		return nil // nobody can ask a store for it
	}
	info, err := r.version(ctx)
	if err != nil && retryable(err) {
		return err
	}
	if err == nil {
		r.created = r.request.CreatedAt(info.Created)
		if r.request.ReadMetadata(info.Metadata) == nil && r.request.Action != "" {
			r.result.Action = string(r.request.Action)
		}
		return nil
	}
	if r.request.ByHand() || r.request.OnEvent {
		return nil
	}
	// One who comes first may have known its metadata, and another not.
	for _, action := range []Action{ActionApply, ActionCheck, ActionDryRun} {
		request := r.request
		request.Action, request.Slot = action, request.Occurrence(r.result.Start)
		held, err := r.exec.book.Find(ctx, request.Key(r.exec.Environment))
		if err != nil {
			return err
		}
		if held != nil && action != cmp.Or(r.request.Action, ActionApply) {
			return duplicateOf(held.Claim)
		}
		pending, err := r.exec.book.Pending(ctx, claim.PendingName(request.Key(r.exec.Environment), 1))
		if err != nil {
			return err
		}
		if pending != nil && r.request.Action == "" { // it was accepted so, and not claimed any more
			r.request.Action, r.result.Action = action, string(action)
			return nil
		}
	}
	return nil
}

// version describes the version of the object that the request names, which may have been replaced or
// deleted: without an id it is looked for by its ETag, as far as versions are kept.
func (r *asked) version(ctx context.Context) (store.Info, error) {
	q := r.request
	info, err := store.Describe(ctx, r.exec.Packages, q.Object, q.VersionID)
	if err == nil && info.ETag == q.ETag || err != nil && !isGone(err) {
		return info, err
	}
	page, err := r.exec.Packages.ListVersions(ctx, store.VersionOptions{Prefix: q.Object})
	if err != nil {
		return info, err
	}
	for _, v := range page.Versions {
		if v.Name == q.Object && v.ETag == q.ETag && v.VersionID != "" {
			return store.Describe(ctx, r.exec.Packages, q.Object, v.VersionID)
		}
	}
	return info, store.Error(store.ErrNotFound, "find", r.exec.Packages.Name(), q.Object, nil)
}
