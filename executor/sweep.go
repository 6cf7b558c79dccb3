package executor

import (
	"context"
	"errors"
	"strings"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/pipeline"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
)

// Bounds of one sweep.
const (
	sweepRequests = 200  // pending requests looked at
	sweepUploads  = 1000 // objects listed, or versions of them
	sweepHands    = 20   // requests handed to other invocations
)

// Swept is what a sweep has done.
type Swept struct {
	Status  evidence.Status `json:"status"` // success, or error where something could not be done
	Message string          `json:"message"`
	Open    int             `json:"open"`    // accepted requests that were looked at
	Waiting int             `json:"waiting"` // of those, the ones that are being done or wait for their turn
	Handed  int             `json:"handed"`  // requests that other invocations were asked to go on with
	Uploads int             `json:"uploads"` // objects, or versions of them, that were looked at
	Runs    []SweptRun      `json:"runs"`    // what came of those that were gone on with here
	// More says that work was left, or may be where no sweep has looked yet: another one soon is of use.
	More  bool            `json:"more"`
	Todo  int             `json:"todo,omitempty"` // runs that wait for something that follows their results
	Error *evidence.Error `json:"error,omitempty"`
}

// SweptRun is what came of one run.
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
	cut     bool                     // there was no time for the rest of what was to be looked at
	cursor  *claim.Cursor            // where this sweep has begun; nil: it is not read yet
	takings map[string]*claim.Taking // what was about to be done by others, by run key
}

// A schedule's sweep is detached and may have an hour, but the next one comes after a quarter of it: so long
// a sweep takes at most, and what it begins is leased for no longer, unless a package says that it needs more.
// While a synchronous call would still have time, it looks at page after page.
const (
	sweepTime = 15 * time.Minute
	callTime  = 5 * time.Minute // the longest synchronous call
)

// Bounds of sweeps in the time that an event's invocation has left.
const (
	spareTime  = 5 * time.Second
	spareEvery = 5 * time.Minute
)

// SweepInSpareTime sweeps for at most five seconds if no sweep has ended in the last five minutes. It
// runs nothing itself, but asks other invocations to; where there can be none it does nothing.
func (e *Executor) SweepInSpareTime(ctx context.Context, callID string) error {
	hard, bounded := ctx.Deadline()
	if e.Invoke == nil || bounded && time.Until(hard) < e.Reserve+steps.Grace+spareTime {
		return nil
	}
	spare, cancel := context.WithTimeout(ctx, spareTime)
	defer cancel()
	cursor, err := e.Book.Cursor(spare)
	if err != nil {
		return err
	}
	if age := e.Now().Sub(cursor.Swept); age >= 0 && age < spareEvery {
		return nil
	}
	w := e.begins(ctx)
	w.spare = true
	_, err = e.sweep(spare, w, callID)
	return err
}

// Sweep goes on with what other invocations left: requests that were accepted and are not done,
// queues, what follows a result, and uploads whose event never came. It looks at a bounded part of
// each, and the next sweep at the next; two at once do no harm. The error says what could not be
// done, the rest of the sweep notwithstanding.
func (e *Executor) Sweep(ctx context.Context, callID string) (Swept, error) {
	if hard, bounded := ctx.Deadline(); bounded && time.Until(hard) > sweepTime {
		shorter, cancel := context.WithTimeout(ctx, sweepTime)
		defer cancel()
		ctx = shorter
	}
	return e.sweep(ctx, e.begins(ctx), callID)
}

func (e *Executor) sweep(ctx context.Context, w *work, callID string) (Swept, error) {
	s := &sweeping{work: w, callID: callID, begun: time.Now(), swept: Swept{Runs: []SweptRun{}}}
	err := s.all(ctx)
	s.swept.Handed = s.handed
	s.swept.Status, s.swept.Message = evidence.StatusSuccess, s.remains()
	if err := errors.Join(append(s.failed, err)...); err != nil {
		described := problem.Of(err, problem.Problem{Code: "state.sweep", Message: "the sweep could not do all of its work", Hint: "see the function's log"})
		s.swept.Status, s.swept.Message, s.swept.Error = evidence.StatusError, described.Message(), evidence.NewError(described)
		return s.swept, err
	}
	e.Log.Info("swept", "open", s.swept.Open, "waiting", s.swept.Waiting, "handed", s.swept.Handed, "uploads", s.swept.Uploads, "runs", len(s.swept.Runs), "todo", s.swept.Todo, "more", s.swept.More)
	return s.swept, nil
}

// all does the sweep's work. Nothing of it is deferred: while the executor panics nothing else is begun.
func (s *sweeping) all(ctx context.Context) error {
	err := s.look(ctx)
	s.drain(ctx, s.callID)
	if err == nil {
		s.todos(ctx)
		s.suspects(ctx)
		s.drain(ctx, s.callID)
	}
	return err
}

// look goes on with what is open, and with uploads that nobody has claimed.
func (s *sweeping) look(ctx context.Context) error {
	watch, err := s.Watch(ctx, s.Now())
	if err != nil {
		return err
	}
	cursor, err := s.Book.Cursor(ctx)
	if err != nil {
		return err
	}
	s.cursor = cursor
	if !s.fits(0) {
		return s.NoTime(time.Time{})
	}
	s.lookAfterDeaths(ctx)
	for begins := true; begins || s.goesOn(); begins = false {
		if err := s.page(ctx, cursor, watch.Since, begins); err != nil {
			return err
		}
		s.remember(cursor)
		if err := cursor.Save(ctx); err != nil {
			return err
		}
	}
	return nil
}

// page looks at a page of the open requests and at one of the uploads, or at what is left of either.
func (s *sweeping) page(ctx context.Context, cursor *claim.Cursor, since time.Time, begins bool) error {
	requests := func() error {
		if begins || cursor.Open != "" {
			return s.requests(ctx, cursor)
		}
		return nil
	}
	uploads := func() error {
		if begins || cursor.Uploads != "" {
			return s.uploads(ctx, cursor, since)
		}
		return nil
	}
	if cursor.Open != "" {
		requests, uploads = uploads, requests // neither is to wait for ever for the other
	}
	if err := requests(); err != nil {
		return err
	}
	return uploads()
}

// goesOn reports whether this sweep looks at the next page itself.
func (s *sweeping) goesOn() bool {
	return s.swept.More && !s.cut && !s.spare && !s.killAt.IsZero() && time.Until(s.killAt) > callTime
}

// remember notes what the next sweep has to know, and says whether another one soon is of use. A bucket
// with more objects than one sweep looks at is no reason for that, as long as there are no more of them
// than when sweeps have last looked at all of it and found nothing.
func (s *sweeping) remember(cursor *claim.Cursor) {
	cursor.Found = cursor.Found || len(s.swept.Runs)+len(s.handOffs)+s.handed+len(s.failed) > 0
	whole := cursor.Open == "" && cursor.Uploads == ""
	s.swept.More = s.cut || !whole && (cursor.Found || cursor.Listed > cursor.Quiet)
	if whole {
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
	if s.handed > 0 {
		left = append(left, evidence.Counted(s.handed, "request")+" given to other invocations")
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

// requests looks at a page of the pending requests.
func (s *sweeping) requests(ctx context.Context, cursor *claim.Cursor) error {
	names, next, err := s.Book.ListPending(ctx, cursor.Open, sweepRequests)
	if err != nil {
		return err
	}
	cursor.Listed += len(names)
	for _, name := range names {
		if s.full(ctx) {
			cursor.Open, s.cut = name, true
			return nil
		}
		s.swept.Open++
		s.note(s.request(ctx, name))
	}
	cursor.Open = next
	return nil
}

// full reports whether the sweep has to leave the rest to the next one.
func (s *sweeping) full(ctx context.Context) bool {
	end, bounded := ctx.Deadline()
	return bounded && time.Until(end) < time.Second || !s.fits(0) || s.Invoke == nil && !s.fits(s.least) || len(s.handOffs)+s.handed >= sweepHands
}

func (s *sweeping) note(err error) {
	if err != nil {
		s.Log.Error("the sweep could not go on with something", "code", problem.CodeOf(err), "error", err.Error())
		s.failed = append(s.failed, err)
	}
}

// request goes on with one pending request, if no other invocation does.
func (s *sweeping) request(ctx context.Context, name string) error {
	held, err := s.Book.Find(ctx, claim.KeyOf(name))
	switch {
	case err != nil:
		return err
	case held == nil && s.takings[claim.KeyOf(name)] != nil:
		if s.takings[claim.KeyOf(name)].Busy(s.Now()) {
			s.swept.Waiting++
		}
		return nil // it comes last
	case held == nil:
	case held.State == claim.Done && name == held.Pending() && len(held.FollowUps) > 0:
		return s.Follower.Finish(ctx, held)
	case claim.AttemptOf(name) > held.Attempt: // the invocation that wanted to begin it died before
	case held.State == claim.Done, claim.AttemptOf(name) < held.Attempt:
		return s.Book.Delete(ctx, name)
	case !held.Expired(s.Now()), s.recent(held.Updated): // it may just have been handed over
		s.swept.Waiting++
		return nil
	case held.State == claim.Claimed && held.Group != "":
		if waits, err := s.waits(ctx, held); waits || err != nil {
			s.swept.Waiting++
			return err
		}
	case held.State == claim.Running && held.Group != "":
		s.released = append(s.released, held.Group) // once that run is ended
	}
	if s.mustHandOff(s.least) && (held == nil || !held.Died(s.Now())) {
		s.handOffs = append(s.handOffs, name)
		return nil
	}
	request, ok, err := s.reload(ctx, name, s.callID)
	if err != nil || !ok {
		return err
	}
	if held != nil && held.Died(s.Now()) {
		// It comes last. What is one set of a request comes with that.
		if s.takings[held.Key] == nil && !request.ForSet {
			s.takings[held.Key] = &claim.Taking{Environment: s.Environment, Key: held.Key, Pending: held.Pending(), Tries: 1}
		}
		return nil
	}
	var taking *claim.Taking
	if held == nil {
		if taking, err = s.taking(claim.KeyOf(name), name, request); err != nil {
			return err
		}
	}
	return s.take(ctx, taking, func() error {
		err := s.goOn(ctx, request)
		return errors.Join(err, s.removeUnread(ctx, name, err))
	})
}

// recent reports whether something is too new for a sweep in spare time, as what is under way need not
// be asked for twice.
func (s *sweeping) recent(t time.Time) bool { return s.spare && s.Now().Sub(t) < spareEvery }

// waits reports whether a run still has to wait for its group; if that is free, its first is started.
func (s *sweeping) waits(ctx context.Context, held *claim.Held) (bool, error) {
	g, err := s.Book.Group(ctx, held.Group)
	if err != nil {
		return false, err
	}
	if first := g.First(); first == nil || first.Key == held.Key {
		return g.Occupied(ctx, held.Key)
	}
	s.released = append(s.released, held.Group)
	return g.Waits(held.Key), nil
}

// goOn does what a request asks.
func (s *sweeping) goOn(ctx context.Context, request Request) error {
	results, err := s.serve(ctx, request)
	for _, r := range results {
		s.swept.Runs = append(s.swept.Runs, SweptRun{r.RunID, r.SourceObject, r.Status})
	}
	return err
}

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
		held, err := s.Book.Find(ctx, request.Key(s.Environment))
		if err != nil || held != nil {
			return held != nil, err
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
		Bucket: s.Packages.Name(), Object: v.Name, ETag: info.ETag, VersionID: info.VersionID, Caller: Caller{CallID: s.callID},
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
	if s.takings[key] != nil {
		return nil // it comes last
	}
	if s.mustHandOff(s.least) {
		return s.elsewhere(ctx, "", request) // it is accepted first, so that the other invocation finds it
	}
	taking, err := s.taking(key, "", request)
	if err != nil {
		return err
	}
	return s.take(ctx, taking, func() error { return s.goOn(ctx, request) })
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
