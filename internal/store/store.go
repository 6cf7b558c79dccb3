// Package store is the object store contract that the executor needs, and nothing
// more: one bucket with ranged and conditional reads, create-only and
// compare-and-swap writes, lists of objects and of their versions, head, delete and
// metadata.
//
// Every implementation promises, and the suite in package storetest checks:
//
//   - a write is all or nothing: no reader ever sees part of an object, and an
//     object that a returned Put acknowledged is there;
//
//   - Put with IfNoneMatch creates or fails with ErrExists; of many at once exactly
//     one succeeds;
//
//   - Put, Delete and Get with IfMatch act on exactly that version or fail with
//     ErrChanged (ErrNotFound where nothing is left);
//
//   - an ETag names one write: writing the same bytes again gives another;
//
//   - where a bucket keeps versions, what was overwritten or deleted can still be
//     listed, and read by its version;
//
//   - what the store cannot tell for sure is ErrUnavailable, never a guess: the
//     caller may repeat the call.
//
// Names are UTF-8, 1 to 1,024 bytes. Metadata keys are lower-case letters, digits
// and hyphens.
package store

import (
	"context"
	"errors"
	"io"
	"time"
)

// Sentinels for errors.Is. Errors of this package and of its implementations wrap
// exactly one of them, inside a problem.Error with a "store." code.
var (
	// ErrNotFound: the object does not exist (store.not_found).
	ErrNotFound = errors.New("object not found")
	// ErrNoBucket: the bucket does not exist or may not be seen (store.bucket_not_found).
	ErrNoBucket = errors.New("bucket not found")
	// ErrExists: a create-only write found the name taken (store.exists).
	ErrExists = errors.New("object already exists")
	// ErrChanged: the object is no longer the version asked for (store.changed).
	ErrChanged = errors.New("object has changed")
	// ErrDenied: the caller may not do this (store.denied).
	ErrDenied = errors.New("access denied")
	// ErrUnavailable: the store failed, hung or dropped the connection; the call may be repeated (store.unavailable).
	ErrUnavailable = errors.New("store unavailable")
	// ErrRefused: the store refuses the call as it is, and would refuse it again (store.refused).
	ErrRefused = errors.New("request refused")
	// ErrName: the name cannot be an object's (store.name).
	ErrName = errors.New("invalid object name")
	// ErrCorrupt: the bytes are not those that their checksum or length promises
	// (store.corrupt).
	ErrCorrupt = errors.New("object corrupt")
	// ErrRange: a read begins at or past the object's end (store.range).
	ErrRange = errors.New("range not satisfiable")
)

// Info describes one version of an object.
type Info struct {
	Name      string
	Size      int64
	ETag      string // opaque; without quotes
	VersionID string // empty if the bucket keeps no versions
	MD5       string // base64, of the whole object; may be empty in listings
	// when this version was written: in listings to the millisecond, otherwise maybe only to the second
	Created  time.Time
	Metadata map[string]string
}

// GetOptions selects what Get reads. The zero value is the whole newest object.
type GetOptions struct {
	IfMatch   string // read only the version with this ETag, otherwise ErrChanged
	VersionID string // read this version; ErrNotFound if it is not kept
	Offset    int64  // first byte; at or past the end: ErrRange (an empty object read from 0 is no error)
	Length    int64  // at most this many bytes; 0: to the end
}

// PutOptions says on what condition Put writes and what it stores besides bytes.
type PutOptions struct {
	IfNoneMatch bool   // create only: ErrExists if the name is taken
	IfMatch     string // compare and swap: ErrChanged unless this is the newest ETag
	ContentType string // default application/octet-stream
	Metadata    map[string]string
}

// ListOptions selects a page of a listing.
type ListOptions struct {
	Prefix string
	Start  string // first name to list, inclusive
	Limit  int    // at most this many, 1 to 1,000; 0: 1,000
}

// Page is one page of a listing, in byte order of the names. Next is the Start of the following page, empty on the
// last. Infos have Name, Size, ETag and Created.
type Page struct {
	Objects []Info
	Next    string
}

// Version is one version of an object, as a listing describes it: Name, VersionID, ETag
// and Created.
type Version struct {
	Info
	Deleted bool // it marks a deletion, and is no object
}

// Position is a place in the order of versions: after one version of an object or, without a version, before all
// versions of the object. The zero value is the beginning.
type Position struct{ Name, VersionID string }

// VersionOptions selects a page of the listing of versions.
type VersionOptions struct {
	Prefix string
	From   Position
	Limit  int // at most this many, 1 to 1,000; 0: 1,000
}

// VersionPage is one page of versions: in byte order of the names and, for each object, the newest first. Next is
// where the following page begins, zero on the last. A page may have fewer versions than the limit, or none, and
// still have a next one.
type VersionPage struct {
	Versions []Version
	Next     Position
}

// Bucket is one bucket. Implementations are safe for concurrent use, bound every
// call by ctx, and wrap the errors above.
type Bucket interface {
	// Name is the bucket's name, as it appears in evidence.
	Name() string
	// Get opens an object. Info describes the version being read, Size being that of
	// the whole object. The reader fails, and does not end early, when the bytes
	// are fewer than promised. The caller closes it.
	Get(ctx context.Context, name string, opts GetOptions) (io.ReadCloser, Info, error)
	// Head describes the newest version.
	Head(ctx context.Context, name string) (Info, error)
	// Put writes size bytes of body, from its current position, under name. Body may
	// be read more than once (retries seek back).
	Put(ctx context.Context, name string, body io.ReadSeeker, size int64, opts PutOptions) (Info, error)
	// Delete removes the newest version; ifMatch, if not empty, is a condition.
	Delete(ctx context.Context, name, ifMatch string) error
	// List returns one page.
	List(ctx context.Context, opts ListOptions) (Page, error)
	// ListVersions returns one page of all versions that are kept. If none are, the objects are their only versions.
	ListVersions(ctx context.Context, opts VersionOptions) (VersionPage, error)
}

// Describe describes one version of an object; without an id, the newest.
func Describe(ctx context.Context, b Bucket, name, versionID string) (Info, error) {
	if versionID == "" {
		return b.Head(ctx, name)
	}
	body, info, err := b.Get(ctx, name, GetOptions{VersionID: versionID, Length: 1})
	if err != nil {
		return Info{}, err
	}
	return info, body.Close()
}

// ListOnly answers ListVersions for a bucket that keeps no versions.
func ListOnly(ctx context.Context, b Bucket, opts VersionOptions) (VersionPage, error) {
	objects, err := b.List(ctx, ListOptions{Prefix: opts.Prefix, Start: opts.From.Name, Limit: opts.Limit})
	page := VersionPage{Next: Position{Name: objects.Next}}
	for _, o := range objects.Objects {
		page.Versions = append(page.Versions, Version{Info: o})
	}
	return page, err
}
