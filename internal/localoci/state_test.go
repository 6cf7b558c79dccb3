package localoci_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/problem"
)

// TestMain also is the server that TestCrash kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LOCALOCI_TEST_DIR"); dir != "" {
		serveUntilKilled(dir)
		return
	}
	os.Exit(m.Run())
}

func serveUntilKilled(dir string) {
	s, err := localoci.Open(localoci.Config{
		Dir: dir, Buckets: buckets, Log: slog.New(slog.DiscardHandler),
		Invoke: func(context.Context, localoci.Invocation) (localoci.Answer, error) {
			return localoci.Answer{}, errors.New("not now")
		},
	})
	if err != nil {
		panic(err)
	}
	if err := s.Start(0); err != nil {
		panic(err)
	}
	fmt.Println(s.Endpoint())
	select {}
}

func object(s *localoci.Server, bucket, name string) string {
	return s.Endpoint() + "/n/localns/b/" + bucket + "/o/" + url.PathEscape(name)
}

// hostile are names that a careless server takes for something else.
var hostile = []string{
	"../../etc/passwd", "..", ".", "a//b", "/leading", "trailing/", "%2e%2e%2f", "%2F", "a\\b", "C:\\x", "ü/日本", "a b+c", "q?x=1#y",
	strings.Repeat("x", 1024), "o/b/n", "index.db",
}

func TestNamesAreStoredAsGiven(t *testing.T) {
	s := start(t)
	p := personOf(t, s)
	for _, name := range hostile {
		if resp, doc := p.send(t, "PUT", object(s, "packages", name), name, nil); resp.StatusCode != 200 {
			t.Errorf("put %.30q: status %d %v", name, resp.StatusCode, doc)
		}
	}
	resp, doc := p.send(t, "GET", s.Endpoint()+"/n/localns/b/packages/o?fields=name,size", "", nil)
	if resp.StatusCode != 200 {
		t.Fatalf("list: status %d %v", resp.StatusCode, doc)
	}
	sizes := map[string]int{}
	for _, o := range doc["objects"].([]any) {
		o := o.(map[string]any)
		sizes[o["name"].(string)] = int(o["size"].(float64))
	}
	for _, name := range hostile {
		if sizes[name] != len(name) {
			t.Errorf("%.30q has size %d; want %d", name, sizes[name], len(name))
		}
	}
	for _, name := range []string{strings.Repeat("x", 1025), "nul\x00", "\xff"} {
		if resp, doc := p.send(t, "PUT", object(s, "packages", name), "x", nil); resp.StatusCode != 400 || doc["code"] != "InvalidObjectName" {
			t.Errorf("put %.30q: status %d %v; want 400 InvalidObjectName", name, resp.StatusCode, doc)
		}
	}
}

func TestListing(t *testing.T) {
	s := start(t)
	p := personOf(t, s)
	for _, name := range []string{"a/1", "a/2", "b", "c/d/3", "e"} {
		p.send(t, "PUT", object(s, "state", name), "x", nil)
	}
	for query, want := range map[string]string{
		"":                      `["a/1","a/2","b","c/d/3","e"] [] `,
		"delimiter=/":           `["b","e"] ["a/","c/"] `,
		"delimiter=/&prefix=c/": `[] ["c/d/"] `,
		"prefix=a/":             `["a/1","a/2"] [] `,
		"limit=2":               `["a/1","a/2"] [] b`,
		"limit=2&delimiter=/":   `["b"] ["a/"] c/d/3`,
		"start=b&limit=1":       `["b"] [] c/d/3`,
		"start=a/2&end=c":       `["a/2","b"] [] `,
		"startAfter=b":          `["c/d/3","e"] [] `,
		"prefix=nothing":        `[] [] `,
	} {
		resp, doc := p.send(t, "GET", s.Endpoint()+"/n/localns/b/state/o?"+query, "", nil)
		names := []string{}
		for _, o := range doc["objects"].([]any) {
			names = append(names, o.(map[string]any)["name"].(string))
		}
		prefixes, _ := doc["prefixes"].([]any)
		if prefixes == nil {
			prefixes = []any{}
		}
		next, _ := doc["nextStartWith"].(string)
		n, _ := json.Marshal(names)
		f, _ := json.Marshal(prefixes)
		if got := fmt.Sprintf("%s %s %s", n, f, next); resp.StatusCode != 200 || got != want {
			t.Errorf("%s: status %d, %s; want %s", query, resp.StatusCode, got, want)
		}
	}
	for _, query := range []string{"limit=0", "limit=1001", "limit=x", "delimiter=,"} {
		if resp, _ := p.send(t, "GET", s.Endpoint()+"/n/localns/b/state/o?"+query, "", nil); resp.StatusCode != 400 {
			t.Errorf("%s: status %d; want 400", query, resp.StatusCode)
		}
	}
}

func TestBuckets(t *testing.T) {
	s := start(t)
	p := personOf(t, s)
	base := s.Endpoint() + "/n/localns/b"
	for _, c := range []struct {
		method, url, body string
		status            int
		code              string
	}{
		{"POST", base, `{"name":"new","compartmentId":"c"}`, 200, ""},
		{"POST", base, `{"name":"new","compartmentId":"c"}`, 409, "BucketAlreadyExists"},
		{"POST", base, `{"name":"bad name","compartmentId":"c"}`, 400, "InvalidBucketName"},
		{"POST", base, `{`, 400, "InvalidJson"},
		{"GET", base + "/new", "", 200, ""},
		{"GET", base + "/none", "", 404, "BucketNotFound"},
		{"GET", s.Endpoint() + "/n/other/b/new", "", 404, "NamespaceNotFound"},
		{"POST", base + "/new", `{"objectEventsEnabled":true}`, 200, ""},
		{"PUT", base + "/new/o/x", "x", 200, ""},
		{"DELETE", base + "/new", "", 409, "BucketNotEmpty"},
		{"DELETE", base + "/new/o/x", "", 204, ""},
		{"DELETE", base + "/new/o/x", "", 404, "ObjectNotFound"},
		{"DELETE", base + "/new", "", 204, ""},
		{"PATCH", base + "/packages", "{}", 404, "NotAuthorizedOrNotFound"},
		{"GET", s.Endpoint() + "/other", "", 404, "NotAuthorizedOrNotFound"},
	} {
		resp, doc := p.send(t, c.method, c.url, c.body, nil)
		if code, _ := doc["code"].(string); resp.StatusCode != c.status || code != c.code {
			t.Errorf("%s %s: status %d %v; want %d %s", c.method, c.url, resp.StatusCode, doc, c.status, c.code)
		}
	}
}

// A client that is to invoke the function asks first where that is done.
func TestTheFunctionIsDescribed(t *testing.T) {
	s := start(t)
	url := s.Endpoint() + "/20181201/functions/" + localoci.FunctionID
	if resp, doc := personOf(t, s).send(t, "GET", url, "", nil); resp.StatusCode != 200 || doc["invokeEndpoint"] != s.Endpoint() || doc["id"] != localoci.FunctionID {
		t.Errorf("status %d %v", resp.StatusCode, doc)
	}
	if resp, doc := personOf(t, s).send(t, "GET", url+"x", "", nil); resp.StatusCode != 404 {
		t.Errorf("another function: status %d %v", resp.StatusCode, doc)
	}
}

// The function's principal sees nothing but its buckets, and there only what it needs.
func TestTheFunctionMayDoLittle(t *testing.T) {
	s := start(t)
	p, f := personOf(t, s), functionOf(t, s, time.Now().Add(time.Hour))
	for _, bucket := range []string{"packages", "results", "state"} {
		p.send(t, "PUT", object(s, bucket, "there"), "x", nil)
	}
	for _, c := range []struct {
		method, url string
		want        bool
	}{
		{"GET", object(s, "packages", "there"), true},
		{"PUT", object(s, "packages", "new"), false},
		{"DELETE", object(s, "packages", "there"), false},
		{"GET", object(s, "results", "there"), true},
		{"PUT", object(s, "results", "new"), true},
		{"PUT", object(s, "results", "there"), false},
		{"DELETE", object(s, "results", "there"), false},
		{"GET", object(s, "state", "there"), true},
		{"PUT", object(s, "state", "new"), true},
		{"PUT", object(s, "state", "there"), true},
		{"DELETE", object(s, "state", "there"), true},
		{"GET", s.Endpoint() + "/n/localns/b", false},
		{"POST", s.Endpoint() + "/n/localns/b", false},
	} {
		resp, doc := f.send(t, c.method, c.url, "x", nil)
		if got := resp.StatusCode < 300; got != c.want {
			t.Errorf("%s %s: status %d %v; allowed should be %v", c.method, c.url, resp.StatusCode, doc, c.want)
		}
	}
}

// events collects what is delivered; the first deliveries of each are refused.
type events struct {
	mu      sync.Mutex
	refuse  int
	tries   map[string]int
	arrived chan map[string]any
}

func (e *events) invoke(_ context.Context, call localoci.Invocation) (localoci.Answer, error) {
	var doc map[string]any
	if err := json.Unmarshal(call.Body, &doc); err != nil {
		return localoci.Answer{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	id := doc["eventID"].(string)
	if e.tries[id]++; e.tries[id] <= e.refuse {
		return localoci.Answer{}, errors.New("not now")
	}
	e.arrived <- doc
	return localoci.Answer{}, nil
}

func (e *events) next(t *testing.T) map[string]any {
	t.Helper()
	select {
	case doc := <-e.arrived:
		return doc
	case <-time.After(20 * time.Second):
		t.Fatal("no event came")
		return nil
	}
}

func TestEventsAreDeliveredUntilTheyArrive(t *testing.T) {
	e := &events{refuse: 2, tries: map[string]int{}, arrived: make(chan map[string]any, 10)}
	s := open(t, t.TempDir(), e.invoke)
	defer s.Close()
	p := personOf(t, s)
	put, _ := p.send(t, "PUT", object(s, "packages", "in/a b.zip"), "1", nil)
	doc := e.next(t)
	details := doc["data"].(map[string]any)["additionalDetails"].(map[string]any)
	got := []any{doc["eventType"], doc["cloudEventsVersion"], doc["source"], doc["data"].(map[string]any)["resourceName"], details["bucketName"], details["eTag"], details["namespace"]}
	want := []any{"com.oraclecloud.objectstorage.createobject", "0.1", "ObjectStorage", "in/a b.zip", "packages", put.Header.Get("Etag"), "localns"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("event (-want +got):\n" + diff)
	}
	p.send(t, "PUT", object(s, "packages", "in/a b.zip"), "2", nil)
	if doc := e.next(t); doc["eventType"] != "com.oraclecloud.objectstorage.updateobject" {
		t.Errorf("after an overwrite: %v", doc["eventType"])
	}
	p.send(t, "DELETE", object(s, "packages", "in/a b.zip"), "", nil) // which the rule is not for
	p.send(t, "PUT", object(s, "state", "quiet"), "x", nil)
	p.send(t, "PUT", object(s, "packages", "last"), "x", nil)
	if doc := e.next(t); doc["data"].(map[string]any)["resourceName"] != "last" {
		t.Errorf("a bucket without events sent one: %v", doc)
	}
}

// What was acknowledged before SIGKILL is there afterwards, and so is its event.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOCALOCI_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	endpoint, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	endpoint = strings.TrimSpace(endpoint)
	acknowledged := putUntilKilled(t, dir, endpoint, cmd)

	e := &events{tries: map[string]int{}, arrived: make(chan map[string]any, 10_000)}
	s := open(t, dir, e.invoke)
	defer s.Close()
	p := personOf(t, s)
	for _, name := range acknowledged {
		resp, _ := p.send(t, "GET", object(s, "packages", name), "", nil)
		if resp.StatusCode != 200 || resp.ContentLength != int64(len(name)) {
			t.Errorf("%s: status %d, %d bytes", name, resp.StatusCode, resp.ContentLength)
		}
	}
	heard := map[string]bool{}
	for len(heard) < len(acknowledged) {
		heard[e.next(t)["data"].(map[string]any)["resourceName"].(string)] = true
		for name := range heard {
			if !strings.HasPrefix(name, "crash-") {
				t.Fatalf("an event about %s", name)
			}
		}
	}
}

// putUntilKilled writes objects until the server, which is killed meanwhile, is gone.
func putUntilKilled(t *testing.T, dir, endpoint string, cmd *exec.Cmd) (acknowledged []string) {
	t.Helper()
	p := personAt(t, dir)
	for n := 0; ; n++ {
		if n == 50 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Wait() //nolint:errcheck // killed
		}
		name := fmt.Sprintf("crash-%d", n)
		r, err := http.NewRequestWithContext(t.Context(), "PUT", endpoint+"/n/localns/b/packages/o/"+name, strings.NewReader(name))
		if err != nil {
			t.Fatal(err)
		}
		p.date = time.Time{}
		p.sign(t, r, name)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return acknowledged
		}
		_ = resp.Body.Close()
		if resp.StatusCode == 200 {
			acknowledged = append(acknowledged, name)
		}
	}
}

func TestAFolderHasOneServer(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	defer s.Close()
	_, err := localoci.Open(localoci.Config{Dir: dir, Buckets: buckets, Log: slog.New(slog.DiscardHandler)})
	var e *problem.Error
	if !errors.As(err, &e) || e.Code() != "config.local_dir" || e.Problems[0].Hint == "" {
		t.Errorf("error %v; want config.local_dir with a hint", err)
	}
}

func TestDamagedFolders(t *testing.T) {
	for file, text := range map[string]string{"index.db": "damaged", "oci/user.pem": "damaged"} {
		dir := t.TempDir()
		s := open(t, dir, nil)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := localoci.Open(localoci.Config{Dir: dir, Buckets: buckets, Log: slog.New(slog.DiscardHandler)}); problem.CodeOf(err) != "config.local_dir" {
			t.Errorf("%s: error %v; want config.local_dir", file, err)
			if err == nil {
				_ = s.Close()
			}
		}
	}
}
