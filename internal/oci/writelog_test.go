package oci_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/oci"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

func theLog(t *testing.T) oci.WriteLog {
	t.Helper()
	parts := strings.Split(localoci.WriteLog, "/")
	return oci.WriteLog{Compartment: parts[0], Group: parts[1], Log: parts[2]}
}

func lately() (from, to time.Time) { return time.Now().Add(-time.Hour), time.Now().Add(time.Hour) }

// The function can read, in pages, who wrote, with its own permissions.
func TestTheFunctionReadsTheWriteLog(t *testing.T) {
	s := local(t)
	b := person(s, s.Endpoint()).Bucket("packages")
	info, err := b.Put(t.Context(), "a.zip", strings.NewReader("x"), 1, store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 150 {
		s.LogWrite(localoci.LoggedWrite{
			ETag: fmt.Sprint("e", n), Principal: "ocid1.user.oc1..p", PreAuthenticated: n == 149,
		})
	}
	if err := b.Delete(t.Context(), "a.zip", ""); err != nil {
		t.Fatal(err)
	}
	c := function(t, s, s.Endpoint())
	var all []oci.LoggedWrite
	for page, pages := "", 0; pages == 0 || page != ""; pages++ {
		from, to := lately()
		writes, next, err := c.Writes(t.Context(), theLog(t), from, to, page)
		if err != nil || len(writes) > 100 {
			t.Fatalf("%d, %v", len(writes), err)
		}
		all, page = append(all, writes...), next
	}
	if len(all) != 151 || !slices.IsSortedFunc(all, func(a, b oci.LoggedWrite) int { return a.Time.Compare(b.Time) }) {
		t.Fatalf("%d writes; a deletion is none", len(all))
	}
	want := oci.LoggedWrite{
		Time: all[0].Time, Bucket: "packages", ETag: info.ETag, VersionID: info.VersionID, Principal: localoci.User,
		Authentication: "user",
	}
	if diff := cmp.Diff(want, all[0]); diff != "" || time.Since(all[0].Time) > time.Minute {
		t.Errorf("the upload (-want +got):\n%s", diff)
	}
	if last := all[150]; !last.PreAuthenticated || last.ETag != "e149" {
		t.Errorf("%+v", last)
	}
	other := theLog(t)
	other.Group = "ocid1.loggroup.oc1..other"
	from, to := lately()
	if _, _, err := c.Writes(t.Context(), other, from, to, ""); problem.CodeOf(err) != "config.write_log" {
		t.Errorf("another log: %v", err)
	}
}

// served is a Logging service that answers with a text, and records the requests.
func served(t *testing.T, status int, text string) (*oci.Client, *[]string) {
	t.Helper()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 1<<10)
		n, _ := r.Body.Read(body)
		asked = append(asked, string(body[:n]))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	return person(local(t), server.URL), &asked
}

// Only entries of writes that created an object count, in whatever form.
func TestWhichEntriesAreWrites(t *testing.T) {
	t.Parallel()
	entry := func(data string) string {
		return `{"summary":{"resultCount":1},"results":[{"data":{"datetime":1764265526000,` +
			`"logContent":{"time":"2025-11-27T17:45:26Z","data":{"bucketName":"b","eTag":"e",` + data + `}}}}]}`
	}
	for data, want := range map[string]int{
		`"requestAction":"PUT","statusCode":200`:                                                                    1,
		`"requestAction":"PUT","statusCode":"200","isPar":"true"`:                                                   1,
		`"requestAction":"PUT"`:                                                                                     1,
		`"requestAction":"PUT","statusCode":412`:                                                                    0,
		`"requestAction":"DELETE","statusCode":204,"additionalDetails":{"versionId":"v"}`:                           0,
		`"requestAction":"POST","statusCode":200,"requestResourcePath":"/n/ns/b/b/u/a/actions/x"`:                   1,
		`"requestAction":"POST","statusCode":202,"requestResourcePath":"/n/ns/b/b/actions/copyObject"`:              1,
		`"requestAction":"POST","statusCode":200,"requestResourcePath":"/n/ns/b/b/actions/restoreObjects"`:          0,
		`"requestAction":"POST","statusCode":200,"requestResourcePath":"/n/ns/b/b/actions/updateObjectStorageTier"`: 0,
	} {
		c, asked := served(t, http.StatusOK, entry(data))
		from, to := lately()
		writes, next, err := c.Writes(t.Context(), oci.WriteLog{Compartment: "c", Group: "g", Log: "l"}, from, to, "")
		if err != nil || next != "" || len(writes) != want {
			t.Errorf("%s: %+v, %v", data, writes, err)
			continue
		}
		if want == 1 && (!writes[0].Time.Equal(time.UnixMilli(1764265526000)) ||
			writes[0].PreAuthenticated != strings.Contains(data, "true")) {
			t.Errorf("%s: %+v", data, writes[0])
		}
		if len(*asked) != 1 ||
			!strings.Contains((*asked)[0], `"searchQuery":"search \"c/g/l\" | sort by datetime asc"`) {
			t.Errorf("asked %q", *asked)
		}
	}
}

// The log's answers are bounded, and entries that are not understood are ignored.
func TestAWriteLogThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"results":[{"data":{"logContent":{"data":"text"}}}]}`:                       "store.unavailable",
		`{"results":[{"data":"` + strings.Repeat("x", 9<<20) + `"}]}`:                 "store.unavailable",
		`{"results":[{"data":{"logContent":{"data":{"eTag":{"a":"secret-name"}}}}}]}`: "store.unavailable",
	} {
		c, asked := served(t, http.StatusOK, text)
		from, to := lately()
		_, _, err := c.Writes(t.Context(), theLog(t), from, to, "")
		if problem.CodeOf(err) != want || len(*asked) != 1 || strings.Contains(err.Error(), "secret-name") {
			t.Errorf("%.60s: %.300v after %d", text, err, len(*asked))
		}
	}
	c, _ := served(t, http.StatusBadRequest, `{"code":"InvalidParameter","message":"m"}`)
	from, to := lately()
	if _, _, err := c.Writes(t.Context(), theLog(t), from, to, ""); problem.CodeOf(err) != "config.write_log" {
		t.Errorf("refused: %v", err)
	}
}
