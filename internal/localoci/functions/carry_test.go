package functions_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
)

// calls counts the calls of two functions.
type calls struct{ executor, runner chan string }

// open is a local OCI whose two functions tell who calls them.
func (c *calls) open(t *testing.T) *localoci.Server {
	t.Helper()
	c.executor, c.runner = make(chan string, 10), make(chan string, 10)
	config := localtest.Config(t.TempDir(), record(c.executor))
	config.Runner = record(c.runner)
	s := localtest.OpenAs(t, config)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func record(into chan string) localtest.Function {
	return func(_ context.Context, call localoci.Invocation) (localoci.Answer, error) {
		into <- string(call.Body)
		return localoci.Answer{Body: []byte("{}")}, nil
	}
}

// send sends a call, and returns the status of the answer; 0: the connection broke.
func send(t *testing.T, s *localoci.Server, function, how, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", localtest.InvokeURL(s, function), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	localtest.PersonOf(t, s).Sign(t, r, body)
	r.Header.Set("Fn-Invoke-Type", how)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// What goes wrong with a call on its way to a function and back, and how often the function is called then.
func TestFaultsOfCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		faults         string
		sync, detached int // status
		called         int // each time
	}{
		{`{}`, 200, 202, 1},
		{`{"call_throttle":1}`, 429, 429, 0},
		{`{"call_fail":1}`, 503, 503, 0},
		{`{"call_lose":1}`, 0, 202, 0},
		{`{"call_lose_answer":1}`, 0, 0, 1},
		{`{"call_duplicate":1}`, 200, 202, 3},
		{`{"call_delay":"5ms"}`, 200, 202, 1},
		{`{"call_lose":1,"call_to":"executor"}`, 200, 202, 1},
		{`{"call_lose":1,"call_to":"runner"}`, 0, 202, 0},
	} {
		t.Run(c.faults, func(t *testing.T) {
			var calls calls
			s := calls.open(t)
			if status := localtest.SetFaults(t, s, c.faults); status != 200 {
				t.Fatalf("the faults are not taken: %d", status)
			}
			if got := send(t, s, localoci.RunnerID, "sync", "a"); got != c.sync {
				t.Errorf("sync: %d; want %d", got, c.sync)
			}
			if got := send(t, s, localoci.RunnerID, "detached", "a"); got != c.detached {
				t.Errorf("detached: %d; want %d", got, c.detached)
			}
			localtest.SetFaults(t, s, "{}")
			for range 2 * c.called {
				if body := <-calls.runner; body != "a" {
					t.Errorf("the runner is called with %q", body)
				}
			}
			send(t, s, localoci.RunnerID, "sync", "last") // everything before it has been delivered, or never is
			if body := <-calls.runner; body != "last" {
				t.Errorf("the runner is called once more, with %q", body)
			}
			if len(calls.executor) > 0 {
				t.Error("the executor is called")
			}
		})
	}
}

// A call that is late is delivered although who sent it has gone.
func TestALateCallIsDelivered(t *testing.T) {
	t.Parallel()
	var calls calls
	s := calls.open(t)
	if err := s.SetFaults(localoci.Faults{CallDelay: localoci.Duration(200 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", localtest.InvokeURL(s, localoci.RunnerID), strings.NewReader("late"))
	if err != nil {
		t.Fatal(err)
	}
	localtest.PersonOf(t, s).Sign(t, r, "late")
	if resp, err := http.DefaultClient.Do(r); err == nil {
		_ = resp.Body.Close()
		t.Fatalf("it was answered: %d", resp.StatusCode)
	}
	if body := <-calls.runner; body != "late" {
		t.Errorf("the runner is called with %q", body)
	}
}

// Events have faults of their own, and who only asks whether it may call calls nobody.
func TestWhatFaultsOfCallsDoNotChange(t *testing.T) {
	t.Parallel()
	var calls calls
	s := calls.open(t)
	if err := s.SetFaults(localoci.Faults{CallLose: 1}); err != nil {
		t.Fatal(err)
	}
	p := localtest.PersonOf(t, s)
	p.Send(t, "PUT", localtest.Object(s, "packages", "a.zip"), "x", nil)
	if body := <-calls.executor; !strings.Contains(body, "a.zip") {
		t.Errorf("the event is %q", body)
	}
	resp, _ := p.Send(t, "POST", localtest.InvokeURL(s, localoci.RunnerID), "{}",
		func(r *http.Request) { r.Header.Set("Is-Dry-Run", "true") })
	if resp.StatusCode != 204 {
		t.Errorf("the dry run: %d", resp.StatusCode)
	}
	for _, wrong := range []string{`{"call_to":"me"}`, `{"call_lose":2}`, `{"call_delay":"2h"}`} {
		if status := localtest.SetFaults(t, s, wrong); status != 400 {
			t.Errorf("%s is taken: %d", wrong, status)
		}
	}
	var f localoci.Faults
	for _, text := range []string{"call_to=runner", "call_lose=0.5", "call_delay=1s"} {
		if err := localoci.ParseFault(text, &f); err != nil {
			t.Error(err)
		}
	}
	if f.CallTo != "runner" || fmt.Sprint(f.CallLose) != "0.5" || time.Duration(f.CallDelay) != time.Second {
		t.Errorf("%+v", f)
	}
}
