package objectstorage

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/gateway"
	"cemli-executor/internal/localoci/tenancy"
)

// operation is what is done for a request, and which permissions on the bucket that needs. Operations whose permission
// depends on more than the path ask for it themselves.
type operation struct {
	serve func(*Service, http.ResponseWriter, *gateway.Request, target) error
	needs []iam.Permission
}

func needs(permissions ...iam.Permission) []iam.Permission { return permissions }

// byMethod are the operations of one kind of path.
type byMethod = map[string]operation

// target is what a request is about, from its path.
type target struct{ namespace, bucket, object string }

var (
	workRequests = operation{(*Service).getWorkRequest, needs(iam.ObjectRead)}
	namespace    = operation{(*Service).getNamespace, nil}
	allOfBuckets = byMethod{
		http.MethodGet:  {(*Service).listBuckets, needs(iam.BucketInspect)},
		http.MethodPost: {(*Service).createBucket, needs(iam.BucketCreate)},
	}
	bucketMethods = byMethod{
		http.MethodGet:    {(*Service).getBucket, needs(iam.BucketRead)},
		http.MethodHead:   {(*Service).getBucket, needs(iam.BucketInspect)},
		http.MethodPost:   {(*Service).updateBucket, needs(iam.BucketUpdate)},
		http.MethodDelete: {(*Service).deleteBucket, needs(iam.BucketDelete)},
	}
)

// kinds are the parts of a bucket: what is done with all of one, and with one of them.
var kinds = map[string]struct{ all, one byMethod }{
	"o": {
		all: byMethod{http.MethodGet: {(*Service).listObjects, needs(iam.ObjectInspect)}},
		one: byMethod{
			http.MethodPut:    {(*Service).putObject, nil},
			http.MethodGet:    {(*Service).getObject, needs(iam.ObjectRead)},
			http.MethodHead:   {(*Service).getObject, needs(iam.ObjectRead)},
			http.MethodDelete: {(*Service).deleteObject, nil},
		},
	},
	"u": {
		all: byMethod{
			http.MethodGet: {(*Service).listUploads, needs(iam.BucketRead)},
			// Beginning an upload needs the permission to overwrite as well, as on OCI.
			http.MethodPost: {(*Service).createUpload, needs(iam.ObjectCreate, iam.ObjectOverwrite)},
		},
		one: byMethod{
			http.MethodPut:    {(*Service).putPart, nil},
			http.MethodGet:    {(*Service).listParts, needs(iam.ObjectInspect)},
			http.MethodPost:   {(*Service).commitUpload, needs(iam.ObjectCreate, iam.ObjectOverwrite)},
			http.MethodDelete: {(*Service).abortUpload, needs(iam.ObjectDelete)},
		},
	},
	"objectversions": {all: byMethod{http.MethodGet: {(*Service).listVersions, needs(iam.ObjectInspect)}}},
	"retentionRules": {
		all: byMethod{
			http.MethodGet:  {(*Service).listRetention, needs(iam.BucketRead)},
			http.MethodPost: {(*Service).createRetention, needs(iam.RetentionManage)},
		},
		one: byMethod{
			http.MethodGet:    {(*Service).getRetention, needs(iam.BucketRead)},
			http.MethodPut:    {(*Service).updateRetention, needs(iam.RetentionManage)},
			http.MethodDelete: {(*Service).deleteRetention, needs(iam.RetentionManage)},
		},
	},
}

// actions are what POST …/actions/NAME does with the objects of a bucket.
var actions = map[string]operation{
	"copyObject":         {(*Service).copyObject, needs(iam.ObjectRead)},
	"renameObject":       {(*Service).renameObject, needs(iam.ObjectRead)},
	"batchDeleteObjects": {(*Service).batchDelete, needs(iam.ObjectDelete)},
}

// Route reads the path as it was sent: nothing in it is cleaned, because names of objects may hold anything.
func (s *Service) Route(r *http.Request) (gateway.Operation, bool) {
	path := r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, "/workRequests/"); ok {
		id, err := url.PathUnescape(rest)
		return s.operation(workRequests, target{object: id}), err == nil && r.Method == http.MethodGet && rest != "" && !strings.Contains(rest, "/")
	}
	rest, ok := strings.CutPrefix(path, "/n")
	if !ok {
		return gateway.Operation{}, false
	}
	found := s.operation(namespace, target{})
	ok = r.Method == http.MethodGet
	if rest != "" && rest != "/" {
		found, ok = s.routeBucket(r.Method, strings.TrimPrefix(rest, "/"))
	}
	if strings.HasPrefix(rest, "/") {
		found.Missing = buckets.ErrNoBucket("?")
	}
	return found, ok
}

// routeBucket reads NS/b[/BUCKET[/KIND[/NAME]]], where KIND says what of the bucket is meant: o its objects, u its
// multipart uploads, and so on.
func (s *Service) routeBucket(method, path string) (gateway.Operation, bool) {
	parts := strings.SplitN(path, "/", 5)
	to, ok := readTarget(parts)
	if !ok {
		return gateway.Operation{}, false
	}
	var found operation
	var bodyUnsigned bool
	switch {
	case len(parts) >= 4:
		found = ofBucket(method, parts[3], strings.Join(parts[4:], ""))
		bodyUnsigned = method == http.MethodPut && (parts[3] == "o" || parts[3] == "u")
	case len(parts) == 3 && parts[2] != "":
		found = bucketMethods[method]
	default:
		found = allOfBuckets[method]
	}
	operation := s.operation(found, to)
	operation.BodyUnsigned = bodyUnsigned
	return operation, found.serve != nil
}

// ofBucket finds what is done with a part of a bucket; name is that of one object or upload in it, or of an action.
func ofBucket(method, kind, name string) operation {
	switch {
	case name == "":
		return kinds[kind].all[method]
	case kind == "actions" && method == http.MethodPost:
		return actions[name]
	}
	return kinds[kind].one[method]
}

// readTarget decodes what a path names; what it lacks is empty.
func readTarget(parts []string) (target, bool) {
	if len(parts) < 2 || parts[1] != "b" {
		return target{}, false
	}
	var to target
	for i, part := range []*string{&to.namespace, nil, &to.bucket, nil, &to.object} {
		if i >= len(parts) || part == nil {
			continue
		}
		text, err := url.PathUnescape(parts[i])
		if err != nil {
			return target{}, false
		}
		*part = text
	}
	return to, true
}

// operation is an operation as the gateway calls it: in the tenancy's namespace, by somebody who may do it, and noted
// if it is a write.
func (s *Service) operation(o operation, to target) gateway.Operation {
	return gateway.Operation{Handle: func(w http.ResponseWriter, r *gateway.Request) error {
		if to.namespace != "" || to.bucket != "" {
			if err := inNamespace(to.namespace); err != nil {
				return err
			}
		}
		return s.noted(w, r, to, func(w http.ResponseWriter) error {
			if err := authorize(r, to.bucket, o.needs...); err != nil {
				return err
			}
			return o.serve(s, w, r, to)
		})
	}}
}

// inNamespace refuses other tenancies' namespaces.
func inNamespace(name string) error {
	if name != tenancy.Namespace {
		return answer.Error{
			Status: http.StatusNotFound, Code: "NamespaceNotFound",
			Message: fmt.Sprintf("You do not have authorization to perform this request, or the namespace '%s' could not be found.", name),
		}
	}
	return nil
}

func (s *Service) getNamespace(w http.ResponseWriter, _ *gateway.Request, _ target) error {
	answer.JSON(w, http.StatusOK, tenancy.Namespace)
	return nil
}
