package objectstorage

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/gateway"
	"cemli-executor/internal/localoci/tenancy"
)

// Write is a request that may have changed a bucket, with its answer, for a log.
type Write struct {
	Start, End    time.Time
	Bucket        string
	Action, Path  string // of HTTP
	Operation     string // such as putobject
	Object        string
	Status        int
	ErrorCode     string
	ETag, Version string
	Address       string
	UserAgent     string
}

// noted serves a request, and reports it if it may have changed its bucket.
func (s *Service) noted(
	w http.ResponseWriter, r *gateway.Request, to target, serve func(http.ResponseWriter) error,
) error {
	if to.bucket == "" || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return serve(w)
	}
	begun := s.Now()
	watched := &answered{ResponseWriter: w, status: http.StatusOK}
	err := serve(watched)
	s.Wrote(r, s.writeOf(r, to, begun, watched, err))
	return err
}

// writeOf describes a served request, as OCI's service does.
func (s *Service) writeOf(r *gateway.Request, to target, begun time.Time, watched *answered, err error) Write {
	write := Write{
		Start: begun, End: s.Now(), Bucket: to.bucket, Action: r.Method, Path: r.URL.Path,
		Operation: strings.ToLower(r.Method) + "object",
		Object:    to.object, Status: watched.status, ETag: watched.Header().Get("Etag"),
		Version:   watched.Header().Get("Version-Id"),
		UserAgent: r.UserAgent(),
	}
	if r.PreAuthenticated { // what precedes is secret
		write.Path = write.Path[strings.Index(write.Path, "/n/"):]
	}
	write.Address, _, _ = net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		refused := answer.Error{Status: http.StatusInternalServerError, Code: "InternalServerError"}
		_ = errors.As(err, &refused)
		write.Status, write.ErrorCode, write.ETag, write.Version = refused.Status, refused.Code, "", ""
	}
	return write
}

// copied describes what a copy has written to a bucket, which may be another than the request's own.
func (c Config) copied(bucket, name string, o buckets.Object) Write {
	return Write{
		Start: o.Created, End: c.Now(), Bucket: bucket, Action: http.MethodPut,
		Path:      "/n/" + tenancy.Namespace + "/b/" + bucket + "/o/" + name,
		Operation: "putobject", Object: name, Status: http.StatusOK, ETag: o.ETag, Version: o.Version,
	}
}

// answered records the status of an answer.
type answered struct {
	http.ResponseWriter
	status int
}

func (a *answered) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}
