// Package objectstorage is the Object Storage of a local OCI: its native REST interface, and who may do what. How
// buckets and objects are stored is in internal/localoci/buckets.
package objectstorage

import (
	"net/http"
	"time"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/gateway"
)

// Config configures the service. All fields are required.
type Config struct {
	Buckets *buckets.Store
	Now     func() time.Time
	Observe func(kind, detail string)     // is called for what has happened, for people to watch
	Wrote   func(*gateway.Request, Write) // is called for requests that may have changed a bucket
}

// Service is the Object Storage service.
type Service struct {
	Config
	routes routes
}

// New makes the service.
func New(config Config) *Service {
	s := &Service{Config: config}
	s.routes = s.allRoutes()
	return s
}

// authorize checks what the request's principal may do with a bucket; an empty name stands for none. As on OCI, a
// denial does not tell whether the bucket exists.
func authorize(r *gateway.Request, bucket string, needed ...iam.Permission) error {
	target := map[string]string{}
	if bucket != "" {
		target["target.bucket.name"] = bucket
	}
	for _, permission := range needed {
		switch {
		case r.Allows(permission, target):
		case bucket == "":
			return answer.NotFound
		default:
			return buckets.ErrNoBucket(bucket)
		}
	}
	return nil
}

// createOrOverwrite checks the permission that a write needs.
func createOrOverwrite(r *gateway.Request, bucket string) func(exists bool) error {
	return func(exists bool) error {
		if exists {
			return authorize(r, bucket, iam.ObjectOverwrite)
		}
		return authorize(r, bucket, iam.ObjectCreate)
	}
}

// describeWritten adds headers to an answer that say which version of an object was written.
func describeWritten(h http.Header, o buckets.Object) {
	h.Set("Etag", o.ETag)
	h.Set("Last-Modified", o.Created.Format(http.TimeFormat))
	h.Set("Version-Id", o.Version)
}
