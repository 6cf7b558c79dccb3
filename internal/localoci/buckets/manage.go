package buckets

import (
	"bytes"
	"errors"

	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/localoci/index"
)

// EnsureBucket creates a bucket if it does not exist, and switches versioning on if that is wanted.
func (s *Store) EnsureBucket(name string, events bool, versioning string) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		b, err := readBucket(tx, name)
		if errors.Is(err, ErrNoBucket(name)) {
			b, err = NewBucket(name, events, s.now()), nil
		}
		if err != nil {
			return err
		}
		if b.SwitchVersioning(versioning) != nil {
			return nil // retention rules were added to it
		}
		return index.Put(tx, tableBuckets, []byte(name), b)
	})
}

// CreateBucket adds a bucket.
func (s *Store) CreateBucket(b Bucket) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		if tx.Bucket(tableBuckets).Get([]byte(b.Name)) != nil {
			return errBucketExists
		}
		return index.Put(tx, tableBuckets, []byte(b.Name), b)
	})
}

// Bucket returns a bucket.
func (s *Store) Bucket(name string) (Bucket, error) {
	return index.View(s.db, func(tx *bolt.Tx) (Bucket, error) { return readBucket(tx, name) })
}

// Buckets returns all buckets.
func (s *Store) Buckets() ([]Bucket, error) {
	return index.View(s.db, func(tx *bolt.Tx) ([]Bucket, error) { return index.All[Bucket](tx, tableBuckets) })
}

// UpdateBucket changes a bucket's record in one transaction, and returns it.
func (s *Store) UpdateBucket(name string, change func(b *Bucket) error) (Bucket, error) {
	var b Bucket
	err := s.db.Update(func(tx *bolt.Tx) (err error) {
		if b, err = readBucket(tx, name); err != nil {
			return err
		}
		if err := change(&b); err != nil {
			return err
		}
		return index.Put(tx, tableBuckets, []byte(name), b)
	})
	return b, err
}

// DeleteBucket removes a bucket that is empty, also of pre-authenticated requests, if allow, which is called within
// the transaction, permits it.
func (s *Store) DeleteBucket(name string, allow func(Bucket) error) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		b, err := readBucket(tx, name)
		if err != nil {
			return err
		}
		if err := allow(b); err != nil {
			return err
		}
		prefix := inBucket(name, "")
		for _, table := range [][]byte{tableObjects, tableVersions, tableUploads, tablePARs} {
			if key, _ := tx.Bucket(table).Cursor().Seek(prefix); bytes.HasPrefix(key, prefix) {
				return errNotEmpty
			}
		}
		return tx.Bucket(tableBuckets).Delete([]byte(name))
	})
}
