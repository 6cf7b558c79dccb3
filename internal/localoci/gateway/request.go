package gateway

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"net/http"
	"regexp"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/tenancy"
)

// Request is one request on its way through the local OCI. Its Body compares what is read with the digest that was
// signed.
type Request struct {
	*http.Request
	ID        string // the request's id in the answer
	Principal tenancy.Principal
	// PreAuthenticated: it has no signature, and acts for Principal by a secret in its path.
	PreAuthenticated bool
	Body             *Body
	gateway          *Gateway
}

// secretPath is what precedes the secret of a pre-authenticated request, and the secret.
var secretPath = regexp.MustCompile(`^(/*(?i:p|%70)/+)[^/?]+`)

// loggable is a path as it may be logged.
func loggable(path string) string { return secretPath.ReplaceAllString(path, "$1***") }

// maxRead bounds the bodies that are read into memory: 6 MB, the most that may be sent to a function.
const maxRead = 6 << 20

// ReadAll reads a body that is not an object's, and checks its digest.
func (r *Request) ReadAll() ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRead+1))
	if err != nil {
		return nil, answer.Invalid("The request body could not be read.")
	}
	if len(body) > maxRead {
		return nil,
			answer.New(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request body is too large.")
	}
	return body, r.Body.Check()
}

// ReadJSON reads a body of JSON into a value.
func (r *Request) ReadJSON(into any) error {
	body, err := r.ReadAll()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return answer.New(http.StatusBadRequest, "InvalidJson", "The request body is not valid JSON.")
	}
	return nil
}

// Body is the body of a request, which is hashed while it is read.
type Body struct {
	io.Reader
	sum  hash.Hash
	want string
}

// newBody wraps a request's body. It compares nothing if no digest was signed.
func newBody(r *http.Request, signed bool) (*Body, error) {
	b := &Body{sum: sha256.New()}
	if signed {
		b.want = r.Header.Get("X-Content-Sha256")
		if raw, err := base64.StdEncoding.DecodeString(b.want); err != nil || len(raw) != sha256.Size {
			return nil, errors.New("x-content-sha256 is not a digest")
		}
	}
	b.Reader = io.TeeReader(r.Body, b.sum)
	return b, nil
}

// Check returns an error, after the body was read to its end, unless it was the signed one.
func (b *Body) Check() error {
	if b.want == "" || base64.StdEncoding.EncodeToString(b.sum.Sum(nil)) == b.want {
		return nil
	}
	return answer.NotAuthenticated
}
