package claim

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"cemli-executor/internal/store"
)

// Intent notes that an invocation is about to go on with a request that has no claim yet. It is stored before
// anything of the request is read and removed when that invocation has ended in any way: an intent that stays is the
// only trace of an invocation that died.
type Intent struct {
	header
	Environment string `json:"environment"`
	Key         string `json:"key"` // the run key, as far as it is known at that time
	// Pending is the pending request; "" for an upload whose event never came, and then Request holds the request.
	Pending string          `json:"mark,omitempty"`
	Request json.RawMessage `json:"request,omitempty"`
	// Tries counts this try and the earlier ones that ended in a death.
	Tries int `json:"tries"`
	// Until is when the invocation must have ended; zero once it has.
	Until time.Time `json:"until"`

	state store.Bucket
	etag  string
}

// maxIntents bounds how many intents are read at once.
const maxIntents = 100

func intentPrefix(environment string) string { return "taking/" + environment + "/" }

func (t *Intent) object() string { return intentPrefix(t.Environment) + t.Key + ".json" }

// Intents reads all intents, by key. Those that cannot be read are left out and joined into the error.
func (b Book) Intents(ctx context.Context) (map[string]*Intent, error) {
	page, err := b.State.List(ctx, store.ListOptions{Prefix: intentPrefix(b.Environment), Limit: maxIntents})
	if err != nil {
		return nil, err
	}
	found := map[string]*Intent{}
	for _, o := range page.Objects {
		key, ok := strings.CutSuffix(strings.TrimPrefix(o.Name, intentPrefix(b.Environment)), ".json")
		if !ok {
			continue
		}
		t, oneErr := b.Intent(ctx, key)
		if t != nil {
			found[key] = t
		}
		err = errors.Join(err, oneErr)
	}
	return found, err
}

// Deaths reads the intents, by key, that are still going on or tell of a death. It removes those whose key has been
// claimed since, unless the claim's holder died as well.
func (b Book) Deaths(ctx context.Context) (map[string]*Intent, error) {
	intents, err := b.Intents(ctx)
	for key, t := range intents {
		if t.Busy(b.now()) {
			continue
		}
		held, oneErr := b.Find(ctx, key)
		if oneErr == nil && held != nil && !held.DiedBeforeStart(b.now()) {
			oneErr = t.End(ctx, true)
			delete(intents, key)
		}
		err = errors.Join(err, oneErr)
	}
	return intents, err
}

// Intent reads the intent of a key; nil if there is none.
func (b Book) Intent(ctx context.Context, key string) (*Intent, error) {
	t := &Intent{}
	where := intentPrefix(b.Environment) + key + ".json"
	mine := func() bool { return t.Environment == b.Environment && t.Key == key && t.Tries >= 0 }
	etag, err := find(ctx, b.State, where, t, mine)
	if err != nil || etag == "" {
		return nil, err
	}
	t.state, t.etag = b.State, etag
	return t, nil
}

// Busy reports whether the invocation may still be running; once it is not, each try was a death. A time later than
// any invocation can have written is ignored.
func (t *Intent) Busy(now time.Time) bool {
	return !now.After(t.Until.Add(MaxSkew)) && t.Until.Before(now.Add(maxLease))
}

// Begin notes that the caller goes on with the request and will have ended by until. It returns false if another
// invocation was first.
func (t *Intent) Begin(ctx context.Context, state store.Bucket, until time.Time) (bool, error) {
	next := *t
	next.state, next.Until, next.Tries = state, until, t.Tries+1
	info, err := write(ctx, state, next.object(), next.etag, &next)
	if lostRace(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	next.etag = info.ETag
	*t = next
	return true, nil
}

// End notes that the caller has ended. Unless the request is done, earlier deaths still count.
func (t *Intent) End(ctx context.Context, done bool) error {
	if t.etag == "" {
		return nil // it was never stored
	}
	if done || t.Tries <= 1 {
		return remove(ctx, t.state, t.object(), t.etag)
	}
	next := *t
	next.Tries, next.Until = t.Tries-1, time.Time{}
	_, err := write(ctx, t.state, next.object(), next.etag, &next)
	if lostRace(err) {
		return nil
	}
	return err
}
