package results

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"
)

// Copies are those of what is applied and of the policies that admitted it, by their SHA-256: going back must not
// depend on what uploaders leave in the packages bucket. They are made beside other work.
type Copies struct {
	to    *Writer
	group errgroup.Group
}

// NewCopies makes a run's Copies.
func NewCopies(to *Writer) *Copies { return &Copies{to: to} }

// KeptPackage is the name of the copy of a package, by its SHA-256. The first run that stores it leaves it for all
// others.
func KeptPackage(sha256 string) string { return "packages/" + sha256 + ".zip" }

// KeptPolicy is the name of the copy of a policy.
func KeptPolicy(sha256 string) string { return "policies/" + sha256 + ".json" }

// Policy begins to keep a policy's document.
func (c *Copies) Policy(ctx context.Context, doc []byte) {
	digest := fmt.Sprintf("%x", sha256.Sum256(doc))
	d := Document{
		Object: KeptPolicy(digest), Type: "application/json", Size: int64(len(doc)), SHA256: digest,
		Body: bytes.NewReader(doc),
	}
	c.group.Go(func() error { return c.to.Create(ctx, d) })
}

// Package begins to keep a zip, of a size and SHA-256. When it is stored, done is called.
func (c *Copies) Package(ctx context.Context, zip io.ReaderAt, size int64, sha256 string, done func()) {
	d := Document{
		Object: KeptPackage(sha256), Type: "application/zip", Size: size, SHA256: sha256,
		Body: io.NewSectionReader(zip, 0, size),
	}
	c.group.Go(func() error {
		err := c.to.Create(ctx, d)
		if err == nil {
			done()
		}
		return err
	})
}

// Wait waits until all of them are stored, and returns the first error.
func (c *Copies) Wait() error { return c.group.Wait() }
