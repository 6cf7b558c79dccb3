package localoci_test

import (
	"bytes"
	"context"
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
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/localoci"
)

var buckets = localoci.Buckets{Packages: "packages", Results: "results", State: "state"}

// open opens a local OCI in a folder, whose function is invoke.
func open(t *testing.T, dir string, invoke func(context.Context, localoci.Invocation) (localoci.Answer, error)) *localoci.Server {
	t.Helper()
	if invoke == nil {
		invoke = func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil }
	}
	s, err := localoci.Open(localoci.Config{Dir: dir, Buckets: buckets, Invoke: invoke, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t *testing.T) *localoci.Server {
	t.Helper()
	s := open(t, t.TempDir(), nil)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// signer signs requests as OCI's specification says; tests change what they need.
type signer struct {
	keyID   string
	key     *rsa.PrivateKey
	date    time.Time
	headers []string // nil: those that must be signed
}

func personOf(t *testing.T, s *localoci.Server) *signer {
	t.Helper()
	return personAt(t, filepath.Dir(filepath.Dir(s.Authority().ConfigFile())))
}

// personAt reads the person's key from the state folder of a server.
func personAt(t testing.TB, state string) *signer {
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
	return &signer{keyID: localoci.Tenancy + "/" + localoci.User + "/" + string(fingerprint), key: parseKey(t, text)}
}

func functionOf(t *testing.T, s *localoci.Server, expires time.Time) *signer {
	t.Helper()
	session, err := s.Authority().NewSession(time.Now(), expires)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{keyID: "ST$" + session.Token, key: parseKey(t, session.PrivateKey)}
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

func (s *signer) sign(t *testing.T, r *http.Request, body string) {
	t.Helper()
	if s.date.IsZero() {
		s.date = time.Now()
	}
	r.Header.Set("Date", s.date.UTC().Format(http.TimeFormat))
	headers := s.headers
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
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", fmt.Sprintf(`Signature version="1",keyId="%s",algorithm="rsa-sha256",headers="%s",signature="%s"`,
		s.keyID, strings.Join(headers, " "), base64.StdEncoding.EncodeToString(signature)))
}

// send signs and sends a request; change may spoil it after it was signed.
func (s *signer) send(t *testing.T, method, url, body string, change func(*http.Request)) (*http.Response, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	s.sign(t, r, body)
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

const bucketBody = `{"name":"made","compartmentId":"c"}`

func TestSignatures(t *testing.T) {
	s := start(t)
	createBucket := s.Endpoint() + "/n/localns/b/"
	for _, c := range []struct {
		name   string
		signer func() *signer
		method string
		url    string
		body   string
		spoil  func(*http.Request)
		want   int
	}{
		{"right", func() *signer { return personOf(t, s) }, "POST", createBucket, bucketBody, nil, 200},
		{"right, function", func() *signer { return functionOf(t, s, time.Now().Add(time.Hour)) }, "GET", s.Endpoint() + "/n/localns/b/packages/o", "", nil, 200},
		{"no signature", func() *signer { return personOf(t, s) }, "GET", s.Endpoint() + "/n/", "", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"wrong key", func() *signer {
			p := personOf(t, s)
			p.key = functionOf(t, s, time.Now().Add(time.Hour)).key
			return p
		}, "GET", s.Endpoint() + "/n/", "", nil, 401},
		{"unknown key id", func() *signer { p := personOf(t, s); p.keyID += "0"; return p }, "GET", s.Endpoint() + "/n/", "", nil, 401},
		{"altered body", func() *signer { return personOf(t, s) }, "POST", createBucket, bucketBody, func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(strings.Replace(bucketBody, "made", "evil", 1)))
		}, 401},
		{"altered header", func() *signer { return personOf(t, s) }, "POST", createBucket, bucketBody, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 401},
		{"altered target", func() *signer { return personOf(t, s) }, "GET", s.Endpoint() + "/n/", "", func(r *http.Request) { r.URL.Path = "/n/localns/b/packages" }, 401},
		{"altered method", func() *signer { return personOf(t, s) }, "GET", s.Endpoint() + "/n/localns/b/packages/o/x", "", func(r *http.Request) { r.Method = "DELETE" }, 401},
		{"no digest of the body", func() *signer { return personOf(t, s) }, "POST", createBucket, bucketBody, func(r *http.Request) { r.Header.Del("X-Content-Sha256") }, 401},
		{"digest not signed", func() *signer {
			p := personOf(t, s)
			p.headers = []string{"date", "(request-target)", "host", "content-length", "content-type"}
			return p
		}, "POST", createBucket, bucketBody, nil, 401},
		{"host not signed", func() *signer { p := personOf(t, s); p.headers = []string{"date", "(request-target)"}; return p }, "GET", s.Endpoint() + "/n/", "", nil, 401},
		{"date not signed", func() *signer { p := personOf(t, s); p.headers = []string{"(request-target)", "host"}; return p }, "GET", s.Endpoint() + "/n/", "", nil, 401},
		{"4 minutes old", func() *signer { p := personOf(t, s); p.date = time.Now().Add(-4 * time.Minute); return p }, "GET", s.Endpoint() + "/n/", "", nil, 200},
		{"6 minutes old", func() *signer { p := personOf(t, s); p.date = time.Now().Add(-6 * time.Minute); return p }, "GET", s.Endpoint() + "/n/", "", nil, 401},
		{"6 minutes ahead", func() *signer { p := personOf(t, s); p.date = time.Now().Add(6 * time.Minute); return p }, "GET", s.Endpoint() + "/n/", "", nil, 401},
		{"expired session token", func() *signer { return functionOf(t, s, time.Now().Add(-time.Second)) }, "GET", s.Endpoint() + "/n/", "", nil, 401},
		{"another session's key", func() *signer {
			f := functionOf(t, s, time.Now().Add(time.Hour))
			f.key = functionOf(t, s, time.Now().Add(time.Hour)).key
			return f
		}, "GET", s.Endpoint() + "/n/", "", nil, 401},
		{"unsigned session token", func() *signer {
			f := functionOf(t, s, time.Now().Add(time.Hour))
			part := strings.Split(strings.TrimPrefix(f.keyID, "ST$"), ".")
			f.keyID = "ST$" + base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + part[1] + "."
			return f
		}, "GET", s.Endpoint() + "/n/", "", nil, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, doc := c.signer().send(t, c.method, c.url, c.body, c.spoil)
			if resp.StatusCode != c.want {
				t.Errorf("status %d %v; want %d", resp.StatusCode, doc, c.want)
			}
			if c.want == 401 && doc["code"] != "NotAuthenticated" {
				t.Errorf("body %v", doc)
			}
		})
	}
}

// An object's body need not be signed; one whose digest is signed is held to it.
func TestPutObjectBodies(t *testing.T) {
	s := start(t)
	url := s.Endpoint() + "/n/localns/b/packages/o/a.zip"
	plain := personOf(t, s)
	plain.headers = []string{"date", "(request-target)", "host"}
	if resp, doc := plain.send(t, "PUT", url, "text", nil); resp.StatusCode != 200 || resp.Header.Get("Etag") == "" {
		t.Errorf("status %d, %v", resp.StatusCode, doc)
	}
	resp, doc := personOf(t, s).send(t, "PUT", url, "text", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("TEXT")) })
	if resp.StatusCode != 401 {
		t.Errorf("an altered body: status %d, %v", resp.StatusCode, doc)
	}
	for header, code := range map[string]string{"Content-Md5": "UnmatchedContentMD5", "Opc-Content-Sha256": "UnmatchedContentSHA256"} {
		resp, doc := plain.send(t, "PUT", url, "text", func(r *http.Request) { r.Header.Set(header, "AAAAAAAAAAAAAAAAAAAAAA==") })
		if resp.StatusCode != 400 || doc["code"] != code {
			t.Errorf("%s: status %d, %v; want 400 %s", header, resp.StatusCode, doc, code)
		}
	}
	get := personOf(t, s)
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	get.sign(t, r, "")
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if text, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(text, []byte("text")) {
		t.Errorf("after refused writes the object is %q, %v", text, err)
	}
}

func FuzzServe(f *testing.F) {
	dir := f.TempDir()
	s, err := localoci.Open(localoci.Config{
		Dir: dir, Buckets: buckets, Log: slog.New(slog.DiscardHandler),
		Invoke: func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	f.Add("GET", "/n/localns/b/packages/o/x", `Signature version="1",keyId="a/b/c",algorithm="rsa-sha256",headers="date (request-target) host",signature="AAAA"`, "body")
	f.Add("PUT", "/n/localns/b/packages/o/..%2f..%2fx", `Signature version="1",keyId="ST$a.b.c",algorithm="rsa-sha256",headers="date",signature="AA=="`, "")
	f.Add("POST", "/20181201/functions/x/actions/invoke", "", "{}")
	f.Fuzz(func(t *testing.T, method, path, authorization, body string) {
		r, err := http.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
		if err != nil {
			return
		}
		r.RequestURI = path
		r.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
		r.Header["Authorization"] = []string{authorization}
		w := &recorder{header: http.Header{}}
		s.ServeHTTP(w, r)
		if w.status != 401 && w.status != 404 {
			t.Fatalf("%s %s without a signature: status %d", method, path, w.status)
		}
	})
}

type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }
func (r *recorder) WriteHeader(status int)      { r.status = status }
