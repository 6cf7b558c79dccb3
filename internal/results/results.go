// Package results writes the objects of one run to the results bucket.
//
// Every object is created once and never overwritten. If the store refuses or does not answer, the very same object may
// exist all the same: an earlier try may have created it, or this one, whose answer was lost. If it has the same size
// and SHA-256, it counts as created. All objects that exist are listed, for the result.
package results

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// Document is an object to be stored.
type Document struct {
	Object string // its full name
	Type   string // of its content
	Size   int64
	SHA256 string // "": not computed yet
	Body   io.ReadSeeker
}

// Writer creates the objects of one run. It may be used by several goroutines.
type Writer struct {
	bucket   store.Bucket
	patience store.Patience
	beside   sync.WaitGroup // what is being stored beside the steps

	mu     sync.Mutex
	listed []evidence.Object
	seeded bool       // an earlier invocation of the run may have stored logs, or what it had of them
	left   []Document // what could not be stored beside the steps
}

// NewWriter makes a Writer for a run.
func NewWriter(bucket store.Bucket, patience store.Patience) *Writer {
	return &Writer{bucket: bucket, patience: patience}
}

// Listed are the objects that are in the bucket, in the order in which they were stored.
func (w *Writer) Listed() []evidence.Object {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.listed)
}

// Seed lists objects that an earlier invocation of the same run has stored.
func (w *Writer) Seed(all []evidence.Object) {
	w.seeded = true
	for _, o := range all {
		w.list(o)
	}
}

func (w *Writer) list(o evidence.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.ContainsFunc(w.listed, func(known evidence.Object) bool { return known.Object == o.Object }) {
		w.listed = append(w.listed, o)
	}
}

// Create creates an object, or finds that the very same object exists.
func (w *Writer) Create(ctx context.Context, d Document) error {
	if err := d.measure(); err != nil {
		return err
	}
	o := evidence.Object{Object: d.Object, Size: d.Size, SHA256: d.SHA256}
	_, err := w.bucket.Put(ctx, d.Object, d.Body, d.Size, store.PutOptions{IfNoneMatch: true, ContentType: d.Type})
	if err != nil {
		err = w.unlessThere(ctx, o, err)
	}
	if err == nil {
		w.list(o)
	}
	return err
}

// measure computes the digest, and rewinds the body.
func (d *Document) measure() error {
	if _, err := d.Body.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read %s: %w", d.Object, err)
	}
	if d.SHA256 != "" {
		return nil
	}
	sum := sha256.New()
	_, err := io.Copy(sum, io.LimitReader(d.Body, d.Size))
	if err == nil {
		_, err = d.Body.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", d.Object, err)
	}
	d.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// unlessThere is the error of a store that did not create an object, or nil if the very same object exists. The error
// says if that cannot be found out now, but may be later.
func (w *Writer) unlessThere(ctx context.Context, o evidence.Object, refused error) error {
	there, err := w.has(ctx, o)
	switch {
	case there:
		return nil
	case err != nil && errors.Is(refused, store.ErrExists) && codes.OfError(err).Retried,
		errors.Is(err, store.ErrCorrupt):
		return err
	}
	return refused
}

// has reports whether the bucket has the very same object.
func (w *Writer) has(ctx context.Context, o evidence.Object) (bool, error) {
	if strings.HasPrefix(path.Base(o.Object), o.SHA256) { // the name says what is in it
		info, err := w.bucket.Head(ctx, o.Object)
		if err == nil && info.Size != o.Size {
			err = store.Error(store.ErrCorrupt, "keep", w.bucket.Name(), o.Object,
				fmt.Errorf("it has %d bytes, and should have %d", info.Size, o.Size))
		}
		return err == nil, err
	}
	body, info, err := w.bucket.Get(ctx, o.Object, store.GetOptions{})
	if err != nil {
		return false, err
	}
	defer body.Close()
	if info.Size != o.Size {
		return false, nil
	}
	stored, err := describe(w.bucket, o.Object, body)
	return err == nil && stored == o, err
}

// Insist is Create, repeated while the store is out of reach and time is left.
func (w *Writer) Insist(ctx context.Context, d Document) error {
	return w.patience.Insist(ctx, func(ctx context.Context) error { return w.Create(ctx, d) })
}

// Beside creates an object while other work goes on, and closes its body afterwards. It reports a failure to failed,
// and leaves the object for Rest to try again: a store that hiccups must not stop a change half way.
func (w *Writer) Beside(ctx context.Context, d Document, failed func(error)) {
	w.beside.Go(func() {
		err := w.patience.Once(context.WithoutCancel(ctx), func(ctx context.Context) error { return w.Create(ctx, d) })
		if err == nil {
			d.close()
			return
		}
		failed(err)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.left = append(w.left, d)
	})
}

// Rest waits for what is stored beside, and insists on what has failed. What an earlier invocation of the run stored
// stays.
func (w *Writer) Rest(ctx context.Context) error {
	w.beside.Wait()
	for len(w.left) > 0 {
		err := w.Insist(ctx, w.left[0])
		if errors.Is(err, store.ErrExists) && w.seeded {
			err = w.Adopt(ctx, w.left[0].Object)
		}
		if err != nil {
			return err
		}
		w.left[0].close()
		w.left = w.left[1:]
	}
	return nil
}

// Close waits for what is stored beside, and gives up what has failed.
func (w *Writer) Close() {
	w.beside.Wait()
	for _, d := range w.left {
		d.close()
	}
	w.left = nil
}

// close closes the body if it can be closed; it was only read.
func (d Document) close() {
	if c, ok := d.Body.(io.Closer); ok {
		_ = c.Close()
	}
}

// Adopt lists an object that exists and stays, whatever is in it.
func (w *Writer) Adopt(ctx context.Context, object string) error {
	o, err := Describe(ctx, w.bucket, object)
	if err == nil {
		w.list(o)
	}
	return err
}

// Describe reads an object to find its size and digest.
func Describe(ctx context.Context, bucket store.Bucket, object string) (evidence.Object, error) {
	body, _, err := bucket.Get(ctx, object, store.GetOptions{})
	if err != nil {
		return evidence.Object{}, err
	}
	defer body.Close()
	return describe(bucket, object, body)
}

func describe(bucket store.Bucket, object string, body io.Reader) (evidence.Object, error) {
	sum := sha256.New()
	size, err := io.Copy(sum, body)
	if err != nil {
		return evidence.Object{}, store.Unread(bucket, object, err)
	}
	return evidence.Object{Object: object, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}
