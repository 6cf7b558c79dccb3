package objectstorage_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/localoci/localtest"
)

func TestVersionsWithTheSDK(t *testing.T) {
	t.Parallel()
	s, ctx := localtest.Start(t), t.Context()
	c := localtest.Client(t, s)
	if _, err := c.UpdateBucket(ctx,
		objectstorage.UpdateBucketRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages,
			UpdateBucketDetails: objectstorage.UpdateBucketDetails{
				Versioning: objectstorage.UpdateBucketDetailsVersioningEnabled,
			},
		}); err != nil {
		t.Fatal(err)
	}
	versions := func() (list []string, ids []string) {
		t.Helper()
		r, err := c.ListObjectVersions(ctx,
			objectstorage.ListObjectVersionsRequest{
				NamespaceName: localtest.NS, BucketName: localtest.Packages, Prefix: common.String("v"),
				Fields: objectstorage.ListObjectVersionsFieldsSize,
			})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range r.Items {
			size := int64(0)
			if v.Size != nil {
				size = *v.Size
			}
			list, ids = append(list, fmt.Sprintf("%s %d %v", *v.Name, size, *v.IsDeleteMarker)),
				append(ids, *v.VersionId)
		}
		return list, ids
	}
	localtest.Put(t, c, "packages", "v", "1")
	localtest.Put(t, c, "packages", "v", "22")
	localtest.Put(t, c, "packages", "vv", "other")
	list, ids := versions()
	if diff := cmp.Diff([]string{"v 2 false", "v 1 false", "vv 5 false"}, list); diff != "" {
		t.Fatalf("versions (-want +got):\n%s", diff)
	}
	if localtest.Get(t, c, "packages", "v", ids[1]) != "1" ||
		localtest.Get(t, c, "packages", "v", "no such") != "none" {
		t.Error("the first version cannot be read, or one that never was can")
	}
	remove := func(version *string) objectstorage.DeleteObjectResponse {
		t.Helper()
		r, err := c.DeleteObject(ctx,
			objectstorage.DeleteObjectRequest{
				NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: common.String("v"),
				VersionId: version,
			})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	marked := remove(nil)
	if marked.IsDeleteMarker == nil || !*marked.IsDeleteMarker || localtest.Get(t, c, "packages", "v", "") != "none" ||
		localtest.Get(t, c, "packages", "v", ids[0]) != "22" {
		t.Errorf("after a delete: %+v", marked)
	}
	if list, _ := versions(); list[0] != "v 0 true" {
		t.Errorf("versions %v; want a marker first", list)
	}
	remove(marked.VersionId)
	if localtest.Get(t, c, "packages", "v", "") != "22" {
		t.Error("without the marker the object is not back")
	}
	remove(&ids[0])
	if localtest.Get(t, c, "packages", "v", "") != "1" {
		t.Error("without the newest version the one before is not the object")
	}
	remove(&ids[1])
	if list, _ := versions(); len(list) != 1 {
		t.Errorf("versions %v; want the other object's only", list)
	}
}

// versions lists all pages; a version is its name, followed by - if it is a deletion marker.
func versions(t *testing.T, p *localtest.Signer, where, query string) (list []string, pages int) {
	t.Helper()
	next := ""
	for pages = 1; ; pages++ {
		resp, doc := p.Send(t, "GET", where+"?"+query+next, "", nil)
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
	t.Parallel()
	s := localtest.Versioned(t, t.TempDir(), time.Now)
	p := localtest.PersonOf(t, s)
	for _, name := range []string{"a", "a", "a-b", "a/1", "b", "a", "b/2", "b/3"} {
		p.Send(t, "PUT", localtest.Object(s, "packages", name), "x", nil)
	}
	p.Send(t, "DELETE", localtest.Object(s, "packages", "a-b"), "", nil)
	p.Send(t, "DELETE", localtest.Object(s, "packages", "b"), "", nil)
	p.Send(t, "PUT", localtest.Object(s, "packages", "b"), "x", nil)
	where := s.Endpoint() + "/n/localns/b/packages/objectversions"
	for query, want := range map[string]string{
		"":                     "a a a a-b- a-b a/1 b b- b b/2 b/3",
		"prefix=a":             "a a a a-b- a-b a/1",
		"start=a-b":            "a-b- a-b a/1 b b- b b/2 b/3",
		"startAfter=a":         "a-b- a-b a/1 b b- b b/2 b/3",
		"startAfter=a&end=b/2": "a-b- a-b a/1 b b- b",
		"delimiter=/":          "a a a a-b- a-b b b- b a/ b/",
	} {
		got, _ := versions(t, p, where, query)
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
		if query == "delimiter=/" {
			continue // each page has its own folders at its end
		}
		for _, limit := range []int{1, 2, 5} {
			paged, pages := versions(t, p, where, fmt.Sprintf("%s&limit=%d", query, limit))
			if diff := cmp.Diff(got, paged); diff != "" || pages != (len(got)+limit-1)/limit {
				t.Errorf("%s by %d, %d pages (-want +got):\n%s", query, limit, pages, diff)
			}
		}
	}
	for _, query := range []string{"limit=0", "limit=1001", "page=x", "page=!", "fields=name,colour"} {
		if resp, _ := p.Send(t, "GET", where+"?"+query, "", nil); resp.StatusCode != 400 {
			t.Errorf("%s: status %d; want 400", query, resp.StatusCode)
		}
	}
}

// As on OCI, listings and events have milliseconds and headers have seconds, and a version in a listing has only the
// requested fields besides its id.
func TestTimesAreAsPreciseAsOnOCI(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second).Add(123456789)
	s := localtest.Versioned(t, t.TempDir(), func() time.Time { return now })
	p := localtest.PersonOf(t, s)
	put, _ := p.Send(t, "PUT", localtest.Object(s, "packages", "a"), "x", nil)
	want := now.Truncate(time.Millisecond).Format(time.RFC3339Nano)
	if got := put.Header.Get("Last-Modified"); got != now.Format(http.TimeFormat) {
		t.Errorf("Last-Modified %s", got)
	}
	_, doc := p.Send(t, "GET", s.Endpoint()+"/n/localns/b/packages/o?fields=timeCreated,timeModified", "", nil)
	diff := cmp.Diff(map[string]any{"name": "a", "timeCreated": want, "timeModified": want}, doc["objects"].([]any)[0])
	if diff != "" {
		t.Error("object (-want +got):\n" + diff)
	}
	_, doc = p.Send(t, "GET", s.Endpoint()+"/n/localns/b/packages/objectversions?fields=etag", "", nil)
	version := map[string]any{
		"name": "a", "versionId": put.Header.Get("Version-Id"), "isDeleteMarker": false, "timeModified": want,
		"etag": put.Header.Get("Etag"),
	}
	if diff := cmp.Diff(version, doc["items"].([]any)[0]); diff != "" {
		t.Error("version (-want +got):\n" + diff)
	}
}

// The function can list and read versions of packages, and cannot remove any.
func TestTheFunctionAndVersions(t *testing.T) {
	t.Parallel()
	s := localtest.Versioned(t, t.TempDir(), time.Now)
	p, f := localtest.PersonOf(t, s), localtest.FunctionOf(t, s, time.Now().Add(time.Hour))
	first := map[string]string{}
	for _, bucket := range []string{"packages", "state"} {
		put, _ := p.Send(t, "PUT", localtest.Object(s, bucket, "a"), "1", nil)
		p.Send(t, "PUT", localtest.Object(s, bucket, "a"), "2", nil)
		first[bucket] = "?versionId=" + put.Header.Get("Version-Id")
	}
	for _, c := range []struct {
		method, url string
		want        int
	}{
		{"GET", s.Endpoint() + "/n/localns/b/packages/objectversions", 200},
		{"GET", localtest.Object(s, "packages", "a") + first["packages"], 200},
		{"HEAD", localtest.Object(s, "packages", "a") + first["packages"], 200},
		{"DELETE", localtest.Object(s, "packages", "a") + first["packages"], 404},
		{"DELETE", localtest.Object(s, "state", "a") + first["state"], 404},
		{"DELETE", localtest.Object(s, "state", "a"), 204},
		{"GET", localtest.Object(s, "state", "a"), 404},
		{"GET", localtest.Object(s, "state", "a") + first["state"], 200},
	} {
		if resp, text := f.Read(t, c.method, c.url, nil); resp.StatusCode != c.want {
			t.Errorf("%s %s: status %d %s; want %d", c.method, c.url, resp.StatusCode, text, c.want)
		}
	}
}

// The buckets of a folder from an earlier start, if they kept no versions, keep them from now on; those that do stay
// as they are.
func TestVersioningOfAnExistingFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := localtest.Open(t, dir, nil)
	p := localtest.PersonOf(t, s)
	old, _ := p.Send(t, "PUT", localtest.Object(s, "packages", "a"), "1", nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = localtest.Versioned(t, dir, time.Now)
	p.Send(t, "PUT", localtest.Object(s, "packages", "a"), "2", nil)
	resp, text := p.Read(t, "GET", localtest.Object(s, "packages", "a")+"?versionId="+old.Header.Get("Version-Id"), nil)
	if resp.StatusCode != 200 || text != "1" {
		t.Errorf("what was there before: status %d, %q", resp.StatusCode, text)
	}
	for bucket, want := range map[string]string{"packages": "Enabled", "state": "Enabled", "results": "Disabled"} {
		if _, doc := p.Send(t, "GET", s.Endpoint()+"/n/localns/b/"+bucket, "", nil); doc["versioning"] != want {
			t.Errorf("versioning of %s is %v; want %s", bucket, doc["versioning"], want)
		}
	}
}

// Overwritten and deleted versions are not listed as objects.
func TestEarlierVersionsAreNoObjects(t *testing.T) {
	t.Parallel()
	s := localtest.Versioned(t, t.TempDir(), time.Now)
	p := localtest.PersonOf(t, s)
	for n := range 3 {
		p.Send(t, "PUT", localtest.Object(s, "state", "group"), fmt.Sprint(n), nil)
		p.Send(t, "PUT", localtest.Object(s, "state", "open"), "x", nil)
		p.Send(t, "DELETE", localtest.Object(s, "state", "open"), "", nil)
	}
	resp, doc := p.Send(t, "GET", s.Endpoint()+"/n/localns/b/state/o?limit=1", "", nil)
	if names := doc["objects"].([]any); resp.StatusCode != 200 || len(names) != 1 || doc["nextStartWith"] != nil {
		t.Errorf("status %d, %v", resp.StatusCode, doc)
	}
	if _, text := p.Read(t, "GET", localtest.Object(s, "state", "group"), nil); text != "2" {
		t.Errorf("the newest is %q", text)
	}
}
