package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// Current refuses an upload that has been replaced or deleted before its request begins. Once the request has begun, or
// if it goes back or names an old version, its bytes are fixed; but a later attempt or set of it must not replace what
// a later upload has applied. The history is the package's record.
func (f Fetcher) Current(ctx context.Context, found Found, history *claim.Package) error {
	s, q := &search{f, found}, found.Request
	if q.VersionNamed {
		return nil // it was requested whatever was uploaded since
	}
	latest := history.Latest(q.ParameterSet)
	if q.Pinned != "" && q.PreviousRun() == "" && latest != nil && latest.Object == q.Object &&
		latest.Uploaded.After(found.Created) {
		return s.stale("run "+latest.RunID+" has begun with a later upload of it", nil)
	}
	if q.Pinned != "" || q.Trigger.Kind == intake.TriggerCLI {
		return nil
	}
	return s.stillThere(ctx)
}

// staleNow returns the error for an object that changed after the trigger, with what is there now.
func (s *search) staleNow(ctx context.Context) error {
	if err := s.stillThere(ctx); err != nil {
		return err
	}
	return s.stale("the version that was asked for is gone", nil)
}

// stillThere refuses an object whose newest version is not the one that the request is for.
func (s *search) stillThere(ctx context.Context) error {
	info, err := s.Packages.Head(ctx, s.Request.Object)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.stale("it has been deleted", err)
	case err != nil:
		return err
	case info.ETag != s.Request.ETag:
		return s.stale(fmt.Sprintf("it has been replaced, by an upload of %s with the ETag %s",
			info.Created.UTC().Format(time.RFC3339), info.ETag), nil)
	}
	return nil
}

func (s *search) stale(why string, cause error) error {
	return problem.New(problem.Problem{
		Code: "trigger.stale", Where: s.Request.Object,
		Message: "nothing ran: the object is no longer what was to be run; " + why,
		Hint: "what is there now has an event of its own; to run an earlier version, name its version_id in a " +
			"request by hand",
	}, cause)
}
