package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"golang.org/x/sync/errgroup"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

// Copies of what is applied and of the policies that admitted it, in the results bucket, by their
// SHA-256: going back must not depend on what uploaders leave in the packages bucket.

// keptPackage and keptPolicy are the names of copies in the results bucket.
func keptPackage(sha256 string) string { return "packages/" + sha256 + ".zip" }

func keptPolicy(sha256 string) string { return "policies/" + sha256 + ".json" }

// copies are the copies that a run makes beside its other work.
type copies struct {
	group errgroup.Group
	zip   bool // one of the package is among them

	mu   sync.Mutex
	made []evidence.Object
}

// note lists a copy that is there.
func (c *copies) note(o evidence.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = append(c.made, o)
}

// keepPackage begins to keep the package, where it is going to be applied and may be kept: a sensitive
// default must not come to lie where authors read.
func (r *run) keepPackage(ctx context.Context, s *source, m *manifest.Manifest) {
	if !r.KeepPackages || !r.does(ActionApply) || len(m.SensitiveValues()) > 0 {
		return
	}
	r.copies.zip = true
	r.copies.group.Go(func() error {
		if err := r.createOnce(ctx, keptPackage(s.sha256), io.NewSectionReader(s, 0, s.size), s.size, "application/zip"); err != nil {
			return err
		}
		r.copies.note(evidence.Object{Object: keptPackage(s.sha256), Size: s.size, SHA256: s.sha256})
		if s.size > 4<<20 {
			debug.FreeOSMemory() // what the download held; the scripts need it
		}
		return nil
	})
}

// keepPolicy begins to keep the policy, whatever it decides.
func (r *run) keepPolicy(ctx context.Context, doc []byte) {
	if !r.KeepPackages {
		return
	}
	r.copies.group.Go(func() error {
		copied := evidence.Object{Object: keptPolicy(sum(doc)), Size: int64(len(doc)), SHA256: sum(doc)}
		err := r.createOnce(ctx, copied.Object, bytes.NewReader(doc), copied.Size, "application/json")
		if err == nil {
			r.copies.note(copied)
		}
		return err
	})
}

// copied waits until all copies are there, and lists them.
func (r *run) copied() error {
	err := r.copies.group.Wait()
	for _, o := range r.copies.made {
		r.list(o)
	}
	return err
}

// createOnce stores what is the same whoever stores it. A refusal counts only if it is not there then:
// some stores deny to create what exists.
func (r *run) createOnce(ctx context.Context, object string, body io.ReadSeeker, size int64, contentType string) error {
	_, err := r.Results.Put(ctx, object, body, size, store.PutOptions{IfNoneMatch: true, ContentType: contentType})
	if err == nil {
		return nil
	}
	info, headErr := r.Results.Head(ctx, object)
	switch {
	case errors.Is(err, store.ErrExists) && retryable(headErr):
		return headErr // it may be the same
	case headErr != nil:
		return err
	case info.Size != size:
		return store.Error(store.ErrCorrupt, "keep", r.Results.Name(), object, fmt.Errorf("it has %d bytes, and should have %d", info.Size, size))
	}
	return nil
}
