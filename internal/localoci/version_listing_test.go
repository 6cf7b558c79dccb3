package localoci_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/localoci"
)

// versioned is a local OCI whose buckets keep versions.
func versioned(t *testing.T, dir string, now func() time.Time) *localoci.Server {
	t.Helper()
	s, err := localoci.Open(localoci.Config{
		Dir: dir, Buckets: buckets, Versioned: true, Log: slog.New(slog.DiscardHandler), Now: now,
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

// versions lists all pages; a version is its name, then - where it marks a deletion.
func (s *signer) versions(t *testing.T, where, query string) (list []string, pages int) {
	t.Helper()
	next := ""
	for pages = 1; ; pages++ {
		resp, doc := s.send(t, "GET", where+"?"+query+next, "", nil)
		if resp.StatusCode != 200 {
			t.Fatalf("%s: status %d %v", query, resp.StatusCode, doc)
		}
		for _, item := range doc["items"].([]any) {
			v := item.(map[string]any)
			text := v["name"].(string)
			if v["isDeleteMarker"] == true {
				text += "-"
			}
			list = append(list, text)
		}
		for _, prefix := range doc["prefixes"].([]any) {
			list = append(list, prefix.(string))
		}
		if next = resp.Header.Get("Opc-Next-Page"); next == "" {
			return list, pages
		}
		next = "&page=" + url.QueryEscape(next)
	}
}

func TestVersionsAreListedInPages(t *testing.T) {
	s := versioned(t, t.TempDir(), time.Now)
	p := personOf(t, s)
	for _, name := range []string{"a", "a", "a-b", "a/1", "b", "a", "b/2", "b/3"} {
		p.send(t, "PUT", object(s, "packages", name), "x", nil)
	}
	p.send(t, "DELETE", object(s, "packages", "a-b"), "", nil)
	p.send(t, "DELETE", object(s, "packages", "b"), "", nil)
	p.send(t, "PUT", object(s, "packages", "b"), "x", nil)
	where := s.Endpoint() + "/n/localns/b/packages/objectversions"
	for query, want := range map[string]string{
		"":                     "a a a a-b- a-b a/1 b b- b b/2 b/3",
		"prefix=a":             "a a a a-b- a-b a/1",
		"start=a-b":            "a-b- a-b a/1 b b- b b/2 b/3",
		"startAfter=a":         "a-b- a-b a/1 b b- b b/2 b/3",
		"startAfter=a&end=b/2": "a-b- a-b a/1 b b- b",
		"delimiter=/":          "a a a a-b- a-b b b- b a/ b/",
	} {
		got, _ := p.versions(t, where, query)
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
		if query == "delimiter=/" {
			continue // each page has its own folders at its end
		}
		for _, limit := range []int{1, 2, 5} {
			paged, pages := p.versions(t, where, fmt.Sprintf("%s&limit=%d", query, limit))
			if diff := cmp.Diff(got, paged); diff != "" || pages != (len(got)+limit-1)/limit {
				t.Errorf("%s by %d, %d pages (-want +got):\n%s", query, limit, pages, diff)
			}
		}
	}
	for _, query := range []string{"limit=0", "limit=1001", "page=x", "page=!", "fields=name,colour"} {
		if resp, _ := p.send(t, "GET", where+"?"+query, "", nil); resp.StatusCode != 400 {
			t.Errorf("%s: status %d; want 400", query, resp.StatusCode)
		}
	}
}

// As on OCI, listings and events have milliseconds and headers have seconds; and of a version only
// what was asked for is told, besides which it is.
func TestTimesAreAsPreciseAsOnOCI(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second).Add(123456789)
	s := versioned(t, t.TempDir(), func() time.Time { return now })
	p := personOf(t, s)
	put, _ := p.send(t, "PUT", object(s, "packages", "a"), "x", nil)
	want := now.Truncate(time.Millisecond).Format(time.RFC3339Nano)
	if got := put.Header.Get("Last-Modified"); got != now.Format(http.TimeFormat) {
		t.Errorf("Last-Modified %s", got)
	}
	_, doc := p.send(t, "GET", s.Endpoint()+"/n/localns/b/packages/o?fields=timeCreated,timeModified", "", nil)
	if diff := cmp.Diff(map[string]any{"name": "a", "timeCreated": want, "timeModified": want}, doc["objects"].([]any)[0]); diff != "" {
		t.Error("object (-want +got):\n" + diff)
	}
	_, doc = p.send(t, "GET", s.Endpoint()+"/n/localns/b/packages/objectversions?fields=etag", "", nil)
	version := map[string]any{"name": "a", "versionId": put.Header.Get("Version-Id"), "isDeleteMarker": false, "timeModified": want, "etag": put.Header.Get("Etag")}
	if diff := cmp.Diff(version, doc["items"].([]any)[0]); diff != "" {
		t.Error("version (-want +got):\n" + diff)
	}
}

// The function lists versions of packages and reads them, and removes none for good.
func TestTheFunctionAndVersions(t *testing.T) {
	s := versioned(t, t.TempDir(), time.Now)
	p, f := personOf(t, s), functionOf(t, s, time.Now().Add(time.Hour))
	first := map[string]string{}
	for _, bucket := range []string{"packages", "state"} {
		put, _ := p.send(t, "PUT", object(s, bucket, "a"), "1", nil)
		p.send(t, "PUT", object(s, bucket, "a"), "2", nil)
		first[bucket] = "?versionId=" + put.Header.Get("Version-Id")
	}
	for _, c := range []struct {
		method, url string
		want        int
	}{
		{"GET", s.Endpoint() + "/n/localns/b/packages/objectversions", 200},
		{"GET", object(s, "packages", "a") + first["packages"], 200},
		{"HEAD", object(s, "packages", "a") + first["packages"], 200},
		{"DELETE", object(s, "packages", "a") + first["packages"], 404},
		{"DELETE", object(s, "state", "a") + first["state"], 404},
		{"DELETE", object(s, "state", "a"), 204},
		{"GET", object(s, "state", "a"), 404},
		{"GET", object(s, "state", "a") + first["state"], 200},
	} {
		if resp, text := f.read(t, c.method, c.url, nil); resp.StatusCode != c.want {
			t.Errorf("%s %s: status %d %s; want %d", c.method, c.url, resp.StatusCode, text, c.want)
		}
	}
}

// A folder of an earlier start, whose buckets kept no versions, keeps them from then on; one whose
// buckets do stays as it is.
func TestVersioningOfAnExistingFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	p := personOf(t, s)
	old, _ := p.send(t, "PUT", object(s, "packages", "a"), "1", nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = versioned(t, dir, time.Now)
	p.send(t, "PUT", object(s, "packages", "a"), "2", nil)
	if resp, text := p.read(t, "GET", object(s, "packages", "a")+"?versionId="+old.Header.Get("Version-Id"), nil); resp.StatusCode != 200 || text != "1" {
		t.Errorf("what was there before: status %d, %q", resp.StatusCode, text)
	}
	for bucket, want := range map[string]string{"packages": "Enabled", "state": "Enabled", "results": "Disabled"} {
		if _, doc := p.send(t, "GET", s.Endpoint()+"/n/localns/b/"+bucket, "", nil); doc["versioning"] != want {
			t.Errorf("versioning of %s is %v; want %s", bucket, doc["versioning"], want)
		}
	}
}

// What was overwritten or deleted is not among the objects, and what is there is the newest.
func TestEarlierVersionsAreNoObjects(t *testing.T) {
	s := versioned(t, t.TempDir(), time.Now)
	p := personOf(t, s)
	for n := range 3 {
		p.send(t, "PUT", object(s, "state", "group"), fmt.Sprint(n), nil)
		p.send(t, "PUT", object(s, "state", "open"), "x", nil)
		p.send(t, "DELETE", object(s, "state", "open"), "", nil)
	}
	resp, doc := p.send(t, "GET", s.Endpoint()+"/n/localns/b/state/o?limit=1", "", nil)
	if names := doc["objects"].([]any); resp.StatusCode != 200 || len(names) != 1 || doc["nextStartWith"] != nil {
		t.Errorf("status %d, %v", resp.StatusCode, doc)
	}
	if _, text := p.read(t, "GET", object(s, "state", "group"), nil); text != "2" {
		t.Errorf("the newest is %q", text)
	}
}
