package oci_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/store"
	"cemli-executor/internal/store/storetest"
)

// versioned starts a local OCI whose buckets keep versions.
func versioned(t *testing.T) *localoci.Server {
	t.Helper()
	s, err := localoci.Open(localoci.Config{
		Dir: t.TempDir(), Buckets: buckets, Versioned: true, Log: slog.New(slog.DiscardHandler),
		Invoke: func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// The function's state bucket works like any other if it keeps versions.
func TestBucketWithVersions(t *testing.T) {
	of := func(t *testing.T) store.Bucket {
		s := versioned(t)
		return function(t, s, s.Endpoint()).Bucket(buckets.State)
	}
	storetest.Run(t, of)
	storetest.RunVersions(t, of)
}

// isVersions recognises the listing of versions.
func isVersions(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/objectversions") }

// If a bucket's versions cannot be listed, its objects are.
func TestABucketThatRefusesToListVersions(t *testing.T) {
	t.Parallel()
	s := local(t)
	p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if isVersions(r) {
			answer(w, http.StatusBadRequest, "InvalidParameter")
			return
		}
		next.ServeHTTP(w, r)
	})
	b := person(s, p.URL).Bucket(buckets.Packages)
	for _, name := range []string{"a", "b"} {
		if err := put(b, name, "x", store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	page, err := b.ListVersions(t.Context(), store.VersionOptions{Limit: 1})
	if err != nil || len(page.Versions) != 1 || page.Versions[0].Name != "a" ||
		page.Next != (store.Position{Name: "b"}) {
		t.Fatalf("%+v, %v", page, err)
	}
	page, err = b.ListVersions(t.Context(), store.VersionOptions{From: store.Position{Name: "b", VersionID: "v"}})
	if err != nil || len(page.Versions) != 1 || page.Versions[0].Name != "b" || page.Next != (store.Position{}) {
		t.Errorf("%+v, %v", page, err)
	}
}

// An object with endless versions does not hide the versions of others.
func TestAnObjectWithVersionsWithoutEnd(t *testing.T) {
	t.Parallel()
	s := local(t)
	asked := 0
	p := proxy(t, s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !isVersions(r) {
			next.ServeHTTP(w, r)
			return
		}
		asked++
		name := "many.zip"
		if r.URL.Query().Get("startAfter") == name {
			name = "next.zip"
		} else {
			w.Header().Set("Opc-Next-Page", fmt.Sprint(asked))
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w,
			`{"items":[{"name":%q,"versionId":"v%d","isDeleteMarker":false,"timeModified":"2026-01-02T03:04:05.678Z",`+
				`"etag":"e"}],"prefixes":[]}`, name, asked)
	})
	b := person(s, p.URL).Bucket(buckets.Packages)
	page, err := b.ListVersions(t.Context(),
		store.VersionOptions{From: store.Position{Name: "many.zip", VersionID: "v0"}})
	if err != nil || len(page.Versions) != 1 || page.Versions[0].Name != "next.zip" || page.Next != (store.Position{}) {
		t.Errorf("%+v, %v", page, err)
	}
	if asked > 30 {
		t.Errorf("%d requests", asked)
	}
	if got := page.Versions[0].Created.UnixMilli() % 1000; got != 678 {
		t.Errorf("%d milliseconds", got)
	}
}
