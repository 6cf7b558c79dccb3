package localoci_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/common/auth"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/problem"
)

// stateOf is the state folder of a server.
func stateOf(s *localoci.Server) string {
	return filepath.Dir(filepath.Dir(s.Authority().ConfigFile()))
}

// tokenOf is what people read to use the switches.
func tokenOf(t *testing.T, s *localoci.Server) string {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(stateOf(s), "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(token))
}

// admin calls a switch or view.
func admin(t *testing.T, s *localoci.Server, method, path, body string, change func(*http.Request)) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.Endpoint()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cemli-Local", tokenOf(t, s))
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

func TestTheSwitchesWantTheirToken(t *testing.T) {
	s := start(t)
	token := tokenOf(t, s)
	for name, value := range map[string]string{
		"none": "", "what was enough": "1", "another": strings.Repeat("A", len(token)), "a part": token[:len(token)-1], "more": token + "x",
	} {
		for _, path := range []string{"/local/faults", "/local/messages", "/local/credentials", "/local/none"} {
			status, doc := admin(t, s, "GET", path, "", func(r *http.Request) {
				r.Header.Del("Cemli-Local")
				if value != "" {
					r.Header.Set("Cemli-Local", value)
				}
			})
			if hint, _ := doc["hint"].(string); status != 401 || doc["code"] != "NotAuthenticated" || !strings.Contains(hint, "admin-token") || strings.Contains(hint, token) {
				t.Errorf("token %q, %s: %d %v; want 401 and where the token is", name, path, status, doc)
			}
		}
	}
	status, _ := admin(t, s, "PUT", "/local/faults", `{"throttle":1}`, func(r *http.Request) { r.Header.Set("Cemli-Local", "1") })
	if _, doc := admin(t, s, "GET", "/local/faults", "", nil); status != 401 || len(doc) != 0 {
		t.Errorf("status %d; without the token the faults became %v", status, doc)
	}
	if status, doc := admin(t, s, "GET", "/local/none", "", nil); status != 404 {
		t.Errorf("with the token: %d %v; want 404", status, doc)
	}
}

// A page in a browser whose name is made to mean this machine sends its own name as Host.
func TestTheSwitchesWantTheirHost(t *testing.T) {
	s := start(t)
	port := s.Endpoint()[strings.LastIndex(s.Endpoint(), ":"):]
	for host, want := range map[string]int{
		"127.0.0.1" + port: 200, "localhost" + port: 200, "LocalHost": 200, "[::1]" + port: 200, "127.0.0.1": 200, "localhost:1": 200,
		"evil.example" + port: 403, "127.0.0.1.evil.example": 403, "localhost.evil.example" + port: 403, "10.0.0.1" + port: 403,
		"0.0.0.0" + port: 403, "xn--localhost" + port: 403, "169.254.169.254": 403,
	} {
		status, doc := admin(t, s, "GET", "/local/faults", "", func(r *http.Request) { r.Host = host })
		if status != want || want == 403 && (doc["code"] != "NotAllowed" || doc["hint"] == nil) {
			t.Errorf("Host %s: %d %v; want %d", host, status, doc, want)
		}
	}
}

// The token is of one start, for the owner of the folder alone, and ends with the server.
func TestTheTokenIsOfOneStart(t *testing.T) {
	dir := t.TempDir()
	seen := map[string]bool{}
	for range 2 {
		if err := os.WriteFile(filepath.Join(dir, "admin-token"), []byte("old"), 0o644); err != nil { // of one that was killed
			t.Fatal(err)
		}
		s := open(t, dir, nil)
		token := tokenOf(t, s)
		info, err := os.Stat(filepath.Join(dir, "admin-token"))
		if err != nil || info.Mode() != 0o600 || len(token) < 26 || seen[token] {
			t.Errorf("token of %d characters, mode %v, %v; seen %v", len(token), info.Mode(), err, seen[token])
		}
		seen[token] = true
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "admin-token")); err == nil {
			t.Error("the token is left when the server has ended")
		}
	}
}

// A function that another host runs gets what the local one has: the same permissions, for a time.
func TestCredentialsForAnotherHost(t *testing.T) {
	s := start(t)
	env, err := localoci.FetchCredentials(t.Context(), stateOf(s), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if env["CEMLI_ENDPOINT"] != s.Endpoint() || env["CEMLI_PACKAGES_BUCKET"] != "packages" || env["OCI_RESOURCE_PRINCIPAL_VERSION"] != "2.2" {
		t.Errorf("environment %v", env)
	}
	// The fn CLI takes a value that begins with a hyphen for an option.
	for name, value := range env {
		if value == "" || strings.HasPrefix(value, "-") {
			t.Errorf("%s is %.20q", name, value)
		}
		t.Setenv(name, value)
	}
	provider, err := auth.ResourcePrincipalConfigurationProvider()
	if err != nil {
		t.Fatal(err)
	}
	c := clientOf(t, s, provider)
	list := func(bucket string) error {
		_, err := c.ListObjects(t.Context(), objectstorage.ListObjectsRequest{NamespaceName: ns, BucketName: &bucket})
		return err
	}
	if err := list("packages"); err != nil {
		t.Errorf("the credentials do not work: %v", err)
	}
	if _, err := c.DeleteBucket(t.Context(), objectstorage.DeleteBucketRequest{NamespaceName: ns, BucketName: common.String("packages")}); refusal(err) != "BucketNotFound" {
		t.Errorf("they may do more than the function: %v", err)
	}
	if _, err := localoci.FetchCredentials(t.Context(), t.TempDir(), time.Hour); problem.CodeOf(err) != "config.local_down" {
		t.Errorf("a folder of no local OCI: %v", err)
	}
	if _, err := localoci.FetchCredentials(t.Context(), stateOf(s), 0); problem.CodeOf(err) != "usage" {
		t.Errorf("credentials for no time: %v", err)
	}
	if status, doc := admin(t, s, "POST", "/local/credentials", `{"valid":"1000h"}`, nil); status != 400 {
		t.Errorf("credentials for ever: %d %v", status, doc)
	}
}

// A local OCI that was killed leaves its files; nobody answers there, or somebody else does.
func TestCredentialsOfADeadLocalOCI(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil })
	token, endpoint := tokenOf(t, s), s.Endpoint()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other := start(t)
	for name, at := range map[string]string{"nobody": endpoint, "another": other.Endpoint(), "elsewhere": "http://192.0.2.1:80"} {
		for file, text := range map[string]string{"admin-token": token, "endpoint": at} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := localoci.FetchCredentials(t.Context(), dir, time.Hour); problem.CodeOf(err) != "config.local_down" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
