package localoci

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/iam"
)

// versionListing is a page of versions.
type versionListing struct {
	Items    []map[string]any `json:"items"`
	Prefixes []string         `json:"prefixes"`
}

// listVersions lists the versions of the objects of a bucket, by name, the newest first.
func (s *Server) listVersions(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, to.bucket, iam.ObjectInspect); err != nil {
		return err
	}
	l, err := newLister(r.URL.RawQuery)
	if err != nil {
		return err
	}
	from := objectKey(to.bucket, l.from)
	if page := r.URL.Query().Get("page"); page != "" {
		key, err := base64.RawURLEncoding.DecodeString(page)
		if err != nil || bytes.Compare(key, from) < 0 {
			return apiError{http.StatusBadRequest, "InvalidParameter", "The page is not one that was answered."}
		}
		from = key
	}
	if err := s.storage.scanVersions(to.bucket, from, func(key []byte, name string, o objectRecord) bool {
		return l.visit(name, string(key), func() map[string]any { return o.listedVersion(name, l.fields) })
	}); err != nil {
		return err
	}
	if l.next != "" {
		w.Header().Set("Opc-Next-Page", base64.RawURLEncoding.EncodeToString([]byte(l.next)))
	}
	writeJSON(w, http.StatusOK, versionListing{l.items, l.folders})
	return nil
}

// listedVersion is a version in a listing. When it was written, and which it is, is always there.
func (o objectRecord) listedVersion(name string, fields []string) map[string]any {
	found := map[string]any{"name": name}
	if !o.Marker {
		found = o.listed(name, fields)
	}
	found["versionId"], found["isDeleteMarker"], found["timeModified"] = o.Version, o.Marker, o.Created
	return found
}

// scanVersions calls visit for the versions of a bucket's objects from a key on, by name, the
// newest first, until it returns false. An object's key comes right before those of its earlier
// versions, so that the order of keys is that of versions.
func (s *storage) scanVersions(bucket string, from []byte, visit func(key []byte, name string, o objectRecord) bool) error {
	return s.db.View(func(tx *bolt.Tx) error {
		if _, err := getBucket(tx, bucket); err != nil {
			return err
		}
		prefix := objectKey(bucket, "")
		rows := []*row{{Cursor: tx.Bucket(tableObjects).Cursor()}, {Cursor: tx.Bucket(tableVersions).Cursor()}}
		for _, r := range rows {
			r.key, r.value = r.Seek(from)
		}
		for {
			r := first(rows, prefix)
			if r == nil {
				return nil
			}
			var o objectRecord
			if err := json.Unmarshal(r.value, &o); err != nil {
				return err
			}
			name, _, _ := strings.Cut(string(r.key[len(prefix):]), "\x00")
			if !visit(r.key, name, o) {
				return nil
			}
			r.key, r.value = r.Next()
		}
	})
}

// row is where a cursor is.
type row struct {
	*bolt.Cursor
	key, value []byte
}

// first is the row with the lowest key of those that begin with a prefix; nil if there is none.
func first(rows []*row, prefix []byte) *row {
	var lowest *row
	for _, r := range rows {
		if bytes.HasPrefix(r.key, prefix) && (lowest == nil || bytes.Compare(r.key, lowest.key) < 0) {
			lowest = r
		}
	}
	return lowest
}
