package executor

import (
	"bytes"
	"context"
	"io"
	"runtime/debug"

	"golang.org/x/sync/errgroup"

	"cemli-executor/internal/download"
	"cemli-executor/internal/results"
	"cemli-executor/manifest"
)

// Copies of what is applied and of the policies that admitted it, in the results bucket, by their
// SHA-256: going back must not depend on what uploaders leave in the packages bucket.

// copies are the copies that a run makes beside its other work.
type copies struct {
	group errgroup.Group
	zip   bool // one of the package is among them
}

// keepPackage begins to keep the package, where it is going to be applied and may be kept: a sensitive
// default must not come to lie where authors read.
func (r *run) keepPackage(ctx context.Context, zip *download.Object, m *manifest.Manifest) {
	if !r.KeepPackages || !r.does(ActionApply) || len(m.SensitiveValues()) > 0 {
		return
	}
	r.copies.zip = true
	copied := results.Document{
		Object: results.KeptPackage(zip.SHA256()), Type: "application/zip", Size: zip.Size(), SHA256: zip.SHA256(),
		Body: io.NewSectionReader(zip, 0, zip.Size()),
	}
	r.copies.group.Go(func() error {
		if err := r.stored.Create(ctx, copied); err != nil {
			return err
		}
		if zip.Size() > 4<<20 {
			debug.FreeOSMemory() // what the download held; the scripts need it
		}
		return nil
	})
}

// keepPolicy begins to keep the policy, if there is one, whatever it decides.
func (r *run) keepPolicy(ctx context.Context) {
	doc := r.policy
	if doc == nil || !r.KeepPackages {
		return
	}
	digest := sum(doc)
	policy := results.Document{
		Object: results.KeptPolicy(digest), Type: "application/json", Size: int64(len(doc)), SHA256: digest,
		Body: bytes.NewReader(doc),
	}
	r.copies.group.Go(func() error { return r.stored.Create(ctx, policy) })
}

// copied waits until all copies are there.
func (r *run) copied() error { return r.copies.group.Wait() }
