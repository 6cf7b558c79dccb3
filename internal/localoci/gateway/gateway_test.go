package gateway_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/faults"
	"cemli-executor/internal/localoci/gateway"
	"cemli-executor/internal/localoci/tenancy"
)

// gatewayOf is a gateway to the given services.
func gatewayOf(t *testing.T, unsigned gateway.Service, services ...gateway.Service) *gateway.Gateway {
	t.Helper()
	authority, err := tenancy.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &gateway.Gateway{
		Authority: authority, Services: services, Unsigned: unsigned,
		Faults: func() faults.Faults { return faults.Faults{} },
		Now:    time.Now, Denied: func(string) {}, Log: slog.New(slog.DiscardHandler),
	}
}

// serve returns a gateway's answer to an unsigned request: the status, and the body on one line.
func serve(g *gateway.Gateway, method, path, body string) (int, string) {
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, strings.TrimSpace(w.Body.String())
}

// says is a service with one operation, which answers with its id.
func says(path string) gateway.Table {
	handle := func(w http.ResponseWriter, r *gateway.Request, id string) error {
		var q struct{ Refuse, Fail string }
		if err := r.ReadJSON(&q); err != nil {
			return err
		}
		switch {
		case q.Refuse != "":
			return answer.Invalid(q.Refuse)
		case q.Fail != "":
			return errors.New(q.Fail)
		}
		answer.JSON(w, http.StatusOK, id)
		return nil
	}
	return gateway.Table{{Method: "POST", Path: regexp.MustCompile(path), Handle: handle}}
}

// Every operation of a service needs a signature before anything is done. Those that OCI does not have need none.
func TestWhatNeedsASignature(t *testing.T) {
	t.Parallel()
	g := gatewayOf(t, says(`^/local/([^/]+)$`), says(`^/a/([^/]+)$`), says(`^/b/([^/]+)$`))
	for path, want := range map[string]int{
		"/a/x": 401, "/b/x": 401, "/b/%2F": 401, "/b/x/y": 404, "/c/x": 404, "/local/x": 200,
	} {
		if status, got := serve(g, "POST", path, "{}"); status != want {
			t.Errorf("%s: %d %s; want %d", path, status, got, want)
		}
	}
	if status, _ := serve(g, "GET", "/a/x", ""); status != 404 {
		t.Errorf("another method: %d", status)
	}
}

// A refusal is reported to the client; the cause of any other failure is not.
func TestHowFailuresAreAnswered(t *testing.T) {
	t.Parallel()
	g := gatewayOf(t, says(`^/local/([^/]+)$`))
	for body, want := range map[string]string{
		`{}`:                    `"x"`,
		`{"refuse":"too many"}`: `{"code":"InvalidParameter","message":"too many"}`,
		`{"fail":"a secret"}`:   `{"code":"InternalServerError","message":"Internal error"}`,
		`{`:                     `{"code":"InvalidJson","message":"The request body is not valid JSON."}`,
	} {
		if _, got := serve(g, "POST", "/local/x", body); got != want {
			t.Errorf("%s: %s; want %s", body, got, want)
		}
	}
	if status, got := serve(g, "POST", "/local/x", strings.Repeat(" ", 6<<20+1)); status != 413 {
		t.Errorf("more than 6 MB: %d %s", status, got)
	}
}
