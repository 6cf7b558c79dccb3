package buckets

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/index"
	"cemli-executor/internal/localoci/tenancy"
)

// Source names the object to copy.
type Source struct{ Bucket, Name, Version, IfMatch string }

// Copy copies an object, with other metadata unless that is nil. It returns the new object, and the id of the work
// request, which has already finished.
func (s *Store) Copy(from Source, to Change, metadata map[string]string) (work string, made Object, err error) {
	started := s.now().UTC()
	o, err := s.find(from.Bucket, from.Name, from.Version)
	if err != nil {
		return "", o, err
	}
	if from.IfMatch != "" && from.IfMatch != o.ETag {
		return "", o, ErrIfMatch
	}
	if o, err = s.duplicate(o); err != nil {
		return "", o, err
	}
	if metadata != nil {
		o.Metadata = metadata
	}
	if o, err = s.Put(to, o); err != nil {
		return "", o, err
	}
	request := newCopyRequest(from.Bucket+"/"+from.Name, to.Bucket+"/"+to.Name, started, s.now().UTC())
	err = s.db.Update(func(tx *bolt.Tx) error { return index.Put(tx, tableWork, []byte(request.ID), request) })
	return request.ID, o, err
}

// workRequest is a work request as answered.
type workRequest struct {
	ID              string           `json:"id"`
	OperationType   string           `json:"operationType"`
	Status          string           `json:"status"`
	CompartmentID   string           `json:"compartmentId"`
	PercentComplete float32          `json:"percentComplete"`
	TimeAccepted    time.Time        `json:"timeAccepted"`
	TimeStarted     time.Time        `json:"timeStarted"`
	TimeFinished    time.Time        `json:"timeFinished"`
	Resources       []map[string]any `json:"resources"`
}

// newCopyRequest is the work request of a copy that has finished.
func newCopyRequest(from, to string, started, finished time.Time) workRequest {
	resource := func(action, object string) map[string]any {
		return map[string]any{"actionType": action, "entityType": "object", "identifier": object}
	}
	return workRequest{
		ID: "ocid1.objectstorageworkrequest." + uuid.NewString(), OperationType: "COPY_OBJECT", Status: "COMPLETED",
		CompartmentID: tenancy.Compartment, PercentComplete: 100, TimeAccepted: started, TimeStarted: started,
		TimeFinished: finished,
		Resources:    []map[string]any{resource("READ", from), resource("WRITTEN", to)},
	}
}

// WorkRequest returns a work request as answered.
func (s *Store) WorkRequest(id string) (json.RawMessage, error) {
	return index.View(s.db, func(tx *bolt.Tx) (json.RawMessage, error) {
		value := tx.Bucket(tableWork).Get([]byte(id))
		if value == nil {
			return nil, answer.New(http.StatusNotFound, "WorkRequestNotFound", "The work request was not found.")
		}
		return append(json.RawMessage(nil), value...), nil
	})
}
