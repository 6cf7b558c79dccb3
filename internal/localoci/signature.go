package localoci

import (
	"cmp"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxSkew is how far a request's date may be from now, either way.
const maxSkew = 5 * time.Minute

// principal is who signed a request.
type principal struct {
	user        string // OCID; empty for others
	function    string
	instance    string
	tenancy     string // OCID of theirs
	compartment string // OCID; a person's is the tenancy
}

// id is the principal's OCID.
func (p principal) id() string { return cmp.Or(p.user, p.function, p.instance) }

// kind is how it is authenticated, in OCI's words.
func (p principal) kind() string {
	switch {
	case p.function != "":
		return "resource"
	case p.instance != "":
		return "instance"
	}
	return "user"
}

// group is the dynamic group that it is in.
func (p principal) group() string {
	if p.instance != "" {
		return instanceGroup
	}
	return functionGroup
}

// who names it to whoever watches.
func (p principal) who() string {
	if p.instance != "" {
		return "the instance"
	}
	return "the function"
}

// subject is how a function hears of who invoked it.
func (p principal) subject() map[string]string {
	return map[string]string{
		"Oci-Subject-Id": p.id(), "Oci-Subject-Type": p.kind(), "Oci-Subject-Tenancy-Id": p.tenancy, "Oci-Subject-Compartment-Id": p.compartment,
	}
}

// authenticate verifies the request's signature: the key, the headers that must be
// signed, the date, and that the body is the one that was signed. A body that is not
// read yet is checked while it is.
func (s *Server) authenticate(r *request, to route) error {
	who, err := s.verify(r, to)
	if err != nil {
		s.config.Log.Debug("not authenticated", "request", r.id, "uri", r.RequestURI, "error", err.Error())
		return apiError{http.StatusUnauthorized, "NotAuthenticated", "The required information to complete authentication was not provided or was incorrect."}
	}
	r.principal = who
	return nil
}

func (s *Server) verify(r *request, to route) (principal, error) {
	signature, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		return principal{}, err
	}
	if err := s.checkDate(r.Request, signature); err != nil {
		return principal{}, err
	}
	hasBody := r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch
	if err := signature.covers(hasBody && !to.bodyUnsigned); err != nil {
		return principal{}, err
	}
	key, who, err := s.authority.keyOf(signature.keyID, s.config.Now())
	if err != nil {
		return principal{}, err
	}
	text, err := signature.signingString(r.Request)
	if err != nil {
		return principal{}, err
	}
	sum := sha256.Sum256([]byte(text))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature.bytes); err != nil {
		return principal{}, errors.New("the signature does not match")
	}
	r.body, err = newBodyCheck(r.Request, slices.Contains(signature.headers, "x-content-sha256"))
	return who, err
}

// authorization is a parsed Authorization header.
type authorization struct {
	keyID   string
	headers []string // as signed, in order, lower case
	bytes   []byte
}

// A signature is a list of parameters, in any order.
var (
	parameter  = regexp.MustCompile(`(\w+)="([^"]*)"`)
	parameters = regexp.MustCompile(`^\w+="[^"]*"(\s*,\s*\w+="[^"]*")*$`)
)

func parseAuthorization(header string) (authorization, error) {
	rest, ok := strings.CutPrefix(header, "Signature ")
	if !ok || !parameters.MatchString(rest) {
		return authorization{}, errors.New("no signature")
	}
	values := map[string]string{}
	for _, m := range parameter.FindAllStringSubmatch(rest, -1) {
		if _, twice := values[m[1]]; twice {
			return authorization{}, fmt.Errorf("%s occurs twice", m[1])
		}
		values[m[1]] = m[2]
	}
	if values["version"] != "1" || !strings.EqualFold(values["algorithm"], "rsa-sha256") {
		return authorization{}, errors.New("version or algorithm is not supported")
	}
	bytes, err := base64.StdEncoding.DecodeString(values["signature"])
	if err != nil || len(bytes) == 0 {
		return authorization{}, errors.New("the signature is not base64")
	}
	return authorization{keyID: values["keyId"], headers: strings.Fields(strings.ToLower(values["headers"])), bytes: bytes}, nil
}

// checkDate wants a signed date that is near now; x-date counts before date.
func (s *Server) checkDate(r *http.Request, a authorization) error {
	name := "date"
	if slices.Contains(a.headers, "x-date") {
		name = "x-date"
	}
	if !slices.Contains(a.headers, name) {
		return errors.New("the date is not signed")
	}
	at, err := http.ParseTime(r.Header.Get(name))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if skew := s.config.Now().Sub(at); skew > maxSkew || skew < -maxSkew {
		return fmt.Errorf("the date is %s off", skew)
	}
	return nil
}

// covers checks that everything that must be signed is.
func (a authorization) covers(body bool) error {
	wanted := []string{"(request-target)", "host"}
	if body {
		wanted = append(wanted, "content-length", "content-type", "x-content-sha256")
	}
	for _, header := range wanted {
		if !slices.Contains(a.headers, header) {
			return fmt.Errorf("%s is not signed", header)
		}
	}
	return nil
}

// signingString is what the client signed, rebuilt from what arrived.
func (a authorization) signingString(r *http.Request) (string, error) {
	var lines []string
	for _, name := range a.headers {
		var value string
		switch name {
		case "(request-target)":
			value = strings.ToLower(r.Method) + " " + r.RequestURI
		case "host":
			value = r.Host
		case "content-length":
			// net/http takes it out of the header.
			value = strconv.FormatInt(r.ContentLength, 10)
		default:
			values := r.Header.Values(name)
			if len(values) != 1 {
				return "", fmt.Errorf("%s is signed and occurs %d times", name, len(values))
			}
			value = values[0]
		}
		lines = append(lines, name+": "+value)
	}
	return strings.Join(lines, "\n"), nil
}

// bodyCheck compares a body with the digest that was signed, while it is read.
type bodyCheck struct {
	io.Reader
	sum  hash.Hash
	want string
}

// newBodyCheck wraps the request's body. Without a signed digest nothing is compared.
func newBodyCheck(r *http.Request, signed bool) (*bodyCheck, error) {
	b := &bodyCheck{sum: sha256.New()}
	if signed {
		b.want = r.Header.Get("X-Content-Sha256")
		if raw, err := base64.StdEncoding.DecodeString(b.want); err != nil || len(raw) != sha256.Size {
			return nil, errors.New("x-content-sha256 is not a digest")
		}
	}
	b.Reader = io.TeeReader(r.Body, b.sum)
	return b, nil
}

// done says, after the body was read to its end, whether it was the signed one.
func (b *bodyCheck) done() error {
	if b.want == "" || base64.StdEncoding.EncodeToString(b.sum.Sum(nil)) == b.want {
		return nil
	}
	return apiError{http.StatusUnauthorized, "NotAuthenticated", "The required information to complete authentication was not provided or was incorrect."}
}

// maxJSON bounds the bodies that are read into memory: 6 MB, the most that may be sent
// to a function.
const maxJSON = 6 << 20

// all reads a body that is not an object's, and checks it.
func (b *bodyCheck) all() ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(b, maxJSON+1))
	if err != nil {
		return nil, apiError{http.StatusBadRequest, "InvalidParameter", "The request body could not be read."}
	}
	if len(body) > maxJSON {
		return nil, apiError{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request body is too large."}
	}
	return body, b.done()
}
