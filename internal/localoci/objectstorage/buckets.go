package objectstorage

import (
	"net/http"
	"regexp"
	"time"

	"github.com/google/uuid"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/gateway"
	"cemli-executor/internal/localoci/tenancy"
)

// bucketAPI serves requests to buckets.
type bucketAPI struct{ Config }

func (a bucketAPI) routes() part {
	return part{
		all: byMethod{
			http.MethodGet:  {a.list, needs(iam.BucketInspect)},
			http.MethodPost: {a.create, needs(iam.BucketCreate)},
		},
		one: byMethod{
			http.MethodGet:    {a.get, needs(iam.BucketRead)},
			http.MethodHead:   {a.get, needs(iam.BucketInspect)},
			http.MethodPost:   {a.update, needs(iam.BucketUpdate)},
			http.MethodDelete: {a.delete, needs(iam.BucketDelete)},
		},
	}
}

var bucketRule = regexp.MustCompile(`^[A-Za-z0-9._-]{1,256}$`)

// bucketDocument is a bucket as answered.
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

// documentOf is a bucket's record as answered.
func documentOf(b buckets.Bucket) bucketDocument {
	versioning := b.Versioning
	if versioning == "" {
		versioning = buckets.VersioningOff
	}
	return bucketDocument{
		Namespace: tenancy.Namespace, Name: b.Name, ID: b.ID, CompartmentID: tenancy.Compartment,
		CreatedBy: tenancy.User, TimeCreated: b.Created, ETag: b.ETag,
		ObjectEventsEnabled: b.Events, PublicAccessType: "NoPublicAccess", StorageTier: "Standard",
		Versioning: versioning, Metadata: map[string]string{},
	}
}

// bucketRequest is the part of a bucket's description that clients choose.
type bucketRequest struct {
	Name                string `json:"name"`
	CompartmentID       string `json:"compartmentId"`
	ObjectEventsEnabled *bool  `json:"objectEventsEnabled"`
	Versioning          string `json:"versioning"`
}

func (a bucketAPI) create(w http.ResponseWriter, r *gateway.Request, _ target) error {
	var q bucketRequest
	if err := r.ReadJSON(&q); err != nil {
		return err
	}
	if !bucketRule.MatchString(q.Name) {
		return answer.New(http.StatusBadRequest, "InvalidBucketName", "The bucket name is not valid.")
	}
	b := buckets.NewBucket(q.Name, q.ObjectEventsEnabled != nil && *q.ObjectEventsEnabled, a.Now())
	if err := b.SwitchVersioning(q.Versioning); err != nil {
		return err
	}
	if err := a.Buckets.CreateBucket(b); err != nil {
		return err
	}
	answerBucket(w, b)
	return nil
}

func answerBucket(w http.ResponseWriter, b buckets.Bucket) {
	w.Header().Set("Etag", b.ETag)
	answer.JSON(w, http.StatusOK, documentOf(b))
}

// get serves GET and HEAD.
func (a bucketAPI) get(w http.ResponseWriter, r *gateway.Request, to target) error {
	b, err := a.Buckets.Bucket(to.bucket)
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

// matches checks a request to the bucket against its If-Match.
func matches(r *gateway.Request, b buckets.Bucket) error {
	if want := r.Header.Get("If-Match"); want != "" && want != "*" && want != b.ETag {
		return buckets.ErrIfMatch
	}
	return nil
}

// update switches events on or off, and sets the state of versioning.
func (a bucketAPI) update(w http.ResponseWriter, r *gateway.Request, to target) error {
	var q bucketRequest
	if err := r.ReadJSON(&q); err != nil {
		return err
	}
	b, err := a.Buckets.UpdateBucket(to.bucket, func(b *buckets.Bucket) error {
		if err := matches(r, *b); err != nil {
			return err
		}
		if q.ObjectEventsEnabled != nil {
			b.Events = *q.ObjectEventsEnabled
		}
		b.ETag = uuid.NewString()
		return b.SwitchVersioning(q.Versioning)
	})
	if err != nil {
		return err
	}
	answerBucket(w, b)
	return nil
}

func (a bucketAPI) delete(w http.ResponseWriter, r *gateway.Request, to target) error {
	if err := a.Buckets.DeleteBucket(to.bucket, func(b buckets.Bucket) error { return matches(r, b) }); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a bucketAPI) list(w http.ResponseWriter, _ *gateway.Request, _ target) error {
	list, err := a.Buckets.Buckets()
	if err != nil {
		return err
	}
	documents := make([]bucketDocument, len(list))
	for i, b := range list {
		documents[i] = documentOf(b)
	}
	answer.JSON(w, http.StatusOK, documents)
	return nil
}
