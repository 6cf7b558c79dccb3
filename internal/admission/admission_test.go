package admission_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/bundle"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
	"cemli-executor/manifest"
)

func privateKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// An archive is refused whole: for its size alone, before it is read, then for its form and the limits.
func TestOpen(t *testing.T) {
	t.Parallel()
	zip := testkit.Zip(t, files{"manifest.json": manifestOf(""), "a": "", "b": ""})
	for name, c := range map[string]struct {
		zip    []byte
		change func(*admission.Limits)
		code   string
	}{
		"fits":      {zip, func(*admission.Limits) {}, ""},
		"just fits": {zip, func(l *admission.Limits) { l.PackageBytes = int64(len(zip)) }, ""},
		"one byte more": {
			zip, func(l *admission.Limits) { l.PackageBytes = int64(len(zip)) - 1 }, "archive.package_too_large",
		},
		"too many entries": {zip, func(l *admission.Limits) { l.Archive.Entries = 2 }, "archive.too_many_entries"},
		"cut in half":      {zip[:len(zip)/2], func(*admission.Limits) {}, "archive.truncated"},
		"no zip":           {[]byte("text"), func(*admission.Limits) {}, "archive.not_a_zip"},
	} {
		limits := admission.DefaultLimits()
		c.change(&limits)
		archive, err := admission.Open("in/sample.zip", bytes.NewReader(c.zip), int64(len(c.zip)), limits)
		if got := problem.CodeOf(err); got != c.code || (archive == nil) != (err != nil) {
			t.Errorf("%s: %v, %v; want %q", name, archive, err, c.code)
		}
	}
	if err := admission.WithinLimit("in/sample.zip", 2, 1); err == nil ||
		!strings.Contains(err.Error(), "in/sample.zip") {
		t.Errorf("%v does not name the object", err)
	}
}

// A manifest is read as far as one may be long, and what is wrong with it is said.
func TestReadManifest(t *testing.T) {
	t.Parallel()
	random := make([]byte, manifest.MaxBytes)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		contents files
		code     string
	}{
		"a manifest": {files{"manifest.json": manifestOf("")}, ""},
		"none":       {files{"steps/run.sh": ""}, "manifest.missing"},
		"elsewhere":  {files{"in/manifest.json": manifestOf(""), "steps/run.sh": ""}, "manifest.missing"},
		"no JSON":    {files{"manifest.json": "name: x"}, "manifest.json"},
		"too large":  {files{"manifest.json": `{"x-a":"` + hex.EncodeToString(random) + `"}`}, "manifest.too_large"},
	} {
		zip := testkit.Zip(t, c.contents)
		archive, err := admission.Open("a.zip", bytes.NewReader(zip), int64(len(zip)), admission.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		m, err := admission.ReadManifest(archive)
		if problem.CodeOf(err) != c.code || (m == nil) != (err != nil) {
			t.Errorf("%s: %v, %v; want %q", name, m, err, c.code)
		}
	}
}

// A policy lowers limits, each by its name, and raises none.
func TestLimitsWithinAPolicy(t *testing.T) {
	t.Parallel()
	limits := admission.Limits{
		PackageBytes: 100, LogBytes: 100, Artifacts: 100, ArtifactBytes: 100, RunTime: time.Hour, Attempts: 10,
		Deaths:  3,
		Archive: bundle.Limits{Entries: 100, FileBytes: 100, TotalBytes: 100, Ratio: 100},
	}
	const names = `"package_bytes":%,"entries":%,"file_bytes":%,"total_bytes":%,"ratio":%,"log_bytes":%,` +
		`"artifacts":%,"artifact_bytes":%`
	within := func(number, duration string) admission.Limits {
		doc := strings.ReplaceAll(names, "%", number) + `,"run_time":"` + duration + `"`
		p, err := manifest.ParsePolicy([]byte(`{"environment":"test","limits":{`+doc+`}}`), "test")
		if err != nil {
			t.Fatal(err)
		}
		return limits.Within(p)
	}
	want := admission.Limits{
		PackageBytes: 7, LogBytes: 7, Artifacts: 7, ArtifactBytes: 7, RunTime: time.Minute, Attempts: 10, Deaths: 3,
		Archive: bundle.Limits{Entries: 7, FileBytes: 7, TotalBytes: 7, Ratio: 7},
	}
	if diff := cmp.Diff(want, within("7", "1m")); diff != "" {
		t.Error("lower (-want +got):\n" + diff)
	}
	if diff := cmp.Diff(limits, within("100000", "5h")); diff != "" {
		t.Error("higher (-want +got):\n" + diff)
	}
}

// A policy that is set and cannot be had, or is not understood, is an error; its bytes are returned if there are any.
func TestPolicyIsParsed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ doc, code string }{
		"a policy":            {`{"environment":"test"}`, ""},
		"of any environment":  {`{"environment":"prod"}`, "policy.unavailable"},
		"with an unknown key": {`{"environment":"test","allow":true}`, "policy.unavailable"},
		"empty":               {``, "policy.unavailable"},
	} {
		p, doc, err := admission.InlinePolicy("policies/p.json", []byte(c.doc)).Parse(t.Context(), "test")
		if problem.CodeOf(err) != c.code || (p == nil) != (err != nil) || string(doc) != c.doc {
			t.Errorf("%s: %v, %q, %v", name, p, doc, err)
		}
	}
	down := store.Error(store.ErrUnavailable, "get", "policies", "p.json", nil)
	policy := admission.Policy{
		Source: "policies/p.json", Read: func(context.Context) ([]byte, error) { return nil, down },
	}
	p, doc, err := policy.Parse(t.Context(), "test")
	if p != nil || doc != nil || problem.CodeOf(err) != "policy.unavailable" || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a store that is down: %v, %q, %v", p, doc, err)
	}
	if !strings.Contains(err.Error(), "policies/p.json") {
		t.Errorf("%v does not name the policy", err)
	}
}

// Two plans have the same key exactly if they do the same: contents, set and the values of parameters. An old record's
// key counted numbers as they were written.
func TestContentKey(t *testing.T) {
	t.Parallel()
	s := subject(t, files{"manifest.json": manifestOf(`,"parameters":{"N":{"type":"number"},"T":{"type":"string"}}`)})
	keys := func(dirHash, set, parameters string) []string {
		return admission.KeysOf(judged(t, with(t, s, "", parameters), nil, nil), dirHash, set)
	}
	base := keys("h1:a", "", `{"N":1,"T":"x"}`)
	if again := keys("h1:a", "", `{"N":1.0,"T":"x"}`); again[0] != base[0] || again[1] == base[1] {
		t.Errorf("1.0 has the keys %v, and 1 %v", again, base)
	}
	for name, other := range map[string][]string{
		"other contents": keys("h1:b", "", `{"N":1,"T":"x"}`), "another set": keys("h1:a", "FR", `{"N":1,"T":"x"}`),
		"another value": keys("h1:a", "", `{"N":2,"T":"x"}`), "no value": keys("h1:a", "", `{"N":1}`),
	} {
		if other[0] == base[0] || other[1] == base[1] {
			t.Errorf("%s: %v; the same as before", name, other)
		}
	}
}

// What is applied of a set is its own newest success; one of before sets were known counts where nothing else is.
func TestApplied(t *testing.T) {
	t.Parallel()
	lost := []claim.Success{{Key: "k", RunID: "old", Version: "0.9.0", Lost: true}}
	undone := applied("2.0.0")
	undone.Standing = claim.Undone
	for name, c := range map[string]struct {
		change func(*claim.Package)
		want   string
	}{
		"nothing":        {func(*claim.Package) {}, ""},
		"a success":      {func(p *claim.Package) { p.Add("FR", applied("1.0.0")) }, "1.0.0"},
		"of another set": {func(p *claim.Package) { p.Add("DE", applied("1.0.0")) }, ""},
		"one undone since": {
			func(p *claim.Package) { p.Add("FR", applied("1.0.0")); p.Add("FR", undone) }, "1.0.0",
		},
		"an old one":               {func(p *claim.Package) { p.Done = lost }, "0.9.0"},
		"an old one, undone since": {func(p *claim.Package) { p.Done = lost; p.Add("FR", undone) }, ""},
	} {
		if got := admission.Applied(past(t, "sample", c.change), "FR"); got != c.want {
			t.Errorf("%s: %q; want %q", name, got, c.want)
		}
	}
}

// A package decides how many problems it has: a result lists no more than are read.
func TestLimited(t *testing.T) {
	t.Parallel()
	few := make([]problem.Problem, problem.Most)
	if got := admission.Limited(few); len(got) != len(few) {
		t.Errorf("%d problems of %d", len(got), len(few))
	}
	got := admission.Limited(make([]problem.Problem, 10_000))
	if last := got[len(got)-1]; len(got) > problem.Most+1 || last.Code != "request.more" {
		t.Errorf("%d problems, the last is %+v", len(got), last)
	}
}
