package buckets

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/index"
	"cemli-executor/internal/localoci/tenancy"
)

// ErrNoPAR is the answer for a pre-authenticated request that does not exist.
var ErrNoPAR = answer.New(http.StatusNotFound, "PreauthenticatedRequestNotFound",
	"The pre-authenticated request was not found.")

// Get is the record of a pre-authenticated request. Its secret is kept nowhere: the id is a digest of it.
type PAR struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	AccessType string            `json:"accessType"`
	Object     string            `json:"object,omitempty"`  // the name of one, or what the names of all begin with
	Listing    string            `json:"listing,omitempty"` // whether they may be listed
	Created    time.Time         `json:"created"`
	Expires    time.Time         `json:"expires"`
	Creator    tenancy.Principal `json:"creator"` // whom its uses act for
}

// PARDigest is what the id of a pre-authenticated request begins with whose secret this is.
func PARDigest(secret string) string {
	sum := sha512.Sum384([]byte(secret))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// parKey is the key of a request by its id: the digest, and what follows it in the ids of those of one object.
func parKey(bucket, id string) []byte {
	digest, _, _ := strings.Cut(id, ":")
	return inBucket(bucket, digest)
}

// PARs are the pre-authenticated requests of a Store's buckets.
type PARs struct{ *Store }

// PARs returns the pre-authenticated requests.
func (s *Store) PARs() PARs { return PARs{s} }

// Create adds a pre-authenticated request to an existing bucket.
func (s PARs) Create(bucket string, p PAR) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		if _, err := readBucket(tx, bucket); err != nil {
			return err
		}
		return index.Put(tx, tablePARs, parKey(bucket, p.ID), p)
	})
}

// Get returns the pre-authenticated request that has an id.
func (s PARs) Get(bucket, id string) (PAR, error) {
	return index.View(s.db, func(tx *bolt.Tx) (PAR, error) { return readPAR(tx, bucket, id) })
}

// BySecret returns the pre-authenticated request that has a secret. How long that takes tells nothing about a secret:
// digests are compared, and the id, which is none, has that of each.
func (s PARs) BySecret(bucket, secret string) (PAR, error) {
	return index.View(s.db, func(tx *bolt.Tx) (PAR, error) { return findPAR(tx, bucket, PARDigest(secret)) })
}

func readPAR(tx *bolt.Tx, bucket, id string) (PAR, error) {
	p, err := findPAR(tx, bucket, id)
	if err == nil && p.ID != id {
		err = ErrNoPAR
	}
	return p, err
}

// findPAR reads the record that an id or its digest leads to.
func findPAR(tx *bolt.Tx, bucket, id string) (PAR, error) {
	var p PAR
	if _, err := readBucket(tx, bucket); err != nil {
		return p, err
	}
	value := tx.Bucket(tablePARs).Get(parKey(bucket, id))
	if value == nil {
		return p, ErrNoPAR
	}
	return p, json.Unmarshal(value, &p)
}

// List calls visit for the pre-authenticated requests of a bucket whose ids are not before one, until it returns false.
func (s PARs) List(bucket, from string, visit func(PAR) bool) error {
	return s.db.View(func(tx *bolt.Tx) error {
		if _, err := readBucket(tx, bucket); err != nil {
			return err
		}
		prefix := inBucket(bucket, "")
		cursor := tx.Bucket(tablePARs).Cursor()
		for key, value := cursor.Seek(parKey(bucket, from)); bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
			var p PAR
			if err := json.Unmarshal(value, &p); err != nil {
				return err
			}
			if !visit(p) {
				return nil
			}
		}
		return nil
	})
}

// Delete removes a pre-authenticated request, which nobody can use from then on.
func (s PARs) Delete(bucket, id string) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		if _, err := readPAR(tx, bucket, id); err != nil {
			return err
		}
		return tx.Bucket(tablePARs).Delete(parKey(bucket, id))
	})
}
