package buckets

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/tenancy"
)

// The tables of the index. The key of an object is bucket, a zero byte, and name; that of an earlier version has
// another zero byte and the version's number after it. No name has a zero byte.
var (
	tableBuckets  = []byte("buckets")
	tableObjects  = []byte("objects")
	tableVersions = []byte("versions")
	tableUploads  = []byte("uploads")
	tableParts    = []byte("parts")
	tableWork     = []byte("workrequests")
	tablePARs     = []byte("pars")
)

// Tables are the tables that a Store has in the index.
var Tables = [][]byte{tableBuckets, tableObjects, tableVersions, tableUploads, tableParts, tableWork, tablePARs}

// The failures that clients are told about.
var (
	ErrNoObject = answer.New(http.StatusNotFound, "ObjectNotFound", "The object was not found.")
	ErrIfMatch  = answer.New(http.StatusPreconditionFailed, "IfMatchFailed",
		"The ETag does not match the If-Match header.")

	errIfNoneMatch = answer.New(http.StatusPreconditionFailed, "IfNoneMatchFailed",
		"The If-None-Match header is set to '*' and the object already exists.")
	errBucketExists = answer.New(http.StatusConflict, "BucketAlreadyExists", "The bucket already exists.")
	errNotEmpty     = answer.New(http.StatusConflict, "BucketNotEmpty",
		"The bucket is not empty. Delete its objects, uploads and pre-authenticated requests first.")
)

// ErrNoBucket answers for a bucket that does not exist or may not be seen.
func ErrNoBucket(name string) error {
	return answer.New(http.StatusNotFound, "BucketNotFound",
		fmt.Sprintf("Either the bucket named '%s' does not exist in the namespace '%s' "+
			"or you are not authorized to access it", name, tenancy.Namespace))
}

// The states of versioning.
const (
	VersioningOn        = "Enabled"
	VersioningSuspended = "Suspended"
	VersioningOff       = "Disabled"
)

// Bucket is the record of a bucket.
type Bucket struct {
	Name    string    `json:"name"`
	ID      string    `json:"id"`
	ETag    string    `json:"etag"`
	Created time.Time `json:"created"`
	Events  bool      `json:"events"`
	// Versioning is Enabled, Suspended or Disabled; Retention excludes it.
	Versioning string          `json:"versioning,omitempty"`
	Retention  []RetentionRule `json:"retention,omitempty"`
}

// NewBucket makes the record of a bucket.
func NewBucket(name string, events bool, now time.Time) Bucket {
	id := "ocid1.bucket.oc1.phx." + uuid.NewString()
	return Bucket{Name: name, ID: id, ETag: uuid.NewString(), Created: now.UTC(), Events: events}
}

// SwitchVersioning sets the state of versioning, if one is given. Versioning cannot be switched off again.
func (b *Bucket) SwitchVersioning(wanted string) error {
	switch {
	case wanted == "" || wanted == b.Versioning:
		return nil
	case wanted == VersioningOff && b.Versioning == "":
		return nil
	case wanted != VersioningOn && (wanted != VersioningSuspended || b.Versioning == ""):
		return answer.Invalid("Versioning can be Enabled, and then Suspended.")
	case len(b.Retention) > 0:
		return answer.New(http.StatusConflict, "InvalidBucketState",
			"A bucket with retention rules cannot have versioning.")
	}
	b.Versioning = wanted
	return nil
}

// Object is the record of a version of an object.
type Object struct {
	Blob     string            `json:"blob"`
	Size     int64             `json:"size"`
	ETag     string            `json:"etag"`
	Version  string            `json:"version"`
	MD5      string            `json:"md5"`
	Created  time.Time         `json:"created"`
	Headers  map[string]string `json:"headers,omitempty"`  // content type and similar, as answered
	Metadata map[string]string `json:"metadata,omitempty"` // without opc-meta-
	// Number orders the versions of all objects. Kept: it was written while versioning was on, so that it stays when
	// another version follows. Marker: it is a deletion marker.
	Number uint64 `json:"number,omitempty"`
	Kept   bool   `json:"kept,omitempty"`
	Marker bool   `json:"marker,omitempty"`
	// Sums are the checksums that are answered, by header.
	Sums map[string]string `json:"sums,omitempty"`
}

// inBucket is the key of a record in a bucket, by name or id.
func inBucket(bucket, name string) []byte { return []byte(bucket + "\x00" + name) }

// versionKey is the key of an earlier version: newer versions come first.
func versionKey(bucket, name string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(inBucket(bucket, name), 0), ^number)
}

// readBucket reads a bucket's record.
func readBucket(tx *bolt.Tx, name string) (Bucket, error) {
	var b Bucket
	value := tx.Bucket(tableBuckets).Get([]byte(name))
	if value == nil {
		return b, ErrNoBucket(name)
	}
	return b, json.Unmarshal(value, &b)
}

// readObject reads the record of an object's newest version; the bucket must exist.
func readObject(tx *bolt.Tx, bucket, name string) (Object, error) {
	var o Object
	if _, err := readBucket(tx, bucket); err != nil {
		return o, err
	}
	value := tx.Bucket(tableObjects).Get(inBucket(bucket, name))
	if value == nil {
		return o, ErrNoObject
	}
	return o, json.Unmarshal(value, &o)
}

// readVersion reads the record of a version; "" is the newest. A deletion marker is no object.
func readVersion(tx *bolt.Tx, bucket, name, version string) (Object, error) {
	o, err := readObject(tx, bucket, name)
	if version == "" || err != nil && !errors.Is(err, ErrNoObject) || err == nil && o.Version == version {
		return o, err
	}
	found, err := earlierVersion(tx, bucket, name, version)
	if err == nil && found.Marker {
		err = ErrNoObject
	}
	return found, err
}

// earlierVersion finds a version or deletion marker before the newest version; "" is the newest of these.
func earlierVersion(tx *bolt.Tx, bucket, name, version string) (Object, error) {
	prefix := append(inBucket(bucket, name), 0)
	cursor := tx.Bucket(tableVersions).Cursor()
	for key, value := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
		var o Object
		if err := json.Unmarshal(value, &o); err != nil {
			return o, err
		}
		if version == "" || o.Version == version {
			return o, nil
		}
	}
	return Object{}, ErrNoObject
}
