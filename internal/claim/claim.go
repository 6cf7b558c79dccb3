// Package claim keeps what runs have to know of each other, in the state bucket. Every
// document is JSON with a schema version and changed by conditional writes only, so that
// of two writers one has to look again.
//
//	open/<environment>/<key>-<attempt>.json  a request that was accepted and is not done
//	claims/<environment>/<key>.json          who does what a run key means, and how far it is
//	groups/<environment>/<group>.json        who runs in a concurrency group, and who waits
//	packages/<environment>/<name>.json       what ran of a package in an environment
//	watch.json                               since when uploads are looked after
//	sweep/<environment>.json                 where the next sweep goes on
//	taking/<environment>/<key>.json          that somebody is about to go on with a request that has no claim
//	todo/<environment>/<run_id>.json         what is left to be done for a run that has a result
//	clock/<environment>.json                 written to compare clocks; says nothing
//
// The mark under open/ is there before the claim, and goes when nothing is left to be done:
// whoever lists the marks finds everything that an invocation may have left. Nothing here
// depends on how much ran before.
//
// A document that cannot be read, or was written by a newer version, stops whoever needs
// it (state.corrupt, state.newer): nothing runs on a guess, and nothing is overwritten.
package claim

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"regexp"
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
	Status      string `json:"status,omitempty"` // of the result, when done
	// Result is the SHA-256 of the result, when done; empty where that is not known.
	Result string `json:"result_sha256,omitempty"`
	// Lease is until when nobody else may take the claim over; zero: it was given back.
	Lease time.Time `json:"lease"`
	// Holder is whoever has the lease, new each time.
	Holder string `json:"holder"`
	// Tries counts the holders that died, or failed, before anything was started.
	Tries int `json:"tries,omitempty"`
	// LastError is how the last try ended of which that is known; it stays until there is a next one.
	LastError *problem.Problem `json:"last_error,omitempty"`
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
	// Frame is the result as it would be if the holder died now.
	Frame json.RawMessage `json:"frame,omitempty"`
	// Pending is what follows the result and could not be done yet.
	Pending []string  `json:"pending,omitempty"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// MaxSkew is how far clocks may be apart.
const MaxSkew = 10 * time.Second

// maxLease bounds a lease: no invocation is as long.
const maxLease = 30 * time.Hour

// Expired reports whether whoever held the claim must have ended.
func (c Claim) Expired(now time.Time) bool { return c.State != Done && now.After(c.Lease.Add(MaxSkew)) }

// Died reports whether whoever held the claim died before anything was started under it.
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

// Mark is the name of the claim's mark under open/.
func (c Claim) Mark() string { return MarkName(c.Key, c.Attempt) }

// Held is a claim as it is in the state bucket, which its holder may change.
type Held struct {
	Claim
	state store.Bucket
	etag  string
}

func claimObject(environment, key string) string {
	return "claims/" + environment + "/" + key + ".json"
}

// Find reads the claim of a key; nil if nobody has claimed it.
func Find(ctx context.Context, state store.Bucket, environment, key string, now time.Time) (*Held, error) {
	h := &Held{state: state}
	where := claimObject(environment, key)
	etag, err := load(ctx, state, where, &h.Claim)
	if err != nil || etag == "" {
		return nil, err
	}
	known := h.State == Claimed || h.State == Running || h.State == Done
	if h.Key != key || h.Environment != environment || !known || h.Attempt < 1 || h.RunID == "" && h.Sets == nil {
		return nil, corrupt(state, where, nil)
	}
	if err := plausible(state, where, h.Lease, now); err != nil {
		return nil, err
	}
	h.etag = etag
	return h, nil
}

// OfRun reads the claim of a run, by its id; nil where no claim is of that run any more.
func OfRun(ctx context.Context, state store.Bucket, environment, runID string, now time.Time) (*Held, error) {
	match := runKey.FindStringSubmatch(runID)
	if match == nil {
		return nil, nil //nolint:nilnil // it is nobody's
	}
	prefix := "claims/" + environment + "/"
	page, err := state.List(ctx, store.ListOptions{Prefix: prefix + match[1], Limit: 10})
	if err != nil {
		return nil, err
	}
	for _, o := range page.Objects {
		held, err := Find(ctx, state, environment, strings.TrimSuffix(strings.TrimPrefix(o.Name, prefix), ".json"), now)
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

// Take claims a key; mine is false if somebody has, and then the claim is theirs. A clock that
// is too far from the store's is refused, as leases would not hold.
func Take(ctx context.Context, state store.Bucket, c Claim, clock func() time.Time) (h *Held, mine bool, err error) {
	before := clock()
	c.State, c.Attempt, c.Holder = Claimed, 1, rand.Text()
	c.Created, c.Updated = before, before
	h = &Held{Claim: c, state: state}
	where := claimObject(c.Environment, c.Key)
	for range attempts {
		info, err := write(ctx, state, where, "", &h.Claim)
		if err == nil {
			h.etag = info.ETag
			if err = inTime(info.Created, before, clock()); err != nil {
				_ = h.Release(ctx, clock(), false, nil) // else its lease ends
			}
			return h, true, err
		}
		if !lostRace(err) {
			return nil, false, err
		}
		found, err := Find(ctx, state, c.Environment, c.Key, clock())
		if err != nil || found != nil {
			return found, found != nil && found.Holder == c.Holder, err
		}
	}
	return nil, false, conflict(state, where, nil)
}

// TakeOver makes an expired claim that nothing had been started under one's own, until a new lease.
// False: somebody else was first.
func (h *Held) TakeOver(ctx context.Context, now, lease time.Time) (bool, error) {
	next := h.Claim
	if !h.Lease.IsZero() {
		next.Tries++ // its holder died
	}
	next.Lease, next.Holder, next.Updated = lease, rand.Text(), now
	return h.swap(ctx, next)
}

// Start is what is noted right before a step.
type Start struct {
	Lease   time.Time
	Group   string // that the run holds
	Applies *Entry // nil: the run applies nothing
	SHA256  string // of the zip
	Frame   []byte // the result as it would be if the step were the last thing to happen
}

// Progress notes that a step is about to start. False: the claim is no longer one's own, and nothing
// may be started.
func (h *Held) Progress(ctx context.Context, now time.Time, s Start) (bool, error) {
	return h.amend(ctx, now, func(next *Claim) {
		next.State, next.Lease, next.Group, next.Frame, next.Updated = Running, s.Lease, s.Group, s.Frame, now
		next.applies(s.Applies)
		if next.Pinned == "" {
			next.Pinned = s.SHA256
		}
	})
}

// Join notes the group in whose queue the run is about to be. False: the claim is no longer one's own.
func (h *Held) Join(ctx context.Context, now time.Time, group string) (bool, error) {
	if h.Group == group {
		return true, nil
	}
	next := h.Claim
	next.Group, next.Updated = group, now
	return h.swap(ctx, next)
}

// End is how a run has ended.
type End struct {
	Status string // of the result, which is stored
	Result string // its SHA-256; "": of several sets
}

// Finish notes how the run has ended, and what of that which follows it is pending. False: somebody
// else has.
func (h *Held) Finish(ctx context.Context, now time.Time, end End, applies *Entry, pending []string) (bool, error) {
	next := h.Claim
	next.State, next.Status, next.Result, next.Pending, next.Frame, next.Updated = Done, end.Status, end.Result, pending, nil, now
	next.applies(applies)
	return h.swap(ctx, next)
}

// Again makes a claim that is done one's own for the next attempt. False: somebody else was first.
func (h *Held) Again(ctx context.Context, now, lease time.Time, runID string) (bool, error) {
	next := h.Claim
	next.State, next.Status, next.Result, next.Attempt, next.RunID = Claimed, "", "", h.Attempt+1, runID
	next.Lease, next.Holder, next.Tries, next.Group, next.Pending, next.Updated = lease, rand.Text(), 0, "", nil, now
	next.LastError = nil
	next.applies(nil)
	return h.swap(ctx, next)
}

// Release gives back a claim under which nothing was started, so that the next who is asked goes on
// with it; counted counts a try, and last, if not nil, is why. A claim that is no longer one's own stays as it is.
func (h *Held) Release(ctx context.Context, now time.Time, counted bool, last *problem.Problem) error {
	_, err := h.amend(ctx, now, func(next *Claim) {
		if counted {
			next.Tries++
		}
		if last != nil {
			next.LastError = last
		}
		next.State, next.Lease, next.Frame, next.Updated = Claimed, time.Time{}, nil, now
	})
	return err
}

// amend changes a claim as long as it is one's own. What one has written oneself, in an attempt whose answer
// was lost, is no other's change. False: it is another's, or done.
func (h *Held) amend(ctx context.Context, now time.Time, change func(*Claim)) (bool, error) {
	mine := h.Holder
	for range attempts {
		next := h.Claim
		change(&next)
		if ok, err := h.swap(ctx, next); ok || err != nil {
			return ok, err
		}
		found, err := Find(ctx, h.state, h.Environment, h.Key, now)
		if err != nil || found == nil || found.Holder != mine || found.State == Done {
			return false, err
		}
		*h = *found
	}
	return false, conflict(h.state, claimObject(h.Environment, h.Key), nil)
}

// swap writes the claim as it is to be, if it is still as it was read.
func (h *Held) swap(ctx context.Context, next Claim) (bool, error) {
	info, err := write(ctx, h.state, claimObject(h.Environment, h.Key), h.etag, &next)
	switch {
	case err == nil:
		h.Claim, h.etag = next, info.ETag
		return true, nil
	case lostRace(err):
		return false, nil
	}
	return false, err
}
