package localoci

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/iam"
)

func (s *Server) getNamespace(w http.ResponseWriter, _ *request, _ route) error {
	writeJSON(w, http.StatusOK, Namespace)
	return nil
}

var bucketRule = regexp.MustCompile(`^[A-Za-z0-9._-]{1,256}$`)

// bucketDocument is a bucket as it is answered.
type bucketDocument struct {
	Namespace           string            `json:"namespace"`
	Name                string            `json:"name"`
	ID                  string            `json:"id"`
	CompartmentID       string            `json:"compartmentId"`
	CreatedBy           string            `json:"createdBy"`
	TimeCreated         time.Time         `json:"timeCreated"`
	ETag                string            `json:"etag"`
	ObjectEventsEnabled bool              `json:"objectEventsEnabled"`
	PublicAccessType    string            `json:"publicAccessType"`
	StorageTier         string            `json:"storageTier"`
	Versioning          string            `json:"versioning"`
	Metadata            map[string]string `json:"metadata"`
}

func (b bucketRecord) document() bucketDocument {
	versioning := b.Versioning
	if versioning == "" {
		versioning = versioningOff
	}
	return bucketDocument{
		Namespace: Namespace, Name: b.Name, ID: b.ID, CompartmentID: Compartment, CreatedBy: User, TimeCreated: b.Created, ETag: b.ETag,
		ObjectEventsEnabled: b.Events, PublicAccessType: "NoPublicAccess", StorageTier: "Standard", Versioning: versioning, Metadata: map[string]string{},
	}
}

func (s *storage) bucket(name string) (bucketRecord, error) {
	return view(s, func(tx *bolt.Tx) (bucketRecord, error) { return getBucket(tx, name) })
}

// bucketRequest is the part of a bucket's description that clients may choose.
type bucketRequest struct {
	Name                string `json:"name"`
	CompartmentID       string `json:"compartmentId"`
	ObjectEventsEnabled *bool  `json:"objectEventsEnabled"`
	Versioning          string `json:"versioning"`
}

func readBucketRequest(r *request) (bucketRequest, error) {
	var q bucketRequest
	body, err := r.body.all()
	if err != nil {
		return q, err
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return q, apiError{http.StatusBadRequest, "InvalidJson", "The request body is not valid JSON."}
	}
	return q, nil
}

func (s *Server) createBucket(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, "", iam.BucketCreate); err != nil {
		return err
	}
	q, err := readBucketRequest(r)
	if err != nil {
		return err
	}
	if !bucketRule.MatchString(q.Name) {
		return apiError{http.StatusBadRequest, "InvalidBucketName", "The bucket name is not valid."}
	}
	b := newBucketRecord(q.Name, q.ObjectEventsEnabled != nil && *q.ObjectEventsEnabled, s.config.Now())
	if err := b.version(q.Versioning); err != nil {
		return err
	}
	if err := s.storage.addBucket(b); err != nil {
		return err
	}
	answerBucket(w, b)
	return nil
}

func answerBucket(w http.ResponseWriter, b bucketRecord) {
	w.Header().Set("Etag", b.ETag)
	writeJSON(w, http.StatusOK, b.document())
}

func (s *Server) getBucket(w http.ResponseWriter, r *request, to route) error {
	needed := iam.BucketRead
	if r.Method == http.MethodHead {
		needed = iam.BucketInspect
	}
	if err := s.authorize(r, to.bucket, needed); err != nil {
		return err
	}
	b, err := s.storage.bucket(to.bucket)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Etag", b.ETag)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	answerBucket(w, b)
	return nil
}

// version switches versioning, if anything is asked. It cannot be off again.
func (b *bucketRecord) version(wanted string) error {
	switch {
	case wanted == "" || wanted == b.Versioning:
		return nil
	case wanted == versioningOff && b.Versioning == "":
		return nil
	case wanted != versioningOn && (wanted != versioningSuspended || b.Versioning == ""):
		return apiError{http.StatusBadRequest, "InvalidParameter", "Versioning can be Enabled, and then Suspended."}
	case len(b.Retention) > 0:
		return apiError{http.StatusConflict, "InvalidBucketState", "A bucket with retention rules cannot have versioning."}
	}
	b.Versioning = wanted
	return nil
}

// matches holds a request to its If-Match.
func (b bucketRecord) matches(r *request) error {
	if want := r.Header.Get("If-Match"); want != "" && want != "*" && want != b.ETag {
		return errIfMatch
	}
	return nil
}

// updateBucket switches events on or off.
func (s *Server) updateBucket(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, to.bucket, iam.BucketUpdate); err != nil {
		return err
	}
	q, err := readBucketRequest(r)
	if err != nil {
		return err
	}
	var b bucketRecord
	err = s.storage.db.Update(func(tx *bolt.Tx) (err error) {
		if b, err = getBucket(tx, to.bucket); err != nil {
			return err
		}
		if err := b.matches(r); err != nil {
			return err
		}
		if q.ObjectEventsEnabled != nil {
			b.Events = *q.ObjectEventsEnabled
		}
		if err := b.version(q.Versioning); err != nil {
			return err
		}
		b.ETag = uuid.NewString()
		return putRecord(tx, tableBuckets, []byte(to.bucket), b)
	})
	if err != nil {
		return err
	}
	answerBucket(w, b)
	return nil
}

func (s *Server) deleteBucket(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, to.bucket, iam.BucketDelete); err != nil {
		return err
	}
	err := s.storage.db.Update(func(tx *bolt.Tx) error {
		b, err := getBucket(tx, to.bucket)
		if err != nil {
			return err
		}
		if err := b.matches(r); err != nil {
			return err
		}
		for _, table := range [][]byte{tableObjects, tableVersions, tableUploads} {
			key, _ := tx.Bucket(table).Cursor().Seek(objectKey(to.bucket, ""))
			if strings.HasPrefix(string(key), to.bucket+"\x00") {
				return errNotEmpty
			}
		}
		return tx.Bucket(tableBuckets).Delete([]byte(to.bucket))
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) listBuckets(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, "", iam.BucketInspect); err != nil {
		return err
	}
	buckets, err := view(s.storage, func(tx *bolt.Tx) ([]bucketDocument, error) {
		found := []bucketDocument{}
		return found, tx.Bucket(tableBuckets).ForEach(func(_, value []byte) error {
			var b bucketRecord
			err := json.Unmarshal(value, &b)
			found = append(found, b.document())
			return err
		})
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, buckets)
	return nil
}
