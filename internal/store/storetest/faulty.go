package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"cemli-executor/internal/store"
)

// RunFaulty checks what a bucket promises if the way to it keeps failing: answers are lost, and requests are
// temporarily refused. A bucket's only writer must never be told that its own conditional write was another's; if
// that is unknown, the error is ErrUnavailable.
func RunFaulty(t *testing.T, b store.Bucket) {
	for n := range 40 {
		name := fmt.Sprintf("faulty-%d", n)
		etag := insist(t, b, name, "0", store.PutOptions{IfNoneMatch: true})
		for i := 1; i <= 3 && etag != ""; i++ {
			etag = insist(t, b, name, fmt.Sprintf("%d", i), store.PutOptions{IfMatch: etag})
		}
	}
}

// insist writes once and, if it is unknown whether that succeeded, reads until it is known. It returns the ETag of
// what is stored; "" if nothing is.
func insist(t *testing.T, b store.Bucket, name, text string, opts store.PutOptions) string {
	t.Helper()
	info, err := b.Put(t.Context(), name, strings.NewReader(text), int64(len(text)), opts)
	if err == nil {
		return info.ETag
	}
	for _, conflict := range []error{store.ErrExists, store.ErrChanged, store.ErrNotFound} {
		if errors.Is(err, conflict) {
			t.Errorf("the only writer of %s was told: %v", name, err)
		}
	}
	for range 1000 {
		info, err = b.Head(t.Context(), name)
		if err == nil || errors.Is(err, store.ErrNotFound) {
			return info.ETag
		}
	}
	t.Fatalf("head %s: %v", name, err)
	return ""
}
