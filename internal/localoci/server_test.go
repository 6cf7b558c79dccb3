package localoci_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
	"cemli-executor/internal/problem"
)

// A request in progress gets its answer when the server is closed.
func TestCloseLetsRequestsEnd(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}), make(chan struct{})
	s := localtest.Open(t, t.TempDir(), func(context.Context, localoci.Invocation) (localoci.Answer, error) {
		close(begun)
		<-goOn
		return localoci.Answer{Body: []byte("{}")}, nil
	})
	p := localtest.PersonOf(t, s)
	status := make(chan int)
	go func() {
		defer close(status) // also when sending fails
		resp, _ := p.Send(t, "POST", localtest.InvokeURL(s, localoci.FunctionID), "{}", nil)
		status <- resp.StatusCode
	}()
	<-begun
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	close(goOn)
	if got := <-status; got != 200 {
		t.Errorf("status %d; want 200", got)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// Observe is called for what happens, in order.
func TestObserve(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	done := make(chan struct{})
	s, err := localoci.Open(localoci.Config{
		Dir: t.TempDir(), Buckets: localtest.Buckets, Log: slog.New(slog.DiscardHandler),
		Invoke: func(context.Context, localoci.Invocation) (localoci.Answer, error) {
			return localoci.Answer{CallID: "call-1"}, nil
		},
		Observe: func(a localoci.Activity) {
			mu.Lock()
			defer mu.Unlock()
			if a.Kind == "upload" {
				return // the event may come before the upload has been answered
			}
			if seen = append(seen, a.Kind+" "+a.Detail); a.Kind == "invocation" {
				close(done)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	localtest.PersonOf(t, s).Send(t, "PUT", localtest.Object(s, "packages", "in/a.zip"), "x", nil)
	<-done
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]string{"event createobject packages/in/a.zip", "invocation call-1"}, seen); diff != "" {
		t.Error("activities (-want +got):\n" + diff)
	}
}

// FuzzSigned sends what a person with a valid key may send: the server never answers with an internal error.
func FuzzSigned(f *testing.F) {
	s, err := localoci.Open(localoci.Config{
		Dir: f.TempDir(), Buckets: localtest.Buckets, Log: slog.New(slog.DiscardHandler),
		Invoke: func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	p := localtest.PersonAt(f, strings.TrimSuffix(s.Authority().ConfigFile(), "/oci/config"))
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
		{
			"POST", "/n/localns/b/packages/actions/copyObject",
			`{"sourceObjectName":"x","destinationBucket":"packages","destinationNamespace":"localns",
				"destinationRegion":"us-phoenix-1","destinationObjectName":"y"}`,
		},
		{"POST", "/n/localns/b/packages/actions/renameObject", `{"sourceName":"x","newName":"y"}`},
		{"POST", "/n/localns/b/packages/actions/batchDeleteObjects", `{"objects":[{"objectName":"x"}]}`},
		{
			"POST", "/n/localns/b/results/retentionRules",
			`{"displayName":"r","duration":{"timeAmount":1,"timeUnit":"DAYS"}}`,
		},
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
		p.Date = time.Time{}
		p.Sign(t, r, body)
		w := localtest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Status == 0 || w.Status == 401 || w.Status >= 500 {
			t.Fatalf("%s %s: status %d", method, target, w.Status)
		}
	})
}

// TestMain is also the server that TestCrash kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LOCALOCI_TEST_DIR"); dir != "" {
		serveUntilKilled(dir)
		return
	}
	os.Exit(m.Run())
}

func serveUntilKilled(dir string) {
	s, err := localoci.Open(localoci.Config{
		Dir: dir, Buckets: localtest.Buckets, Log: slog.New(slog.DiscardHandler),
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

// Acknowledged writes, and their events, survive SIGKILL.
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

	e := &localtest.Events{Tries: map[string]int{}, Arrived: make(chan map[string]any, 10_000)}
	s := localtest.Open(t, dir, e.Invoke)
	defer s.Close()
	p := localtest.PersonOf(t, s)
	for _, name := range acknowledged {
		resp, _ := p.Send(t, "GET", localtest.Object(s, "packages", name), "", nil)
		if resp.StatusCode != 200 || resp.ContentLength != int64(len(name)) {
			t.Errorf("%s: status %d, %d bytes", name, resp.StatusCode, resp.ContentLength)
		}
	}
	heard := map[string]bool{}
	for len(heard) < len(acknowledged) {
		heard[e.Next(t)["data"].(map[string]any)["resourceName"].(string)] = true
		for name := range heard {
			if !strings.HasPrefix(name, "crash-") {
				t.Fatalf("an event about %s", name)
			}
		}
	}
}

// putUntilKilled writes objects until the server has been killed.
func putUntilKilled(t *testing.T, dir, endpoint string, cmd *exec.Cmd) (acknowledged []string) {
	t.Helper()
	p := localtest.PersonAt(t, dir)
	for n := 0; ; n++ {
		if n == 50 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Wait() //nolint:errcheck // killed
		}
		name := fmt.Sprintf("crash-%d", n)
		r, err := http.NewRequestWithContext(t.Context(), "PUT", endpoint+"/n/localns/b/packages/o/"+name,
			strings.NewReader(name))
		if err != nil {
			t.Fatal(err)
		}
		p.Date = time.Time{}
		p.Sign(t, r, name)
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
	t.Parallel()
	dir := t.TempDir()
	s := localtest.Open(t, dir, nil)
	defer s.Close()
	_, err := localoci.Open(localoci.Config{Dir: dir, Buckets: localtest.Buckets, Log: slog.New(slog.DiscardHandler)})
	var e *problem.Error
	if !errors.As(err, &e) || e.Code() != "config.local_dir" || e.Problems[0].Hint == "" {
		t.Errorf("error %v; want config.local_dir with a hint", err)
	}
}

func TestDamagedFolders(t *testing.T) {
	t.Parallel()
	for file, text := range map[string]string{"index.db": "damaged", "oci/user.pem": "damaged"} {
		dir := t.TempDir()
		s := localtest.Open(t, dir, nil)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := localoci.Open(
			localoci.Config{
				Dir: dir, Buckets: localtest.Buckets, Log: slog.New(slog.DiscardHandler),
			}); problem.CodeOf(err) != "config.local_dir" {
			t.Errorf("%s: error %v; want config.local_dir", file, err)
			if err == nil {
				_ = s.Close()
			}
		}
	}
}
