// Package fetch finds the bytes of a request: the version of the package's object that the request names or, once a run
// of the request has begun, exactly the bytes that it began with, from wherever they still are.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/download"
	"cemli-executor/internal/goback"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/results"
	"cemli-executor/internal/store"
)

// Fetcher finds packages in one environment.
type Fetcher struct {
	Packages store.Bucket
	Results  store.Bucket // holds the kept copies
	Book     claim.Book
	Limit    int64       // bytes of the zip
	At       time.Time   // when the run began, which fixes the slot of a regular request
	Back     *goback.Way // nil: the request goes back to no run
}

// Found is what is known of a request and its package. It is returned with errors too, as far as it goes.
type Found struct {
	Request intake.Request // of one version, and with what the uploader chose by metadata
	Created time.Time      // when the object was written
	Size    int64
	SHA256  string // "" if it was not read
	// Learned says that the object's metadata was read and applied to the request.
	Learned bool
}

// search is the search for one request's package.
type search struct {
	Fetcher
	Found
}

// Fetch downloads the package of a request. Its errors are those of the store, and problems of the families "trigger",
// "request" and "archive".
func (f Fetcher) Fetch(ctx context.Context, request intake.Request) (*download.Object, Found, error) {
	s := &search{f, Found{Request: request}}
	zip, err := s.fetch(ctx)
	return zip, s.Found, err
}

// fetch downloads the package: the version that the request names or, once the request has begun, exactly the bytes
// that it began with.
func (s *search) fetch(ctx context.Context) (*download.Object, error) {
	if s.Request.OnEvent && s.Request.ETag == "" { // another delivery of the event may have begun
		if err := s.begunBefore(ctx); err != nil {
			return nil, err
		}
	}
	if s.Request.Pinned == "" {
		zip, err := s.fetchNewest(ctx)
		if !isGone(err) || s.Request.ETag == "" {
			return zip, s.absent(err)
		}
		if err := s.begunBefore(ctx); err != nil {
			return nil, err
		}
		if s.Request.Pinned == "" {
			return nil, s.staleNow(ctx)
		}
	}
	return s.fetchPinned(ctx)
}

// isGone reports whether a version of an object is no longer there.
func isGone(err error) bool {
	return errors.Is(err, store.ErrChanged) || errors.Is(err, store.ErrNotFound)
}

// fetchNewest downloads what the request names, and pins its version.
func (s *search) fetchNewest(ctx context.Context) (*download.Object, error) {
	opts := store.GetOptions{IfMatch: s.Request.ETag}
	if s.Request.VersionNamed {
		opts.VersionID = s.Request.VersionID
	}
	zip, _, err := download.Open(ctx, s.Packages, s.Request.Object, opts, func(info store.Info) error {
		s.Request.ETag, s.Request.VersionID, s.Created = info.ETag, info.VersionID, s.Request.CreatedAt(info.Created)
		s.Request.Created = s.Created
		return s.learn(info)
	})
	if err != nil {
		return nil, err
	}
	s.SHA256 = zip.SHA256()
	return zip, nil
}

// learn takes over what the object's description says, and refuses objects that the description alone rules out.
func (s *search) learn(info store.Info) error {
	if err := s.Request.ReadMetadata(info.Metadata); err != nil {
		return err
	}
	s.Size, s.Learned = info.Size, true
	if err := admission.WithinLimit(s.Request.Object, info.Size, s.Limit); err != nil {
		return err
	}
	return s.Request.Consistent()
}

// absent says of a package that the policy's triggers name that it is not there.
func (s *search) absent(err error) error {
	if !s.Request.OnEvent || !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return problem.New(problem.Problem{
		Code: "trigger.absent", Where: s.Request.Object,
		Message: "nothing ran: the policy's triggers name a package that is not in the packages bucket",
		Hint:    "upload it, or correct the policy; then send a request by hand for what this event was to do",
	}, err)
}

// place is where the bytes of a package may be.
type place struct {
	bucket store.Bucket
	name   string
	opts   store.GetOptions
}

// fetchPinned downloads the bytes that the request began with: from the packages bucket if they are there with that
// digest, otherwise from the kept copy.
func (s *search) fetchPinned(ctx context.Context) (*download.Object, error) {
	q := s.Request
	if s.Back != nil && s.Back.NamesVersion {
		return s.fetchNamed(ctx)
	}
	for i, at := range []place{
		{s.Packages, q.Object, store.GetOptions{IfMatch: q.ETag, VersionID: q.VersionID}},
		{s.Packages, q.Object, store.GetOptions{}}, // which may have been replaced by now
		{s.Results, results.KeptPackage(q.Pinned), store.GetOptions{}},
	} {
		zip, err := s.fetchFrom(ctx, at)
		if isGone(err) || i == 1 && problem.CodeOf(err) == "archive.package_too_large" ||
			err == nil && zip.SHA256() != q.Pinned {
			continue
		}
		return zip, err
	}
	return nil, problem.New(problem.Problem{
		Code: "request.gone", Where: q.Object,
		Message: "the package with the SHA-256 " + q.Pinned +
			" is neither in the packages bucket any more nor among the copies that were kept",
		Hint: "upload those bytes again under that name; what is applied is kept unless CEMLI_KEEP_PACKAGES is false " +
			"or it has sensitive defaults" + goback.Anew,
	}, nil)
}

// fetchFrom downloads what is in a place, ignoring its metadata.
func (s *search) fetchFrom(ctx context.Context, at place) (*download.Object, error) {
	zip, info, err := download.Open(ctx, at.bucket, at.name, at.opts, func(info store.Info) error {
		return admission.WithinLimit(at.name, info.Size, s.Limit)
	})
	if err != nil {
		return nil, err
	}
	if s.Request.Pinned != zip.SHA256() {
		return zip, nil // these are other bytes
	}
	if s.Request.Created.IsZero() { // otherwise it is the time of the upload, wherever the bytes come from
		s.Request.Created = info.Created
	}
	s.Created = s.Request.Created
	s.Size, s.SHA256 = info.Size, zip.SHA256()
	return zip, nil
}

// fetchNamed downloads the version that a request which goes back names besides the run; it must have the same bytes.
func (s *search) fetchNamed(ctx context.Context) (*download.Object, error) {
	zip, err := s.fetchFrom(ctx, place{s.Packages, s.Request.Object, s.Back.Named})
	switch {
	case isGone(err):
		return nil, s.staleNow(ctx)
	case err == nil && zip.SHA256() != s.Request.Pinned:
		return nil, problem.New(problem.Problem{
			Code: "request.differs", Where: "/etag",
			Message: fmt.Sprintf("the version that is named has the SHA-256 %s, and the run %s had %s", zip.SHA256(),
				s.Back.Previous.RunID, s.Request.Pinned),
			Hint: "leave etag and version_id out, or name the run of that version; contents that were changed are a " +
				"new upload" + goback.Anew,
		}, nil)
	}
	return zip, err
}
