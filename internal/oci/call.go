package oci

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"

	"cemli-executor/internal/store"
)

// maxTries bounds how often one call is sent.
const maxTries = 5

// tries says what happened in the attempts before the last one.
type tries struct {
	// uncertain: an attempt ended without an answer, and may have succeeded.
	uncertain bool
}

// call sends one request, repeated as the package says.
func (c *Client) call(ctx context.Context, send func(context.Context, *principal) error) (tries, error) {
	return repeat(ctx, c.options.Backoff, c.dropCredentials, func() error { return c.attempt(ctx, send) })
}

// repeat sends one request until it succeeds, fails for good, has been sent maxTries
// times, or ctx ends. It returns the last attempt's error. Where renew is not nil, the credentials are
// read anew with it.
func repeat(ctx context.Context, backoff time.Duration, renew func(), send func() error) (tries, error) {
	var seen tries
	var renewed, lookedTwice bool
	for try := 1; ; try++ {
		err := send()
		if err == nil || ctx.Err() != nil || try == maxTries {
			return seen, err
		}
		switch status, code := serviceAnswer(err); {
		case errors.Is(err, errCredentials):
			return seen, err
		case status == http.StatusUnauthorized && renew != nil && !renewed:
			renewed = true
			renew()
			continue
		case status == http.StatusNotFound && code == "BucketNotFound" && !lookedTwice:
			lookedTwice = true
		case passing(status):
			seen.uncertain = seen.uncertain || status == 0 || status >= 500 || status == http.StatusRequestTimeout
		default:
			return seen, err
		}
		if err := pause(ctx, backoff<<(try-1)); err != nil {
			return seen, err
		}
	}
}

// attempt sends once; a panic of the SDK's key provider becomes an error.
func (c *Client) attempt(ctx context.Context, send func(context.Context, *principal) error) (err error) {
	current, err := c.current()
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = credentialsError(fmt.Errorf("cannot sign: %v", p))
		}
	}()
	return send(detach(ctx), current)
}

// passing reports whether a status (0: no answer) may be different the next time.
func passing(status int) bool {
	switch status {
	case 0, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return status >= 500 && status != http.StatusNotImplemented
}

// pause waits a random time up to longest, at least a quarter of it, or until ctx ends.
func pause(ctx context.Context, longest time.Duration) error {
	timer := time.NewTimer(longest/4 + rand.N(longest-longest/4)) // #nosec G404 -- chance, not secrecy
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// serviceAnswer returns the HTTP status and OCI code of an error, or 0 and "" for an
// error that is not the service's answer.
func serviceAnswer(err error) (int, string) {
	var failure common.ServiceError
	if errors.As(err, &failure) {
		return failure.GetHTTPStatusCode(), failure.GetCode()
	}
	return 0, ""
}

// asStoreError converts an SDK error into one of the contract.
func asStoreError(op, bucket, name string, err error) error {
	if errors.Is(err, errCredentials) {
		return err
	}
	return store.Error(kindOf(err), op, bucket, name, brief(err))
}

// kindOf is the contract's error for an SDK error, as far as its status and code tell. Conditional calls look
// further.
func kindOf(err error) error {
	status, code := serviceAnswer(err)
	switch {
	case status == http.StatusNotFound && code == "ObjectNotFound":
		return store.ErrNotFound
	case status == http.StatusNotFound && code == "BucketNotFound":
		return store.ErrNoBucket
	case status == http.StatusNotFound, status == http.StatusForbidden, status == http.StatusUnauthorized:
		return store.ErrDenied
	case status == http.StatusPreconditionFailed:
		return store.ErrChanged
	case status == http.StatusRequestedRangeNotSatisfiable:
		return store.ErrRange
	case status == http.StatusBadRequest && code == "InvalidObjectName":
		return store.ErrName
	case passing(status):
		return store.ErrUnavailable
	default:
		return store.ErrRefused
	}
}

// brief reduces the SDK's error, a page long, to what an engineer needs.
func brief(err error) error {
	var failure common.ServiceError
	if !errors.As(err, &failure) {
		return err
	}
	return fmt.Errorf("status %d %s: %s (opc-request-id %s)",
		failure.GetHTTPStatusCode(), failure.GetCode(), failure.GetMessage(), failure.GetOpcRequestID())
}
