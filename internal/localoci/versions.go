package localoci

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"

	bolt "go.etcd.io/bbolt"
)

// The states of a bucket's versioning.
const (
	versioningOn        = "Enabled"
	versioningSuspended = "Suspended"
	versioningOff       = "Disabled"
)

// versionKey is the key of an earlier version: the newest comes first.
func versionKey(bucket, name string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(objectKey(bucket, name), 0), ^number)
}

// findVersion reads the record of a version, without one the newest. A marker of a
// deletion is no object.
func findVersion(tx *bolt.Tx, bucket, name, version string) (objectRecord, error) {
	o, err := getObjectRecord(tx, bucket, name)
	if version == "" || err != nil && !errors.Is(err, errNoObject) || err == nil && o.Version == version {
		return o, err
	}
	found := objectRecord{}
	err = earlierVersions(tx, bucket, name, func(o objectRecord) bool {
		if o.Version == version {
			found = o
		}
		return found.Version == ""
	})
	if err == nil && (found.Version == "" || found.Marker) {
		err = errNoObject
	}
	return found, err
}

// earlierVersions visits the earlier versions of an object, the newest first, until
// visit returns false.
func earlierVersions(tx *bolt.Tx, bucket, name string, visit func(objectRecord) bool) error {
	prefix := append(objectKey(bucket, name), 0)
	cursor := tx.Bucket(tableVersions).Cursor()
	for key, value := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
		var o objectRecord
		if err := json.Unmarshal(value, &o); err != nil {
			return err
		}
		if !visit(o) {
			return nil
		}
	}
	return nil
}

// deleteVersion removes one version for good. When it was the newest, the one before
// takes its place, unless that marks a deletion.
func (s *storage) deleteVersion(c change, version string) error {
	var gone objectRecord
	err := s.db.Update(func(tx *bolt.Tx) error {
		if err := c.allow(true); err != nil {
			return err
		}
		current, err := getObjectRecord(tx, c.bucket, c.name)
		if err != nil && !errors.Is(err, errNoObject) {
			return err
		}
		if err == nil && current.Version == version {
			gone = current
			if err := tx.Bucket(tableObjects).Delete(objectKey(c.bucket, c.name)); err != nil {
				return err
			}
			return promote(tx, c)
		}
		if err := earlierVersions(tx, c.bucket, c.name, func(o objectRecord) bool {
			if o.Version == version {
				gone = o
			}
			return gone.Version == ""
		}); err != nil {
			return err
		}
		if gone.Version == "" {
			return errNoObject
		}
		if err := tx.Bucket(tableVersions).Delete(versionKey(c.bucket, c.name, gone.Number)); err != nil || !gone.Marker || current.Version != "" {
			return err
		}
		return promote(tx, c)
	})
	if err == nil {
		s.discard(gone.Blob)
	}
	return err
}

// promote makes the newest earlier version the object.
func promote(tx *bolt.Tx, c change) error {
	var next objectRecord
	if err := earlierVersions(tx, c.bucket, c.name, func(o objectRecord) bool {
		next = o
		return false
	}); err != nil || next.Version == "" || next.Marker {
		return err
	}
	if err := tx.Bucket(tableVersions).Delete(versionKey(c.bucket, c.name, next.Number)); err != nil {
		return err
	}
	return putRecord(tx, tableObjects, objectKey(c.bucket, c.name), next)
}
