// Package claim keeps, in the state bucket, what runs must know about each other. Every document is JSON with a
// schema version and is changed by conditional writes only: of two concurrent writers, one fails and reads the
// document again.
//
//	open/<environment>/<key>-<attempt>.json  a pending request: accepted and not done
//	claims/<environment>/<key>.json          who executes a run key, and how far that is
//	groups/<environment>/<group>.json        who runs in a concurrency group, and who waits
//	packages/<environment>/<name>.json       what ran of a package in an environment
//	watch.json                               since when sweeps look for uploads that did not run
//	sweep/<environment>.json                 where the next sweep goes on
//	taking/<environment>/<key>.json          an invocation is about to go on with a request that has no claim
//	requests/<environment>/<key>.json        the version that a request with a request_id was of
//	todo/<environment>/<run_id>.json         the follow-ups that are left of a run with a result
//	progress/<environment>/<run_id>.json     how far a run is, and whether it is to be cancelled
//	runners/<environment>/<label>.json       what a runner found of itself when it was last probed
//	clock/<environment>.json                 written to compare clocks; its contents do not matter
//
// A pending request is stored before its claim, and removed when nothing is left to be done for it: listing the
// pending requests finds everything that an invocation may have left. No listing here depends on how much ran
// before.
//
// A document that cannot be read, or that a newer version wrote, stops every run that needs it (state.corrupt,
// state.newer): nothing runs on a guess, and nothing is overwritten.
package claim

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// State is how far the work for a run key has progressed.
type State string

// The states of a claim, in their order.
const (
	Claimed State = "claimed" // nothing has started
	Running State = "running" // the first step may have started
	Done    State = "done"    // there is a result, or one for each set
)

// Claim says who executes a run key, and how far that is. The first claim fixes the run id.
type Claim struct {
	header
	Key         string `json:"key"` // SHA-256, hexadecimal
	Environment string `json:"environment"`
	Object      string `json:"object"`
	Package     string `json:"package"`
	RunID       string `json:"run_id"`
	Attempt     int    `json:"attempt"`
	State       State  `json:"state"`
	Outcome
	// Lease is the time until which nobody else may take the claim over; zero once it was released.
	Lease time.Time `json:"lease"`
	// Holder names the invocation that holds the lease; it is a new random text each time.
	Holder string `json:"holder"`
	Tried
	// Sets are the parameter sets that the request stands for, each with a claim of its own.
	Sets []string `json:"sets,omitempty"`
	// Repeatable says that the package may run again after it was interrupted.
	Repeatable bool `json:"repeatable,omitempty"`
	// Group is the concurrency group that the run is in, or waits for.
	Group string `json:"group,omitempty"`
	// Applies is what the run applies, for the package's record. Content is the key of that; earlier versions stored
	// nothing else.
	Applies *Entry `json:"applies,omitempty"`
	Content string `json:"content,omitempty"`
	// Pinned is the SHA-256 of the zip with which the first step of any attempt began. Later attempts must use the
	// same bytes.
	Pinned string `json:"pinned_sha256,omitempty"`
	// Uploaded is when the package's object was written, even if the object has been replaced since.
	Uploaded time.Time `json:"uploaded,omitzero"`
	Underway
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// Underway is what another invocation needs, should the holder of a running claim die.
type Underway struct {
	// Apart says where the steps run; nil: where the executor does.
	Apart *Apart `json:"apart,omitempty"`
	// Checkpoint is the result as it would be if the holder died now.
	Checkpoint json.RawMessage `json:"frame,omitempty"`
}

// Outcome is how a finished run ended.
type Outcome struct {
	Status string `json:"status,omitempty"` // of the result
	// Result is the SHA-256 of the result; empty if unknown.
	Result string `json:"result_sha256,omitempty"`
	// FollowUps are the follow-ups of the result that could not be done yet.
	FollowUps []string `json:"pending,omitempty"`
}

// Tried counts what went wrong while the claim was held, before anything was started.
type Tried struct {
	// Tries counts the holders that died or failed.
	Tries int `json:"tries,omitempty"`
	// LastError is the last failure that is known. It stays until the next one.
	LastError *problem.Problem `json:"last_error,omitempty"`
}

// MaxSkew is how far clocks may be apart.
const MaxSkew = 10 * time.Second

// maxLease bounds a lease; no invocation runs that long.
const maxLease = 30 * time.Hour

// Expired reports whether the lease has ended, so that the invocation that held it must have ended too.
func (c Claim) Expired(now time.Time) bool { return c.State != Done && now.After(c.Lease.Add(MaxSkew)) }

// DiedBeforeStart reports whether the claim's holder died before it started anything.
func (c Claim) DiedBeforeStart(now time.Time) bool {
	return c.State == Claimed && !c.Lease.IsZero() && c.Expired(now)
}

// Change is what the run applies, as far as known; nil: nothing.
func (c Claim) Change() *Entry {
	if c.Applies == nil && c.Content != "" {
		return &Entry{Key: c.Content}
	}
	return c.Applies
}

// applies notes what the run applies.
func (c *Claim) applies(e *Entry) {
	if c.Applies, c.Content = e, ""; e != nil {
		c.Content = e.Key
	}
}

// Pending is the name of the claim's pending request.
func (c Claim) Pending() string { return PendingName(c.Key, c.Attempt) }

// MayRepeat reports whether an interrupted run may be tried again: its package must be repeatable, and the number of
// attempts is limited.
func (c Claim) MayRepeat(attempts int) bool { return c.Repeatable && c.Attempt < attempts }

// TriesLeft refuses a run that failed too often before its first step.
func (c Claim) TriesLeft(attempts int) error {
	if c.Tries < attempts {
		return nil
	}
	message := fmt.Sprintf("the run was tried %d times, and each time it failed or was ended before its first step",
		c.Tries)
	if c.LastError != nil {
		message += "; the last error was: " + c.LastError.String()
	}
	return problem.New(problem.Problem{
		Code: "state.attempts", Where: c.RunID, Message: message,
		Hint: "see the function's log of the earlier calls; then send rerun_of with a reason",
	}, nil)
}

// Held is a claim as stored in the state bucket, with the ETag that lets its holder change it.
type Held struct {
	Claim
	// Watched says that the run may have a progress document, which goes when its pending request does.
	Watched bool

	book Book
	etag string
}

func claimObject(environment, key string) string {
	return "claims/" + environment + "/" + key + ".json"
}

// Find reads the claim of a key; nil if nobody has claimed it.
func (b Book) Find(ctx context.Context, key string) (*Held, error) {
	h := &Held{book: b}
	where := claimObject(b.Environment, key)
	etag, err := load(ctx, b.State, where, &h.Claim)
	if err != nil || etag == "" {
		return nil, err
	}
	known := h.State == Claimed || h.State == Running || h.State == Done
	if h.Key != key || h.Environment != b.Environment || !known || h.Attempt < 1 || h.RunID == "" && h.Sets == nil {
		return nil, corrupt(b.State, where, nil)
	}
	if err := plausible(b.State, where, h.Lease, b.now()); err != nil {
		return nil, err
	}
	h.etag = etag
	return h, nil
}

// OfRun reads the claim of the run with this id; nil if there is none any more.
func (b Book) OfRun(ctx context.Context, runID string) (*Held, error) {
	match := runKey.FindStringSubmatch(runID)
	if match == nil {
		return nil, nil //nolint:nilnil // the id names no run
	}
	prefix := "claims/" + b.Environment + "/"
	page, err := b.State.List(ctx, store.ListOptions{Prefix: prefix + match[1], Limit: 10})
	if err != nil {
		return nil, err
	}
	for _, o := range page.Objects {
		held, err := b.Find(ctx, strings.TrimSuffix(strings.TrimPrefix(o.Name, prefix), ".json"))
		if err != nil || held != nil && held.RunID == runID {
			return held, err
		}
	}
	return nil, nil //nolint:nilnil // there is none
}

// runKey finds the beginning of the run key in a run id.
var runKey = regexp.MustCompile(`-([0-9a-f]{12})(-[0-9]+)?$`)

// plausible refuses a lease that no holder can have written, because others would wait for it forever.
func plausible(state store.Bucket, where string, lease, now time.Time) error {
	if lease.Before(now.Add(maxLease)) {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "state.lease", Where: state.Name() + "/" + where,
		Message: "the record is leased until " + lease.Format(time.RFC3339) + ", longer than any run lasts",
		Hint:    "find out who wrote it; set its lease to a time that has passed if nothing runs",
	}, nil)
}

// Finding is what Acquire found.
type Finding int

const (
	// Acquired: the claim is new, and the caller holds it.
	Acquired Finding = iota + 1
	// TakenOver: the caller now holds the claim. The previous holder had started nothing, but may have stored a
	// result.
	TakenOver
	// DiedRunning: the claim's holder died after a step may have started. That run must be ended first.
	DiedRunning
	// Theirs: another run holds the claim, or has concluded it.
	Theirs
)

// Acquire claims the key of c until the lease ends; lease is called anew for each write. It refuses a clock that
// differs too much from the store's, because leases would not hold.
func (b Book) Acquire(ctx context.Context, c Claim, lease func() time.Time) (*Held, Finding, error) {
	c.Lease = lease()
	h, mine, err := b.create(ctx, c)
	switch {
	case err != nil:
		return nil, 0, err
	case mine:
		return h, Acquired, nil
	case !h.Expired(b.now()):
		return h, Theirs, nil
	}
	if err := b.CheckClock(ctx); err != nil {
		return nil, 0, err
	}
	if h.State == Running {
		return h, DiedRunning, nil
	}
	ok, err := h.takeOver(ctx, lease())
	if err != nil {
		return nil, 0, err
	}
	if !ok {
		return h, Theirs, nil
	}
	return h, TakenOver, nil
}

// create creates the claim of a key. If the key is already claimed, it returns that claim, and mine is false.
func (b Book) create(ctx context.Context, c Claim) (h *Held, mine bool, err error) {
	before := b.now()
	c.Environment, c.State, c.Attempt, c.Holder = b.Environment, Claimed, 1, rand.Text()
	c.Created, c.Updated = before, before
	h = &Held{Claim: c, book: b}
	where := claimObject(c.Environment, c.Key)
	for range attempts {
		info, err := write(ctx, b.State, where, "", &h.Claim)
		if err == nil {
			h.etag = info.ETag
			if err = inTime(info.Created, before, b.now()); err != nil {
				_ = h.Release(ctx, false, nil) // otherwise the lease runs out
			}
			return h, true, err
		}
		if !lostRace(err) {
			return nil, false, err
		}
		found, err := b.Find(ctx, c.Key)
		if err != nil || found != nil {
			return found, found != nil && found.Holder == c.Holder, err
		}
	}
	return nil, false, conflict(b.State, where, nil)
}

// takeOver takes over an expired claim under which nothing was started. It returns false if another invocation was
// first.
func (h *Held) takeOver(ctx context.Context, lease time.Time) (bool, error) {
	next := h.Claim
	if !h.Lease.IsZero() {
		next.Tries++ // its holder died
	}
	next.Lease, next.Holder, next.Updated = lease, rand.Text(), h.book.now()
	return h.swap(ctx, next)
}

// TakeOver takes over a claim of a run that waits for another invocation, so that none begins it. It returns false if
// somebody else has changed the claim.
func (h *Held) TakeOver(ctx context.Context, lease time.Time) (bool, error) {
	if !h.Lease.IsZero() { // it may only look expired
		if err := h.book.CheckClock(ctx); err != nil {
			return false, err
		}
	}
	return h.takeOver(ctx, lease)
}

// Start is what the claim notes right before a step.
type Start struct {
	Lease      time.Time
	Group      string // the group that the run is in
	Applies    *Entry // nil: the run applies nothing
	SHA256     string // of the zip
	Checkpoint []byte // the result as it would be if the executor died during the step
	Apart      *Apart // nil: the step runs where the executor does
}

// Progress notes that a step is about to start. It returns false if the caller no longer holds the claim; then
// nothing may be started.
func (h *Held) Progress(ctx context.Context, s Start) (bool, error) {
	now := h.book.now()
	return h.amend(ctx, func(next *Claim) {
		next.State, next.Lease, next.Group, next.Checkpoint, next.Updated = Running, s.Lease, s.Group, s.Checkpoint, now
		next.Apart = s.Apart
		next.applies(s.Applies)
		if next.Pinned == "" {
			next.Pinned = s.SHA256
		}
	})
}

// Join notes the group whose queue the run is about to enter. It returns false if the caller no longer holds the
// claim.
func (h *Held) Join(ctx context.Context, group string) (bool, error) {
	if h.Group == group {
		return true, nil
	}
	next := h.Claim
	next.Group, next.Updated = group, h.book.now()
	return h.swap(ctx, next)
}

// FollowQueue is the follow-up of a run that ended while waiting and could not be removed from its group's queue.
const FollowQueue = "queue"

// End is how a run ended, and what it applied; nil: nothing.
type End struct {
	Outcome
	Applies *Entry
}

// Conclude notes how the run ended, and removes its pending request if no follow-up is left. A run that ended while
// waiting is first removed from its group's queue. Conclude returns false if the caller no longer holds the claim.
func (h *Held) Conclude(ctx context.Context, end End) (bool, error) {
	if h.Group != "" && (h.State == Claimed || slices.Contains(h.FollowUps, FollowQueue)) {
		if err := h.unqueue(ctx); err != nil {
			h.book.Log.Warn("a run that has ended could not be taken out of its queue", "group", h.Group,
				"error", err.Error())
			end.FollowUps = append(end.FollowUps, FollowQueue)
		}
	}
	next := h.Claim
	next.State, next.Outcome, next.Checkpoint, next.Apart = Done, end.Outcome, nil, nil
	next.Updated = h.book.now()
	next.applies(end.Applies)
	ok, err := h.swap(ctx, next)
	if ok && len(end.FollowUps) == 0 {
		h.book.Remove(ctx, h.Pending())
		if h.Watched {
			h.book.Progress().Remove(ctx, h.RunID)
		}
	}
	return ok, err
}

func (h *Held) unqueue(ctx context.Context) error {
	g, err := h.book.Group(ctx, h.Group)
	if err == nil {
		_, err = g.Forget(ctx, h.Key)
	}
	return err
}

// NextAttempt acquires a concluded claim for the run's next attempt, whose pending request it stores first. It
// returns false if another invocation was first.
func (h *Held) NextAttempt(ctx context.Context, request []byte, lease func() time.Time, runID string) (bool, error) {
	if _, err := h.book.Accept(ctx, PendingName(h.Key, h.Attempt+1), request); err != nil {
		return false, err
	}
	next := h.Claim
	next.State, next.Outcome, next.Tried, next.Attempt, next.RunID = Claimed, Outcome{}, Tried{}, h.Attempt+1, runID
	next.Lease, next.Holder, next.Group, next.Updated = lease(), rand.Text(), "", h.book.now()
	next.applies(nil)
	return h.swap(ctx, next)
}

// AcceptNext stores the pending request of the run's next attempt. It is called before the interrupted attempt is
// concluded, so that the next one cannot be forgotten.
func (h *Held) AcceptNext(ctx context.Context) error {
	p, err := h.book.Pending(ctx, h.Pending())
	if err != nil || p == nil {
		return err
	}
	_, err = h.book.Accept(ctx, PendingName(h.Key, h.Attempt+1), p.Request)
	return err
}

// Release gives up a claim under which nothing was started, so that it can be acquired again. It counts a try if
// counted is set, and notes last, if not nil, as the reason. It does nothing if the caller no longer holds the claim.
func (h *Held) Release(ctx context.Context, counted bool, last *problem.Problem) error {
	now := h.book.now()
	_, err := h.amend(ctx, func(next *Claim) {
		if counted {
			next.Tries++
		}
		if last != nil {
			next.LastError = last
		}
		next.State, next.Lease, next.Checkpoint, next.Updated = Claimed, time.Time{}, nil, now
	})
	return err
}

// CountFailure counts a failed try of a key that nobody holds, and notes why it failed.
func (b Book) CountFailure(ctx context.Context, key string, last *problem.Problem) error {
	held, err := b.Find(ctx, key)
	if err != nil || held == nil || held.State != Claimed || !held.Lease.IsZero() {
		return err
	}
	return held.Release(ctx, true, last)
}

// amend changes a claim that the caller holds; it recognises its own earlier write whose answer was lost. It returns
// false if another invocation holds the claim, or the claim is concluded.
func (h *Held) amend(ctx context.Context, change func(*Claim)) (bool, error) {
	mine := h.Holder
	for range attempts {
		next := h.Claim
		change(&next)
		if ok, err := h.swap(ctx, next); ok || err != nil {
			return ok, err
		}
		found, err := h.book.Find(ctx, h.Key)
		if err != nil || found == nil || found.Holder != mine || found.State == Done {
			return false, err
		}
		*h = *found
	}
	return false, conflict(h.book.State, claimObject(h.Environment, h.Key), nil)
}

// swap writes the claim if the stored one is unchanged since it was read; otherwise it returns false.
func (h *Held) swap(ctx context.Context, next Claim) (bool, error) {
	info, err := write(ctx, h.book.State, claimObject(h.Environment, h.Key), h.etag, &next)
	switch {
	case err == nil:
		h.Claim, h.etag = next, info.ETag
		return true, nil
	case lostRace(err):
		return false, nil
	}
	return false, err
}
