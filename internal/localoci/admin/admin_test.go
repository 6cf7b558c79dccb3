package admin_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cemli-executor/internal/localoci/localtest"
)

func TestTheSwitchesWantTheirToken(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	token := localtest.TokenOf(t, s)
	for name, value := range map[string]string{
		"none": "", "what was enough": "1", "another": strings.Repeat("A", len(token)), "a part": token[:len(token)-1],
		"more": token + "x",
	} {
		for _, path := range []string{"/local/faults", "/local/messages", "/local/credentials", "/local/none"} {
			status, doc := localtest.Admin(t, s, "GET", path, "", func(r *http.Request) {
				r.Header.Del("Cemli-Local")
				if value != "" {
					r.Header.Set("Cemli-Local", value)
				}
			})
			if hint, _ := doc["hint"].(string); status != 401 || doc["code"] != "NotAuthenticated" ||
				!strings.Contains(hint, "admin-token") || strings.Contains(hint, token) {
				t.Errorf("token %q, %s: %d %v; want 401 and where the token is", name, path, status, doc)
			}
		}
	}
	status, _ := localtest.Admin(t, s, "PUT", "/local/faults", `{"throttle":1}`,
		func(r *http.Request) { r.Header.Set("Cemli-Local", "1") })
	if _, doc := localtest.Admin(t, s, "GET", "/local/faults", "", nil); status != 401 || len(doc) != 0 {
		t.Errorf("status %d; without the token the faults became %v", status, doc)
	}
	if status, doc := localtest.Admin(t, s, "GET", "/local/none", "", nil); status != 404 {
		t.Errorf("with the token: %d %v; want 404", status, doc)
	}
}

// A page in a browser whose name resolves to this machine sends its own name as Host.
func TestTheSwitchesWantTheirHost(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	port := s.Endpoint()[strings.LastIndex(s.Endpoint(), ":"):]
	for host, want := range map[string]int{
		"127.0.0.1" + port: 200, "localhost" + port: 200, "LocalHost": 200, "[::1]" + port: 200, "127.0.0.1": 200,
		"localhost:1":         200,
		"evil.example" + port: 403, "127.0.0.1.evil.example": 403, "localhost.evil.example" + port: 403,
		"10.0.0.1" + port: 403,
		"0.0.0.0" + port:  403, "xn--localhost" + port: 403, "169.254.169.254": 403,
	} {
		status, doc := localtest.Admin(t, s, "GET", "/local/faults", "", func(r *http.Request) { r.Host = host })
		if status != want || want == 403 && (doc["code"] != "NotAllowed" || doc["hint"] == nil) {
			t.Errorf("Host %s: %d %v; want %d", host, status, doc, want)
		}
	}
}

// The token is new at each start, readable by the folder's owner only, and removed when the server ends.
func TestTheTokenIsOfOneStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seen := map[string]bool{}
	for range 2 {
		// of one that was killed
		if err := os.WriteFile(filepath.Join(dir, "admin-token"), []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := localtest.Open(t, dir, nil)
		token := localtest.TokenOf(t, s)
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
