package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"cemli-executor/internal/localoci/localtest"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	p := localtest.PersonOf(t, s)
	url := localtest.Object(s, "packages", "x")
	send := func(method, body string) (int, any) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		p.Sign(t, r, body)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return 0, nil
		}
		defer resp.Body.Close()
		var doc map[string]any
		_ = json.NewDecoder(resp.Body).Decode(&doc) // not all have one
		return resp.StatusCode, doc["code"]
	}
	for _, c := range []struct {
		fault string
		want  int
		code  any
	}{
		{`{"throttle":1}`, 429, "TooManyRequests"},
		{`{"unavailable":1}`, 503, "ServiceUnavailable"},
		{`{"drop":1}`, 0, nil},
		{`{"false_404":1}`, 404, "BucketNotFound"},
		{`{"clock_skew":"6m"}`, 401, "NotAuthenticated"},
		{`{"clock_skew":"-4m"}`, 200, nil},
		{`{"disk_full":true}`, 500, "InternalServerError"},
		{`{"latency":"1ms"}`, 200, nil},
		{`{}`, 200, nil},
	} {
		if status := localtest.SetFaults(t, s, c.fault); status != 200 {
			t.Fatalf("%s: status %d", c.fault, status)
		}
		if status, code := send("PUT", "text"); status != c.want || code != c.code {
			t.Errorf("%s: %d %v; want %d %v", c.fault, status, code, c.want, c.code)
		}
	}
	// A lost answer: it was done all the same.
	localtest.SetFaults(t, s, `{"lose_answer":1}`)
	if status, _ := send("DELETE", ""); status != 0 {
		t.Errorf("an answer came: %d", status)
	}
	localtest.SetFaults(t, s, `{}`)
	if status, _ := send("GET", ""); status != 404 {
		t.Errorf("what was lost was not done: %d", status)
	}
	for _, bad := range []string{
		`{"throttle":2}`, `{"latency":"soon"}`, `{"latenzy":"1s"}`, `{"drop":-1}`, `[]`, ``, `{} {}`,
	} {
		if status := localtest.SetFaults(t, s, bad); status != 400 {
			t.Errorf("%q: status %d; want 400", bad, status)
		}
	}
}
