package localoci

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/iam"
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

// listedVersion is a version in a listing.
type listedVersion struct {
	Name           string    `json:"name"`
	VersionID      string    `json:"versionId"`
	IsDeleteMarker bool      `json:"isDeleteMarker"`
	TimeCreated    time.Time `json:"timeCreated"`
	TimeModified   time.Time `json:"timeModified"`
	ETag           string    `json:"etag,omitempty"`
	MD5            string    `json:"md5,omitempty"`
	Size           int64     `json:"size"`
}

// listVersions lists all versions of the objects of a bucket, by name, the newest first.
func (s *Server) listVersions(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, to.bucket, iam.ObjectInspect); err != nil {
		return err
	}
	query := r.URL.Query()
	limit, skip := maxListed, 0
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxListed {
			return apiError{http.StatusBadRequest, "InvalidParameter", "The limit must be a number from 1 to 1000."}
		}
		limit = n
	}
	if text := query.Get("page"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return apiError{http.StatusBadRequest, "InvalidParameter", "The page is not one that was answered."}
		}
		skip = n
	}
	all, err := s.storage.allVersions(to.bucket, query.Get("prefix"))
	if err != nil {
		return err
	}
	all = all[min(skip, len(all)):]
	if len(all) > limit {
		w.Header().Set("Opc-Next-Page", strconv.Itoa(skip+limit))
		all = all[:limit]
	}
	writeJSON(w, http.StatusOK, map[string]any{"items": all, "prefixes": []string{}})
	return nil
}

func (s *storage) allVersions(bucket, prefix string) ([]listedVersion, error) {
	return view(s, func(tx *bolt.Tx) ([]listedVersion, error) {
		if _, err := getBucket(tx, bucket); err != nil {
			return nil, err
		}
		names := map[string]bool{}
		for _, table := range [][]byte{tableObjects, tableVersions} {
			start := objectKey(bucket, prefix)
			cursor := tx.Bucket(table).Cursor()
			for key, _ := cursor.Seek(start); bytes.HasPrefix(key, start); key, _ = cursor.Next() {
				name, _, _ := strings.Cut(string(key[len(bucket)+1:]), "\x00")
				names[name] = true
			}
		}
		list := []listedVersion{}
		for _, name := range sortedKeys(names) {
			add := func(o objectRecord) bool {
				list = append(list, listedVersion{name, o.Version, o.Marker, o.Created, o.Created, o.ETag, o.MD5, o.Size})
				return true
			}
			if o, err := getObjectRecord(tx, bucket, name); err == nil {
				add(o)
			}
			if err := earlierVersions(tx, bucket, name, add); err != nil {
				return nil, err
			}
		}
		return list, nil
	})
}
