package executor

import (
	"context"
	"strings"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// Bounds of one sweep.
const (
	sweepRequests = 200  // pending requests looked at
	sweepUploads  = 1000 // objects listed, or versions of them
	sweepHandOffs = 20   // requests handed off
)

// Swept is what a sweep has done.
type Swept struct {
	Status  evidence.Status `json:"status"` // success, or error where something could not be done
	Message string          `json:"message"`
	Open    int             `json:"open"`    // pending requests that were looked at
	Waiting int             `json:"waiting"` // of those, the ones that are being served or wait for their turn
	Handed  int             `json:"handed"`  // requests handed off to other invocations
	Uploads int             `json:"uploads"` // objects, or versions of them, that were looked at
	Runs    []SweptRun      `json:"runs"`    // the runs that this sweep made
	// More says that work is left, or may be where no sweep has looked yet, so that another sweep soon is useful.
	More  bool            `json:"more"`
	Todo  int             `json:"todo,omitempty"` // runs that wait for something that follows their results
	Error *evidence.Error `json:"error,omitempty"`
}

// SweptRun is how one run ended.
type SweptRun struct {
	RunID  string          `json:"run_id"`
	Object string          `json:"object"`
	Status evidence.Status `json:"status"`
}

// sweeping is one sweep under way.
type sweeping struct {
	*work
	callID  string
	begun   time.Time
	swept   Swept
	failed  []error
	cut     bool                     // the time ended before everything was looked at
	cursor  *claim.Cursor            // where this sweep began; nil: not read yet
	intents map[string]*claim.Intent // of other invocations, by run key
}

// A scheduled sweep is detached and may have an hour, but the next one comes after a quarter of it. So a sweep takes
// no longer than that, and its leases are no longer, unless a package says that it needs more. It looks at further
// pages as long as more time is left than a synchronous call can have.
const (
	sweepTime = 15 * time.Minute
	callTime  = 5 * time.Minute // the longest synchronous call
)

// Bounds of sweeps in the spare time of an event's invocation.
const (
	spareTime  = 5 * time.Second
	spareEvery = 5 * time.Minute
)

// readsNextPage reports whether this sweep looks at the next page itself.
func (s *sweeping) readsNextPage() bool {
	return s.swept.More && !s.cut && !s.handOffOnly && !s.killAt.IsZero() && time.Until(s.killAt) > callTime
}

// remember notes in the cursor what the next sweep has to know, and decides whether another one soon is useful. That a
// bucket has more objects than one sweep looks at is no reason for that, as long as it has no more than when sweeps
// last looked at all of them and found nothing.
func (s *sweeping) remember(cursor *claim.Cursor) {
	cursor.Found = cursor.Found || len(s.swept.Runs)+len(s.handOffs)+s.handedOff+len(s.failed) > 0
	listedAll := cursor.Open == "" && cursor.Uploads == ""
	s.swept.More = s.cut || !listedAll && (cursor.Found || cursor.Listed > cursor.Quiet)
	if listedAll {
		if cursor.Quiet = cursor.Listed; cursor.Found {
			cursor.Quiet = 0
		}
		cursor.Listed, cursor.Found = 0, false
	}
	cursor.Swept = s.Now()
}

// remains says what is left.
func (s *sweeping) remains() string {
	var left []string
	if n := s.swept.Waiting; n > 0 {
		left = append(left, evidence.Counted(n, "accepted request")+" not done yet: it runs, or waits for its turn")
		if n > 1 {
			left[0] = evidence.Counted(n, "accepted request") + " not done yet: they run, or wait for their turn"
		}
	}
	if s.handedOff > 0 {
		left = append(left, evidence.Counted(s.handedOff, "request")+" given to other invocations")
	}
	if n := s.swept.Todo; n > 0 {
		left = append(left, "what follows the result is left of "+evidence.Counted(n, "run"))
	}
	switch {
	case s.cut:
		left = append(left, "there was no time to look at the rest, with which the next sweep goes on")
	case s.swept.More:
		left = append(left, "the next sweep looks at the rest of the requests and uploads")
	case len(left) == 0:
		return "nothing is left where this sweep looked"
	}
	return strings.Join(left, "; ")
}

// full reports whether the sweep has to leave the rest to the next one.
func (s *sweeping) full(ctx context.Context) bool {
	end, bounded := ctx.Deadline()
	return bounded && time.Until(end) < time.Second || !s.fits(0) || s.Invoke == nil && !s.fits(s.defaultNeed) ||
		len(s.handOffs)+s.handedOff >= sweepHandOffs
}

func (s *sweeping) note(err error) {
	if err != nil {
		s.Log.Error("a part of the sweep has failed", "code", problem.CodeOf(err), "error", err.Error())
		s.failed = append(s.failed, err)
	}
}

// recent reports whether something is too new for a sweep in spare time: an invocation may be on its way to it.
func (s *sweeping) recent(t time.Time) bool { return s.handOffOnly && s.Now().Sub(t) < spareEvery }

// serveRequest serves a request and notes the runs that it made.
func (s *sweeping) serveRequest(ctx context.Context, request Request) error {
	results, err := s.serve(ctx, request)
	for _, r := range results {
		s.swept.Runs = append(s.swept.Runs, SweptRun{r.RunID, r.SourceObject, r.Status})
	}
	return err
}

// acceptAndHandOff hands a request off to an invocation of its own, and accepts it before if it is not pending yet.
func (s *sweeping) acceptAndHandOff(ctx context.Context, pending string, request Request) error {
	if pending == "" {
		pending = unreadPending(request, s.Environment)
		if _, err := s.Later(ctx, request); err != nil {
			return err
		}
	}
	s.handOffs = append(s.handOffs, pending)
	return nil
}
