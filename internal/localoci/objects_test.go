package localoci_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/localoci"
)

// read signs and sends a request without a body and returns the text of the answer.
func (s *signer) read(t *testing.T, method, url string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.sign(t, r, "")
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

func TestRanges(t *testing.T) {
	s := start(t)
	p := personOf(t, s)
	p.send(t, "PUT", object(s, "packages", "ten"), "0123456789", nil)
	p.send(t, "PUT", object(s, "packages", "none"), "", nil)
	for _, c := range []struct {
		name, wanted  string
		status        int
		text, content string
	}{
		{"ten", "bytes=0-3", 206, "0123", "bytes 0-3/10"},
		{"ten", "bytes=7-", 206, "789", "bytes 7-9/10"},
		{"ten", "bytes=7-99", 206, "789", "bytes 7-9/10"},
		{"ten", "bytes=-3", 206, "789", "bytes 7-9/10"},
		{"ten", "bytes=-99", 206, "0123456789", "bytes 0-9/10"},
		{"ten", "bytes=9223372036854775807-", 416, "", ""},
		{"ten", "bytes=10-", 416, "", ""},
		{"ten", "bytes=-0", 416, "", ""},
		{"none", "bytes=0-", 416, "", ""},
		{"ten", "bytes=5-2", 200, "0123456789", ""},
		{"ten", "bytes=0-1,3-4", 200, "0123456789", ""},
		{"ten", "lines=0-1", 200, "0123456789", ""},
		{"ten", "bytes=x-y", 200, "0123456789", ""},
		{"ten", "bytes=99999999999999999999-", 200, "0123456789", ""},
	} {
		resp, text := p.read(t, "GET", object(s, "packages", c.name), http.Header{"Range": {c.wanted}})
		if resp.StatusCode != c.status || resp.Header.Get("Content-Range") != c.content || c.status < 300 && text != c.text {
			t.Errorf("%s of %s: status %d, %q, %q; want %d, %q, %q", c.wanted, c.name, resp.StatusCode, text, resp.Header.Get("Content-Range"), c.status, c.text, c.content)
		}
	}
	resp, _ := p.read(t, "HEAD", object(s, "packages", "ten"), http.Header{"Range": {"bytes=0-3"}})
	if resp.StatusCode != 200 || resp.ContentLength != 10 {
		t.Errorf("HEAD: status %d, length %d; a range is of GET alone", resp.StatusCode, resp.ContentLength)
	}
}

func TestNotModified(t *testing.T) {
	s := start(t)
	p := personOf(t, s)
	put, _ := p.send(t, "PUT", object(s, "packages", "a"), "x", nil)
	resp, text := p.read(t, "GET", object(s, "packages", "a"), http.Header{"If-None-Match": {put.Header.Get("Etag")}})
	if resp.StatusCode != 304 || text != "" {
		t.Errorf("status %d, %q; want 304 without a body", resp.StatusCode, text)
	}
}

func TestPutsThatAreRefusedWriteNothing(t *testing.T) {
	s := start(t)
	p := personOf(t, s)
	p.headers = []string{"date", "(request-target)", "host"}
	for _, c := range []struct {
		name  string
		spoil func(*http.Request)
		code  string
	}{
		{"no length", func(r *http.Request) { r.ContentLength = -1 }, "MissingContentLength"},
		{"large metadata", func(r *http.Request) { r.Header.Set("Opc-Meta-A", strings.Repeat("x", 4001)) }, "MetadataTooLarge"},
		{"metadata twice", func(r *http.Request) { r.Header["Opc-Meta-A"] = []string{"1", "2"} }, "InvalidParameter"},
		{"metadata without a name", func(r *http.Request) { r.Header.Set("Opc-Meta-", "1") }, "InvalidParameter"},
	} {
		resp, doc := p.send(t, "PUT", object(s, "packages", "x"), "text", c.spoil)
		if resp.StatusCode < 400 || doc["code"] != c.code {
			t.Errorf("%s: status %d %v; want %s", c.name, resp.StatusCode, doc, c.code)
		}
	}
	if resp, _ := p.send(t, "GET", object(s, "packages", "x"), "", nil); resp.StatusCode != 404 {
		t.Errorf("the object is there: status %d", resp.StatusCode)
	}
}

// FuzzSigned sends what a person with a valid key may send: whatever it is, the answer
// is none that the server did not mean.
func FuzzSigned(f *testing.F) {
	s, err := localoci.Open(localoci.Config{
		Dir: f.TempDir(), Buckets: buckets, Log: slog.New(slog.DiscardHandler),
		Invoke: func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	p := personAt(f, strings.TrimSuffix(s.Authority().ConfigFile(), "/oci/config"))
	f.Add("PUT", "/n/localns/b/packages/o/x", "Opc-Meta-A", "1", "body")
	f.Add("GET", "/n/localns/b/packages/o/x", "Range", "bytes=1-2", "")
	f.Add("GET", "/n/localns/b/packages/o?prefix=x&limit=1&delimiter=/&fields=name,size", "If-Match", "*", "")
	f.Add("PUT", "/n/localns/b/packages/o/..%2f..%2f%00", "If-None-Match", "*", "")
	f.Add("HEAD", "/n/localns/b/packages%00x", "Accept", "", "")
	f.Add("DELETE", "/n/localns/b/packages/o/x", "If-Match", "y", "")
	f.Add("POST", "/n/localns/b", "Accept", "", `{"name":"new","compartmentId":"c","objectEventsEnabled":true}`)
	f.Add("POST", "/20181201/functions/"+localoci.FunctionID+"/actions/invoke", "Fn-Invoke-Type", "detached", "{}")
	for _, seed := range [][3]string{
		{"POST", "/n/localns/b/packages/u", `{"object":"x","metadata":{"a":"b"}}`},
		{"GET", "/n/localns/b/packages/u", ""},
		{"PUT", "/n/localns/b/packages/u/x?uploadId=a&uploadPartNum=1", "part"},
		{"POST", "/n/localns/b/packages/u/x?uploadId=a", `{"partsToCommit":[{"partNum":1,"etag":"x"}]}`},
		{"DELETE", "/n/localns/b/packages/u/x?uploadId=a", ""},
		{"GET", "/n/localns/b/packages/objectversions?limit=1&page=1", ""},
		{"POST", "/n/localns/b/packages/actions/copyObject", `{"sourceObjectName":"x","destinationBucket":"packages","destinationNamespace":"localns","destinationRegion":"us-phoenix-1","destinationObjectName":"y"}`},
		{"POST", "/n/localns/b/packages/actions/renameObject", `{"sourceName":"x","newName":"y"}`},
		{"POST", "/n/localns/b/packages/actions/batchDeleteObjects", `{"objects":[{"objectName":"x"}]}`},
		{"POST", "/n/localns/b/results/retentionRules", `{"displayName":"r","duration":{"timeAmount":1,"timeUnit":"DAYS"}}`},
		{"PUT", "/n/localns/b/results/retentionRules/x", `{}`},
		{"POST", "/n/localns/b/packages", `{"versioning":"Enabled"}`},
		{"GET", "/workRequests/x", ""},
		{"POST", "/20190301/secretbundles/actions/getByName?secretName=x&vaultId=" + localoci.VaultID, ""},
		{"GET", "/20190301/secretbundles/x?stage=CURRENT", ""},
		{"POST", "/20181201/topics/" + localoci.TopicID + "/messages", `{"body":"x"}`},
	} {
		f.Add(seed[0], seed[1], "Accept", "", seed[2])
	}
	f.Fuzz(func(t *testing.T, method, target, header, value, body string) {
		r, err := http.NewRequest(method, "http://127.0.0.1"+target, strings.NewReader(body))
		if err != nil || r.URL.Host != "127.0.0.1" || strings.HasPrefix(r.URL.Path, "/local/") {
			return // the last is for switches, which are not signed
		}
		r.RequestURI = r.URL.RequestURI()
		r.Header.Set(header, value)
		p.date = time.Time{}
		p.sign(t, r, body)
		w := &recorder{header: http.Header{}}
		s.ServeHTTP(w, r)
		if w.status == 0 || w.status == 401 || w.status >= 500 {
			t.Fatalf("%s %s: status %d", method, target, w.status)
		}
	})
}
