package executor

import (
	"context"
	"errors"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/pipeline"
	"cemli-executor/internal/store"
)

// uploads looks at a page of the packages bucket for uploads that nobody has claimed. Where it keeps
// versions, what was replaced or deleted since is an upload like any other: it has its result, too.
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
		if isUpload(v, since) && !s.recent(v.Created) { // else its event may be on its way
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

// isUpload reports whether a version is a package that was uploaded since a time.
func isUpload(v store.Version, since time.Time) bool {
	return !v.Deleted && intake.IsPackage(v.Name) && !v.Created.Before(since)
}

// isKnown reports whether somebody has claimed an upload, or it was refused for its form: if that is not
// done, it has a pending request.
func (s *sweeping) isKnown(ctx context.Context, request Request) (bool, error) {
	for _, slot := range []string{"", pipeline.RefusedForm(TriggerEvent)} {
		request.Slot = slot
		claimed, err := s.Book.Find(ctx, request.Key(s.Environment))
		if err != nil || claimed != nil {
			return claimed != nil, err
		}
	}
	return false, nil
}

// upload runs a package that nobody has claimed. Of one whose name no store can be asked for, what the
// listing says is enough to refuse it.
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
		return nil // it was replaced since it was listed: the next sweep lists what is there now
	}
	request := Request{
		Bucket: s.Packages.Name(), Object: v.Name, ETag: info.ETag, VersionID: info.VersionID,
		Caller:  Caller{CallID: s.callID},
		Trigger: Trigger{Kind: TriggerSweep}, Fixed: Fixed{Created: v.Created},
	}
	if request.Namespace, err = s.Namespace(ctx); err != nil {
		return err
	}
	asked := request
	if asked.ReadMetadata(info.Metadata) == nil { // else the run says what is wrong with it
		request = asked
		known, err := s.isKnown(ctx, request)
		if err != nil || known {
			return err
		}
	}
	key := request.Key(s.Environment)
	if s.intents[key] != nil {
		return nil // it comes last
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

// describe describes a version that was listed. Whether a bucket that keeps none answers to the ids that
// it lists is not documented, so that the object that is there is asked, too.
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
