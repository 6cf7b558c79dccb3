package oci_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/oci"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
	"cemli-executor/internal/store/storetest"
)

// buckets are the function's, in every local OCI of these tests.
var buckets = localoci.Buckets{Packages: "packages", Results: "results", State: "state"}

// local starts a local OCI.
func local(t *testing.T) *localoci.Server {
	t.Helper()
	s, err := localoci.Open(localoci.Config{
		Dir: t.TempDir(), Buckets: buckets, Log: slog.New(slog.DiscardHandler),
		Invoke: func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// quick are options that make failures fast.
func quick(endpoint string) oci.Options {
	return oci.Options{
		Endpoint: endpoint, Backoff: time.Millisecond, Stall: 300 * time.Millisecond, Answer: time.Second,
	}
}

func person(s *localoci.Server, endpoint string) *oci.Client {
	return oci.ConfigFile(s.Authority().ConfigFile(), "DEFAULT", quick(endpoint))
}

// function makes the function's client, from the environment as on OCI.
func function(t *testing.T, s *localoci.Server, endpoint string) *oci.Client {
	t.Helper()
	session, err := s.Authority().NewSession(time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, value := range map[string][]byte{"rpst": []byte(session.Token), "private.pem": session.PrivateKey} {
		if err := os.WriteFile(filepath.Join(dir, name), value, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2")
	t.Setenv("OCI_RESOURCE_PRINCIPAL_REGION", localoci.Region)
	t.Setenv("OCI_RESOURCE_PRINCIPAL_RPST", filepath.Join(dir, "rpst"))
	t.Setenv("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", filepath.Join(dir, "private.pem"))
	return oci.ResourcePrincipal(quick(endpoint))
}

// newBucket makes a bucket with the SDK itself.
func newBucket(t *testing.T, s *localoci.Server, name string) {
	t.Helper()
	provider, err := common.ConfigurationProviderFromFile(s.Authority().ConfigFile(), "")
	if err != nil {
		t.Fatal(err)
	}
	client, err := objectstorage.NewObjectStorageClientWithConfigurationProvider(provider)
	if err != nil {
		t.Fatal(err)
	}
	client.Host = s.Endpoint()
	_, err = client.CreateBucket(t.Context(), objectstorage.CreateBucketRequest{
		NamespaceName: common.String(localoci.Namespace),
		CreateBucketDetails: objectstorage.CreateBucketDetails{
			Name: &name, CompartmentId: common.String(localoci.Compartment),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBucketOfAPerson(t *testing.T) {
	t.Parallel()
	s := local(t)
	client := person(s, s.Endpoint())
	n := 0
	storetest.Run(t, func(t *testing.T) store.Bucket {
		n++
		name := fmt.Sprintf("suite-%d", n)
		newBucket(t, s, name)
		return client.Bucket(name)
	})
}

// A bucket's only writer is never told of a conflict, whatever the service does.
func TestBucketOfAFailingService(t *testing.T) {
	t.Parallel()
	s := local(t)
	bucket := person(s, s.Endpoint()).Bucket(buckets.State)
	if _, err := bucket.List(t.Context(), store.ListOptions{}); err != nil { // the namespace is known
		t.Fatal(err)
	}
	if err := s.SetFaults(localoci.Faults{LoseAnswer: 0.5, Unavailable: 0.5}); err != nil {
		t.Fatal(err)
	}
	storetest.RunFaulty(t, bucket)
}

// The function may do everything in the state bucket.
func TestBucketOfTheFunction(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Bucket {
		s := local(t)
		return function(t, s, s.Endpoint()).Bucket(buckets.State)
	})
}

func put(b store.Bucket, name, text string, opts store.PutOptions) error {
	_, err := b.Put(context.Background(), name, strings.NewReader(text), int64(len(text)), opts)
	return err
}

// A principal that may only create is not told that a name is taken, but is denied.
func TestCreateOnlyPrincipal(t *testing.T) {
	s := local(t)
	results := function(t, s, s.Endpoint()).Bucket(buckets.Results)
	if err := put(results, "a", "1", store.PutOptions{IfNoneMatch: true}); err != nil {
		t.Fatal(err)
	}
	if err := put(results, "a", "2", store.PutOptions{IfNoneMatch: true}); !errors.Is(err, store.ErrExists) {
		t.Errorf("second create: %v; want store.ErrExists", err)
	}
	if err := put(results, "a", "3", store.PutOptions{}); err == nil {
		t.Error("the function overwrote evidence")
	}
	if err := results.Delete(t.Context(), "a", ""); err == nil {
		t.Error("the function deleted evidence")
	}
	if err := put(function(t, s, s.Endpoint()).Bucket(buckets.Packages), "a.zip", "1", store.PutOptions{}); err == nil {
		t.Error("the function wrote a package")
	}
}

func TestMissingBucket(t *testing.T) {
	t.Parallel()
	s := local(t)
	b := person(s, s.Endpoint()).Bucket("none")
	if _, _, err := b.Get(t.Context(), "a", store.GetOptions{}); !errors.Is(err, store.ErrNoBucket) {
		t.Errorf("get: %v", err)
	}
	if _, err := b.Head(t.Context(), "a"); !errors.Is(err, store.ErrNoBucket) {
		t.Errorf("head: %v", err)
	}
	if err := put(b, "a", "x", store.PutOptions{IfNoneMatch: true}); !errors.Is(err, store.ErrNoBucket) {
		t.Errorf("put: %v", err)
	}
}

// proxy passes requests on to a local OCI; meddle may answer instead, before or after that. The Host header stays,
// because it is signed.
func proxy(
	t *testing.T, s *localoci.Server, meddle func(w http.ResponseWriter, r *http.Request, next http.Handler),
) *httptest.Server {
	t.Helper()
	target, err := url.Parse(s.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.Out.URL.RawPath = r.In.URL.RawPath
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { meddle(w, r, forward) }))
	t.Cleanup(p.Close)
	return p
}

func isObject(r *http.Request, method string) bool {
	return r.Method == method && strings.Contains(r.URL.Path, "/o/")
}

func answer(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"code":%q,"message":"injected"}`, code)
}

func TestPassingFailuresAreRepeated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		code   string
		times  int32
		ok     bool
	}{
		{"503", 503, "ServiceUnavailable", 3, true},
		{"429", 429, "TooManyRequests", 3, true},
		{"500", 500, "InternalServerError", 3, true},
		{"409", 409, "ConcurrentObjectUpdate", 3, true},
		{"503 for ever", 503, "ServiceUnavailable", 1000, false},
		{"false BucketNotFound", 404, "BucketNotFound", 1, true},
		{"true BucketNotFound", 404, "BucketNotFound", 1000, false},
		{"403 is final", 403, "NotAuthorized", 1, false},
		{"400 is final", 400, "InvalidParameter", 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := local(t)
			err := put(person(s, s.Endpoint()).Bucket(buckets.Packages), "a", "text", store.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var calls atomic.Int32
			p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if isObject(r, http.MethodGet) && calls.Add(1) <= c.times {
					answer(w, c.status, c.code)
					return
				}
				next.ServeHTTP(w, r)
			})
			body, _, err := person(s, p.URL).Bucket(buckets.Packages).Get(t.Context(), "a", store.GetOptions{})
			if (err == nil) != c.ok {
				t.Fatalf("error %v after %d calls", err, calls.Load())
			}
			if err == nil {
				_ = body.Close()
			} else if problem.Family(problem.CodeOf(err)) != "store" {
				t.Errorf("error without a store code: %v", err)
			}
			if calls.Load() > 6 {
				t.Errorf("%d calls", calls.Load())
			}
		})
	}
}

// A write whose answer was lost has succeeded, and is refused when it is repeated. It must count as successful, and
// only then.
func TestLostAnswerOfAConditionalWrite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		loses   func(w http.ResponseWriter)
		opts    func(first store.Info) store.PutOptions
		foreign bool // someone else's write comes between
	}{
		{
			"create, 503", func(w http.ResponseWriter) { answer(w, 503, "ServiceUnavailable") },
			func(store.Info) store.PutOptions { return store.PutOptions{IfNoneMatch: true} }, false,
		},
		{
			"create, connection dropped", func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
			func(store.Info) store.PutOptions { return store.PutOptions{IfNoneMatch: true} }, false,
		},
		{
			"swap, 503", func(w http.ResponseWriter) { answer(w, 503, "ServiceUnavailable") },
			func(i store.Info) store.PutOptions { return store.PutOptions{IfMatch: i.ETag} }, false,
		},
		{
			"create, taken by another", func(w http.ResponseWriter) { answer(w, 503, "ServiceUnavailable") },
			func(store.Info) store.PutOptions { return store.PutOptions{IfNoneMatch: true} }, true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := local(t)
			direct := person(s, s.Endpoint()).Bucket(buckets.State)
			var first store.Info
			name := "new"
			if opts := c.opts(store.Info{ETag: "x"}); opts.IfMatch != "" {
				name = "old"
				if err := put(direct, name, "before", store.PutOptions{}); err != nil {
					t.Fatal(err)
				}
				var err error
				if first, err = direct.Head(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			var calls atomic.Int32
			p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if !isObject(r, http.MethodPut) || calls.Add(1) > 1 {
					next.ServeHTTP(w, r)
					return
				}
				if c.foreign {
					if err := put(direct, name, "theirs", store.PutOptions{}); err != nil {
						t.Error(err)
					}
				} else {
					next.ServeHTTP(httptest.NewRecorder(), r)
				}
				c.loses(w)
			})
			err := put(person(s, p.URL).Bucket(buckets.State), name, "ours", c.opts(first))
			if c.foreign {
				if !errors.Is(err, store.ErrExists) {
					t.Errorf("error %v; want store.ErrExists", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("a write that was done counts as failed: %v", err)
			}
			if info, err := direct.Head(t.Context(), name); err != nil || info.Size != 4 {
				t.Errorf("stored %+v, %v", info, err)
			}
		})
	}
}

// If a write's first answer was lost, its repetition was refused, and what is stored cannot be read, the outcome is
// unknown: reporting a conflict would be a guess.
func TestLostAnswerAndNoLook(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]func(store.Info) store.PutOptions{
		"create": func(store.Info) store.PutOptions { return store.PutOptions{IfNoneMatch: true} },
		"swap":   func(i store.Info) store.PutOptions { return store.PutOptions{IfMatch: i.ETag} },
	} {
		t.Run(name, func(t *testing.T) {
			s := local(t)
			direct := person(s, s.Endpoint()).Bucket(buckets.State)
			var first store.Info
			if name == "swap" {
				if err := put(direct, name, "before", store.PutOptions{}); err != nil {
					t.Fatal(err)
				}
				var err error
				if first, err = direct.Head(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			var calls atomic.Int32
			p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				switch {
				case isObject(r, http.MethodPut) && calls.Add(1) == 1:
					next.ServeHTTP(httptest.NewRecorder(), r)
					answer(w, 503, "ServiceUnavailable")
				case isObject(r, http.MethodHead):
					answer(w, 503, "ServiceUnavailable")
				default:
					next.ServeHTTP(w, r)
				}
			})
			err := put(person(s, p.URL).Bucket(buckets.State), name, "ours", opts(first))
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("error %v; want store.ErrUnavailable", err)
			}
		})
	}
}

// A request that the service would refuse again is no outage.
func TestRefusalsAreNoOutage(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]error{
		400: store.ErrRefused, 405: store.ErrRefused, 413: store.ErrRefused, 501: store.ErrRefused,
		408: store.ErrUnavailable, 429: store.ErrUnavailable, 500: store.ErrUnavailable, 502: store.ErrUnavailable,
		503: store.ErrUnavailable,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s := local(t)
			p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if strings.Contains(r.URL.Path, "/b/") {
					answer(w, status, "Injected")
					return
				}
				next.ServeHTTP(w, r)
			})
			bucket := person(s, p.URL).Bucket(buckets.State)
			_, _, get := bucket.Get(t.Context(), "a", store.GetOptions{})
			_, head := bucket.Head(t.Context(), "a")
			_, list := bucket.List(t.Context(), store.ListOptions{})
			for call, err := range map[string]error{
				"get": get, "head": head, "list": list, "delete": bucket.Delete(t.Context(), "a", ""),
				"put":    put(bucket, "a", "1", store.PutOptions{}),
				"create": put(bucket, "a", "1", store.PutOptions{IfNoneMatch: true}),
			} {
				if !errors.Is(err, kind) {
					t.Errorf("%s: %v; want %v", call, err, kind)
				}
			}
		})
	}
}

// breaking serves an object's bytes until some of them have passed, then breaks.
type breaking struct {
	http.ResponseWriter
	left   int
	stall  chan struct{} // nil: drop the connection
	before func()        // if not nil, called before it breaks
}

func (b *breaking) Write(p []byte) (int, error) {
	if len(p) <= b.left {
		b.left -= len(p)
		return b.ResponseWriter.Write(p)
	}
	_, _ = b.ResponseWriter.Write(p[:b.left])
	b.ResponseWriter.(http.Flusher).Flush()
	if b.before != nil {
		b.before()
	}
	if b.stall != nil {
		<-b.stall
	}
	panic(http.ErrAbortHandler)
}

func TestBrokenDownloadsGoOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		stalls  bool
		change  bool // the object is overwritten meanwhile
		breaks  int32
		wantErr error
	}{
		{"dropped twice", false, false, 2, nil},
		{"stalled once", true, false, 1, nil},
		{"dropped, then changed", false, true, 1, store.ErrChanged},
		{"dropped for ever", false, false, 1000, store.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := local(t)
			direct := person(s, s.Endpoint()).Bucket(buckets.Packages)
			text := strings.Repeat("0123456789", 100_000)
			if err := put(direct, "a", text, store.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			stall := make(chan struct{})
			var calls atomic.Int32
			p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if !isObject(r, http.MethodGet) || calls.Add(1) > c.breaks {
					next.ServeHTTP(w, r)
					return
				}
				b := &breaking{ResponseWriter: w, left: 300_000}
				if c.change {
					b.before = func() {
						if err := put(direct, "a", "other", store.PutOptions{}); err != nil {
							t.Error(err)
						}
					}
				}
				if c.breaks == 1000 {
					b.left = 0
				}
				if c.stalls {
					b.stall = stall
				}
				next.ServeHTTP(b, r)
			})
			t.Cleanup(func() { close(stall) }) // before the proxy waits for its connections
			body, info, err := person(s, p.URL).Bucket(buckets.Packages).Get(t.Context(), "a", store.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			got, err := io.ReadAll(body)
			if !errors.Is(err, c.wantErr) {
				t.Fatalf("error %v; want %v", err, c.wantErr)
			}
			if err == nil && (string(got) != text || info.Size != int64(len(text))) {
				t.Errorf("read %d bytes of %d, or others", len(got), len(text))
			}
		})
	}
}

// A request without an answer uses only a part of the caller's time, so that the next one is answered.
func TestARequestThatHangs(t *testing.T) {
	t.Parallel()
	s := local(t)
	hang := make(chan struct{})
	var calls atomic.Int32
	p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if isObject(r, http.MethodPut) && calls.Add(1) == 1 {
			<-hang
			return
		}
		next.ServeHTTP(w, r)
	})
	t.Cleanup(func() { close(hang) })
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	_, err := person(s, p.URL).Bucket(buckets.State).Put(ctx, "a", strings.NewReader("1"), 1,
		store.PutOptions{IfNoneMatch: true})
	if err != nil {
		t.Error(err)
	}
}

func TestAStoreThatHangs(t *testing.T) {
	t.Parallel()
	s := local(t)
	hang := make(chan struct{})
	p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if isObject(r, http.MethodGet) {
			<-hang
			return
		}
		next.ServeHTTP(w, r)
	})
	t.Cleanup(func() { close(hang) })
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, _, err := person(s, p.URL).Bucket(buckets.Packages).Get(ctx, "a", store.GetOptions{})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error %v; want store.ErrUnavailable", err)
	}
}

// A rotation may be seen half done: the new token with the old key.
func TestCredentialsAreReadAnewOnce(t *testing.T) {
	s := local(t)
	client := function(t, s, s.Endpoint())
	key := os.Getenv("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM")
	right, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Authority().NewSession(time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, other.PrivateKey, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Bucket(buckets.State).Head(t.Context(), "a"); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a wrong key was accepted: %v", err)
	}
	if err := os.WriteFile(key, right, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Bucket(buckets.State).Head(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after the rotation: %v; want store.ErrNotFound", err)
	}
	if got := client.Claim("res_tenant"); got != localoci.Tenancy {
		t.Errorf("claim res_tenant is %q", got)
	}
}

func TestBadCredentialsAreAnError(t *testing.T) {
	dir := t.TempDir()
	for name, token := range map[string]string{
		"not a token": "x", "no expiry": "e30.e30.e30", "missing file": filepath.Join(dir, "none"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2")
			t.Setenv("OCI_RESOURCE_PRINCIPAL_REGION", localoci.Region)
			t.Setenv("OCI_RESOURCE_PRINCIPAL_RPST", token)
			t.Setenv("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", "x")
			_, err := oci.ResourcePrincipal(quick("http://127.0.0.1:1")).Bucket("b").Head(t.Context(), "a")
			if problem.CodeOf(err) != "config.credentials" {
				t.Errorf("error %v; want config.credentials", err)
			}
		})
	}
	_, err := oci.ConfigFile(filepath.Join(dir, "none"), "DEFAULT",
		quick("http://127.0.0.1:1")).Bucket("b").Head(t.Context(), "a")
	if problem.CodeOf(err) != "config.credentials" || !strings.Contains(err.Error(), "none") {
		t.Errorf("error %v; want config.credentials that names the file", err)
	}
}

// The error tells whether another invocation may be possible later, or never.
func TestInvocationsThatAreRefused(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		403: "config.invoke", 404: "config.invoke", 429: "request.handover", 503: "request.handover",
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s := local(t)
			p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if strings.Contains(r.URL.Path, "/functions/") {
					answer(w, status, "Injected")
					return
				}
				next.ServeHTTP(w, r)
			})
			err := person(s, p.URL).InvokeDetached(t.Context(), localoci.FunctionID, []byte("{}"))
			if problem.CodeOf(err) != want {
				t.Errorf("%v; want %s", err, want)
			}
		})
	}
}
