// Package buckets keeps the buckets and objects of a local OCI on disk. The bytes of an object are a file with a random
// name, synced before the index names it; a transaction of the index is the moment at which a write happens. A file
// that the index does not name is left of a write that never happened, and is removed at the start.
//
// What it refuses it refuses with the errors of Object Storage; what clients may do, and how they ask for it, is
// internal/localoci/objectstorage's.
package buckets

import (
	"encoding/json"
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

	"cemli-executor/internal/localoci/index"
	"cemli-executor/internal/localoci/tenancy"
)

// Events takes what has happened to an object, for whoever it is to be told.
type Events interface {
	// Record keeps an event in the transaction of the change itself.
	Record(tx *bolt.Tx, eventType, source string, at time.Time, data map[string]any) error
	// Committed says that a transaction has ended which may have recorded some.
	Committed()
}

// Store keeps buckets and objects.
type Store struct {
	dir    string // of the objects' files
	db     *bolt.DB
	now    func() time.Time
	full   func() bool // a fault: nothing can be written
	events Events
}

// Open opens the buckets in a state folder, whose index has the tables; full, if it is true, lets every write fail as on
// a full disk.
func Open(dir string, db *bolt.DB, events Events, now func() time.Time, full func() bool) (*Store, error) {
	s := &Store{dir: filepath.Join(dir, "blobs"), db: db, now: now, full: full, events: events}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	return s, s.sweep()
}

// sweep removes the files that the index does not name.
func (s *Store) sweep() error {
	named, err := index.View(s.db, namedFiles)
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	entries, err := os.ReadDir(s.dir)
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

// namedFiles are the files that the index names.
func namedFiles(tx *bolt.Tx) (map[string]bool, error) {
	named := map[string]bool{}
	for _, table := range [][]byte{tableObjects, tableVersions, tableParts} {
		err := tx.Bucket(table).ForEach(func(_, value []byte) error {
			var record struct {
				Blob string `json:"blob"`
			}
			err := json.Unmarshal(value, &record)
			named[record.Blob] = true
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return named, nil
}

func (s *Store) blob(name string) string { return filepath.Join(s.dir, name) }

// Write stores a body as a file that no object names yet.
func (s *Store) Write(body io.Reader) (blob string, size int64, err error) {
	if s.full() {
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
		s.Discard(blob)
		return "", 0, err
	}
	return blob, size, nil
}

// duplicate makes another name for the file of an object: files are never changed.
func (s *Store) duplicate(o Object) (Object, error) {
	if s.full() {
		return o, syscall.ENOSPC
	}
	blob := uuid.NewString()
	err := os.Link(s.blob(o.Blob), s.blob(blob))
	o.Blob = blob
	return o, err
}

// Discard removes a file that no object names.
func (s *Store) Discard(blob string) {
	if blob != "" {
		_ = os.Remove(s.blob(blob)) // else the next start does
	}
}

// Open opens a version of an object, without one the newest. An overwrite between index and file is tried again.
func (s *Store) Open(bucket, name, version string) (*os.File, Object, error) {
	for {
		o, err := s.find(bucket, name, version)
		if err != nil {
			return nil, o, err
		}
		f, err := os.Open(s.blob(o.Blob))
		if !errors.Is(err, fs.ErrNotExist) {
			return f, o, err
		}
		again, err := s.find(bucket, name, version)
		if err == nil && again.Blob == o.Blob {
			return nil, o, fmt.Errorf("the file of %s/%s is gone", bucket, name)
		}
	}
}

func (s *Store) find(bucket, name, version string) (Object, error) {
	return index.View(s.db, func(tx *bolt.Tx) (Object, error) { return readVersion(tx, bucket, name, version) })
}

// eventFamily begins the type of every event of Object Storage.
const eventFamily = "com.oraclecloud.objectstorage."

// record keeps an event of what happened to an object, in the transaction of the change itself, if the bucket's events
// are on.
func (s *Store) record(tx *bolt.Tx, kind string, b Bucket, c Change, o Object) error {
	if !b.Events {
		return nil
	}
	return s.events.Record(tx, eventFamily+kind, "ObjectStorage", c.now, map[string]any{
		"resourceName": c.Name, "resourceId": "/n/" + tenancy.Namespace + "/b/" + b.Name + "/o/" + c.Name,
		"additionalDetails": map[string]string{
			"bucketName": b.Name, "versionId": o.Version, "archivalState": "Available",
			"namespace": tenancy.Namespace, "bucketId": b.ID, "eTag": o.ETag,
		},
	})
}
