package claim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cemli-executor/internal/store"
)

// PendingRequest is a request that was accepted and is not done; any invocation can go on with it.
type PendingRequest struct {
	header
	Environment string          `json:"environment"`
	Name        string          `json:"name"`
	Request     json.RawMessage `json:"request"`
	Created     time.Time       `json:"created"`
}

// PendingName names the pending request of one attempt of a run key. Attempt 0 is a request that was accepted before
// anything of it was read.
func PendingName(key string, attempt int) string { return fmt.Sprintf("%s-%d", key, attempt) }

// KeyOf is the run key in a pending request's name.
func KeyOf(pending string) string {
	key, _, _ := strings.Cut(pending, "-")
	return key
}

// AttemptOf is the attempt in a pending request's name.
func AttemptOf(pending string) int {
	_, text, _ := strings.Cut(pending, "-")
	attempt, _ := strconv.Atoi(text) // other names have no attempt
	return attempt
}

func pendingObject(environment, name string) string {
	return "open/" + environment + "/" + name + ".json"
}

// Accept stores a pending request; made is false if it was already stored.
func (b Book) Accept(ctx context.Context, name string, request []byte) (made bool, err error) {
	p := PendingRequest{Environment: b.Environment, Name: name, Request: request, Created: b.now()}
	_, err = write(ctx, b.State, pendingObject(b.Environment, name), "", &p)
	if errors.Is(err, store.ErrExists) {
		return false, nil
	}
	return err == nil, err
}

// Pending reads a pending request; nil if there is none.
func (b Book) Pending(ctx context.Context, name string) (*PendingRequest, error) {
	p := &PendingRequest{}
	where := pendingObject(b.Environment, name)
	etag, err := find(ctx, b.State, where, p, func() bool { return p.Environment == b.Environment && p.Name == name })
	if err != nil || etag == "" {
		return nil, err
	}
	return p, nil
}

// Delete removes a pending request that is done.
func (b Book) Delete(ctx context.Context, name string) error {
	return remove(ctx, b.State, pendingObject(b.Environment, name), "")
}

// Remove is Delete, with a failure logged instead of returned: a sweep will remove it.
func (b Book) Remove(ctx context.Context, name string) {
	if err := b.Delete(ctx, name); err != nil {
		b.Log.Warn("a pending request that is done could not be removed", "request", name, "error", err.Error())
	}
}

// ListPending lists the names of pending requests in order, beginning at start; next is where the next page starts,
// empty at the end.
func (b Book) ListPending(ctx context.Context, start string, limit int) (names []string, next string, err error) {
	return listed(ctx, b.State, "open/"+b.Environment+"/", start, limit)
}
