package objectstorage

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/gateway"
	"cemli-executor/internal/localoci/tenancy"
)

// use is a request without a signature that a pre-authenticated one is to allow.
type use struct {
	*http.Request
	secret string
	target
}

// routeUse reads SECRET/n/NS/b/BUCKET/o/[NAME]. The name is taken as it is, as everywhere: what a prefix allows is
// decided with the text that will be the object's name, so that no dots lead out of it.
func (s *Service) routeUse(r *http.Request, path string) (gateway.Operation, bool) {
	secret, rest, _ := strings.Cut(path, "/n/")
	parts := strings.SplitN(rest, "/", 5)
	to, ok := readTarget(parts)
	if !ok || len(parts) < 4 || parts[3] != "o" {
		return gateway.Operation{}, false
	}
	found := s.routes.ofBucket(r.Method, "o", to.object)
	var p buckets.PAR
	serve := func(w http.ResponseWriter, r *gateway.Request, to target) error {
		if err := s.prepareUse(r, to, p); err != nil {
			return err
		}
		return found.serve(w, r, to)
	}
	operation := s.operation(operation{serve, found.needs}, to)
	operation.Missing = buckets.ErrNoBucket("?")
	operation.PreAuthenticated = func() (who tenancy.Principal, err error) {
		p, err = s.allowing(use{r, secret, to})
		return p.Creator, err
	}
	return operation, found.serve != nil
}

// allowing finds the pre-authenticated request that allows a use. Without one it is as if there were no credentials,
// 401 NotAuthenticated: OCI was seen to answer so to a request that had expired
// (https://github.com/oracle/learning-library/issues/1358). That it does so as well to one that was deleted or never
// was, and to what a request does not grant, is not documented.
func (s *Service) allowing(u use) (buckets.PAR, error) {
	p, err := s.Buckets.PARs().BySecret(u.bucket, u.secret)
	switch {
	case err != nil:
		return p, err
	case !s.Now().Before(p.Expires):
		return p, errors.New("the pre-authenticated request has expired")
	case u.namespace != tenancy.Namespace || !u.grantedBy(p):
		return p, errors.New("the pre-authenticated request does not grant this")
	}
	return p, nil
}

// grantedBy reports whether method and object are what a pre-authenticated request is for. It deletes nothing, and
// leads to no earlier version.
func (u use) grantedBy(p buckets.PAR) bool {
	kind := accessTypes[p.AccessType]
	switch {
	case u.URL.Query().Has("versionId"):
		return false
	case u.object == "":
		return u.Method == http.MethodGet && p.Listing == listObjects
	case u.Method == http.MethodPut && !kind.write, u.Method != http.MethodPut && !kind.read,
		u.Method == http.MethodDelete:
		return false
	case kind.any:
		return strings.HasPrefix(u.object, p.Object)
	}
	return u.object == p.Object
}

// prepareUse holds a use to what its creator may do now. OCI "checks the permissions of the creator each time"; it is
// not said that a missing one is answered as to the creator, 404 BucketNotFound, nor whether all that the request
// grants counts, as here, or what this use needs alone.
func (s *Service) prepareUse(r *gateway.Request, to target, p buckets.PAR) error {
	if err := authorize(r, to.bucket, granting(p)...); err != nil {
		return err
	}
	if r.Method == http.MethodPut && r.Header.Get("Opc-Multipart") != "" {
		return answer.New(http.StatusNotImplemented, "NotImplemented",
			"A local OCI has no multipart uploads through pre-authenticated requests.")
	}
	if to.object != "" {
		return nil
	}
	query, err := narrow(r.URL.RawQuery, p.Object)
	listing := *r.URL
	listing.RawQuery = query
	r.URL = &listing
	return err
}

// narrow makes a listing one of the names that have a prefix.
func narrow(rawQuery, prefix string) (string, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return "", answer.Invalid("The query cannot be read.")
	}
	wanted := query.Get("prefix")
	switch {
	case strings.HasPrefix(wanted, prefix):
		return rawQuery, nil
	case !strings.HasPrefix(prefix, wanted):
		return "", answer.NotAuthenticated
	}
	query.Set("prefix", prefix)
	return query.Encode(), nil
}
