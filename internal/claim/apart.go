package claim

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"
)

// Apart says where the steps of a run run, if that is not in the executor. It is all that another invocation needs to
// go on with the run.
type Apart struct {
	Kind   string    `json:"kind"`
	ID     string    `json:"id"` // of the runner
	Label  string    `json:"label"`
	Job    string    `json:"job"`
	Prefix string    `json:"prefix"`  // of the mailbox, in the jobs bucket
	Grant  string    `json:"mailbox"` // by which the mailbox is ended; no address
	Asked  time.Time `json:"asked"`
	KillAt time.Time `json:"kill_at"` // from then on nothing of the job runs
	// Attended is until when an invocation has said that it stays with the run.
	Attended time.Time `json:"attended"`
	// Plan is the job without its values and secrets, and Restored the artifacts of an earlier run that it was given.
	Plan     json.RawMessage `json:"plan"`
	Restored json.RawMessage `json:"restored,omitempty"`
}

// Left reports whether the steps of the run are apart, and no invocation stays with it.
func (c Claim) Left(now time.Time) bool {
	return c.State == Running && c.Apart != nil && now.After(c.Apart.Attended.Add(MaxSkew))
}

// Attend notes that this invocation stays with the run until a time. It returns false if the caller no longer holds the
// claim.
func (h *Held) Attend(ctx context.Context, until time.Time) (bool, error) {
	return h.amend(ctx, func(next *Claim) { next.attended(until) })
}

// Leave notes that this invocation stays with the run no longer, so that another one may go on with it at once.
func (h *Held) Leave(ctx context.Context) error {
	_, err := h.Attend(context.WithoutCancel(ctx), h.book.now().Add(-2*MaxSkew))
	return err
}

// Adopt makes this invocation the holder of a run that was left, and notes that it stays with it until a time. The
// lease remains what it was. It returns false if another invocation was first.
func (h *Held) Adopt(ctx context.Context, until time.Time) (bool, error) {
	next := h.Claim
	next.Holder, next.Updated = rand.Text(), h.book.now()
	next.attended(until)
	return h.swap(ctx, next)
}

// attended replaces what others may have, too.
func (c *Claim) attended(until time.Time) {
	if c.Apart != nil {
		apart := *c.Apart
		apart.Attended = until.UTC()
		c.Apart = &apart
	}
}

// Withdraw notes that nothing was started after all, as the job was withdrawn: the claim is claimed again. It returns
// false if the caller no longer holds it.
func (h *Held) Withdraw(ctx context.Context) (bool, error) {
	return h.amend(ctx, func(next *Claim) {
		next.State, next.Apart, next.Checkpoint, next.Updated = Claimed, nil, nil, h.book.now()
	})
}

// Rejoin makes this value stand for a run that entered the group in another invocation. It returns false if that run is
// not in the group.
func (g *Group) Rejoin(key string) bool {
	if g.Holder == nil || g.Holder.Key != key {
		return false
	}
	g.entered, g.fence = key, g.Fence
	return true
}
