package objectstorage

import (
	"errors"
	"net/http"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/gateway"
	"cemli-executor/internal/localoci/tenancy"
)

// copyAPI serves the actions on the objects of a bucket: POST …/actions/NAME.
type copyAPI struct{ Config }

func (a copyAPI) actions() map[string]operation {
	return map[string]operation{
		"copyObject":         {a.copy, needs(iam.ObjectRead)},
		"renameObject":       {a.rename, needs(iam.ObjectRead)},
		"batchDeleteObjects": {a.deleteBatch, needs(iam.ObjectDelete)},
	}
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

// check refuses an invalid destination.
func (q copyRequest) check() error {
	switch {
	case q.DestinationNamespace != tenancy.Namespace:
		return inNamespace(q.DestinationNamespace)
	case q.DestinationRegion != tenancy.Region:
		return answer.Invalid("The destination region is not known; this one is " + tenancy.Region + ".")
	case q.DestinationObjectName == "" || checkName(q.DestinationObjectName) != nil:
		return invalidName("The destination object name is not valid.")
	}
	return nil
}

// metadata is the metadata for the copy; nil: that of the source.
func (q copyRequest) metadata() map[string]string {
	if q.DestinationObjectMetadata == nil {
		return nil
	}
	metadata := map[string]string{}
	for name, value := range q.DestinationObjectMetadata {
		metadata[trimMeta(name)] = value
	}
	return metadata
}

// copy copies at once; the work request in the answer has already finished.
func (a copyAPI) copy(w http.ResponseWriter, r *gateway.Request, to target) error {
	var q copyRequest
	if err := r.ReadJSON(&q); err != nil {
		return err
	}
	if err := q.check(); err != nil {
		return err
	}
	if err := authorize(r, q.DestinationBucket, iam.ObjectCreate); err != nil {
		return err
	}
	work, made, err := a.Buckets.Copy(
		buckets.Source{
			Bucket: to.bucket, Name: q.SourceObjectName, Version: q.SourceVersionID, IfMatch: q.SourceObjectIfMatchETag,
		},
		buckets.Change{
			Bucket: q.DestinationBucket, Name: q.DestinationObjectName,
			Allow:   createOrOverwrite(r, q.DestinationBucket),
			IfMatch: q.DestinationObjectIfMatchETag, IfNoneMatch: q.DestinationObjectIfNoneMatchETag == "*",
		}, q.metadata())
	if err != nil {
		return err
	}
	a.Observe("copy", to.bucket+"/"+q.SourceObjectName+" to "+q.DestinationBucket+"/"+q.DestinationObjectName)
	a.Wrote(r, a.copied(q.DestinationBucket, q.DestinationObjectName, made))
	w.Header().Set("Opc-Work-Request-Id", work)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (a copyAPI) getWork(w http.ResponseWriter, _ *gateway.Request, to target) error {
	work, err := a.Buckets.WorkRequest(to.object)
	if err != nil {
		return err
	}
	answer.JSON(w, http.StatusOK, work)
	return nil
}

// rename gives an object another name.
func (a copyAPI) rename(w http.ResponseWriter, r *gateway.Request, to target) error {
	var q struct {
		SourceName            string `json:"sourceName"`
		NewName               string `json:"newName"`
		SrcObjIfMatchETag     string `json:"srcObjIfMatchETag"`
		NewObjIfMatchETag     string `json:"newObjIfMatchETag"`
		NewObjIfNoneMatchETag string `json:"newObjIfNoneMatchETag"`
	}
	if err := r.ReadJSON(&q); err != nil {
		return err
	}
	if q.NewName == "" || q.NewName == q.SourceName || checkName(q.NewName) != nil {
		return invalidName("The new name is not valid, or is the old one.")
	}
	o, err := a.Buckets.Rename(
		buckets.Change{
			Bucket: to.bucket, Name: q.SourceName, IfMatch: q.SrcObjIfMatchETag,
			Allow: func(bool) error { return authorize(r, to.bucket, iam.ObjectDelete) },
		},
		buckets.Change{
			Bucket: to.bucket, Name: q.NewName, Allow: createOrOverwrite(r, to.bucket),
			IfMatch: q.NewObjIfMatchETag, IfNoneMatch: q.NewObjIfNoneMatchETag == "*",
		})
	if err != nil {
		return err
	}
	a.Observe("rename", to.bucket+"/"+q.SourceName+" to "+q.NewName)
	describeWritten(w.Header(), o)
	w.WriteHeader(http.StatusOK)
	return nil
}

// batchRequest names the objects to delete.
type batchRequest struct {
	Objects []struct {
		ObjectName string `json:"objectName"`
		IfMatch    string `json:"ifMatch"`
	} `json:"objects"`
	SkipDeleted bool `json:"isSkipDeletedResult"`
}

// deleteBatch deletes many objects, each independently of the others.
func (a copyAPI) deleteBatch(w http.ResponseWriter, r *gateway.Request, to target) error {
	var q batchRequest
	if err := r.ReadJSON(&q); err != nil {
		return err
	}
	if len(q.Objects) == 0 || len(q.Objects) > 1000 {
		return answer.Invalid("A request names 1 to 1000 objects.")
	}
	if _, err := a.Buckets.Bucket(to.bucket); err != nil {
		return err
	}
	deleted, failed := []map[string]any{}, []map[string]any{}
	for _, object := range q.Objects {
		_, err := a.Buckets.Delete(buckets.Change{Bucket: to.bucket, Name: object.ObjectName, IfMatch: object.IfMatch})
		var refused answer.Error
		switch {
		case errors.As(err, &refused):
			failed = append(failed, map[string]any{
				"objectName": object.ObjectName, "statusCode": refused.Status, "errorMessage": refused.Message,
			})
		case err != nil:
			return err
		case !q.SkipDeleted:
			deleted = append(deleted,
				map[string]any{"objectName": object.ObjectName, "timeLastModified": a.Now().UTC()})
		}
	}
	a.Observe("delete", to.bucket)
	answer.JSON(w, http.StatusOK, map[string]any{"deleted": deleted, "failed": failed})
	return nil
}
