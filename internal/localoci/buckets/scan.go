package buckets

import (
	"bytes"
	"encoding/json"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// Key is the position of an object, or of a version, in the order of a bucket: by name, and for each name the newest
// version first.
type Key []byte

// KeyOf is the position of an object's newest version.
func KeyOf(bucket, name string) Key { return inBucket(bucket, name) }

// Objects calls visit for the objects of a bucket from a name on, in byte order, until it returns false.
func (s *Store) Objects(bucket, from string, visit func(name string, o Object) bool) error {
	return s.scan(bucket, KeyOf(bucket, from), [][]byte{tableObjects}, func(_ Key, name string, o Object) bool {
		return visit(name, o)
	})
}

// Versions calls visit for the versions of a bucket's objects from a key on, until it returns false.
func (s *Store) Versions(bucket string, from Key, visit func(key Key, name string, o Object) bool) error {
	return s.scan(bucket, from, [][]byte{tableObjects, tableVersions}, visit)
}

// scan merges tables in key order. An object's key comes right before those of its earlier versions, so that key
// order is version order.
func (s *Store) scan(bucket string, from Key, tables [][]byte, visit func(key Key, name string, o Object) bool) error {
	return s.db.View(func(tx *bolt.Tx) error {
		if _, err := readBucket(tx, bucket); err != nil {
			return err
		}
		prefix := inBucket(bucket, "")
		rows := make([]*row, len(tables))
		for i, table := range tables {
			rows[i] = &row{Cursor: tx.Bucket(table).Cursor()}
			rows[i].key, rows[i].value = rows[i].Seek(from)
		}
		for r := lowest(rows, prefix); r != nil; r = lowest(rows, prefix) {
			var o Object
			if err := json.Unmarshal(r.value, &o); err != nil {
				return err
			}
			name, _, _ := strings.Cut(string(r.key[len(prefix):]), "\x00")
			if !visit(r.key, name, o) {
				return nil
			}
			r.key, r.value = r.Next()
		}
		return nil
	})
}

// row is a cursor's current record.
type row struct {
	*bolt.Cursor
	key, value []byte
}

// lowest is the row with the lowest key with a prefix; nil if there is none.
func lowest(rows []*row, prefix []byte) *row {
	var found *row
	for _, r := range rows {
		if bytes.HasPrefix(r.key, prefix) && (found == nil || bytes.Compare(r.key, found.key) < 0) {
			found = r
		}
	}
	return found
}
