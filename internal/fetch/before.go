package fetch

import (
	"cmp"
	"context"
	"fmt"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// begunBefore finds out whether the request has begun before, and with which bytes: from then on it is a request for
// those, whatever the packages bucket has now.
func (s *search) begunBefore(ctx context.Context) error {
	actions := []intake.Action{s.Request.Action}
	if s.Request.Action == "" { // the metadata may have chosen it
		actions = []intake.Action{intake.ActionApply, intake.ActionDryRun}
	}
	for _, action := range actions {
		request := s.as(action)
		claimed, err := s.Book.Find(ctx, s.key(request))
		if err != nil {
			return err
		}
		if claimed == nil {
			continue
		}
		s.Request.Pinned, err = s.pinOf(ctx, request, claimed)
		return err
	}
	return nil
}

// as returns the request as it would be with an action, its slot fixed.
func (s *search) as(action intake.Action) intake.Request {
	request := s.Request
	request.Action, request.Slot = action, request.Occurrence(s.At)
	return request
}

// key returns the run key of a request whose slot is fixed.
func (s *search) key(request intake.Request) string { return request.Key(s.Book.Environment) }

// pinOf returns the SHA-256 of the zip that a claim's request has begun with, in any of its sets; "" if it has not
// begun.
func (s *search) pinOf(ctx context.Context, request intake.Request, claimed *claim.Held) (string, error) {
	if claimed.Sets == nil {
		return claimed.Pinned, nil
	}
	for _, set := range claimed.Sets {
		request.ParameterSet = set
		one, err := s.Book.Find(ctx, s.key(request))
		if err != nil || one == nil {
			return "", err // sets begin in their order
		}
		if one.Pinned != "" {
			return one.Pinned, nil
		}
	}
	return "", nil
}

// LookBack finds out what the uploader chose by metadata for a request whose package was not fetched, as that is a part
// of what the request means. If the version is gone, only claims and pending requests can tell. The claim that is
// returned, if not nil, is that of the same request in the form in which another sender made it.
func (f Fetcher) LookBack(ctx context.Context, request intake.Request) (Found, *claim.Held, error) {
	s := &search{f, Found{Request: request}}
	other, err := s.lookBack(ctx)
	return s.Found, other, err
}

func (s *search) lookBack(ctx context.Context) (*claim.Held, error) {
	if intake.CheckObject(s.Request.Object) != nil {
		return nil, nil // no store can be asked for such a name
	}
	info, err := s.version(ctx)
	switch {
	case err == nil:
		s.Created = s.Request.CreatedAt(info.Created)
		s.Learned = s.Request.ReadMetadata(info.Metadata) == nil
		return nil, nil
	case codes.OfError(err).Retried:
		return nil, err
	case s.Request.ByHand() || s.Request.OnEvent:
		return nil, nil
	}
	// An earlier delivery may have read the metadata, before the version was gone.
	for _, action := range []intake.Action{intake.ActionApply, intake.ActionCheck, intake.ActionDryRun} {
		key := s.key(s.as(action))
		claimed, err := s.Book.Find(ctx, key)
		if err != nil {
			return nil, err
		}
		if claimed != nil && action != cmp.Or(s.Request.Action, intake.ActionApply) {
			return claimed, nil
		}
		pending, err := s.Book.Pending(ctx, claim.PendingName(key, 1))
		if err != nil {
			return nil, err
		}
		if pending != nil && s.Request.Action == "" { // accepted with this action, and not claimed since
			s.Request.Action, s.Learned = action, true
			return nil, nil
		}
	}
	return nil, nil
}

// version describes the version of the object that the request names, which may have been replaced or deleted: without
// an id it is looked for by its ETag, if the bucket keeps versions.
func (s *search) version(ctx context.Context) (store.Info, error) {
	q := s.Request
	info, err := store.Describe(ctx, s.Packages, q.Object, q.VersionID)
	if err == nil && info.ETag == q.ETag || err != nil && !isGone(err) {
		return info, err
	}
	page, err := s.Packages.ListVersions(ctx, store.VersionOptions{Prefix: q.Object})
	if err != nil {
		return info, err
	}
	for _, v := range page.Versions {
		if v.Name == q.Object && v.ETag == q.ETag && v.VersionID != "" {
			return store.Describe(ctx, s.Packages, q.Object, v.VersionID)
		}
	}
	return info, store.Error(store.ErrNotFound, "find", s.Packages.Name(), q.Object, nil)
}

// SameVersion refuses a request whose request_id was given before for another version of the object: the id says that
// it is the same request, and a request is of one version. The sets of one request share the version.
func (f Fetcher) SameVersion(ctx context.Context, q intake.Request) error {
	if q.RequestID == "" || q.ETag == "" || q.PreviousRun() != "" || q.OncePer > 0 {
		return nil
	}
	etag := q.ETag
	q.ETag = ""
	if q.Parent != "" {
		q.ParameterSet = ""
	}
	first, err := f.Book.FirstVersion(ctx, q.Key(f.Book.Environment), etag)
	if err != nil || first == etag {
		return err
	}
	return problem.New(problem.Problem{
		Code: "request.differs", Where: "/request_id",
		Message: fmt.Sprintf("nothing ran: the same request came before, when %s had the ETag %s; it has been "+
			"replaced since, and has %s", q.Object, first, etag),
		Hint: "to run what is there now, give another request_id",
	}, nil)
}

// KeyOfEarlierVersion returns the key under which an earlier version of the executor accepted a request that goes back
// and is not done; "" if there is none. Such keys include neither the reason nor what is taken from the run.
func (f Fetcher) KeyOfEarlierVersion(ctx context.Context, q intake.Request) (string, error) {
	if q.PreviousRun() == "" {
		return "", nil
	}
	q.Slot, q.Parameters = q.WayBack()+" "+q.PreviousRun(), nil
	if f.Back != nil {
		q.Parameters = f.Back.Given
	}
	key := q.Key(f.Book.Environment)
	claimed, err := f.Book.Find(ctx, key)
	if err != nil || claimed == nil || claimed.State == claim.Done {
		return "", err
	}
	return key, nil
}
