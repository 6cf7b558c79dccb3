package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/fetch"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/results"
	"cemli-executor/internal/store"
)

const object = "in/sample.zip"

// The bytes of the package, and of what came under its name later. Nothing here looks into a package.
const (
	first  = "the bytes of the first package"
	second = "and those of the second"
)

func digest(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// desk is a fetcher with its buckets, all folders.
type desk struct {
	fetch.Fetcher
	t *testing.T
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	open := func() store.Bucket {
		b, err := store.OpenFolder(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	now := func() time.Time { return time.Now().UTC() }
	return &desk{t: t, Fetcher: fetch.Fetcher{
		Packages: open(), Results: open(), Limit: 1 << 20, At: now(),
		Book: claim.Book{State: open(), Environment: "test", Clock: now, Log: slog.New(slog.DiscardHandler)},
	}}
}

func (d *desk) ok(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) code(what string, err error, want string) {
	d.t.Helper()
	if got := problem.CodeOf(err); got != want {
		d.t.Errorf("%s: %v; want the code %q", what, err, want)
	}
}

// upload puts bytes under the package's name.
func (d *desk) upload(text string, metadata map[string]string) store.Info {
	d.t.Helper()
	opts := store.PutOptions{Metadata: metadata}
	info, err := d.Packages.Put(d.t.Context(), object, strings.NewReader(text), int64(len(text)), opts)
	d.ok(err)
	return info
}

// remove deletes the package.
func (d *desk) remove() {
	d.t.Helper()
	d.ok(d.Packages.Delete(d.t.Context(), object, ""))
}

// keep stores a copy of a package, as a run does.
func (d *desk) keep(text string) {
	d.t.Helper()
	d.keepAs(digest(text), text)
}

// keepAs stores bytes as the copy of a package with a SHA-256.
func (d *desk) keepAs(sha256, text string) {
	d.t.Helper()
	body, size := strings.NewReader(text), int64(len(text))
	_, err := d.Results.Put(d.t.Context(), results.KeptPackage(sha256), body, size, store.PutOptions{})
	d.ok(err)
}

// request is an upload's, of one version.
func request(etag string) intake.Request {
	return intake.Request{
		Bucket: "packages", Object: object, ETag: etag,
		Trigger: intake.Trigger{Kind: intake.TriggerEvent, EventID: "e"},
	}
}

// began claims what a request means, of which a run has begun with these bytes; "" if none has.
func (d *desk) began(q intake.Request, text string, sets ...string) *claim.Held {
	d.t.Helper()
	q.Slot = q.Occurrence(d.At)
	c := claim.Claim{
		Key: q.Key("test"), Object: object, Package: "sample", RunID: "run-of-" + q.ParameterSet, Sets: sets,
	}
	in := func() time.Time { return time.Now().UTC().Add(time.Hour) }
	held, found, err := d.Book.Acquire(d.t.Context(), c, in)
	if err != nil || found != claim.Acquired {
		d.t.Fatalf("acquire: %d, %v", found, err)
	}
	if text != "" {
		ok, err := held.Progress(d.t.Context(), claim.Start{Lease: in(), SHA256: digest(text)})
		if err != nil || !ok {
			d.t.Fatalf("progress: %t, %v", ok, err)
		}
	}
	return held
}

// fetched checks that a request is of these bytes, and returns what is known of it.
func (d *desk) fetched(q intake.Request, text string) fetch.Found {
	d.t.Helper()
	zip, found, err := d.Fetch(d.t.Context(), q)
	d.ok(err)
	got, err := io.ReadAll(io.NewSectionReader(zip, 0, zip.Size()))
	d.ok(err)
	if string(got) != text || found.SHA256 != digest(text) || found.Size != int64(len(text)) {
		d.t.Errorf("%d bytes with the SHA-256 %s; want %s", len(got), found.SHA256, digest(text))
	}
	return found
}

// versioned is a bucket that keeps versions, as a test has uploaded them: v1, v2 …
type versioned struct {
	store.Bucket
	kept []version
}

type version struct {
	info store.Info
	text string
}

func (v *versioned) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, o store.PutOptions,
) (store.Info, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return store.Info{}, err
	}
	info, err := v.Bucket.Put(ctx, name, bytes.NewReader(text), size, o)
	info.VersionID, info.Metadata = fmt.Sprintf("v%d", len(v.kept)+1), o.Metadata
	v.kept = append(v.kept, version{info, string(text)})
	return info, err
}

func (v *versioned) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	for _, one := range v.kept {
		if one.info.VersionID == o.VersionID && one.info.Name == name {
			return io.NopCloser(strings.NewReader(one.text)), one.info, nil
		}
	}
	return v.Bucket.Get(ctx, name, o)
}

func (v *versioned) ListVersions(context.Context, store.VersionOptions) (store.VersionPage, error) {
	var page store.VersionPage
	for _, one := range v.kept {
		page.Versions = append(page.Versions, store.Version{Info: one.info})
	}
	return page, nil
}

// down is a bucket that gives no answer about objects with a prefix.
type down struct {
	store.Bucket
	prefix string
}

func (d down) fault(op, name string) error {
	if strings.HasPrefix(name, d.prefix) {
		return store.Error(store.ErrUnavailable, op, d.Name(), name, nil)
	}
	return nil
}

func (d down) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	if err := d.fault("get", name); err != nil {
		return nil, store.Info{}, err
	}
	return d.Bucket.Get(ctx, name, o)
}

func (d down) Head(ctx context.Context, name string) (store.Info, error) {
	if err := d.fault("head", name); err != nil {
		return store.Info{}, err
	}
	return d.Bucket.Head(ctx, name)
}

// unavailable checks that an error is the store's, which may pass.
func (d *desk) unavailable(what string, err error) {
	d.t.Helper()
	if !errors.Is(err, store.ErrUnavailable) {
		d.t.Errorf("%s: %v; want %v", what, err, store.ErrUnavailable)
	}
}
