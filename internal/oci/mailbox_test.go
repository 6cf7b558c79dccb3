package oci_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/oci"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// jobs is the bucket that mailboxes are in, and the rights on it that the function needs to make and use them.
const jobs = "jobs"

var jobStatements = []string{
	"Allow dynamic-group cemli-function to manage buckets in compartment id " + localoci.Compartment +
		" where all {target.bucket.name='jobs', request.permission='PAR_MANAGE'}",
	"Allow dynamic-group cemli-function to manage objects in compartment id " + localoci.Compartment +
		" where target.bucket.name='jobs'",
}

// office is a local OCI with the bucket for mailboxes, its clock, and everything that it and the clients have said.
type office struct {
	*localoci.Server
	later atomic.Int64
	log   testkit.Buffer
	jobs  *oci.Bucket // as the function
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{}
	var err error
	o.Server, err = localoci.Open(localoci.Config{
		Dir: t.TempDir(), Buckets: buckets, Statements: jobStatements,
		Log:     slog.New(slog.NewTextHandler(&o.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:     func() time.Time { return time.Now().Add(time.Duration(o.later.Load())) },
		Observe: func(a localoci.Activity) { fmt.Fprintln(&o.log, a.Kind, a.Detail) },
		Invoke:  func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Start(0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	newBucket(t, o.Server, jobs)
	o.jobs = function(t, o.Server, o.Endpoint()).Bucket(jobs)
	return o
}

// grant makes a mailbox that is valid for a minute. At the end nothing that was logged may have its secret.
func (o *office) grant(t *testing.T) oci.MailboxGrant {
	t.Helper()
	g, err := o.jobs.CreateMailbox(t.Context(), time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { untold(t, g, "log", o.log.String()) })
	untold(t, g, "grant", fmt.Sprintf("%v %+v %#v", g, g, g))
	return g
}

// secretOf is what is secret in an address.
func secretOf(g oci.MailboxGrant) string { return strings.Split(g.Address(), "/")[4] }

func untold(t *testing.T, g oci.MailboxGrant, where, text string) {
	t.Helper()
	if strings.Contains(text, secretOf(g)) {
		t.Errorf("the %s tells the mailbox's secret:\n%s", where, text)
	}
}

func open(t *testing.T, address, endpoint string) *oci.Mailbox {
	t.Helper()
	m, err := oci.OpenMailbox(address, quick(endpoint))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// through is the mailbox as somebody sees it who reaches it through a proxy.
func through(
	t *testing.T, o *office, g oci.MailboxGrant, meddle func(w http.ResponseWriter, r *http.Request, next http.Handler),
) *oci.Mailbox {
	t.Helper()
	p := proxy(t, o.Server, meddle)
	return open(t, strings.Replace(g.Address(), o.Endpoint(), p.URL, 1), p.URL)
}

func send(m *oci.Mailbox, name, text string, ifNoneMatch bool) error {
	_, err := m.Put(context.Background(), name, strings.NewReader(text), int64(len(text)), ifNoneMatch)
	return err
}

func fetch(m *oci.Mailbox, name string, offset, length int64) (string, store.Info, error) {
	body, info, err := m.Get(context.Background(), name, offset, length)
	if err != nil {
		return "", info, err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	return string(text), info, err
}

func TestMailbox(t *testing.T) {
	o := newOffice(t)
	g := o.grant(t)
	m := open(t, g.Address(), o.Endpoint())
	untold(t, g, "client", fmt.Sprintf("%v %+v %#v", m, m, *m))
	if doc, err := json.Marshal([]any{m, g}); err != nil || strings.Contains(string(doc), secretOf(g)) {
		t.Errorf("as JSON: %s, %v", doc, err)
	}
	for name, text := range map[string]string{"begun.json": "{}", "logs/1": "0123456789", "empty": ""} {
		if err := send(m, name, text, false); err != nil {
			t.Fatal(err)
		}
		if _, info, err := o.jobs.Get(t.Context(), g.Prefix+name, store.GetOptions{}); err != nil ||
			info.Size != int64(len(text)) {
			t.Errorf("%s in the bucket: %+v, %v", name, info, err)
		}
	}
	for _, c := range []struct {
		name           string
		offset, length int64
		want           string
		size           int64
		err            error
	}{
		{"logs/1", 0, 0, "0123456789", 10, nil},
		{"logs/1", 0, 4, "0123", 10, nil},
		{"logs/1", 4, 3, "456", 10, nil},
		{"logs/1", 8, 100, "89", 10, nil},
		{"logs/1", 3, 0, "3456789", 10, nil},
		{"logs/1", 10, 1, "", 0, store.ErrRange},
		{"empty", 0, 0, "", 0, nil},
		{"empty", 0, 100, "", 0, nil},
		{"none", 0, 0, "", 0, store.ErrNotFound},
		{"../other", 0, 0, "", 0, store.ErrName},
		{"%2e%2e/other", 0, 0, "", 0, store.ErrName},
		{"/begun.json", 0, 0, "", 0, store.ErrName},
		{"logs//1", 0, 0, "", 0, store.ErrName},
		{"logs/..", 0, 0, "", 0, store.ErrName},
		{"a?b", 0, 0, "", 0, store.ErrName},
		{"", 0, 0, "", 0, store.ErrName},
	} {
		got, info, err := fetch(m, c.name, c.offset, c.length)
		if got != c.want || !errors.Is(err, c.err) || info.Size != c.size {
			t.Errorf("%q from %d, %d bytes: %q of %d, %v; want %q of %d, %v", c.name, c.offset, c.length, got,
				info.Size, err, c.want, c.size, c.err)
		}
		if c.err == store.ErrName {
			if err := send(m, c.name, "x", true); !errors.Is(err, store.ErrName) {
				t.Errorf("put %q: %v", c.name, err)
			}
		}
	}
}

// Of two sides that begin at once, one has created what decides, and the other is told.
func TestMailboxDecides(t *testing.T) {
	o := newOffice(t)
	g := o.grant(t)
	const sides = 8
	var won, lost atomic.Int32
	var all sync.WaitGroup
	for i := range sides {
		m := open(t, g.Address(), o.Endpoint())
		all.Go(func() {
			switch err := send(m, "begun.json", fmt.Sprintf(`{"nonce":%d}`, i), true); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, store.ErrExists):
				lost.Add(1)
				untold(t, g, "error", fmt.Sprintf("%v %+v", err, err))
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || lost.Load() != sides-1 {
		t.Errorf("%d won and %d lost", won.Load(), lost.Load())
	}
}

// A writer learns what time it is by the service's clock, also from the answer that tells it that it has won.
func TestMailboxTellsTheTime(t *testing.T) {
	o := newOffice(t)
	g := o.grant(t)
	want := time.Date(2026, 11, 28, 1, 2, 3, 0, time.UTC)
	tries := 0
	m := through(t, o, g, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		tries++
		if tries == 2 { // this answer is lost
			next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Date", want.Format(http.TimeFormat))
		next.ServeHTTP(dated{w, want}, r)
	})
	for _, name := range []string{"progress.json", "begun.json"} {
		at, err := m.Put(t.Context(), name, strings.NewReader("{}"), 2, true)
		if err != nil || !at.Equal(want) {
			t.Errorf("%s: %s, %v; want %s", name, at, err, want)
		}
	}
}

// dated answers at another time.
type dated struct {
	http.ResponseWriter
	at time.Time
}

func (d dated) WriteHeader(status int) {
	d.Header().Set("Date", d.at.Format(http.TimeFormat))
	d.ResponseWriter.WriteHeader(status)
}

// Whatever happens to answers, a side that is told that it has lost has.
func TestMailboxOfAFailingService(t *testing.T) {
	o := newOffice(t)
	g := o.grant(t)
	for _, c := range []struct {
		name   string
		meddle func(tries int32, w http.ResponseWriter, r *http.Request, next http.Handler)
		other  bool // the other side has begun before
		want   error
	}{
		{"the first answer is lost", func(try int32, w http.ResponseWriter, r *http.Request, next http.Handler) {
			if next.ServeHTTP(w, r); try == 1 {
				panic(http.ErrAbortHandler)
			}
		}, false, nil},
		{
			"every answer to what writes is lost",
			func(_ int32, w http.ResponseWriter, r *http.Request, next http.Handler) {
				if next.ServeHTTP(w, r); r.Method == http.MethodPut {
					panic(http.ErrAbortHandler)
				}
			}, false, store.ErrUnavailable,
		},
		{
			"nothing was done, and the other side was faster",
			func(try int32, w http.ResponseWriter, r *http.Request, next http.Handler) {
				if try == 1 {
					answer(w, 503, "ServiceUnavailable")
					return
				}
				next.ServeHTTP(w, r)
			}, true, store.ErrExists,
		},
		{"whose it is cannot be seen", func(try int32, w http.ResponseWriter, r *http.Request, next http.Handler) {
			if try == 1 || r.Method == http.MethodHead {
				answer(w, 503, "ServiceUnavailable")
				return
			}
			next.ServeHTTP(w, r)
		}, true, store.ErrUnavailable},
		{"a false 404", func(try int32, w http.ResponseWriter, r *http.Request, next http.Handler) {
			if try == 1 {
				answer(w, 404, "BucketNotFound")
				return
			}
			next.ServeHTTP(w, r)
		}, false, nil},
	} {
		var tries atomic.Int32
		name := strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(c.name, ",", "")), " ", ".")
		m := through(t, o, g,
			func(w http.ResponseWriter, r *http.Request, next http.Handler) { c.meddle(tries.Add(1), w, r, next) })
		if c.other {
			if err := send(open(t, g.Address(), o.Endpoint()), name, "other", true); err != nil {
				t.Fatal(err)
			}
		}
		if err := send(m, name, "mine", true); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", c.name, err, c.want)
		} else if err != nil {
			untold(t, g, "error", err.Error())
		}
	}
}

// It ends by the clock, with its deletion, with a right that its creator loses; and no error tells its address.
func TestMailboxEnds(t *testing.T) {
	o := newOffice(t)
	for name, end := range map[string]func(g oci.MailboxGrant) (again func()){
		"expired": func(oci.MailboxGrant) func() {
			o.later.Store(int64(time.Minute))
			return func() { o.later.Store(0) }
		},
		"a right lost": func(oci.MailboxGrant) func() {
			if err := o.SetStatements(jobStatements[:1]); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := o.SetStatements(jobStatements); err != nil {
					t.Fatal(err)
				}
			}
		},
		"deleted": func(g oci.MailboxGrant) func() {
			for range 2 { // the second time it is gone
				if err := o.jobs.DeleteMailbox(t.Context(), g.ID); err != nil {
					t.Fatal(err)
				}
			}
			return nil
		},
	} {
		g := o.grant(t)
		m := open(t, g.Address(), o.Endpoint())
		if err := send(m, "progress.json", "1", false); err != nil {
			t.Fatal(err)
		}
		again := end(g)
		_, _, read := fetch(m, "progress.json", 0, 0)
		for _, err := range []error{send(m, "progress.json", "2", false), send(m, "new", "2", true), read} {
			if !errors.Is(err, store.ErrDenied) {
				t.Errorf("%s: %v; want store.ErrDenied", name, err)
			}
			untold(t, g, "error", fmt.Sprintf("%v %+v %#v", err, err, err))
		}
		if again == nil {
			continue
		}
		if again(); send(m, "progress.json", "3", false) != nil {
			t.Errorf("%s: it does not go on", name)
		}
	}
	if err := o.SetStatements(jobStatements[1:]); err != nil {
		t.Fatal(err)
	}
	if _, err := o.jobs.CreateMailbox(t.Context(), time.Now().Add(time.Minute)); !errors.Is(err, store.ErrNoBucket) {
		t.Errorf("made without the right to: %v", err)
	}
	if err := o.jobs.DeleteMailbox(t.Context(), "none"); !errors.Is(err, store.ErrNoBucket) {
		t.Errorf("deleted without the right to: %v", err)
	}
}

// No other name, bucket or way than that of the prefix is reached with what is secret in an address.
func TestMailboxKeepsToItsPrefix(t *testing.T) {
	o := newOffice(t)
	g := o.grant(t)
	if err := put(o.jobs, "another", "x", store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := put(o.jobs, g.Prefix+"mine", "x", store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	bucket, _ := strings.CutSuffix(g.Address(), g.Prefix)
	for _, address := range []string{
		bucket + "another", bucket + g.Prefix + "../another", bucket + g.Prefix + "%2e%2e/another",
		bucket + g.Prefix + "%2e%2e%2fanother",
		bucket, bucket + "?prefix=" + g.Prefix, strings.Replace(bucket, "/b/jobs/", "/b/state/", 1) + g.Prefix + "mine",
		bucket + strings.ToUpper(g.Prefix) + "mine", bucket + "/" + g.Prefix + "mine",
		strings.TrimSuffix(bucket, "o/") + "p", strings.TrimSuffix(bucket, "o/") + "u",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodPost} {
			r, err := http.NewRequestWithContext(t.Context(), method, address, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if resp.Body.Close(); resp.StatusCode != 401 && resp.StatusCode != 404 {
				t.Errorf("%s %s: %d", method, address, resp.StatusCode)
			}
		}
	}
}

func TestAddressesThatAreNoMailboxs(t *testing.T) {
	const secret = "abcdefghijklmnopqrstuvwxyz"
	const path = "/p/" + secret + "/n/ns/b/jobs/o/0123456789abcdef0123456789abcdef/"
	if _, err := oci.OpenMailbox("https://objectstorage.us-phoenix-1.oraclecloud.com"+path, oci.Options{}); err != nil {
		t.Error(err)
	}
	for _, address := range []string{
		"", "x", "http://127.0.0.1" + path, "https://" + path, "https://user" + "@host" + path,
		"https://host" + path + "?x=1", "https://host" + path + "#x",
		"https://host" + strings.TrimSuffix(path, "/"), "https://host" + path + "x", "https://host/x/.." + path,
		"https://host" + strings.Replace(path, "jobs", "%6aobs", 1),
		"https://host/p/" + secret + "/n/ns/b/jobs/o/", "https://host" + strings.ToUpper(path), "ftp://host" + path,
		"https://host:x" + path, "https://host" + path + "\x00",
	} {
		_, err := oci.OpenMailbox(address, oci.Options{Endpoint: "http://127.0.0.1:1"})
		if !errors.Is(err, store.ErrRefused) || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v; want store.ErrRefused without the address", address, err)
		}
	}
}

// Whatever a server or the network does, errors do not tell the address, and no more comes than was asked for.
func TestMailboxOfAHostileServer(t *testing.T) {
	o := newOffice(t)
	g := o.grant(t)
	if err := send(open(t, g.Address(), o.Endpoint()), "x", strings.Repeat("0123456789", 1000), false); err != nil {
		t.Fatal(err)
	}
	hijacked := func(text string) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			fmt.Fprintf(conn, text, r.URL.Path)
			_ = conn.Close()
		}
	}
	for name, meddle := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"the address in a refusal": func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			w.Header().Set("Opc-Request-Id", r.URL.Path)
			answer(w, 400, r.URL.Path)
		},
		"an escaped address in a refusal": func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"code":"x","message":"\u002f%c\u00%x%s"}`, 'p', secretOf(g)[0], secretOf(g)[1:])
		},
		"an endless refusal": func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			w.WriteHeader(400)
			for i := 0; i < 1<<12; i++ {
				fmt.Fprint(w, strings.Repeat(r.URL.Path, 100))
			}
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, "/x"+r.URL.Path, http.StatusTemporaryRedirect)
		},
		"no HTTP":             hijacked("%s\r\n\r\n"),
		"a broken header":     hijacked("HTTP/1.1 200 OK\r\n%s\r\n\r\n"),
		"a broken connection": hijacked("HTTP/1.1 %s"),
		"the whole for a part": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			r.Header.Del("Range")
			next.ServeHTTP(w, r)
		},
		"another part": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			r.Header.Set("Range", "bytes=5-8")
			next.ServeHTTP(w, r)
		},
		"no length": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Range", "bytes 2-5/10")
			w.WriteHeader(206)
			w.(http.Flusher).Flush()
			_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20))
		},
		"packed": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Encoding", "gzip")
			answer(w, 200, "x")
		},
	} {
		m := through(t, o, g, meddle)
		got, _, err := fetch(m, "x", 2, 4)
		if err == nil || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
			continue
		}
		untold(t, g, "error of "+name, fmt.Sprintf("%v %+v", err, err))
		if err := send(m, "y", "y", true); err != nil {
			untold(t, g, "error of "+name, err.Error())
		}
		if len(err.Error()) > 2000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	m := open(t, strings.Replace(g.Address(), o.Endpoint(), gone.URL, 1), gone.URL)
	if err := send(m, "y", "y", true); !errors.Is(err, store.ErrUnavailable) ||
		strings.Contains(err.Error(), secretOf(g)) {
		t.Errorf("nobody there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := m.Get(ctx, "x", 0, 0); !errors.Is(err, context.Canceled) ||
		strings.Contains(err.Error(), secretOf(g)) {
		t.Errorf("cancelled: %v", err)
	}
}

// A download that breaks goes on with the same version, and does not end with another.
func TestMailboxDownloadsGoOn(t *testing.T) {
	o := newOffice(t)
	g := o.grant(t)
	direct := open(t, g.Address(), o.Endpoint())
	text := strings.Repeat("0123456789", 100_000)
	var replace atomic.Bool
	var tries atomic.Int32
	m := through(t, o, g, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method != http.MethodGet || tries.Add(1)%2 == 0 {
			next.ServeHTTP(w, r)
			return
		}
		if replace.Load() {
			defer func() { // the proxy panics when the connection ends
				if err := send(direct, "package.zip", text, false); err != nil {
					t.Error(err)
				}
			}()
		}
		next.ServeHTTP(&short{ResponseWriter: w, left: 300_000}, r)
	})
	if err := send(direct, "package.zip", text, false); err != nil {
		t.Fatal(err)
	}
	if got, info, err := fetch(m, "package.zip", 5, 0); err != nil || got != text[5:] || info.Size != int64(len(text)) {
		t.Errorf("%d bytes of %d, %v", len(got), info.Size, err)
	}
	tries.Store(0)
	replace.Store(true)
	if _, _, err := fetch(m, "package.zip", 0, 0); !errors.Is(err, store.ErrChanged) {
		t.Errorf("replaced in between: %v; want store.ErrChanged", err)
	}
}

// short is an answer of which only the beginning arrives.
type short struct {
	http.ResponseWriter
	left int
}

func (s *short) Write(p []byte) (int, error) {
	n, err := s.ResponseWriter.Write(p[:min(len(p), s.left)])
	if s.left -= n; s.left == 0 && err == nil {
		err = io.ErrShortWrite
	}
	return n, err
}
