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

// operation is how a request is served, and which permissions on the bucket it needs. Operations whose permissions
// depend on more than the path check them themselves.
type operation struct {
	serve func(http.ResponseWriter, *gateway.Request, target) error
	needs []iam.Permission
}

func needs(permissions ...iam.Permission) []iam.Permission { return permissions }

// byMethod are the operations of one kind of path, by method.
type byMethod = map[string]operation

// part is a part of a bucket: its operations on the whole part and on one item.
type part struct{ all, one byMethod }

// target is what a request's path names.
type target struct{ namespace, bucket, object string }

// routes are the operations of the service, by path.
type routes struct {
	namespace   operation
	workRequest operation
	buckets     part
	parts       map[string]part      // by how the path names the part
	actions     map[string]operation // by name
}

// allRoutes collects the routes from the APIs.
func (s *Service) allRoutes() routes {
	objects := objectAPI{s.Config}
	copies := copyAPI{s.Config}
	return routes{
		namespace:   operation{getNamespace, nil},
		workRequest: operation{copies.getWork, needs(iam.ObjectRead)},
		buckets:     bucketAPI{s.Config}.routes(),
		parts: map[string]part{
			"o":              objects.routes(),
			"u":              uploadAPI{s.Config, s.Buckets.Uploads()}.routes(),
			"objectversions": {all: byMethod{http.MethodGet: {objects.listVersions, needs(iam.ObjectInspect)}}},
			"retentionRules": retentionAPI{s.Config}.routes(),
			"p":              parAPI{s.Config}.routes(),
		},
		actions: copies.actions(),
	}
}

// Route reads the path as it was sent, without cleaning it: names of objects may contain anything.
func (s *Service) Route(r *http.Request) (gateway.Operation, bool) {
	path := r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, "/workRequests/"); ok {
		id, err := url.PathUnescape(rest)
		one := err == nil && rest != "" && !strings.Contains(rest, "/")
		return s.operation(s.routes.workRequest, target{object: id}), one && r.Method == http.MethodGet
	}
	if rest, ok := strings.CutPrefix(path, "/p/"); ok {
		return s.routeUse(r, rest)
	}
	rest, ok := strings.CutPrefix(path, "/n")
	if !ok {
		return gateway.Operation{}, false
	}
	found := s.operation(s.routes.namespace, target{})
	ok = r.Method == http.MethodGet
	if rest != "" && rest != "/" {
		found, ok = s.routeBucket(r.Method, strings.TrimPrefix(rest, "/"))
	}
	if strings.HasPrefix(rest, "/") {
		found.Missing = buckets.ErrNoBucket("?")
	}
	return found, ok
}

// routeBucket reads NS/b[/BUCKET[/KIND[/NAME]]], where KIND is a part of the bucket: o are its objects, u its
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
		found = s.routes.ofBucket(method, parts[3], strings.Join(parts[4:], ""))
		bodyUnsigned = method == http.MethodPut && (parts[3] == "o" || parts[3] == "u")
	case len(parts) == 3 && parts[2] != "":
		found = s.routes.buckets.one[method]
	default:
		found = s.routes.buckets.all[method]
	}
	operation := s.operation(found, to)
	operation.BodyUnsigned = bodyUnsigned
	return operation, found.serve != nil
}

// ofBucket finds the operation on a part of a bucket; name is that of one object or upload in it, or of an action.
func (r routes) ofBucket(method, kind, name string) operation {
	switch {
	case name == "":
		return r.parts[kind].all[method]
	case kind == "actions" && method == http.MethodPost:
		return r.actions[name]
	}
	return r.parts[kind].one[method]
}

// readTarget decodes what a path names; what the path lacks is empty.
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

// operation is an operation in the gateway's form: it checks the namespace and the permissions, and logs writes.
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
			return o.serve(w, r, to)
		})
	}}
}

// inNamespace refuses other tenancies' namespaces.
func inNamespace(name string) error {
	if name != tenancy.Namespace {
		return answer.New(http.StatusNotFound, "NamespaceNotFound",
			fmt.Sprintf("You do not have authorization to perform this request, or the namespace '%s' could not be "+
				"found.",
				name))
	}
	return nil
}

func getNamespace(w http.ResponseWriter, _ *gateway.Request, _ target) error {
	answer.JSON(w, http.StatusOK, tenancy.Namespace)
	return nil
}
