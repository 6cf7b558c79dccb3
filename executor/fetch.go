package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cemli-executor/internal/download"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/results"
	"cemli-executor/internal/store"
)

// fetch downloads the package: the version that was asked for, or, once it is settled which bytes the
// request is of, exactly those, from wherever they still are.
func (r *found) fetch(ctx context.Context) (*download.Object, error) {
	if r.request.OnEvent && r.request.ETag == "" { // another delivery of it may have begun
		if err := r.begunBefore(ctx); err != nil {
			return nil, err
		}
	}
	if r.request.pinned == "" {
		s, err := r.fetchNewest(ctx)
		if !isGone(err) || r.request.ETag == "" {
			return s, r.absent(err)
		}
		if err := r.begunBefore(ctx); err != nil {
			return nil, err
		}
		if r.request.pinned == "" {
			return nil, r.staleNow(ctx)
		}
	}
	return r.fetchPinned(ctx)
}

// isGone reports whether a version of an object is no longer there.
func isGone(err error) bool {
	return errors.Is(err, store.ErrChanged) || errors.Is(err, store.ErrNotFound)
}

// fetchNewest downloads what the request names, and pins its version.
func (r *found) fetchNewest(ctx context.Context) (*download.Object, error) {
	opts := store.GetOptions{IfMatch: r.request.ETag}
	if r.request.VersionNamed {
		opts.VersionID = r.request.VersionID
	}
	s, _, err := download.Open(ctx, r.exec.Packages, r.request.Object, opts, func(info store.Info) error {
		r.request.ETag, r.request.VersionID, r.created = info.ETag, info.VersionID, r.request.createdAt(info.Created)
		r.request.Created = r.created
		return r.learn(info)
	})
	if err != nil {
		return nil, err
	}
	r.result.Package.SHA256 = s.SHA256()
	return s, nil
}

// place is where the bytes of a package may be.
type place struct {
	bucket store.Bucket
	name   string
	opts   store.GetOptions
}

// fetchPinned downloads the bytes that the request is of: from the packages bucket if they are there
// with that digest, else from the copy that was kept.
func (r *found) fetchPinned(ctx context.Context) (*download.Object, error) {
	q := r.request
	if r.asks.bucket != nil {
		return r.fetchNamed(ctx)
	}
	for i, at := range []place{
		{r.exec.Packages, q.Object, store.GetOptions{IfMatch: q.ETag, VersionID: q.VersionID}},
		{r.exec.Packages, q.Object, store.GetOptions{}}, // which may be anything by now
		{r.exec.Results, results.KeptPackage(q.pinned), store.GetOptions{}},
	} {
		s, err := r.fetchFrom(ctx, at)
		if isGone(err) || i == 1 && problem.CodeOf(err) == "archive.package_too_large" || err == nil && s.SHA256() != q.pinned {
			continue
		}
		return s, err
	}
	return nil, problem.New(problem.Problem{
		Code: "request.gone", Where: q.Object, Message: "the package with the SHA-256 " + q.pinned + " is neither in the packages bucket any more nor among the copies that were kept",
		Hint: "upload those bytes again under that name; what is applied is kept unless CEMLI_KEEP_PACKAGES is false or it has sensitive defaults" + anew,
	}, nil)
}

// fetchFrom downloads what is in a place, without learning anything from its metadata.
func (r *found) fetchFrom(ctx context.Context, at place) (*download.Object, error) {
	s, info, err := download.Open(ctx, at.bucket, at.name, at.opts, func(info store.Info) error {
		return withinLimit(at.name, info.Size, r.limits.PackageBytes)
	})
	if err != nil {
		return nil, err
	}
	if r.request.pinned != s.SHA256() {
		return s, nil // it says nothing of the package
	}
	setDefault(&r.request.Created, info.Created) // of the upload, even where its bytes come from elsewhere by now
	r.created = r.request.Created
	r.result.Package.Size, r.result.Package.SHA256 = info.Size, s.SHA256()
	r.result.Reason, r.result.Reference = r.request.Reason, r.request.Reference
	return s, nil
}

// fetchNamed downloads the version that a request which goes back names besides the run: it has to be of
// the same bytes.
func (r *found) fetchNamed(ctx context.Context) (*download.Object, error) {
	s, err := r.fetchFrom(ctx, r.asks)
	switch {
	case isGone(err):
		return nil, r.staleNow(ctx)
	case err == nil && s.SHA256() != r.request.pinned:
		return nil, problem.New(problem.Problem{
			Code: "request.differs", Where: "/etag", Message: fmt.Sprintf("the version that is named has the SHA-256 %s, and the run %s had %s", s.SHA256(), r.previous.RunID, r.request.pinned),
			Hint: "leave etag and version_id out, or name the run of that version; contents that were changed are a new upload" + anew,
		}, nil)
	}
	return s, err
}

// learn takes what the object's description says, and refuses what it alone forbids.
func (r *found) learn(info store.Info) error {
	if err := r.request.fromMetadata(info.Metadata); err != nil {
		return err
	}
	r.result.Reason, r.result.Reference, r.result.ParameterSet = r.request.Reason, r.request.Reference, r.request.ParameterSet
	if r.request.Action != "" {
		r.result.Action = string(r.request.Action)
	}
	r.result.Package.Size, r.result.Package.ETag = info.Size, info.ETag
	r.result.Package.VersionID = info.VersionID
	if err := withinLimit(r.request.Object, info.Size, r.limits.PackageBytes); err != nil {
		return err
	}
	return r.request.consistent()
}

// current refuses an upload that is not what is under its name any more when its request is about to
// begin. Once it has begun, and for what goes back or names an old version, the bytes are settled; but an
// attempt or a set of it that comes after a later upload's does not take that one's place.
func (r *found) current(ctx context.Context) error {
	q := r.request
	if q.VersionNamed {
		return nil // it was asked for whatever has come since
	}
	if latest := r.history.Latest(q.ParameterSet); q.pinned != "" && q.previousRun() == "" && latest != nil && latest.Object == q.Object && latest.Uploaded.After(r.created) {
		return r.stale("run "+latest.RunID+" has begun with a later upload of it", nil)
	}
	if q.pinned != "" || q.Trigger.Kind == TriggerCLI {
		return nil
	}
	return r.stillThere(ctx)
}

// staleNow says of an object that changed after the trigger what is there now.
func (r *asked) staleNow(ctx context.Context) error {
	if err := r.stillThere(ctx); err != nil {
		return err
	}
	return r.stale("the version that was asked for is gone", nil)
}

// stillThere refuses an object whose newest version is not the one that the request is of.
func (r *asked) stillThere(ctx context.Context) error {
	info, err := r.exec.Packages.Head(ctx, r.request.Object)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return r.stale("it has been deleted", err)
	case err != nil:
		return err
	case info.ETag != r.request.ETag:
		return r.stale(fmt.Sprintf("it has been replaced, by an upload of %s with the ETag %s", info.Created.UTC().Format(time.RFC3339), info.ETag), nil)
	}
	return nil
}

func (r *asked) stale(why string, cause error) error {
	return problem.New(problem.Problem{
		Code: "trigger.stale", Where: r.request.Object, Message: "nothing ran: the object is no longer what was to be run; " + why,
		Hint: "what is there now has an event of its own; to run an earlier version, name its version_id in a request by hand",
	}, cause)
}
