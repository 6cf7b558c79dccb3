package claim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"cemli-executor/internal/store"
)

// State is how far what a key means has come.
type State string

// The states of a claim, in their order.
const (
	Claimed State = "claimed" // nothing has started
	Running State = "running" // the first step may have started
	Done    State = "done"    // there is a result
)

// Claim is who does what a run key means. Its run id is fixed by the first who claims.
type Claim struct {
	SchemaVersion int       `json:"schema_version"`
	Key           string    `json:"key"` // SHA-256, hexadecimal
	Environment   string    `json:"environment"`
	Object        string    `json:"object"`
	Package       string    `json:"package"`
	RunID         string    `json:"run_id"`
	Attempt       int       `json:"attempt"`
	State         State     `json:"state"`
	Status        string    `json:"status,omitempty"` // of the result, when done
	Lease         time.Time `json:"lease"`            // until then nobody else may take it over
	Created       time.Time `json:"created"`
	Updated       time.Time `json:"updated"`
}

// maxSkew is how far clocks may be apart.
const maxSkew = 10 * time.Second

// Expired reports whether whoever held the claim must have ended.
func (c Claim) Expired(now time.Time) bool { return c.State != Done && now.After(c.Lease.Add(maxSkew)) }

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
func Find(ctx context.Context, state store.Bucket, environment, key string) (*Held, error) {
	h := &Held{state: state}
	etag, err := load(ctx, state, claimObject(environment, key), &h.Claim)
	if err != nil || etag == "" {
		return nil, err
	}
	if h.Key != key || h.Environment != environment {
		return nil, corrupt(state, claimObject(environment, key), nil)
	}
	h.etag = etag
	return h, nil
}

// Take claims a key; mine is false if somebody has, and then the claim is theirs.
func Take(ctx context.Context, state store.Bucket, c Claim) (h *Held, mine bool, err error) {
	c.SchemaVersion, c.State = schemaVersion, Claimed
	c.Created = c.Updated
	h = &Held{Claim: c, state: state}
	for range attempts {
		err = h.write(ctx, store.PutOptions{IfNoneMatch: true})
		if !errors.Is(err, store.ErrExists) {
			return h, err == nil, err
		}
		found, err := Find(ctx, state, c.Environment, c.Key)
		if err != nil || found != nil {
			return found, false, err
		}
	}
	return nil, false, err
}

// TakeOver makes an expired claim that nothing had been started under one's own, until a new lease.
// False: somebody else was first.
func (h *Held) TakeOver(ctx context.Context, now, lease time.Time) (bool, error) {
	h.Lease, h.Updated = lease, now
	return h.swap(ctx)
}

// Start notes that the first step is about to start. False: the claim is no longer one's own, and
// nothing may be started.
func (h *Held) Start(ctx context.Context, now time.Time) (bool, error) {
	h.State, h.Updated = Running, now
	return h.swap(ctx)
}

// Finish notes the status of the result, which is stored. False: somebody else has.
func (h *Held) Finish(ctx context.Context, now time.Time, status string) (bool, error) {
	h.State, h.Status, h.Updated = Done, status, now
	return h.swap(ctx)
}

// Again makes a claim that is done one's own for the next attempt. False: somebody else was first.
func (h *Held) Again(ctx context.Context, now, lease time.Time, runID string) (bool, error) {
	h.State, h.Status, h.Attempt, h.RunID, h.Lease, h.Updated = Claimed, "", h.Attempt+1, runID, lease, now
	return h.swap(ctx)
}

// Release gives up a claim under which nothing was started, so that the same may be tried again.
func (h *Held) Release(ctx context.Context) error {
	err := h.state.Delete(ctx, claimObject(h.Environment, h.Key), h.etag)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrChanged) {
		return nil // it is not one's own any more
	}
	return err
}

// swap writes the claim if it is still as it was read.
func (h *Held) swap(ctx context.Context) (bool, error) {
	err := h.write(ctx, store.PutOptions{IfMatch: h.etag})
	if errors.Is(err, store.ErrChanged) || errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (h *Held) write(ctx context.Context, opts store.PutOptions) error {
	doc, err := json.Marshal(h.Claim)
	if err != nil {
		return fmt.Errorf("encode claim: %w", err)
	}
	opts.ContentType = "application/json"
	info, err := h.state.Put(ctx, claimObject(h.Environment, h.Key), bytes.NewReader(doc), int64(len(doc)), opts)
	if err == nil {
		h.etag = info.ETag
	}
	return err
}
