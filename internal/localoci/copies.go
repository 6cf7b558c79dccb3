package localoci

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/iam"
)

// actions are what POST …/actions/NAME does with the objects of a bucket.
var actions = map[string]handlerFunc{
	"copyObject": (*Server).copyObject, "renameObject": (*Server).renameObject, "batchDeleteObjects": (*Server).batchDelete,
}

// readJSON reads a request's body into q.
func readJSON(r *request, q any) error {
	body, err := r.body.all()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, q); err != nil {
		return apiError{http.StatusBadRequest, "InvalidJson", "The request body is not valid JSON."}
	}
	return nil
}

// duplicate makes another name for the file of an object: files are never changed.
func (s *storage) duplicate(o objectRecord) (objectRecord, error) {
	blob := uuid.NewString()
	if s.full != nil && s.full() {
		return o, errors.New("no space left")
	}
	err := os.Link(s.blob(o.Blob), s.blob(blob))
	o.Blob = blob
	return o, err
}

// copyRequest says what to copy where.
type copyRequest struct {
	SourceObjectName                 string            `json:"sourceObjectName"`
	SourceObjectIfMatchETag          string            `json:"sourceObjectIfMatchETag"`
	SourceVersionID                  string            `json:"sourceVersionId"`
	DestinationRegion                string            `json:"destinationRegion"`
	DestinationNamespace             string            `json:"destinationNamespace"`
	DestinationBucket                string            `json:"destinationBucket"`
	DestinationObjectName            string            `json:"destinationObjectName"`
	DestinationObjectIfMatchETag     string            `json:"destinationObjectIfMatchETag"`
	DestinationObjectIfNoneMatchETag string            `json:"destinationObjectIfNoneMatchETag"`
	DestinationObjectMetadata        map[string]string `json:"destinationObjectMetadata"`
}

// copyObject copies at once; the work request that it answers is finished.
func (s *Server) copyObject(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, to.bucket, iam.ObjectRead); err != nil {
		return err
	}
	var q copyRequest
	if err := readJSON(r, &q); err != nil {
		return err
	}
	switch {
	case q.DestinationNamespace != Namespace:
		return inNamespace(route{ns: q.DestinationNamespace})
	case q.DestinationRegion != Region:
		return apiError{http.StatusBadRequest, "InvalidParameter", "The destination region is not known; this one is " + Region + "."}
	case checkName(q.DestinationObjectName) != nil || q.DestinationObjectName == "":
		return apiError{http.StatusBadRequest, "InvalidObjectName", "The destination object name is not valid."}
	}
	if err := s.authorize(r, q.DestinationBucket, iam.ObjectCreate); err != nil {
		return err
	}
	work, made, err := s.storage.copy(to.bucket, q, s.createOrOverwrite(r, q.DestinationBucket))
	if err != nil {
		return err
	}
	s.observe("copy", to.bucket+"/"+q.SourceObjectName+" to "+q.DestinationBucket+"/"+q.DestinationObjectName, nil)
	if q.DestinationBucket == s.config.Buckets.Packages {
		s.logCopy(r, q.DestinationObjectName, made)
	}
	w.Header().Set("Opc-Work-Request-Id", work)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// createOrOverwrite asks for the permission that a write needs.
func (s *Server) createOrOverwrite(r *request, bucket string) func(exists bool) error {
	return func(exists bool) error {
		if exists {
			return s.authorize(r, bucket, iam.ObjectOverwrite)
		}
		return s.authorize(r, bucket, iam.ObjectCreate)
	}
}

// copy copies and records the work request, whose id it returns with what was made.
func (s *storage) copy(bucket string, q copyRequest, allow func(bool) error) (string, objectRecord, error) {
	started := s.now().UTC()
	from, err := view(s, func(tx *bolt.Tx) (objectRecord, error) {
		return findVersion(tx, bucket, q.SourceObjectName, q.SourceVersionID)
	})
	if err != nil {
		return "", from, err
	}
	if q.SourceObjectIfMatchETag != "" && q.SourceObjectIfMatchETag != from.ETag {
		return "", from, errIfMatch
	}
	o, err := s.duplicate(from)
	if err != nil {
		return "", o, err
	}
	if q.DestinationObjectMetadata != nil {
		o.Metadata = map[string]string{}
		for name, value := range q.DestinationObjectMetadata {
			o.Metadata[trimMeta(name)] = value
		}
	}
	if o, err = s.put(change{
		bucket: q.DestinationBucket, name: q.DestinationObjectName, allow: allow,
		ifMatch: q.DestinationObjectIfMatchETag, ifNoneMatch: q.DestinationObjectIfNoneMatchETag == "*",
	}, o); err != nil {
		return "", o, err
	}
	work := workRecord{
		ID: "ocid1.objectstorageworkrequest." + uuid.NewString(), OperationType: "COPY_OBJECT", Status: "COMPLETED", CompartmentID: Compartment,
		PercentComplete: 100, TimeAccepted: started, TimeStarted: started, TimeFinished: s.now().UTC(), Resources: []map[string]any{},
	}
	for action, object := range map[string]string{"READ": bucket + "/" + q.SourceObjectName, "WRITTEN": q.DestinationBucket + "/" + q.DestinationObjectName} {
		work.Resources = append(work.Resources, map[string]any{"actionType": action, "entityType": "object", "identifier": object})
	}
	return work.ID, o, s.db.Update(func(tx *bolt.Tx) error { return putRecord(tx, tableWork, []byte(work.ID), work) })
}

// workRecord is a work request.
type workRecord struct {
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

func (s *Server) getWorkRequest(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, "", iam.ObjectRead); err != nil {
		return err
	}
	work, err := view(s.storage, func(tx *bolt.Tx) (json.RawMessage, error) {
		value := tx.Bucket(tableWork).Get([]byte(to.object))
		if value == nil {
			return nil, apiError{http.StatusNotFound, "WorkRequestNotFound", "The work request was not found."}
		}
		return append(json.RawMessage(nil), value...), nil
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, work)
	return nil
}

// renameObject gives an object another name, in one transaction.
func (s *Server) renameObject(w http.ResponseWriter, r *request, to route) error {
	var q struct {
		SourceName            string `json:"sourceName"`
		NewName               string `json:"newName"`
		SrcObjIfMatchETag     string `json:"srcObjIfMatchETag"`
		NewObjIfMatchETag     string `json:"newObjIfMatchETag"`
		NewObjIfNoneMatchETag string `json:"newObjIfNoneMatchETag"`
	}
	if err := s.authorize(r, to.bucket, iam.ObjectRead); err != nil {
		return err
	}
	if err := readJSON(r, &q); err != nil {
		return err
	}
	if checkName(q.NewName) != nil || q.NewName == "" || q.NewName == q.SourceName {
		return apiError{http.StatusBadRequest, "InvalidObjectName", "The new name is not valid, or is the old one."}
	}
	var o objectRecord
	var replaced objectRecord
	err := s.storage.db.Update(func(tx *bolt.Tx) (err error) {
		old, _, err := s.storage.deleteIn(tx, change{
			bucket: to.bucket, name: q.SourceName, ifMatch: q.SrcObjIfMatchETag,
			allow: func(bool) error { return s.authorize(r, to.bucket, iam.ObjectDelete) },
		})
		if err != nil {
			return err
		}
		o = old
		o.Headers, o.Metadata, o.Sums = maps.Clone(old.Headers), maps.Clone(old.Metadata), maps.Clone(old.Sums)
		if old.kept() {
			if o, err = s.storage.duplicate(old); err != nil { // the version keeps its file
				return err
			}
		}
		replaced, err = s.storage.putIn(tx, change{
			bucket: to.bucket, name: q.NewName, allow: s.createOrOverwrite(r, to.bucket),
			ifMatch: q.NewObjIfMatchETag, ifNoneMatch: q.NewObjIfNoneMatchETag == "*",
		}, &o)
		return err
	})
	if err != nil {
		return err
	}
	s.storage.replaced(replaced)
	s.observe("rename", to.bucket+"/"+q.SourceName+" to "+q.NewName, nil)
	w.Header().Set("Etag", o.ETag)
	w.Header().Set("Last-Modified", o.Created.Format(http.TimeFormat))
	w.Header().Set("Version-Id", o.Version)
	w.WriteHeader(http.StatusOK)
	return nil
}

// batchDelete deletes many objects, each for itself.
func (s *Server) batchDelete(w http.ResponseWriter, r *request, to route) error {
	var q struct {
		Objects []struct {
			ObjectName string `json:"objectName"`
			IfMatch    string `json:"ifMatch"`
		} `json:"objects"`
		SkipDeleted bool `json:"isSkipDeletedResult"`
	}
	if err := s.authorize(r, to.bucket, iam.ObjectDelete); err != nil {
		return err
	}
	if err := readJSON(r, &q); err != nil {
		return err
	}
	if len(q.Objects) == 0 || len(q.Objects) > 1000 {
		return apiError{http.StatusBadRequest, "InvalidParameter", "A request names 1 to 1000 objects."}
	}
	if _, err := s.storage.bucket(to.bucket); err != nil {
		return err
	}
	deleted, failed := []map[string]any{}, []map[string]any{}
	for _, object := range q.Objects {
		_, err := s.storage.delete(change{bucket: to.bucket, name: object.ObjectName, ifMatch: object.IfMatch, allow: func(bool) error { return nil }})
		var refused apiError
		switch {
		case errors.As(err, &refused):
			failed = append(failed, map[string]any{"objectName": object.ObjectName, "statusCode": refused.status, "errorMessage": refused.message})
		case err != nil:
			return err
		case !q.SkipDeleted:
			deleted = append(deleted, map[string]any{"objectName": object.ObjectName, "timeLastModified": s.config.Now().UTC()})
		}
	}
	s.observe("delete", to.bucket, nil)
	writeJSON(w, http.StatusOK, map[string]any{"deleted": deleted, "failed": failed})
	return nil
}
