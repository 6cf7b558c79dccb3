package localtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/localoci"
)

// Read signs and sends a request without a body and returns the text of the answer.
func (s *Signer) Read(t *testing.T, method, url string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Sign(t, r, "")
	for name, values := range header {
		r.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// Signer signs requests according to OCI's specification; tests change single fields.
type Signer struct {
	KeyID   string
	Key     *rsa.PrivateKey
	Date    time.Time // zero: now
	Headers []string  // nil: the required ones
}

// PersonOf signs as the person of a local OCI.
func PersonOf(t *testing.T, s *localoci.Server) *Signer {
	t.Helper()
	return PersonAt(t, StateOf(s))
}

// PersonAt signs with the person's key from a state folder.
func PersonAt(t testing.TB, state string) *Signer {
	t.Helper()
	dir := filepath.Join(state, "oci")
	config, err := os.ReadFile(filepath.Join(dir, "config"))
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := regexp.MustCompile(`fingerprint=(.*)`).FindSubmatch(config)[1]
	text, err := os.ReadFile(filepath.Join(dir, "user.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return &Signer{KeyID: localoci.Tenancy + "/" + localoci.User + "/" + string(fingerprint), Key: parseKey(t, text)}
}

// With signs with the credentials of a session.
func With(t *testing.T, session localoci.Session) *Signer {
	t.Helper()
	return &Signer{KeyID: "ST$" + session.Token, Key: parseKey(t, session.PrivateKey)}
}

// FunctionOf signs as the function, until its session expires.
func FunctionOf(t *testing.T, s *localoci.Server, expires time.Time) *Signer {
	t.Helper()
	session, err := s.Authority().NewSession(time.Now(), expires)
	if err != nil {
		t.Fatal(err)
	}
	return With(t, session)
}

func parseKey(t testing.TB, text []byte) *rsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Sign signs a request with a body.
func (s *Signer) Sign(t *testing.T, r *http.Request, body string) {
	t.Helper()
	if s.Date.IsZero() {
		s.Date = time.Now()
	}
	r.Header.Set("Date", s.Date.UTC().Format(http.TimeFormat))
	headers := s.Headers
	if headers == nil {
		headers = []string{"date", "(request-target)", "host"}
		if r.Method == http.MethodPost || r.Method == http.MethodPut {
			headers = append(headers, "content-length", "content-type", "x-content-sha256")
		}
	}
	sum := sha256.Sum256([]byte(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Content-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
	var lines []string
	for _, h := range headers {
		value := r.Header.Get(h)
		switch h {
		case "(request-target)":
			value = strings.ToLower(r.Method) + " " + r.URL.RequestURI()
		case "host":
			value = r.URL.Host
		case "content-length":
			value = fmt.Sprint(len(body))
		}
		lines = append(lines, h+": "+value)
	}
	digest := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.Key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", fmt.Sprintf(
		`Signature version="1",keyId="%s",algorithm="rsa-sha256",headers="%s",signature="%s"`,
		s.KeyID, strings.Join(headers, " "), base64.StdEncoding.EncodeToString(signature)))
}

// Send signs and sends a request; change may modify it after it was signed.
func (s *Signer) Send(
	t *testing.T, method, url, body string, change func(*http.Request),
) (*http.Response, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	s.Sign(t, r, body)
	if change != nil {
		change(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	_ = json.Unmarshal(text, &doc) // not every answer is an object
	if resp.Header.Get("Opc-Request-Id") == "" {
		t.Errorf("%s %s: no opc-request-id", method, url)
	}
	return resp, doc
}
