// Package buckets stores the buckets and objects of a local OCI on disk. The bytes of an object are a file with a
// random name, which is synced before the index names it; a write takes effect with a transaction of the index. A
// file that the index does not name is left of a write that never took effect, and is removed at the start.
//
// It refuses requests with the errors of Object Storage. What clients may do, and how they ask for it, is in
// internal/localoci/objectstorage.
package buckets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/localoci/index"
	"cemli-executor/internal/localoci/tenancy"
)

// Events records what happens to objects.
type Events interface {
	// Record stores an event in the transaction of the change itself.
	Record(tx *bolt.Tx, eventType, source string, at time.Time, data map[string]any) error
	// Committed says that a transaction has ended that may have recorded events.
	Committed()
}

// Store keeps buckets and objects.
type Store struct {
	files
	db     *bolt.DB
	now    func() time.Time
	events Events
}

// Open opens the buckets in a state folder, whose index has the tables. While full returns true, every write fails as
// if the disk were full.
func Open(dir string, db *bolt.DB, events Events, now func() time.Time, full func() bool) (*Store, error) {
	s := &Store{files: files{filepath.Join(dir, "blobs"), full}, db: db, now: now, events: events}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	named, err := index.View(s.db, namedFiles)
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	return s, s.sweep(named)
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

// Open opens a version of an object; "" is the newest. It tries again if the object is overwritten between reading
// the index and opening the file.
func (s *Store) Open(bucket, name, version string) (*os.File, Object, error) {
	for {
		o, err := s.find(bucket, name, version)
		if err != nil {
			return nil, o, err
		}
		f, err := os.Open(s.path(o.Blob))
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

// eventFamily is the prefix of the types of Object Storage events.
const eventFamily = "com.oraclecloud.objectstorage."

// record records what happened to an object, in the transaction of the change, if the bucket emits events.
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
