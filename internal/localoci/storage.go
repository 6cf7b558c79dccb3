package localoci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"
)

// storage keeps buckets and objects. The bytes of an object are a file with a random
// name, synced before the index names it; the index is a bbolt database, and a
// transaction of it is the moment at which a write happens. A file that the index does
// not name is left of a write that never happened, and is removed at the start.
type storage struct {
	dir       string
	db        *bolt.DB
	authority *Authority
	now       func() time.Time
	changed   chan struct{} // has an element when events were added
}

// The tables of the index. Objects are found by bucket, a zero byte, and name; no
// bucket's name has a zero byte.
var (
	tableBuckets = []byte("buckets")
	tableObjects = []byte("objects")
	tableEvents  = []byte("events")
)

// bucketRecord is a bucket.
type bucketRecord struct {
	Name    string    `json:"name"`
	ID      string    `json:"id"`
	ETag    string    `json:"etag"`
	Created time.Time `json:"created"`
	Events  bool      `json:"events"`
}

// objectRecord is the newest version of an object.
type objectRecord struct {
	Blob     string            `json:"blob"`
	Size     int64             `json:"size"`
	ETag     string            `json:"etag"`
	Version  string            `json:"version"`
	MD5      string            `json:"md5"`
	Created  time.Time         `json:"created"`
	Headers  map[string]string `json:"headers,omitempty"`  // content type and the like, as they are answered
	Metadata map[string]string `json:"metadata,omitempty"` // without opc-meta-
}

func openStorage(dir string, authority *Authority, now func() time.Time) (*storage, error) {
	s := &storage{dir: dir, authority: authority, now: now, changed: make(chan struct{}, 1)}
	if err := os.MkdirAll(filepath.Join(dir, "blobs"), 0o700); err != nil {
		return nil, err
	}
	db, err := bolt.Open(filepath.Join(dir, "index.db"), 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	s.db = db
	err = db.Update(func(tx *bolt.Tx) error {
		for _, table := range [][]byte{tableBuckets, tableObjects, tableEvents} {
			if _, err := tx.CreateBucketIfNotExists(table); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = s.sweep()
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *storage) close() error { return s.db.Close() }

// sweep removes the files that the index does not name.
func (s *storage) sweep() error {
	named := map[string]bool{}
	err := s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(tableObjects).ForEach(func(_, value []byte) error {
			var o objectRecord
			if err := json.Unmarshal(value, &o); err != nil {
				return err
			}
			named[o.Blob] = true
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
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
	errNoObject     = apiError{404, "ObjectNotFound", "The object was not found."}
	errIfNoneMatch  = apiError{412, "IfNoneMatchFailed", "The If-None-Match header is set to '*' and the object already exists."}
	errIfMatch      = apiError{412, "IfMatchFailed", "The ETag does not match the If-Match header."}
	errBucketExists = apiError{409, "BucketAlreadyExists", "The bucket already exists."}
	errNotEmpty     = apiError{409, "BucketNotEmpty", "The bucket is not empty. Delete its objects first."}
)

func errNoBucket(name string) error {
	return apiError{404, "BucketNotFound", fmt.Sprintf("Either the bucket named '%s' does not exist in the namespace '%s' or you are not authorized to access it", name, Namespace)}
}

func objectKey(bucket, name string) []byte { return []byte(bucket + "\x00" + name) }

// getBucket reads a bucket's record.
func getBucket(tx *bolt.Tx, name string) (bucketRecord, error) {
	var b bucketRecord
	value := tx.Bucket(tableBuckets).Get([]byte(name))
	if value == nil {
		return b, errNoBucket(name)
	}
	return b, json.Unmarshal(value, &b)
}

func putRecord(tx *bolt.Tx, table, key []byte, record any) error {
	value, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return tx.Bucket(table).Put(key, value)
}

// getObjectRecord reads an object's record, within an existing bucket.
func getObjectRecord(tx *bolt.Tx, bucket, name string) (objectRecord, error) {
	var o objectRecord
	if _, err := getBucket(tx, bucket); err != nil {
		return o, err
	}
	value := tx.Bucket(tableObjects).Get(objectKey(bucket, name))
	if value == nil {
		return o, errNoObject
	}
	return o, json.Unmarshal(value, &o)
}

// ensureBucket makes a bucket unless it exists.
func (s *storage) ensureBucket(name string, events bool) error {
	_, err := s.newBucket(name, events)
	if errors.Is(err, errBucketExists) {
		return nil
	}
	return err
}

func (s *storage) newBucket(name string, events bool) (bucketRecord, error) {
	b := bucketRecord{Name: name, ID: "ocid1.bucket.oc1.phx." + uuid.NewString(), ETag: uuid.NewString(), Created: s.now().UTC(), Events: events}
	return b, s.db.Update(func(tx *bolt.Tx) error {
		if tx.Bucket(tableBuckets).Get([]byte(name)) != nil {
			return errBucketExists
		}
		return putRecord(tx, tableBuckets, []byte(name), b)
	})
}

// view reads a record in a transaction of its own.
func view[T any](s *storage, read func(*bolt.Tx) (T, error)) (T, error) {
	var value T
	err := s.db.View(func(tx *bolt.Tx) (err error) {
		value, err = read(tx)
		return err
	})
	return value, err
}

// open opens the newest version of an object. An overwrite between index and file is
// tried again.
func (s *storage) open(bucket, name string) (*os.File, objectRecord, error) {
	for {
		o, err := view(s, func(tx *bolt.Tx) (objectRecord, error) { return getObjectRecord(tx, bucket, name) })
		if err != nil {
			return nil, o, err
		}
		f, err := os.Open(s.blob(o.Blob))
		if !errors.Is(err, fs.ErrNotExist) {
			return f, o, err
		}
		again, err := view(s, func(tx *bolt.Tx) (objectRecord, error) { return getObjectRecord(tx, bucket, name) })
		if err == nil && again.Blob == o.Blob {
			return nil, o, fmt.Errorf("the file of %s/%s is gone", bucket, name)
		}
	}
}

// write stores a body as a file that no object names yet.
func (s *storage) write(body io.Reader) (blob string, size int64, err error) {
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
	// allow is asked, within the transaction, with what is there now.
	allow func(exists bool) error
}

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
	return old, exists, nil
}

// put makes a written file the newest version of an object.
func (s *storage) put(c change, o objectRecord) (objectRecord, error) {
	o.ETag, o.Version, o.Created = uuid.NewString(), uuid.NewString(), s.now().UTC()
	var old objectRecord
	err := s.db.Update(func(tx *bolt.Tx) error {
		var exists bool
		var err error
		if old, exists, err = c.check(tx); err != nil {
			return err
		}
		kind := "createobject"
		if exists {
			kind = "updateobject"
		}
		if err := s.addEvent(tx, kind, c, o); err != nil {
			return err
		}
		return putRecord(tx, tableObjects, objectKey(c.bucket, c.name), o)
	})
	gone := old.Blob
	if err != nil {
		gone = o.Blob
	}
	s.discard(gone)
	return o, err
}

// delete removes an object.
func (s *storage) delete(c change) error {
	var old objectRecord
	err := s.db.Update(func(tx *bolt.Tx) error {
		var exists bool
		var err error
		if old, exists, err = c.check(tx); err != nil {
			return err
		}
		if !exists {
			return errNoObject
		}
		if err := s.addEvent(tx, "deleteobject", c, old); err != nil {
			return err
		}
		return tx.Bucket(tableObjects).Delete(objectKey(c.bucket, c.name))
	})
	if err == nil {
		s.discard(old.Blob)
	}
	return err
}

// discard removes the file of a version that is no more, and tells of new events.
func (s *storage) discard(blob string) {
	if blob != "" {
		_ = os.Remove(s.blob(blob)) // else the next start does
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// scan calls visit for the objects of a bucket from a name on, in byte order, until it
// returns false.
func (s *storage) scan(bucket, from string, visit func(name string, o objectRecord) bool) error {
	return s.db.View(func(tx *bolt.Tx) error {
		if _, err := getBucket(tx, bucket); err != nil {
			return err
		}
		prefix := objectKey(bucket, "")
		cursor := tx.Bucket(tableObjects).Cursor()
		for key, value := cursor.Seek(objectKey(bucket, from)); bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
			var o objectRecord
			if err := json.Unmarshal(value, &o); err != nil {
				return err
			}
			if !visit(string(key[len(prefix):]), o) {
				return nil
			}
		}
		return nil
	})
}
