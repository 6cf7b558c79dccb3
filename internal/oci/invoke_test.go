package oci_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
	"cemli-executor/internal/oci"
	"cemli-executor/internal/problem"
)

// answering is a local OCI whose function is what a test needs.
func answering(t *testing.T, function localtest.Function) *localoci.Server {
	t.Helper()
	s := localtest.Open(t, t.TempDir(), function)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// A runner gets what it is called with, and its answer comes back; how long it takes is the caller's to say.
func TestInvokeWaitsForTheAnswer(t *testing.T) {
	t.Parallel()
	s := answering(t, func(ctx context.Context, call localoci.Invocation) (localoci.Answer, error) {
		select { // longer than an answer of a service may take: see quick
		case <-time.After(1500 * time.Millisecond):
		case <-ctx.Done():
		}
		return localoci.Answer{Body: append([]byte("got "), call.Body...)}, nil
	})
	body := bytes.Repeat([]byte("x"), 5_000_000)
	got, err := person(s, s.Endpoint()).Invoke(t.Context(), localoci.FunctionID, body, 6_000_000)
	if want := append([]byte("got "), body...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
	}
}

func TestInvokeBoundsTheAnswer(t *testing.T) {
	t.Parallel()
	s := answering(t, func(context.Context, localoci.Invocation) (localoci.Answer, error) {
		return localoci.Answer{Body: []byte("12345")}, nil
	})
	client := person(s, s.Endpoint())
	if got, err := client.Invoke(t.Context(), localoci.FunctionID, nil, 5); err != nil || string(got) != "12345" {
		t.Errorf("%q, %v", got, err)
	}
	_, err := client.Invoke(t.Context(), localoci.FunctionID, nil, 4)
	if problem.CodeOf(err) != "runner.unavailable" || oci.Undelivered(err) || !strings.Contains(err.Error(), "too large") {
		t.Errorf("an answer that is too large: %v", err)
	}
}

// The caller's time bounds a call, which may have been delivered then.
func TestInvokeEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	s := answering(t, func(ctx context.Context, _ localoci.Invocation) (localoci.Answer, error) {
		<-ctx.Done()
		return localoci.Answer{}, ctx.Err()
	})
	client := person(s, s.Endpoint())
	if err := client.MayInvokeRunner(t.Context(), localoci.FunctionID); err != nil { // the endpoint is known
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := client.Invoke(ctx, localoci.FunctionID, []byte("{}"), 100)
	if problem.CodeOf(err) != "runner.unavailable" || oci.Undelivered(err) {
		t.Errorf("%v; undelivered: %t", err, oci.Undelivered(err))
	}
}

// A call is sent once, whatever comes of it, and the error says whether it may have been delivered, and whether it can
// be another time.
func TestInvokeIsSentOnce(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]struct {
		code        string
		undelivered bool
	}{
		0:   {"runner.unavailable", false}, // the connection breaks
		400: {"runner.invoke", true}, 403: {"runner.invoke", true}, 404: {"runner.invoke", true},
		413: {"runner.invoke", true}, 429: {"runner.unavailable", true},
		408: {"runner.unavailable", false}, 409: {"runner.unavailable", false},
		500: {"runner.unavailable", false}, 502: {"runner.unavailable", false}, 504: {"runner.unavailable", false},
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			s := local(t)
			var calls atomic.Int32
			p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if !strings.HasSuffix(r.URL.Path, "/actions/invoke") {
					next.ServeHTTP(w, r)
					return
				}
				calls.Add(1)
				if status == 0 {
					_, _ = io.Copy(io.Discard, r.Body)
					panic(http.ErrAbortHandler)
				}
				answer(w, status, "Injected")
			})
			_, err := person(s, p.URL).Invoke(t.Context(), localoci.FunctionID, []byte("{}"), 100)
			if problem.CodeOf(err) != want.code || oci.Undelivered(err) != want.undelivered || calls.Load() != 1 {
				t.Errorf("%v, undelivered %t, %d calls; want %+v and one call", err, oci.Undelivered(err), calls.Load(), want)
			}
			if p, ok := errors.AsType[*problem.Error](err); !ok || p.Problems[0].Hint != codes.Of(want.code).Cure {
				t.Errorf("no hint: %v", err)
			}
		})
	}
}

// Credentials that were rotated just then are read anew: a call refused for them was not delivered.
func TestInvokeAfterARotation(t *testing.T) {
	t.Parallel()
	s := answering(t, func(context.Context, localoci.Invocation) (localoci.Answer, error) {
		return localoci.Answer{Body: []byte("done")}, nil
	})
	var calls atomic.Int32
	p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/actions/invoke") && calls.Add(1) == 1 {
			answer(w, 401, "NotAuthenticated")
			return
		}
		next.ServeHTTP(w, r)
	})
	got, err := person(s, p.URL).Invoke(t.Context(), localoci.FunctionID, []byte("{}"), 100)
	if err != nil || string(got) != "done" || calls.Load() != 2 {
		t.Errorf("%q, %v, %d calls", got, err, calls.Load())
	}
}

// Where nobody listens nothing was delivered, whether that shows with the call or before it.
func TestInvokeWhereNobodyListens(t *testing.T) {
	t.Parallel()
	s := local(t)
	p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) })
	knows := person(s, p.URL)
	if err := knows.MayInvokeRunner(t.Context(), localoci.FunctionID); err != nil { // and so has the endpoint
		t.Fatal(err)
	}
	p.Close()
	for name, client := range map[string]*oci.Client{"the call": knows, "before it": person(s, p.URL)} {
		_, err := client.Invoke(t.Context(), localoci.FunctionID, nil, 100)
		if problem.CodeOf(err) != "runner.unavailable" || !oci.Undelivered(err) {
			t.Errorf("%s: %v; want one that was not delivered", name, err)
		}
	}
}

// The endpoint is asked for once for each function, and is no other's.
func TestEachFunctionHasItsEndpoint(t *testing.T) {
	t.Parallel()
	s := local(t)
	var mu sync.Mutex
	asked := map[string]int{}
	p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet {
			mu.Lock()
			asked[path.Base(r.URL.Path)]++
			mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
	const other = "ocid1.fnfunc.oc1.phx.other"
	client := person(s, p.URL)
	for range 2 {
		if _, err := client.Invoke(t.Context(), localoci.FunctionID, nil, 100); err != nil {
			t.Fatal(err)
		}
		_, err := client.Invoke(t.Context(), other, nil, 100)
		if problem.CodeOf(err) != "runner.invoke" || !oci.Undelivered(err) {
			t.Errorf("a runner that does not exist: %v", err)
		}
	}
	if asked[localoci.FunctionID] != 1 || asked[other] != 2 {
		t.Errorf("asked for %v", asked)
	}
}

// Detached invocations of a runner have a runner's errors.
func TestDetachedInvocationsOfARunner(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]struct {
		code        string
		undelivered bool
	}{
		200: {}, 404: {"runner.invoke", true}, 429: {"runner.unavailable", true}, 503: {"runner.unavailable", false},
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			called := make(chan localoci.Invocation, 1)
			s := answering(t, func(_ context.Context, call localoci.Invocation) (localoci.Answer, error) {
				called <- call
				return localoci.Answer{}, nil
			})
			p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if status != 200 && strings.HasSuffix(r.URL.Path, "/actions/invoke") {
					answer(w, status, "Injected")
					return
				}
				next.ServeHTTP(w, r)
			})
			err := person(s, p.URL).InvokeRunnerDetached(t.Context(), localoci.FunctionID, []byte("job"))
			if problem.CodeOf(err) != want.code || oci.Undelivered(err) != want.undelivered {
				t.Errorf("%v, undelivered %t; want %+v", err, oci.Undelivered(err), want)
			}
			if status == 200 {
				if call := <-called; !call.Detached || string(call.Body) != "job" {
					t.Errorf("called with %+v", call)
				}
			}
		})
	}
}
