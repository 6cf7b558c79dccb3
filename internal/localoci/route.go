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

// dated are the services whose paths begin with a date, under any of the interface's
// versions: the OCI CLI and the SDKs name different ones.
var dated = []struct {
	path   *regexp.Regexp
	method string
	serve  handlerFunc
}{
	{regexp.MustCompile(`^/20\d{6}/functions/([^/]+)$`), http.MethodGet, (*Server).getFunction},
	{regexp.MustCompile(`^/20\d{6}/functions/([^/]+)/actions/invoke$`), http.MethodPost, (*Server).invoke},
	{regexp.MustCompile(`^/20\d{6}/topics/([^/]+)/messages$`), http.MethodPost, (*Server).publish},
	{regexp.MustCompile(`^/20\d{6}/secretbundles/actions/(getByName)$`), http.MethodPost, (*Server).getSecretByName},
	{regexp.MustCompile(`^/20\d{6}/secretbundles/([^/]+)$`), http.MethodGet, (*Server).getSecret},
	{regexp.MustCompile(`^/20\d{6}/secretbundles/([^/]+)/versions$`), http.MethodGet, (*Server).listSecretVersions},
	{regexp.MustCompile(`^/(20\d{6})/search$`), http.MethodPost, (*Server).searchLogs},
	{regexp.MustCompile(`^/workRequests/([^/]+)$`), http.MethodGet, (*Server).getWorkRequest},
}

// parseRoute reads the path as it was sent: nothing in it is cleaned, because names of
// objects may hold anything.
func parseRoute(r *http.Request) (route, bool) {
	path := r.URL.EscapedPath()
	for _, d := range dated {
		if match := d.path.FindStringSubmatch(path); match != nil && r.Method == d.method {
			id, err := url.PathUnescape(match[1])
			return route{serve: d.serve, function: id, object: id}, err == nil
		}
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

// storageRoute reads NS/b[/BUCKET[/KIND[/NAME]]], where KIND says what of the bucket is
// meant: o its objects, u its multipart uploads, and so on.
func storageRoute(method, path string) (route, bool) {
	parts := strings.SplitN(path, "/", 5)
	var found route
	var ok bool
	if found.ns, ok = unescape(parts, 0); !ok || len(parts) < 2 || parts[1] != "b" {
		return route{}, false
	}
	if found.bucket, ok = unescape(parts, 2); !ok {
		return route{}, false
	}
	if found.object, ok = unescape(parts, 4); !ok {
		return route{}, false
	}
	switch {
	case len(parts) >= 4:
		kind := kinds[parts[3]]
		found.serve = kind.all[method]
		if len(parts) == 5 && parts[4] != "" {
			found.serve = kind.one[method]
			if parts[3] == "actions" && method == http.MethodPost {
				found.serve = actions[parts[4]]
			}
		}
		found.bodyUnsigned = method == http.MethodPut && (parts[3] == "o" || parts[3] == "u")
	case len(parts) == 3 && parts[2] != "":
		found.serve = bucketMethods[method]
	default:
		found.serve = map[string]handlerFunc{http.MethodGet: (*Server).listBuckets, http.MethodPost: (*Server).createBucket}[method]
	}
	return found, found.serve != nil
}

// kinds are the parts of a bucket: what is done with all of one, and with one of them.
var kinds = map[string]struct{ all, one map[string]handlerFunc }{
	"o": {
		all: map[string]handlerFunc{http.MethodGet: (*Server).listObjects},
		one: map[string]handlerFunc{
			http.MethodPut: (*Server).putObject, http.MethodGet: (*Server).getObject,
			http.MethodHead: (*Server).getObject, http.MethodDelete: (*Server).deleteObject,
		},
	},
	"u": {
		all: map[string]handlerFunc{http.MethodGet: (*Server).listUploads, http.MethodPost: (*Server).createUpload},
		one: map[string]handlerFunc{
			http.MethodPut: (*Server).putPart, http.MethodGet: (*Server).listParts,
			http.MethodPost: (*Server).commitUpload, http.MethodDelete: (*Server).abortUpload,
		},
	},
	"objectversions": {all: map[string]handlerFunc{http.MethodGet: (*Server).listVersions}},
	"retentionRules": {
		all: map[string]handlerFunc{http.MethodGet: (*Server).listRetention, http.MethodPost: (*Server).createRetention},
		one: map[string]handlerFunc{
			http.MethodGet: (*Server).getRetention, http.MethodPut: (*Server).updateRetention, http.MethodDelete: (*Server).deleteRetention,
		},
	},
}

type handlerFunc = func(*Server, http.ResponseWriter, *request, route) error

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
