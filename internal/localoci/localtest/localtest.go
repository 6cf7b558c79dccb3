// Package localtest is what the tests of local OCI's parts share: a running local OCI, clients of it that sign their
// requests, and OCI's own SDK.
package localtest

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/localoci"
)

// Buckets are the function's buckets in all these tests.
var Buckets = localoci.Buckets{Packages: "packages", Results: "results", State: "state"}

// Function is a function that a local OCI invokes.
type Function = func(context.Context, localoci.Invocation) (localoci.Answer, error)

// Config is the configuration of a local OCI in a folder, whose function is invoke; nil: a function that does
// nothing.
func Config(dir string, invoke Function) localoci.Config {
	if invoke == nil {
		invoke = func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil }
	}
	return localoci.Config{Dir: dir, Buckets: Buckets, Invoke: invoke, Log: slog.New(slog.DiscardHandler)}
}

// OpenAs opens and starts a local OCI.
func OpenAs(t *testing.T, config localoci.Config) *localoci.Server {
	t.Helper()
	s, err := localoci.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	return s
}

// Open opens and starts a local OCI in a folder, whose function is invoke.
func Open(t *testing.T, dir string, invoke Function) *localoci.Server {
	t.Helper()
	return OpenAs(t, Config(dir, invoke))
}

// Start opens and starts a local OCI, and closes it at the end of the test.
func Start(t *testing.T) *localoci.Server {
	t.Helper()
	s := Open(t, t.TempDir(), nil)
	closeAtEnd(t, s)
	return s
}

// Versioned is a local OCI whose buckets keep versions.
func Versioned(t *testing.T, dir string, now func() time.Time) *localoci.Server {
	t.Helper()
	config := Config(dir, nil)
	config.Versioned, config.Now = true, now
	s := OpenAs(t, config)
	closeAtEnd(t, s)
	return s
}

func closeAtEnd(t *testing.T, s *localoci.Server) {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// WithStatements starts a local OCI with another policy.
func WithStatements(t *testing.T, dir string, statements []string) *localoci.Server {
	t.Helper()
	config := Config(dir, nil)
	config.Statements = statements
	return OpenAs(t, config)
}

// StateOf is the state folder of a server.
func StateOf(s *localoci.Server) string {
	return filepath.Dir(filepath.Dir(s.Authority().ConfigFile()))
}

// TokenOf reads the token for the switches.
func TokenOf(t *testing.T, s *localoci.Server) string {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(StateOf(s), "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(token))
}

// Admin calls a switch or view.
func Admin(
	t *testing.T, s *localoci.Server, method, path, body string, change func(*http.Request),
) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.Endpoint()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cemli-Local", TokenOf(t, s))
	if change != nil {
		change(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, doc
}

// SetFaults sets the faults through the admin interface.
func SetFaults(t *testing.T, s *localoci.Server, doc string) int {
	t.Helper()
	status, _ := Admin(t, s, http.MethodPut, "/local/faults", doc, nil)
	return status
}

// Pending counts the events that have not been delivered yet.
func Pending(t *testing.T, s *localoci.Server) int {
	t.Helper()
	n, err := s.PendingEvents()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Blobs are the files of objects in a state folder.
func Blobs(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// Object is the URL of an object.
func Object(s *localoci.Server, bucket, name string) string {
	return s.Endpoint() + "/n/localns/b/" + bucket + "/o/" + url.PathEscape(name)
}

// InvokeURL is where a function is invoked.
func InvokeURL(s *localoci.Server, function string) string {
	return s.Endpoint() + "/20181201/functions/" + function + "/actions/invoke"
}
