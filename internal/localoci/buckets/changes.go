package buckets

import (
	"errors"
	"maps"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/index"
)

// Change is a write or delete of an object, with its conditions.
type Change struct {
	Bucket, Name string
	IfNoneMatch  bool
	IfMatch      string
	// Allow is called within the transaction with whether the object exists; nil: the permission was checked before.
	Allow func(exists bool) error
	now   time.Time // filled in by the store
}

// found is the state that a change finds.
type found struct {
	bucket Bucket
	old    Object // as it would be kept as a version
	exists bool
}

// check reads the current state, and refuses a change whose conditions are not met.
func (c Change) check(tx *bolt.Tx) (found, error) {
	old, err := readObject(tx, c.Bucket, c.Name)
	if err != nil && !errors.Is(err, ErrNoObject) {
		return found{}, err
	}
	f := found{old: old, exists: err == nil}
	if c.Allow != nil {
		if err := c.Allow(f.exists); err != nil {
			return f, err
		}
	}
	switch {
	case c.IfNoneMatch && f.exists:
		return f, errIfNoneMatch
	case c.IfMatch != "" && !f.exists:
		return f, ErrNoObject
	case c.IfMatch != "" && c.IfMatch != "*" && c.IfMatch != old.ETag:
		return f, ErrIfMatch
	}
	if f.bucket, err = readBucket(tx, c.Bucket); err != nil || !f.exists {
		return f, err
	}
	f.old.Kept = f.old.Kept || f.bucket.Versioning == VersioningOn // whenever it was written
	return f, f.bucket.retains(f.old, c.now)
}

// Put makes a written file the newest version of an object.
func (s *Store) Put(c Change, o Object) (Object, error) {
	var old Object
	err := s.db.Update(func(tx *bolt.Tx) (err error) {
		old, err = s.put(tx, c, &o)
		return err
	})
	var refused answer.Error
	switch {
	case err == nil:
		s.replaced(old)
	case errors.As(err, &refused):
		s.Discard(o.Blob)
	}
	// After any other failure the change may be in the index all the same; the next start knows.
	return o, err
}

// put is Put within a transaction. It returns the previous object.
func (s *Store) put(tx *bolt.Tx, c Change, o *Object) (Object, error) {
	c.now = s.now().UTC().Truncate(time.Millisecond)
	f, err := c.check(tx)
	if err != nil {
		return f.old, err
	}
	if o.Number, err = tx.Bucket(tableVersions).NextSequence(); err != nil {
		return f.old, err
	}
	o.ETag, o.Version, o.Created, o.Kept = uuid.NewString(), uuid.NewString(), c.now,
		f.bucket.Versioning == VersioningOn
	kind := "createobject"
	if f.exists {
		kind = "updateobject"
		if err := keepVersion(tx, c, f.old); err != nil {
			return f.old, err
		}
	}
	if err := s.record(tx, kind, f.bucket, c, *o); err != nil {
		return f.old, err
	}
	return f.old, index.Put(tx, tableObjects, inBucket(c.Bucket, c.Name), o)
}

// keepVersion keeps a replaced object as a version, if versioning is on.
func keepVersion(tx *bolt.Tx, c Change, old Object) error {
	if !old.Kept {
		return nil
	}
	return index.Put(tx, tableVersions, versionKey(c.Bucket, c.Name, old.Number), old)
}

// replaced removes what is no longer needed after a change.
func (s *Store) replaced(old Object) {
	if !old.Kept {
		s.Discard(old.Blob)
	}
	s.events.Committed()
}

// Delete removes an object. If versioning is on, the object stays as a version, and the newest version is a deletion
// marker, which is returned.
func (s *Store) Delete(c Change) (marker Object, err error) {
	var old Object
	err = s.db.Update(func(tx *bolt.Tx) (err error) {
		old, marker, err = s.delete(tx, c)
		return err
	})
	if err == nil {
		s.replaced(old)
	}
	return marker, err
}

// delete is Delete within a transaction.
func (s *Store) delete(tx *bolt.Tx, c Change) (old, marker Object, err error) {
	c.now = s.now().UTC().Truncate(time.Millisecond)
	f, err := c.check(tx)
	switch {
	case err != nil:
		return f.old, marker, err
	case !f.exists:
		return f.old, marker, ErrNoObject
	}
	if err := keepVersion(tx, c, f.old); err != nil {
		return f.old, marker, err
	}
	if f.old.Kept {
		if marker, err = putMarker(tx, c); err != nil {
			return f.old, marker, err
		}
	}
	if err := s.record(tx, "deleteobject", f.bucket, c, f.old); err != nil {
		return f.old, marker, err
	}
	return f.old, marker, tx.Bucket(tableObjects).Delete(inBucket(c.Bucket, c.Name))
}

// putMarker adds a deletion marker.
func putMarker(tx *bolt.Tx, c Change) (Object, error) {
	number, err := tx.Bucket(tableVersions).NextSequence()
	if err != nil {
		return Object{}, err
	}
	marker := Object{Marker: true, Kept: true, Number: number, Version: uuid.NewString(), Created: c.now}
	return marker, index.Put(tx, tableVersions, versionKey(c.Bucket, c.Name, number), marker)
}

// DeleteVersion removes one version for good. If it was the newest, the version before it takes its place, unless
// that is a deletion marker.
func (s *Store) DeleteVersion(c Change, version string) error {
	var gone Object
	err := s.db.Update(func(tx *bolt.Tx) (err error) {
		if err := c.Allow(true); err != nil {
			return err
		}
		gone, err = deleteVersion(tx, c, version)
		return err
	})
	if err == nil {
		s.Discard(gone.Blob)
	}
	return err
}

// deleteVersion is DeleteVersion within a transaction. It returns the removed version.
func deleteVersion(tx *bolt.Tx, c Change, version string) (Object, error) {
	current, err := readObject(tx, c.Bucket, c.Name)
	if err != nil && !errors.Is(err, ErrNoObject) {
		return Object{}, err
	}
	if err == nil && current.Version == version {
		if err := tx.Bucket(tableObjects).Delete(inBucket(c.Bucket, c.Name)); err != nil {
			return Object{}, err
		}
		return current, promote(tx, c)
	}
	gone, err := earlierVersion(tx, c.Bucket, c.Name, version)
	if err != nil {
		return gone, err
	}
	err = tx.Bucket(tableVersions).Delete(versionKey(c.Bucket, c.Name, gone.Number))
	if err != nil || !gone.Marker || current.Version != "" {
		return gone, err
	}
	return gone, promote(tx, c)
}

// promote makes the newest earlier version the current object, unless that is a deletion marker.
func promote(tx *bolt.Tx, c Change) error {
	next, err := earlierVersion(tx, c.Bucket, c.Name, "")
	switch {
	case errors.Is(err, ErrNoObject):
		return nil
	case err != nil:
		return err
	case next.Marker:
		return nil
	}
	if err := tx.Bucket(tableVersions).Delete(versionKey(c.Bucket, c.Name, next.Number)); err != nil {
		return err
	}
	return index.Put(tx, tableObjects, inBucket(c.Bucket, c.Name), next)
}

// Rename renames an object in one transaction: from says what is deleted, and to what is written.
func (s *Store) Rename(from, to Change) (Object, error) {
	var o, replaced Object
	err := s.db.Update(func(tx *bolt.Tx) error {
		old, _, err := s.delete(tx, from)
		if err != nil {
			return err
		}
		o = old
		o.Headers, o.Metadata, o.Sums = maps.Clone(old.Headers), maps.Clone(old.Metadata), maps.Clone(old.Sums)
		if old.Kept {
			if o, err = s.duplicate(o); err != nil { // the version keeps its file
				return err
			}
		}
		replaced, err = s.put(tx, to, &o)
		return err
	})
	if err == nil {
		s.replaced(replaced)
	}
	return o, err
}
