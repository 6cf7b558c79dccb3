package gateway_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
)

// A valid signature is refused if anything about it is unusual.
func TestUnusualAuthorizations(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	p := localtest.PersonOf(t, s)
	alter := func(from, to string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*http.Request)
		want  int
	}{
		{"as it is", func(*http.Request) {}, 200},
		{"spaces between parameters", alter(`",`, `" , `), 200},
		{"upper case algorithm", alter("rsa-sha256", "RSA-SHA256"), 200},
		{"another scheme", alter("Signature ", "Bearer "), 401},
		{"another version", alter(`version="1"`, `version="2"`), 401},
		{"no version", alter(`version="1",`, ``), 401},
		{"another algorithm", alter("rsa-sha256", "hmac-sha256"), 401},
		{"a parameter twice", alter(`version="1"`, `version="1",version="1"`), 401},
		{"words between parameters", alter(`version="1",`, `version="1", and `), 401},
		{
			"words after them",
			func(r *http.Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")+" x") }, 401,
		},
		{"a signed header twice", func(r *http.Request) { r.Header.Add("Date", r.Header.Get("Date")) }, 401},
		{
			"a newer date that is not signed",
			func(r *http.Request) { r.Header.Set("X-Date", time.Now().UTC().Format(http.TimeFormat)) }, 200,
		},
		{"a header that is signed and missing", alter("(request-target)", "(request-target) x-none"), 401},
		{"no date", func(r *http.Request) { r.Header.Del("Date") }, 401},
		{"a date that is none", func(r *http.Request) { r.Header.Set("Date", "today") }, 401},
	} {
		resp, doc := p.Send(t, "GET", s.Endpoint()+"/n/localns/b/packages", "", c.spoil)
		if resp.StatusCode != c.want {
			t.Errorf("%s: status %d %v; want %d", c.name, resp.StatusCode, doc, c.want)
		}
	}
}

// A refused upload is answered although nobody reads its body, and the next request is served, on the same connection
// or another.
func TestALargeUploadThatIsRefusedIsAnswered(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	p := localtest.PersonOf(t, s)
	body := strings.Repeat("x", 16<<20)
	for range 5 {
		resp, doc := p.Send(t, "PUT", localtest.Object(s, "packages", "x"), body,
			func(r *http.Request) { r.Header.Del("Authorization") })
		if resp.StatusCode != 401 || doc["code"] != "NotAuthenticated" {
			t.Errorf("status %d %v; want 401", resp.StatusCode, doc)
		}
	}
}

const bucketBody = `{"name":"made","compartmentId":"c"}`

func TestSignatures(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	createBucket := s.Endpoint() + "/n/localns/b/"
	for _, c := range []struct {
		name   string
		signer func() *localtest.Signer
		method string
		url    string
		body   string
		spoil  func(*http.Request)
		want   int
	}{
		{
			"right", func() *localtest.Signer { return localtest.PersonOf(t, s) }, "POST", createBucket, bucketBody,
			nil, 200,
		},
		{
			"right, function",
			func() *localtest.Signer { return localtest.FunctionOf(t, s, time.Now().Add(time.Hour)) }, "GET",
			s.Endpoint() + "/n/localns/b/packages/o", "", nil, 200,
		},
		{
			"no signature", func() *localtest.Signer { return localtest.PersonOf(t, s) }, "GET", s.Endpoint() + "/n/",
			"", func(r *http.Request) { r.Header.Del("Authorization") }, 401,
		},
		{"wrong key", func() *localtest.Signer {
			p := localtest.PersonOf(t, s)
			p.Key = localtest.FunctionOf(t, s, time.Now().Add(time.Hour)).Key
			return p
		}, "GET", s.Endpoint() + "/n/", "", nil, 401},
		{
			"unknown key id", func() *localtest.Signer { p := localtest.PersonOf(t, s); p.KeyID += "0"; return p },
			"GET", s.Endpoint() + "/n/", "", nil, 401,
		},
		{
			"altered body", func() *localtest.Signer { return localtest.PersonOf(t, s) }, "POST", createBucket,
			bucketBody,
			func(r *http.Request) {
				r.Body = io.NopCloser(strings.NewReader(strings.Replace(bucketBody, "made", "evil", 1)))
			}, 401,
		},
		{
			"altered header", func() *localtest.Signer { return localtest.PersonOf(t, s) }, "POST", createBucket,
			bucketBody, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 401,
		},
		{
			"altered target", func() *localtest.Signer { return localtest.PersonOf(t, s) }, "GET", s.Endpoint() + "/n/",
			"", func(r *http.Request) { r.URL.Path = "/n/localns/b/packages" }, 401,
		},
		{
			"altered method", func() *localtest.Signer { return localtest.PersonOf(t, s) }, "GET",
			s.Endpoint() + "/n/localns/b/packages/o/x", "", func(r *http.Request) { r.Method = "DELETE" }, 401,
		},
		{
			"no digest of the body", func() *localtest.Signer { return localtest.PersonOf(t, s) }, "POST", createBucket,
			bucketBody, func(r *http.Request) { r.Header.Del("X-Content-Sha256") }, 401,
		},
		{"digest not signed", func() *localtest.Signer {
			p := localtest.PersonOf(t, s)
			p.Headers = []string{"date", "(request-target)", "host", "content-length", "content-type"}
			return p
		}, "POST", createBucket, bucketBody, nil, 401},
		{"host not signed", func() *localtest.Signer {
			p := localtest.PersonOf(t, s)
			p.Headers = []string{"date", "(request-target)"}
			return p
		}, "GET", s.Endpoint() + "/n/", "", nil, 401},
		{"date not signed", func() *localtest.Signer {
			p := localtest.PersonOf(t, s)
			p.Headers = []string{"(request-target)", "host"}
			return p
		}, "GET", s.Endpoint() + "/n/", "", nil, 401},
		{"4 minutes old", func() *localtest.Signer {
			p := localtest.PersonOf(t, s)
			p.Date = time.Now().Add(-4 * time.Minute)
			return p
		}, "GET", s.Endpoint() + "/n/", "", nil, 200},
		{"6 minutes old", func() *localtest.Signer {
			p := localtest.PersonOf(t, s)
			p.Date = time.Now().Add(-6 * time.Minute)
			return p
		}, "GET", s.Endpoint() + "/n/", "", nil, 401},
		{"6 minutes ahead", func() *localtest.Signer {
			p := localtest.PersonOf(t, s)
			p.Date = time.Now().Add(6 * time.Minute)
			return p
		}, "GET", s.Endpoint() + "/n/", "", nil, 401},
		{
			"expired session token",
			func() *localtest.Signer { return localtest.FunctionOf(t, s, time.Now().Add(-time.Second)) }, "GET",
			s.Endpoint() + "/n/", "", nil, 401,
		},
		{"another session's key", func() *localtest.Signer {
			f := localtest.FunctionOf(t, s, time.Now().Add(time.Hour))
			f.Key = localtest.FunctionOf(t, s, time.Now().Add(time.Hour)).Key
			return f
		}, "GET", s.Endpoint() + "/n/", "", nil, 401},
		{"unsigned session token", func() *localtest.Signer {
			f := localtest.FunctionOf(t, s, time.Now().Add(time.Hour))
			part := strings.Split(strings.TrimPrefix(f.KeyID, "ST$"), ".")
			f.KeyID = "ST$" + base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." +
				part[1] + "."
			return f
		}, "GET", s.Endpoint() + "/n/", "", nil, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, doc := c.signer().Send(t, c.method, c.url, c.body, c.spoil)
			if resp.StatusCode != c.want {
				t.Errorf("status %d %v; want %d", resp.StatusCode, doc, c.want)
			}
			if c.want == 401 && doc["code"] != "NotAuthenticated" {
				t.Errorf("body %v", doc)
			}
		})
	}
}

// An object's body need not be signed; if its digest is signed, the body must match.
func TestPutObjectBodies(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	url := s.Endpoint() + "/n/localns/b/packages/o/a.zip"
	plain := localtest.PersonOf(t, s)
	plain.Headers = []string{"date", "(request-target)", "host"}
	if resp, doc := plain.Send(t, "PUT", url, "text", nil); resp.StatusCode != 200 || resp.Header.Get("Etag") == "" {
		t.Errorf("status %d, %v", resp.StatusCode, doc)
	}
	resp, doc := localtest.PersonOf(t, s).Send(t, "PUT", url, "text",
		func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("TEXT")) })
	if resp.StatusCode != 401 {
		t.Errorf("an altered body: status %d, %v", resp.StatusCode, doc)
	}
	for header, code := range map[string]string{
		"Content-Md5": "UnmatchedContentMD5", "Opc-Content-Sha256": "UnmatchedContentSHA256",
	} {
		resp, doc := plain.Send(t, "PUT", url, "text",
			func(r *http.Request) { r.Header.Set(header, "AAAAAAAAAAAAAAAAAAAAAA==") })
		if resp.StatusCode != 400 || doc["code"] != code {
			t.Errorf("%s: status %d, %v; want 400 %s", header, resp.StatusCode, doc, code)
		}
	}
	get := localtest.PersonOf(t, s)
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	get.Sign(t, r, "")
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
		Dir: dir, Buckets: localtest.Buckets, Log: slog.New(slog.DiscardHandler),
		Invoke: func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	f.Add("GET", "/n/localns/b/packages/o/x",
		`Signature version="1",keyId="a/b/c",algorithm="rsa-sha256",headers="date (request-target) host",`+
			`signature="AAAA"`, "body")
	f.Add("PUT", "/n/localns/b/packages/o/..%2f..%2fx",
		`Signature version="1",keyId="ST$a.b.c",algorithm="rsa-sha256",headers="date",signature="AA=="`, "")
	f.Add("POST", "/20181201/functions/x/actions/invoke", "", "{}")
	f.Fuzz(func(t *testing.T, method, path, authorization, body string) {
		r, err := http.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
		if err != nil {
			return
		}
		r.RequestURI = path
		r.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
		r.Header["Authorization"] = []string{authorization}
		w := localtest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Status != 401 && w.Status != 404 {
			t.Fatalf("%s %s without a signature: status %d", method, path, w.Status)
		}
	})
}
