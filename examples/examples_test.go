package examples_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
)

// TestMain lets the sandbox start this program anew.
func TestMain(m *testing.M) {
	sandbox.Dispatch()
	os.Exit(m.Run())
}

func TestHelloCemli(t *testing.T) {
	r, results := run(t, "hello-cemli")
	if r.Status != evidence.StatusSuccess ||
		!strings.Contains(r.Execution.Stdout, "Hello from Automated CEMLI Execution") {
		t.Errorf("status %s, %s, stdout %q", r.Status, r.Message, r.Execution.Stdout)
	}
	if got := string(artifact(t, r, results, "greeting.txt")); got != "Hello from Automated CEMLI Execution\n" {
		t.Errorf("artifact %q", got)
	}
}

// smoketests copies the example with endpoints of its own.
func smoketests(t *testing.T, endpoints any) string {
	t.Helper()
	needTools(t, "curl", "jq")
	dir := example(t, "integration-smoketests")
	doc, err := json.Marshal(endpoints)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "artifacts", "endpoints.json"), doc, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// service is the system that the integration talks to.
func service(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/health",
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"status":"UP"}`) })
	mux.HandleFunc("/suppliers",
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"items":[{"id":1}]}`) })
	mux.HandleFunc("/orders", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// report is the artifact that people act on.
type report struct {
	Total  int `json:"total"`
	Failed int `json:"failed"`
	Checks []struct {
		Name, Verdict, Reason string
		Status                int
	} `json:"checks"`
}

func readReport(t *testing.T, r evidence.Result, results store.Bucket) report {
	t.Helper()
	var got report
	if err := json.Unmarshal(artifact(t, r, results, "report.json"), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestIntegrationSmoketests(t *testing.T) {
	text, err := os.ReadFile("integration-smoketests/artifacts/endpoints.json")
	if err != nil {
		t.Fatal(err)
	}
	var endpoints []map[string]any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(text), "http://127.0.0.1:8080", service(t))),
		&endpoints); err != nil {
		t.Fatal(err)
	}
	r, results := run(t, smoketests(t, endpoints))
	if r.Status != evidence.StatusSuccess || len(r.Steps) != 3 {
		t.Fatalf("status %s, %s\n%s%s", r.Status, r.Message, r.Execution.Stdout, r.Execution.Stderr)
	}
	if got := readReport(t, r, results); got.Total != 3 || got.Failed != 0 {
		t.Errorf("report %+v", got)
	}
	if !strings.Contains(r.Summary, "| suppliers can be listed | pass |") {
		t.Errorf("summary %q", r.Summary)
	}
}

func TestIntegrationSmoketestsReportEveryFailure(t *testing.T) {
	base := service(t)
	r, results := run(t, smoketests(t, []map[string]any{
		{"name": "up", "url": base + "/health", "status": 200},
		{"name": "wrong status", "url": base + "/orders", "status": 200},
		{"name": "wrong answer", "url": base + "/health", "status": 200, "expect": `.status == "DOWN"`},
		{"name": "nobody there", "url": "http://127.0.0.1:1/", "status": 200},
	}))
	if r.Status != evidence.StatusFailed || r.Steps[1].ReturnCode != 1 || r.Steps[2].Status != evidence.StepNotRun {
		t.Errorf("status %s, steps %+v", r.Status, r.Steps)
	}
	got := readReport(t, r, results)
	if got.Total != 4 || got.Failed != 3 {
		t.Fatalf("report %+v", got)
	}
	for i, want := range []string{"", "status 401 instead of 200", "does not fulfil", "connect"} {
		if !strings.Contains(strings.ToLower(got.Checks[i].Reason), want) {
			t.Errorf("check %q: reason %q; want %q in it", got.Checks[i].Name, got.Checks[i].Reason, want)
		}
	}
}

func TestIntegrationSmoketestsCheckTheirList(t *testing.T) {
	r, _ := run(t, smoketests(t, []map[string]any{{"name": "no url", "status": 200}}))
	if r.Status != evidence.StatusFailed || r.Steps[0].Phase != "pre_check" ||
		!strings.Contains(r.Execution.Stderr, "must be a list") {
		t.Errorf("status %s, %+v", r.Status, r.Execution)
	}
}
