package localoci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The tables of the index. Objects are found by bucket, a zero byte, and name; their
// earlier versions by another zero byte and the version's number. No name has a zero byte.
var (
	tableBuckets  = []byte("buckets")
	tableObjects  = []byte("objects")
	tableVersions = []byte("versions")
	tableUploads  = []byte("uploads")
	tableParts    = []byte("parts")
	tableWork     = []byte("workrequests")
	tableEvents   = []byte("events")
	tableMessages = []byte("messages")
	tableSecrets  = []byte("secrets")

	tables = [][]byte{tableBuckets, tableObjects, tableVersions, tableUploads, tableParts, tableWork, tableEvents, tableMessages, tableSecrets}
	// blobTables have records with a blob.
	blobTables = [][]byte{tableObjects, tableVersions, tableParts}
)

// bucketRecord is a bucket.
type bucketRecord struct {
	Name    string    `json:"name"`
	ID      string    `json:"id"`
	ETag    string    `json:"etag"`
	Created time.Time `json:"created"`
	Events  bool      `json:"events"`
	// Versioning is Enabled, Suspended or Disabled; Retention excludes it.
	Versioning string          `json:"versioning,omitempty"`
	Retention  []retentionRule `json:"retention,omitempty"`
}

// objectRecord is a version of an object.
type objectRecord struct {
	Blob     string            `json:"blob"`
	Size     int64             `json:"size"`
	ETag     string            `json:"etag"`
	Version  string            `json:"version"`
	MD5      string            `json:"md5"`
	Created  time.Time         `json:"created"`
	Headers  map[string]string `json:"headers,omitempty"`  // content type and the like, as they are answered
	Metadata map[string]string `json:"metadata,omitempty"` // without opc-meta-
	// Number orders the versions of all objects. Kept: it was written where versioning is
	// on, so that it stays when another version follows. Marker: it says that the object
	// was deleted.
	Number uint64 `json:"number,omitempty"`
	Kept   bool   `json:"kept,omitempty"`
	Marker bool   `json:"marker,omitempty"`
	// Sums are the checksums that are answered, by header.
	Sums map[string]string `json:"sums,omitempty"`
}

// errInUse: another process has the index open.
var errInUse = errors.New("the index is locked")

// openIndex opens the database, making it at the first time, and reads all of it once,
// so that damage shows now. It returns the files that objects name.
func openIndex(path string) (db *bolt.DB, named map[string]bool, err error) {
	// Of a damaged file bbolt panics, and faults where it is shorter than it says.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read index: %v", p)
		}
	}()
	db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, nil, errInUse
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open index: %w", err)
	}
	if err = db.Update(makeTables); err == nil {
		named, err = readIndex(db)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("read index: %w", err), db.Close())
	}
	return db, named, nil
}

func makeTables(tx *bolt.Tx) error {
	for _, table := range tables {
		if _, err := tx.CreateBucketIfNotExists(table); err != nil {
			return err
		}
	}
	return nil
}

// readIndex reads every record and returns the files that objects name.
func readIndex(db *bolt.DB) (map[string]bool, error) {
	named := map[string]bool{}
	withBlob := func(_, value []byte) error {
		var record struct {
			Blob string `json:"blob"`
		}
		err := json.Unmarshal(value, &record)
		named[record.Blob] = true
		return err
	}
	other := func(_, value []byte) error {
		var record json.RawMessage
		return json.Unmarshal(value, &record)
	}
	return named, db.View(func(tx *bolt.Tx) error {
		var failed error
		for _, table := range tables {
			read := other
			if slices.ContainsFunc(blobTables, func(t []byte) bool { return bytes.Equal(t, table) }) {
				read = withBlob
			}
			failed = errors.Join(failed, tx.Bucket(table).ForEach(read))
		}
		return failed
	})
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

// view reads a record in a transaction of its own.
func view[T any](s *storage, read func(*bolt.Tx) (T, error)) (T, error) {
	var value T
	err := s.db.View(func(tx *bolt.Tx) (err error) {
		value, err = read(tx)
		return err
	})
	return value, err
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
