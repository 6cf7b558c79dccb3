package localoci

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// route is what a request is about, from its path.
type route struct {
	serve    func(*Server, http.ResponseWriter, *request, route) error
	ns       string
	bucket   string
	object   string
	function string
	// bodyUnsigned: the body's headers need not be signed, as for PutObject.
	bodyUnsigned bool
}

// functionsPath is a function or its invocation, under any of the interface's dated
// versions: the OCI CLI and the SDKs name different ones.
var functionsPath = regexp.MustCompile(`^/20\d{6}/functions/([^/]+)(/actions/invoke)?$`)

// parseRoute reads the path as it was sent: nothing in it is cleaned, because names of
// objects may hold anything.
func parseRoute(r *http.Request) (route, bool) {
	path := r.URL.EscapedPath()
	if match := functionsPath.FindStringSubmatch(path); match != nil {
		if match[2] == "" {
			return route{serve: (*Server).getFunction, function: match[1]}, r.Method == http.MethodGet
		}
		return route{serve: (*Server).invoke, function: match[1]}, r.Method == http.MethodPost
	}
	rest, ok := strings.CutPrefix(path, "/n")
	if !ok {
		return route{}, false
	}
	if rest == "" || rest == "/" {
		return route{serve: (*Server).getNamespace}, r.Method == http.MethodGet
	}
	return storageRoute(r.Method, strings.TrimPrefix(rest, "/"))
}

// storageRoute reads NS/b[/BUCKET[/o[/OBJECT]]].
func storageRoute(method, path string) (route, bool) {
	parts := strings.SplitN(path, "/", 5)
	var found route
	var ok bool
	if found.ns, ok = unescape(parts, 0); !ok || len(parts) < 2 || parts[1] != "b" {
		return route{}, false
	}
	if found.bucket, ok = unescape(parts, 2); !ok || len(parts) > 3 && parts[3] != "o" {
		return route{}, false
	}
	if found.object, ok = unescape(parts, 4); !ok {
		return route{}, false
	}
	switch {
	case len(parts) == 5 && parts[4] != "":
		found.serve = objectMethods[method]
		found.bodyUnsigned = method == http.MethodPut
	case len(parts) >= 4:
		found.serve = map[string]handlerFunc{http.MethodGet: (*Server).listObjects}[method]
	case len(parts) == 3 && parts[2] != "":
		found.serve = bucketMethods[method]
	default:
		found.serve = map[string]handlerFunc{http.MethodGet: (*Server).listBuckets, http.MethodPost: (*Server).createBucket}[method]
	}
	return found, found.serve != nil
}

type handlerFunc = func(*Server, http.ResponseWriter, *request, route) error

var objectMethods = map[string]handlerFunc{
	http.MethodPut: (*Server).putObject, http.MethodGet: (*Server).getObject,
	http.MethodHead: (*Server).getObject, http.MethodDelete: (*Server).deleteObject,
}

var bucketMethods = map[string]handlerFunc{
	http.MethodGet: (*Server).getBucket, http.MethodHead: (*Server).getBucket,
	http.MethodPost: (*Server).updateBucket, http.MethodDelete: (*Server).deleteBucket,
}

// unescape decodes one part of a path; one that is absent is empty.
func unescape(parts []string, i int) (string, bool) {
	if i >= len(parts) {
		return "", true
	}
	text, err := url.PathUnescape(parts[i])
	return text, err == nil
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // a client that is gone needs no answer
}
