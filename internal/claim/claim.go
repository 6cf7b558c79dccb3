// Package claim keeps what runs have to know of each other, in the state bucket. Every
// document is JSON with a schema version and changed by conditional writes only, so that
// of two writers one has to look again.
//
//	open/<environment>/<key>-<attempt>.json  a pending request: it was accepted and is not done
//	claims/<environment>/<key>.json          who does what a run key means, and how far it is
//	groups/<environment>/<group>.json        who runs in a concurrency group, and who waits
//	packages/<environment>/<name>.json       what ran of a package in an environment
//	watch.json                               since when uploads are looked after
//	sweep/<environment>.json                 where the next sweep goes on
//	taking/<environment>/<key>.json          that somebody is about to go on with a request that has no claim
//	todo/<environment>/<run_id>.json         what is left to be done for a run that has a result
//	clock/<environment>.json                 written to compare clocks; says nothing
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
	"regexp"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// State is how far what a key means has come.
type State string

// The states of a claim, in their order.
const (
	Claimed State = "claimed" // nothing has started
	Running State = "running" // the first step may have started
	Done    State = "done"    // there is a result, or one for each set
)

// Claim is who does what a run key means. Its run id is fixed by the first who claims.
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
	// Lease is until when nobody else may take the claim over; zero: it was released.
	Lease time.Time `json:"lease"`
	// Holder names the invocation that has the lease, anew each time.
	Holder string `json:"holder"`
	Tried
	// Sets are the parameter sets that the request stands for, each with a claim of its own.
	Sets []string `json:"sets,omitempty"`
	// Repeatable says that the package may run again after it was interrupted.
	Repeatable bool `json:"repeatable,omitempty"`
	// Group is the concurrency group that the run holds, or waits for.
	Group string `json:"group,omitempty"`
	// Applies is what the run applies, for the package's record. Content is its key, and all that
	// earlier versions noted.
	Applies *Entry `json:"applies,omitempty"`
	Content string `json:"content,omitempty"`
	// Pinned is the SHA-256 of the zip that the first step of any attempt was begun with: from then on
	// the request is of those bytes.
	Pinned string `json:"pinned_sha256,omitempty"`
	// Uploaded is when the package's object was written, whatever is under its name by now.
	Uploaded time.Time `json:"uploaded,omitzero"`
	// Checkpoint is the result as it would be if the holder died now.
	Checkpoint json.RawMessage `json:"frame,omitempty"`
	Created    time.Time       `json:"created"`
	Updated    time.Time       `json:"updated"`
}

// Outcome is how a run that is done has ended.
type Outcome struct {
	Status string `json:"status,omitempty"` // of the result
	// Result is the SHA-256 of the result; empty where that is not known.
	Result string `json:"result_sha256,omitempty"`
	// FollowUps are what follows the result and could not be done yet.
	FollowUps []string `json:"pending,omitempty"`
}

// Tried is what came of holding the claim before anything was started.
type Tried struct {
	// Tries counts the holders that died, or failed.
	Tries int `json:"tries,omitempty"`
	// LastError is how the last try ended of which that is known; it stays until there is a next one.
	LastError *problem.Problem `json:"last_error,omitempty"`
}

// MaxSkew is how far clocks may be apart.
const MaxSkew = 10 * time.Second

// maxLease bounds a lease: no invocation is as long.
const maxLease = 30 * time.Hour

// Expired reports whether the invocation that held the claim must have ended.
func (c Claim) Expired(now time.Time) bool { return c.State != Done && now.After(c.Lease.Add(MaxSkew)) }

// Died reports whether the invocation that held the claim died before anything was started under it.
func (c Claim) Died(now time.Time) bool {
	return c.State == Claimed && !c.Lease.IsZero() && c.Expired(now)
}

// Change is what the run applies, as far as it is known; nil: nothing.
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

// MayRepeat reports whether a run that was interrupted is to be tried again: its package has to be repeatable, and
// a request is tried a limited number of times.
func (c Claim) MayRepeat(attempts int) bool { return c.Repeatable && c.Attempt < attempts }

// Held is a claim as it is in the state bucket, which its holder may change.
type Held struct {
	Claim
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

// OfRun reads the claim of a run, by its id; nil where no claim is of that run any more.
func (b Book) OfRun(ctx context.Context, runID string) (*Held, error) {
	match := runKey.FindStringSubmatch(runID)
	if match == nil {
		return nil, nil //nolint:nilnil // it is nobody's
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

// plausible refuses a lease that no holder can have written: what it protects would wait for ever.
func plausible(state store.Bucket, where string, lease, now time.Time) error {
	if lease.Before(now.Add(maxLease)) {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "state.lease", Where: state.Name() + "/" + where, Message: "the record is leased until " + lease.Format(time.RFC3339) + ", longer than any run lasts",
		Hint: "find out who wrote it; set its lease to a time that has passed if nothing runs",
	}, nil)
}

// Finding is what Acquire found.
type Finding int

const (
	// Acquired: the claim is new, and one's own.
	Acquired Finding = iota + 1
	// TakenOver: the claim is one's own now. Its holder before had started nothing, but may have stored a result.
	TakenOver
	// Died: the claim is of a run whose holder died after a step may have started. That run has to be ended first.
	Died
	// Theirs: the claim is another's, who holds it or is done.
	Theirs
)

// Acquire claims the key of c until a lease ends, which lease tells each time anew. A clock that is too far from
// the store's is refused, as leases would not hold.
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
		return h, Died, nil
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

// create makes the claim of a key; mine is false if there is one, which is returned then.
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
				_ = h.Release(ctx, false, nil) // else its lease ends
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

// takeOver makes an expired claim under which nothing was started one's own. False: somebody else was first.
func (h *Held) takeOver(ctx context.Context, lease time.Time) (bool, error) {
	next := h.Claim
	if !h.Lease.IsZero() {
		next.Tries++ // its holder died
	}
	next.Lease, next.Holder, next.Updated = lease, rand.Text(), h.book.now()
	return h.swap(ctx, next)
}

// Start is what is noted right before a step.
type Start struct {
	Lease      time.Time
	Group      string // that the run holds
	Applies    *Entry // nil: the run applies nothing
	SHA256     string // of the zip
	Checkpoint []byte // the result as it would be if the step were the last thing to happen
}

// Progress notes that a step is about to start. False: the claim is no longer one's own, and nothing
// may be started.
func (h *Held) Progress(ctx context.Context, s Start) (bool, error) {
	now := h.book.now()
	return h.amend(ctx, func(next *Claim) {
		next.State, next.Lease, next.Group, next.Checkpoint, next.Updated = Running, s.Lease, s.Group, s.Checkpoint, now
		next.applies(s.Applies)
		if next.Pinned == "" {
			next.Pinned = s.SHA256
		}
	})
}

// Join notes the group in whose queue the run is about to be. False: the claim is no longer one's own.
func (h *Held) Join(ctx context.Context, group string) (bool, error) {
	if h.Group == group {
		return true, nil
	}
	next := h.Claim
	next.Group, next.Updated = group, h.book.now()
	return h.swap(ctx, next)
}

// FollowQueue is the follow-up of a run that ended without its turn, and could not be taken out of its group's
// queue.
const FollowQueue = "queue"

// End is how a run has ended, and what it has applied; nil: nothing.
type End struct {
	Outcome
	Applies *Entry
}

// Conclude notes how the run has ended, and removes its pending request once nothing is left to follow the
// result. A run that ends without its turn is taken out of its group's queue first. False: the claim is no longer
// one's own.
func (h *Held) Conclude(ctx context.Context, end End) (bool, error) {
	if h.Group != "" && (h.State == Claimed || slices.Contains(h.FollowUps, FollowQueue)) {
		if err := h.unqueue(ctx); err != nil {
			h.book.Log.Warn("a run that has ended could not be taken out of its queue", "group", h.Group, "error", err.Error())
			end.FollowUps = append(end.FollowUps, FollowQueue)
		}
	}
	next := h.Claim
	next.State, next.Outcome, next.Checkpoint = Done, end.Outcome, nil
	next.Updated = h.book.now()
	next.applies(end.Applies)
	ok, err := h.swap(ctx, next)
	if ok && len(end.FollowUps) == 0 {
		h.book.Remove(ctx, h.Pending())
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

// NextAttempt makes a claim that is done one's own for the next attempt of the run. The attempt's pending request
// is stored before that. False: somebody else was first.
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

// AcceptNext stores the pending request of the run's next attempt, before the attempt that died is concluded, so
// that the next one is not forgotten.
func (h *Held) AcceptNext(ctx context.Context) error {
	p, err := h.book.Pending(ctx, h.Pending())
	if err != nil || p == nil {
		return err
	}
	_, err = h.book.Accept(ctx, PendingName(h.Key, h.Attempt+1), p.Request)
	return err
}

// Release gives up a claim under which nothing was started, so that it can be acquired again; counted counts a
// try, and last, if not nil, is why. A claim that is no longer one's own stays as it is.
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

// CountFailure counts a failed try of a key that nobody holds, and keeps why it failed.
func (b Book) CountFailure(ctx context.Context, key string, last *problem.Problem) error {
	held, err := b.Find(ctx, key)
	if err != nil || held == nil || held.State != Claimed || !held.Lease.IsZero() {
		return err
	}
	return held.Release(ctx, true, last)
}

// amend changes a claim as long as it is one's own. A change that this process made itself, in an attempt whose
// answer was lost, is no other's. False: the claim is another's, or done.
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

// swap writes the claim as it is to be, if it is still as it was read.
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
