package examples_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
)

// ledger is an ERP's interface to the codes of one ledger. It loses what is over its
// capacity, as a system with a fault would.
type ledger struct {
	mu       sync.Mutex
	capacity int
	codes    []map[string]any
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case r.URL.Path == "/health":
		_, _ = io.WriteString(w, `{"status":"UP"}`)
	case r.URL.Path != "/ledgers/101/codes":
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodPut:
		if err := json.NewDecoder(r.Body).Decode(&l.codes); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		l.codes = l.codes[:min(len(l.codes), l.capacity)]
	default:
		_ = json.NewEncoder(w).Encode(l.codes)
	}
}

// loadCodes runs the example against a ledger, in dev.
func loadCodes(t *testing.T, l *ledger) (evidence.Result, []byte) {
	t.Helper()
	needTools(t, "curl", "jq")
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	r, results := run(t, "ledger-codes", func(c *executor.Config, q *executor.Request) {
		c.Environment = "dev"
		q.Parameters = map[string]json.RawMessage{"API": json.RawMessage(`"` + server.URL + `"`)}
	})
	return r, artifact(t, r, results, "before.json")
}

func TestLedgerCodes(t *testing.T) {
	l := &ledger{capacity: 100, codes: []map[string]any{{"code": "0001"}}}
	r, before := loadCodes(t, l)
	if r.Status != evidence.StatusSuccess || r.Summary != "- codes: 3 of 3\n" {
		t.Fatalf("status %s, %s, summary %q\n%s", r.Status, r.Message, r.Summary, r.Execution.Stderr)
	}
	if len(l.codes) != 3 || l.codes[0]["ledger"] != 101.0 {
		t.Errorf("codes %v", l.codes)
	}
	if strings.TrimSpace(string(before)) != `[{"code":"0001"}]` {
		t.Errorf("saved codes %s", before)
	}
}

// The load is not complete, the test finds it, and the codes of before come back.
func TestLedgerCodesAreUndone(t *testing.T) {
	l := &ledger{capacity: 2, codes: []map[string]any{{"code": "0001"}}}
	r, _ := loadCodes(t, l)
	if r.Status != evidence.StatusRolledBack || r.Rollback == nil || r.Summary != "- codes: 2 of 3\n" {
		t.Errorf("status %s, %s, summary %q", r.Status, r.Message, r.Summary)
	}
	if len(l.codes) != 1 || l.codes[0]["code"] != "0001" {
		t.Errorf("codes after the undo: %v", l.codes)
	}
}
