package executor

import (
	"context"
	"errors"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/store"
)

// uploads runs packages of a page of the packages bucket that no run has claimed. If the bucket keeps versions,
// replaced and deleted ones are uploads like any other, and have results too.
func (s *sweeping) uploads(ctx context.Context, cursor *claim.Cursor, since time.Time) error {
	at := store.Position{Name: cursor.Uploads, VersionID: cursor.Version}
	page, err := s.Packages.ListVersions(ctx, store.VersionOptions{From: at, Limit: sweepUploads})
	if err != nil {
		return err
	}
	since = since.Truncate(time.Second)
	if oldest := s.Now().Add(-followup.UploadWindow); oldest.After(since) {
		since = oldest
	}
	cursor.Listed += len(page.Versions)
	for _, v := range page.Versions {
		if v.Name != at.Name {
			at = store.Position{Name: v.Name}
		}
		if isUpload(v, since) && !s.recent(v.Created) { // a recent one's event may be on its way
			if s.full(ctx) {
				page.Next, s.cut = at, true
				break
			}
			s.swept.Uploads++
			s.note(s.upload(ctx, v))
		}
		at.VersionID = v.VersionID
	}
	cursor.Uploads, cursor.Version = page.Next.Name, page.Next.VersionID
	return nil
}

// isUpload reports whether a version is a package that was uploaded at or after a time.
func isUpload(v store.Version, since time.Time) bool {
	return !v.Deleted && intake.IsPackage(v.Name) && !v.Created.Before(since)
}

// isKnown reports whether an upload has a claim, or was refused for its form. If it is not done, it has a pending
// request.
func (w *work) isKnown(ctx context.Context, request Request) (bool, error) {
	for _, slot := range []string{"", intake.RefusedForm(TriggerEvent)} {
		request.Slot = slot
		claimed, err := w.Book.Find(ctx, request.Key(w.Environment))
		if err != nil || claimed != nil {
			return claimed != nil, err
		}
	}
	return false, nil
}

// upload runs a package that no run has claimed. If its name is one that no store can be asked for, the listing alone
// is enough to refuse it.
func (s *sweeping) upload(ctx context.Context, v store.Version) (err error) {
	info := v.Info
	if intake.CheckObject(v.Name) == nil {
		info, err = s.describe(ctx, v)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil // it is gone
	case err != nil:
		return err
	case info.ETag != v.ETag:
		return nil // it was replaced since it was listed; the next sweep lists the new one
	}
	request := Request{
		Bucket: s.Packages.Name(), Object: v.Name, ETag: info.ETag, VersionID: info.VersionID,
		Caller:  Caller{CallID: s.callID},
		Trigger: Trigger{Kind: TriggerSweep}, Fixed: Fixed{Created: v.Created},
	}
	if request.Namespace, err = s.Namespace(ctx); err != nil {
		return err
	}
	_ = request.ReadMetadata(info.Metadata) // the run says what is wrong with it
	if known, err := s.isKnown(ctx, request); err != nil || known {
		return err
	}
	key := request.Key(s.Environment)
	if s.intents[key] != nil {
		return nil // serveSuspects serves it last
	}
	if s.mustHandOff(s.defaultNeed) {
		return s.acceptAndHandOff(ctx, "", request) // it is accepted first, so that the other invocation finds it
	}
	intent, err := s.newIntent(key, "", request)
	if err != nil {
		return err
	}
	return s.withIntent(ctx, intent, func() error { return s.serveRequest(ctx, request) })
}

// describes a version that was listed. It is not documented whether a bucket that keeps no versions answers to the ids
// that it lists, so the current object is tried too.
func (s *sweeping) describe(ctx context.Context, v store.Version) (store.Info, error) {
	info, err := store.Describe(ctx, s.Packages, v.Name, v.VersionID)
	if v.VersionID == "" || !errors.Is(err, store.ErrNotFound) {
		return info, err
	}
	newest, headErr := s.Packages.Head(ctx, v.Name)
	if headErr == nil && newest.ETag != v.ETag {
		return info, err
	}
	return newest, headErr
}
