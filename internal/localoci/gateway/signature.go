package gateway

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/tenancy"
)

// maxSkew is how far a request's date may be from the current time.
const maxSkew = 5 * time.Minute

// authenticate verifies the request's signature: the key, the headers that must be
// signed, the date, and that the body is the one that was signed. A body that is not
// read yet is checked while it is. A request whose path is secret has none.
func (g *Gateway) authenticate(r *Request, to Operation) error {
	verify := func() (tenancy.Principal, error) { return g.verify(r, to) }
	if to.PreAuthenticated != nil {
		verify, r.PreAuthenticated = to.PreAuthenticated, true
	}
	who, err := verify()
	if err != nil {
		g.Log.Debug("not authenticated", "request", r.ID, "uri", loggable(r.RequestURI), "error", err.Error())
		return answer.NotAuthenticated
	}
	r.Principal = who
	return nil
}

// verify returns the principal that signed a request.
func (g *Gateway) verify(r *Request, to Operation) (tenancy.Principal, error) {
	signature, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		return tenancy.Principal{}, err
	}
	if err := signature.checkDate(r.Request, g.Now()); err != nil {
		return tenancy.Principal{}, err
	}
	hasBody := r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch
	if err := signature.covers(hasBody && !to.BodyUnsigned); err != nil {
		return tenancy.Principal{}, err
	}
	key, who, err := g.Authority.Key(signature.keyID, g.Now())
	if err != nil {
		return tenancy.Principal{}, err
	}
	text, err := signature.signingString(r.Request)
	if err != nil {
		return tenancy.Principal{}, err
	}
	sum := sha256.Sum256([]byte(text))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature.bytes); err != nil {
		return tenancy.Principal{}, errors.New("the signature does not match")
	}
	r.Body, err = newBody(r.Request, slices.Contains(signature.headers, "x-content-sha256"))
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
	headers := strings.Fields(strings.ToLower(values["headers"]))
	return authorization{keyID: values["keyId"], headers: headers, bytes: bytes}, nil
}

// checkDate requires a signed date near the current time; x-date has precedence over date.
func (a authorization) checkDate(r *http.Request, now time.Time) error {
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
	if skew := now.Sub(at); skew > maxSkew || skew < -maxSkew {
		return fmt.Errorf("the date is %s off", skew)
	}
	return nil
}

// covers checks that everything that must be signed is signed.
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

// signingString rebuilds what the client signed from what arrived.
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
			// net/http removes it from the headers.
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
