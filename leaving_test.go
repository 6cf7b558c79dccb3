package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// In doubt a call is answered to its end, no other one is taken, and the program may end.
func TestTheFunctionLeavesWhenItHasAnswered(t *testing.T) {
	h, log := testHandler(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Spoils") != "" { // as a script does while its run is served
			defer h.leaving.begin(r.Context(), h.log, io.EOF)
			h.container.Doubt("a script left something")
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
			return
		}
		h.Serve(r.Context(), r.Body, w)
	}))
	defer server.Close()
	if got, err := http.Post(server.URL, "", strings.NewReader("hello")); err != nil || got.StatusCode != http.StatusOK {
		t.Fatal(got, err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Spoils", "1")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, err := io.ReadAll(response.Body); err != nil || len(answer) != 1<<20 {
		t.Errorf("%d bytes of the answer, error %v", len(answer), err)
	}
	h.leaving.wait()
	if got, err := http.Post(server.URL, "", strings.NewReader("hello")); err == nil {
		t.Errorf("another call was taken: %s", got.Status)
	}
	if !strings.Contains(log.String(), "a fresh container is started") {
		t.Errorf("the log does not say why: %s", log)
	}
}

// A call that comes between fails, so that it is sent again, and reaches nothing.
func TestACallInDoubtFails(t *testing.T) {
	h, log := testHandler(t)
	h.container.Doubt("a script left something")
	if answer, failed := serve(t, h, t.Context(), strings.NewReader(`{"object":"a.zip"}`)); !failed {
		t.Errorf("it was answered: %v", answer)
	}
	if !strings.Contains(log.String(), "sandbox.doubt") || !strings.Contains(log.String(), "a script left something") {
		t.Errorf("the log does not say why: %s", log)
	}
	h.leaving.wait()
}
