package localoci

import (
	"slices"
)

// permission is what an operation on objects needs, in OCI's words.
type permission string

// The permissions of Object Storage that the server knows.
const (
	objectRead      permission = "OBJECT_READ"
	objectInspect   permission = "OBJECT_INSPECT"
	objectCreate    permission = "OBJECT_CREATE"
	objectOverwrite permission = "OBJECT_OVERWRITE"
	objectDelete    permission = "OBJECT_DELETE"
	bucketInspect   permission = "BUCKET_INSPECT"
	bucketRead      permission = "BUCKET_READ"
	bucketCreate    permission = "BUCKET_CREATE"
	bucketUpdate    permission = "BUCKET_UPDATE"
	bucketDelete    permission = "BUCKET_DELETE"
)

// functionMay is what the function's principal may do in each of its buckets; it may
// do nothing in others. Its policy is about objects: of the buckets themselves it may
// see nothing, not even whether they exist.
func (b Buckets) functionMay() map[string][]permission {
	return map[string][]permission{
		b.Packages: {objectInspect, objectRead},
		b.Results:  {objectInspect, objectRead, objectCreate},
		b.Policies: {objectInspect, objectRead},
		b.State:    {objectInspect, objectRead, objectCreate, objectOverwrite, objectDelete},
	}
}

// authorize lets people do everything and the function what its policy allows. As on
// OCI a denial does not tell whether the bucket exists. The missing permission is
// named in the log alone.
func (s *Server) authorize(r *request, bucket string, needed permission) error {
	if r.principal.user != "" {
		return nil
	}
	if bucket != "" && slices.Contains(s.config.Buckets.functionMay()[bucket], needed) {
		return nil
	}
	s.config.Log.Warn("denied", "principal", r.principal.function, "bucket", bucket, "missing", string(needed), "method", r.Method, "uri", r.RequestURI)
	if bucket == "" {
		return errNotAuthorizedOrNotFound
	}
	return errNoBucket(bucket)
}
