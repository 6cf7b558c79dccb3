package localoci

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"
)

// storage keeps buckets and objects. The bytes of an object are a file with a random
// name, synced before the index names it; the index is a bbolt database, and a
// transaction of it is the moment at which a write happens. A file that the index does
// not name is left of a write that never happened, and is removed at the start.
type storage struct {
	dir     string
	db      *bolt.DB
	now     func() time.Time
	changed chan struct{} // has an element when events were added
	full    func() bool   // a fault: nothing can be written; nil: none
}

func openStorage(dir string, now func() time.Time) (*storage, error) {
	s := &storage{dir: dir, now: now, changed: make(chan struct{}, 1)}
	if err := os.MkdirAll(filepath.Join(dir, "blobs"), 0o700); err != nil {
		return nil, err
	}
	var named map[string]bool
	var err error
	if s.db, named, err = openIndex(filepath.Join(dir, "index.db")); err != nil {
		return nil, err
	}
	if err := s.sweep(named); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

func (s *storage) close() error { return s.db.Close() }

// sweep removes the files that the index does not name.
func (s *storage) sweep(named map[string]bool) error {
	entries, err := os.ReadDir(filepath.Join(s.dir, "blobs"))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !named[entry.Name()] {
			if err := os.Remove(s.blob(entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *storage) blob(name string) string { return filepath.Join(s.dir, "blobs", name) }

// The failures that a client is told.
var (
	errNotAuthorizedOrNotFound = apiError{404, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found."}

	errNoObject     = apiError{404, "ObjectNotFound", "The object was not found."}
	errIfNoneMatch  = apiError{412, "IfNoneMatchFailed", "The If-None-Match header is set to '*' and the object already exists."}
	errIfMatch      = apiError{412, "IfMatchFailed", "The ETag does not match the If-Match header."}
	errBucketExists = apiError{409, "BucketAlreadyExists", "The bucket already exists."}
	errNotEmpty     = apiError{409, "BucketNotEmpty", "The bucket is not empty. Delete its objects first."}
)

func errNoBucket(name string) error {
	return apiError{404, "BucketNotFound", fmt.Sprintf("Either the bucket named '%s' does not exist in the namespace '%s' or you are not authorized to access it", name, Namespace)}
}

// ensureBucket makes a bucket unless it exists, and switches versioning on where it is wanted.
func (s *storage) ensureBucket(name string, events bool, versioning string) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		b, err := getBucket(tx, name)
		if errors.Is(err, errNoBucket(name)) {
			b, err = newBucketRecord(name, events, s.now()), nil
		}
		if err != nil {
			return err
		}
		if b.version(versioning) != nil {
			return nil // somebody has given it retention rules
		}
		return putRecord(tx, tableBuckets, []byte(name), b)
	})
}

func newBucketRecord(name string, events bool, now time.Time) bucketRecord {
	return bucketRecord{Name: name, ID: "ocid1.bucket.oc1.phx." + uuid.NewString(), ETag: uuid.NewString(), Created: now.UTC(), Events: events}
}

func (s *storage) addBucket(b bucketRecord) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		if tx.Bucket(tableBuckets).Get([]byte(b.Name)) != nil {
			return errBucketExists
		}
		return putRecord(tx, tableBuckets, []byte(b.Name), b)
	})
}

// open opens a version of an object, without one the newest. An overwrite between index
// and file is tried again.
func (s *storage) open(bucket, name, version string) (*os.File, objectRecord, error) {
	find := func(tx *bolt.Tx) (objectRecord, error) { return findVersion(tx, bucket, name, version) }
	for {
		o, err := view(s, find)
		if err != nil {
			return nil, o, err
		}
		f, err := os.Open(s.blob(o.Blob))
		if !errors.Is(err, fs.ErrNotExist) {
			return f, o, err
		}
		again, err := view(s, find)
		if err == nil && again.Blob == o.Blob {
			return nil, o, fmt.Errorf("the file of %s/%s is gone", bucket, name)
		}
	}
}

// write stores a body as a file that no object names yet.
func (s *storage) write(body io.Reader) (blob string, size int64, err error) {
	if s.full != nil && s.full() {
		return "", 0, syscall.ENOSPC
	}
	blob = uuid.NewString()
	f, err := os.OpenFile(s.blob(blob), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", 0, err
	}
	size, err = io.Copy(f, body)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(s.blob(blob)) // else the next start does
		return "", 0, err
	}
	return blob, size, nil
}

// change is a write or delete with its conditions.
type change struct {
	bucket, name string
	ifNoneMatch  bool
	ifMatch      string
	now          time.Time // filled in by the storage
	// allow is asked, within the transaction, with what is there now.
	allow func(exists bool) error
}

// kept reports whether an object that is overwritten or deleted stays as a version.
func (o objectRecord) kept() bool { return o.Kept }

// check looks at what is there and at the conditions.
func (c change) check(tx *bolt.Tx) (old objectRecord, exists bool, err error) {
	old, err = getObjectRecord(tx, c.bucket, c.name)
	switch {
	case err == nil:
		exists = true
	case !errors.Is(err, errNoObject):
		return old, false, err
	}
	if err := c.allow(exists); err != nil {
		return old, exists, err
	}
	switch {
	case c.ifNoneMatch && exists:
		return old, exists, errIfNoneMatch
	case c.ifMatch != "" && !exists:
		return old, exists, errNoObject
	case c.ifMatch != "" && c.ifMatch != "*" && c.ifMatch != old.ETag:
		return old, exists, errIfMatch
	}
	if !exists {
		return old, false, nil
	}
	b, err := getBucket(tx, c.bucket)
	if err == nil {
		old.Kept = old.Kept || b.Versioning == versioningOn // whenever it was written
		err = b.retains(old, c.now)
	}
	return old, exists, err
}

// put makes a written file the newest version of an object.
func (s *storage) put(c change, o objectRecord) (objectRecord, error) {
	var old objectRecord
	err := s.db.Update(func(tx *bolt.Tx) (err error) {
		old, err = s.putIn(tx, c, &o)
		return err
	})
	var refused apiError
	switch {
	case err == nil:
		s.replaced(old)
	case errors.As(err, &refused):
		s.discard(o.Blob)
	}
	// After any other failure the change may yet be in the index: the next start knows.
	return o, err
}

// putIn is put within a transaction. It returns what was there before.
func (s *storage) putIn(tx *bolt.Tx, c change, o *objectRecord) (objectRecord, error) {
	c.now = s.now().UTC().Truncate(time.Millisecond)
	old, exists, err := c.check(tx)
	if err != nil {
		return old, err
	}
	b, err := getBucket(tx, c.bucket)
	if err != nil {
		return old, err
	}
	if o.Number, err = tx.Bucket(tableVersions).NextSequence(); err != nil {
		return old, err
	}
	o.ETag, o.Version, o.Created, o.Kept = uuid.NewString(), uuid.NewString(), c.now, b.Versioning == versioningOn
	kind := "createobject"
	if exists {
		kind = "updateobject"
		if err := keepVersion(tx, c, old); err != nil {
			return old, err
		}
	}
	if err := s.addEvent(tx, kind, c, *o); err != nil {
		return old, err
	}
	return old, putRecord(tx, tableObjects, objectKey(c.bucket, c.name), o)
}

// keepVersion keeps an object that is being replaced, where versioning is on.
func keepVersion(tx *bolt.Tx, c change, old objectRecord) error {
	if !old.kept() {
		return nil
	}
	return putRecord(tx, tableVersions, versionKey(c.bucket, c.name, old.Number), old)
}

// replaced tidies up after a change.
func (s *storage) replaced(old objectRecord) {
	if !old.kept() {
		s.discard(old.Blob)
	}
	s.tell()
}

// delete removes an object. Where versioning is on, it stays as a version, and a marker
// that the object was deleted is the newest one: that is returned.
func (s *storage) delete(c change) (marker objectRecord, err error) {
	var old objectRecord
	err = s.db.Update(func(tx *bolt.Tx) (err error) {
		old, marker, err = s.deleteIn(tx, c)
		return err
	})
	if err == nil {
		s.replaced(old)
	}
	return marker, err
}

// deleteIn is delete within a transaction.
func (s *storage) deleteIn(tx *bolt.Tx, c change) (old, marker objectRecord, err error) {
	c.now = s.now().UTC().Truncate(time.Millisecond)
	old, exists, err := c.check(tx)
	switch {
	case err != nil:
		return old, marker, err
	case !exists:
		return old, marker, errNoObject
	}
	if err := keepVersion(tx, c, old); err != nil {
		return old, marker, err
	}
	if old.kept() {
		number, err := tx.Bucket(tableVersions).NextSequence()
		if err != nil {
			return old, marker, err
		}
		marker = objectRecord{Marker: true, Kept: true, Number: number, Version: uuid.NewString(), Created: c.now}
		if err := putRecord(tx, tableVersions, versionKey(c.bucket, c.name, number), marker); err != nil {
			return old, marker, err
		}
	}
	if err := s.addEvent(tx, "deleteobject", c, old); err != nil {
		return old, marker, err
	}
	return old, marker, tx.Bucket(tableObjects).Delete(objectKey(c.bucket, c.name))
}

// discard removes a file that no object names.
func (s *storage) discard(blob string) {
	if blob != "" {
		_ = os.Remove(s.blob(blob)) // else the next start does
	}
}

// tell says that there may be new events.
func (s *storage) tell() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
