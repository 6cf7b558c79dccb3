package oci_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"cemli-executor/internal/oci"
	"cemli-executor/internal/problem"
)

func TestTryMailbox(t *testing.T) {
	o := newOffice(t)
	if err := o.jobs.TryMailbox(t.Context()); err != nil {
		t.Error(err)
	}
}

// What jobs rest on is missed, whichever part of it.
func TestTryMailboxFindsWhatIsMissing(t *testing.T) {
	throughPar := func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/p/") }
	for name, c := range map[string]struct {
		meddle func(w http.ResponseWriter, r *http.Request) (answered bool)
		code   string
	}{
		"conditions are ignored": {func(_ http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("If-None-Match")
			return false
		}, "store.mailbox"},
		"nothing is overwritten": {func(w http.ResponseWriter, r *http.Request) bool {
			if throughPar(r) && r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/control.json") {
				w.Header().Set("Opc-Request-Id", "x") // accepted, and not done
				return true
			}
			return false
		}, "store.not_found"},
		"it cannot be ended": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodDelete {
				w.WriteHeader(http.StatusNoContent)
				return true
			}
			return false
		}, "store.mailbox"},
		"it cannot be made": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				answer(w, 404, "BucketNotFound")
				return true
			}
			return false
		}, "store.bucket_not_found"},
		"it cannot be used": {func(w http.ResponseWriter, r *http.Request) bool {
			if throughPar(r) {
				answer(w, 401, "NotAuthenticated")
				return true
			}
			return false
		}, "store.denied"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			var mu sync.Mutex
			var told []string
			p := proxy(t, o.Server, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if throughPar(r) {
					mu.Lock()
					told = append(told, strings.Split(r.URL.Path, "/")[2])
					mu.Unlock()
				}
				if !c.meddle(w, r) {
					next.ServeHTTP(w, r)
				}
			})
			err := oci.ResourcePrincipal(quick(p.URL)).Bucket(jobs).TryMailbox(t.Context())
			if problem.CodeOf(err) != c.code {
				t.Fatalf("%v; want %s", err, c.code)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, secret := range told {
				if strings.Contains(err.Error(), secret) {
					t.Error("the error tells the address")
				}
			}
		})
	}
}
