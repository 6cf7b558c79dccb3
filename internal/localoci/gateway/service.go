package gateway

import (
	"net/http"
	"net/url"
	"regexp"

	"cemli-executor/internal/localoci/tenancy"
)

// Service finds the operation of a service that a request is for, if any. It reads the path as it was sent.
type Service interface {
	Route(r *http.Request) (Operation, bool)
}

// Operation is something that a client can ask a service to do.
type Operation struct {
	Handle func(w http.ResponseWriter, r *Request) error
	// PreAuthenticated says for whom the request acts that has no signature because its path is secret; nil: it must
	// have one.
	PreAuthenticated func() (tenancy.Principal, error)
	// BodyUnsigned: the headers of the body need not be signed, as for PutObject.
	BodyUnsigned bool
	// Missing is the service's answer to a request for something that does not exist, for the fault of false 404s;
	// nil: the fault does not apply.
	Missing error
}

// Table is a service with few operations, each with a path of its own. The first entry that matches counts.
type Table []Entry

// Entry is one operation of a Table.
type Entry struct {
	Method string
	Path   *regexp.Regexp // with one group: the id of what the operation is about
	Handle func(w http.ResponseWriter, r *Request, id string) error
}

// Route finds the operation by method and path.
func (t Table) Route(r *http.Request) (Operation, bool) {
	for _, entry := range t {
		match := entry.Path.FindStringSubmatch(r.URL.EscapedPath())
		if match == nil || r.Method != entry.Method {
			continue
		}
		id, err := url.PathUnescape(match[1])
		return Operation{Handle: func(w http.ResponseWriter, r *Request) error { return entry.Handle(w, r, id) }},
			err == nil
	}
	return Operation{}, false
}

// Dated is the pattern of a path that begins with a version of the service's interface, which is a date. Every date
// is accepted, because the OCI CLI and the SDKs use different ones.
func Dated(path string) *regexp.Regexp { return regexp.MustCompile(`^/20\d{6}` + path + `$`) }
