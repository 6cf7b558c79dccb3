package examples_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

const clientSecret = `Tiger's "s3cret" \1`

type supplierRow struct {
	SupplierID        int `json:"SupplierId,omitempty"`
	ExternalReference string
	Supplier          string
	TaxpayerID        string `json:"TaxpayerId"`
}

type rowOutcome struct {
	ExternalReference, Status string
	Message                   string `json:",omitempty"`
}

// load is one of the API's: each time somebody asks how far it is it does one row more.
type load struct {
	LoadID        int `json:"LoadId"`
	LoadReference string
	Status        string
	Rows          []rowOutcome `json:"rows"`
	waiting       []supplierRow
}

// api is an ERP's interface, with the identity domain that gives tokens for it.
type api struct {
	mu        sync.Mutex
	tokens    []string
	suppliers []supplierRow
	loads     []*load
	deleted   int

	refuse    string                    // the row that is not taken
	fault     func(*http.Request) int   // a status for a call, instead of its answer; 0: none
	afterward func(http.ResponseWriter) // instead of the answer to a load that was taken
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	status := 0
	if a.fault != nil {
		status = a.fault(r)
	}
	switch {
	case status != 0:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"title":"as you said: %s"}`, token) // as some servers do
	case r.URL.Path == "/oauth2/v1/token":
		a.authorize(w, r)
	case len(a.tokens) == 0 || token != a.tokens[len(a.tokens)-1]:
		w.WriteHeader(http.StatusUnauthorized)
	default:
		a.answer(w, r)
	}
}

func (a *api) authorize(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if id != "cemli" || secret != clientSecret || r.FormValue("grant_type") != "client_credentials" ||
		r.FormValue("scope") != "urn:opc:resource:consumer::all" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	a.tokens = append(a.tokens, fmt.Sprintf("eyJraWQiOiJTSUd_%d.n-ever+to/be=seen", len(a.tokens)))
	writeJSON(w, map[string]any{"access_token": a.tokens[len(a.tokens)-1], "token_type": "Bearer", "expires_in": 3600})
}

var queryRule = regexp.MustCompile(`^(?:ExternalReference|LoadReference)='([^']+)'$`)

func (a *api) answer(w http.ResponseWriter, r *http.Request) {
	var q string
	if m := queryRule.FindStringSubmatch(r.FormValue("q")); m != nil {
		q = m[1]
	}
	var id int
	path := r.URL.Path
	if slash := strings.LastIndex(path, "/"); slash > 0 {
		_, _ = fmt.Sscan(path[slash+1:], &id)
		path = path[:slash]
	}
	switch r.Method + " " + path {
	case "GET /suppliers":
		writeJSON(w, items(a.suppliers, func(s supplierRow) bool { return q == "" || s.ExternalReference == q }))
	case "DELETE /suppliers":
		before := len(a.suppliers)
		a.suppliers = slices.DeleteFunc(a.suppliers, func(s supplierRow) bool { return s.SupplierID == id })
		a.deleted += before - len(a.suppliers)
		w.WriteHeader(http.StatusNoContent)
	case "POST /supplierLoads":
		a.take(w, r)
	case "GET /supplierLoads":
		if id == 0 {
			writeJSON(w, items(a.loads, func(l *load) bool { return l.LoadReference == q }))
			return
		}
		writeJSON(w, a.goOn(a.loads[id-1]))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func items[T any](all []T, wanted func(T) bool) map[string]any {
	return map[string]any{"items": slices.DeleteFunc(append([]T{}, all...), func(x T) bool { return !wanted(x) })}
}

func writeJSON(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

// take accepts a load.
func (a *api) take(w http.ResponseWriter, r *http.Request) {
	var body struct {
		LoadReference string
		Rows          []supplierRow
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	l := &load{
		LoadID: len(a.loads) + 1, LoadReference: body.LoadReference, Status: "WAIT", Rows: []rowOutcome{},
		waiting: body.Rows,
	}
	a.loads = append(a.loads, l)
	if a.afterward != nil {
		a.afterward(w)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	writeJSON(w, map[string]any{"LoadId": l.LoadID})
}

// goOn does one row of a load.
func (a *api) goOn(l *load) *load {
	if len(l.waiting) == 0 {
		return l
	}
	row := l.waiting[0]
	l.waiting = l.waiting[1:]
	outcome := rowOutcome{ExternalReference: row.ExternalReference, Status: "CREATED"}
	if row.ExternalReference == a.refuse {
		outcome.Status, outcome.Message = "ERROR", "the taxpayer id is of another country"
	} else {
		row.SupplierID = 300 + len(a.suppliers)
		a.suppliers = append(a.suppliers, row)
	}
	l.Rows = append(l.Rows, outcome)
	switch failed := slices.ContainsFunc(l.Rows, func(o rowOutcome) bool { return o.Status == "ERROR" }); {
	case len(l.waiting) > 0:
		l.Status = "RUNNING"
	case failed:
		l.Status = "WARNING"
	default:
		l.Status = "SUCCEEDED"
	}
	return l
}

// there is the supplier that somebody else has made before.
var there = supplierRow{
	SupplierID: 7, ExternalReference: "SUP-2002", Supplier: "Hansen & Co A/S", TaxpayerID: "DK13585628",
}

// loadSuppliers runs a package against an API, and checks that neither tokens nor the secret are in the evidence.
func loadSuppliers(t *testing.T, dir string, a *api, secret string) (evidence.Result, store.Bucket) {
	t.Helper()
	needTools(t, "curl", "jq")
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	r, results := run(t, dir, vault(secret), change(func(q *executor.Request) {
		q.Parameters = map[string]json.RawMessage{"POLL_SECONDS": json.RawMessage("0.01")}
		for name, value := range map[string]string{
			"API": server.URL, "TOKEN_URL": server.URL + "/oauth2/v1/token", "SCOPE": "urn:opc:resource:consumer::all",
			"CLIENT_ID": "cemli",
		} {
			q.Parameters[name] = json.RawMessage(`"` + value + `"`)
		}
	}))
	quoted, _ := json.Marshal(secret)
	nowhere(t, results, append(a.tokens, secret, strings.Trim(string(quoted), `"`), "s3cret", "n-ever", "eyJraWQ")...)
	return r, results
}

func TestRestLoad(t *testing.T) {
	a := &api{suppliers: []supplierRow{there}}
	r, results := loadSuppliers(t, "rest-load", a, clientSecret)
	succeeded(t, r)
	if len(a.suppliers) != 3 || len(a.loads) != 1 || len(a.loads[0].Rows) != 2 {
		t.Errorf("suppliers %+v, loads %+v", a.suppliers, a.loads)
	}
	var got load
	if err := json.Unmarshal(artifact(t, r, results, "report.json"), &got); err != nil {
		t.Fatal(err)
	}
	if want := []rowOutcome{
		{"SUP-2001", "CREATED", ""}, {"SUP-2003", "CREATED", ""}, {"SUP-2002", "THERE ALREADY", ""},
	}; got.Status != "SUCCEEDED" || !slices.Equal(got.Rows, want) {
		t.Errorf("report %+v; want %+v", got, want)
	}
	if !strings.Contains(r.Summary, "| SUP-2001 | CREATED |") {
		t.Errorf("summary %q", r.Summary)
	}

	// Once more, all of it is there.
	r, _ = loadSuppliers(t, "rest-load", a, clientSecret)
	succeeded(t, r)
	if len(a.suppliers) != 3 || len(a.loads) != 1 {
		t.Errorf("suppliers %+v, loads %+v", a.suppliers, a.loads)
	}
}

// Whatever a script prints, the token is not seen: here every command with its arguments.
func TestRestLoadShowsNoToken(t *testing.T) {
	dir := example(t, "rest-load")
	add(t, dir, "lib/api.sh", "set -x\n")
	a := &api{}
	r, _ := loadSuppliers(t, dir, a, clientSecret)
	succeeded(t, r)
	if !strings.Contains(r.Execution.Stderr, "Bearer ***") {
		t.Errorf("nothing was printed that had to be masked:\n%.2000s", r.Execution.Stderr)
	}
}

func TestRestLoadIsRefused(t *testing.T) {
	a := &api{}
	r, _ := loadSuppliers(t, "rest-load", a, "another-"+clientSecret)
	failedIn(t, r, evidence.StatusFailed, "precheck", "returned error: 401")
	if r.Rollback != nil || len(a.loads) != 0 {
		t.Errorf("undone: %q, loads %+v", undone(r), a.loads)
	}

	// Tokens are given, and none is taken: no more than one other is asked for.
	a = &api{fault: func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/token") {
			return 0
		}
		return http.StatusUnauthorized
	}}
	r, _ = loadSuppliers(t, "rest-load", a, clientSecret)
	failedIn(t, r, evidence.StatusFailed, "precheck", `GET suppliers: status 401: {"title":"as you said: ***"}`)
	if len(a.tokens) != 2 {
		t.Errorf("%d tokens", len(a.tokens))
	}
}

// once gives a status for the first call of that kind.
func once(status int, method, path string) func(*http.Request) int {
	done := false
	return func(r *http.Request) int {
		if done || r.Method != method || !strings.HasPrefix(r.URL.Path, path) {
			return 0
		}
		done = true
		return status
	}
}

// An API that is busy, or whose token has ended meanwhile, is no failure.
func TestRestLoadGoesOn(t *testing.T) {
	for _, c := range []struct {
		fault  func(*http.Request) int
		output string
	}{
		{once(http.StatusTooManyRequests, "POST", "/supplierLoads"), "too many calls: waiting 1 seconds"},
		{once(http.StatusTooManyRequests, "GET", "/supplierLoads/"), "too many calls: waiting 1 seconds"},
		{once(http.StatusTooManyRequests, "POST", "/oauth2"), ""},
		{once(http.StatusUnauthorized, "GET", "/supplierLoads/"), ""},
	} {
		a := &api{fault: c.fault}
		r, _ := loadSuppliers(t, "rest-load", a, clientSecret)
		succeeded(t, r)
		if len(a.suppliers) != 3 || len(a.loads) != 1 || !strings.Contains(r.Execution.Stderr, c.output) {
			t.Errorf("suppliers %+v, loads %d, output %q", a.suppliers, len(a.loads), r.Execution.Stderr)
		}
	}
}

// However the load fails, what it has created is deleted, and nothing else.
func TestRestLoadIsUndone(t *testing.T) {
	for name, c := range map[string]struct {
		api          *api
		step, output string
		deleted      int
	}{
		"a row is not taken": {
			&api{refuse: "SUP-2003"}, "load", "SUP-2003: the taxpayer id is of another country", 1,
		},
		"the load is not taken": {
			&api{fault: once(http.StatusInternalServerError, "POST", "/supplierLoads")}, "load",
			"POST supplierLoads: status 500: {\"title\":\"as you said: ***\"}", 0,
		},
		"its answer is lost": {
			&api{afterward: func(http.ResponseWriter) { panic(http.ErrAbortHandler) }}, "load", "curl: (52)", 2,
		},
		"nobody can say how far it is": {
			&api{fault: once(http.StatusBadGateway, "GET", "/supplierLoads/")}, "load", "status 502", 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := example(t, "rest-load")
			twice(t, dir, "rollback/delete.sh")
			c.api.suppliers = []supplierRow{there}
			r, results := loadSuppliers(t, dir, c.api, clientSecret)
			failedIn(t, r, evidence.StatusRolledBack, c.step, c.output)
			if !slices.Equal(c.api.suppliers, []supplierRow{there}) || c.api.deleted != c.deleted {
				t.Errorf("after the undo: %+v, %d deleted", c.api.suppliers, c.api.deleted)
			}
			if name == "a row is not taken" &&
				!strings.Contains(string(artifact(t, r, results, "report.json")), `"ERROR"`) {
				t.Error("the report has no error")
			}
		})
	}

	// What is there under the same reference is not what was to be loaded: it stays, and the rest is deleted.
	other := there
	other.Supplier = "Hansen"
	a := &api{suppliers: []supplierRow{other}}
	r, _ := loadSuppliers(t, "rest-load", a, clientSecret)
	failedIn(t, r, evidence.StatusRolledBack, "verify", `"Supplier":"Hansen"`)
	if !slices.Equal(a.suppliers, []supplierRow{other}) {
		t.Errorf("after the undo: %+v", a.suppliers)
	}
}
