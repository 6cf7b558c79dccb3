package logging_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/loggingsearch"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
)

// searcher is the SDK's own client of Logging Search, as the person.
func searcher(t *testing.T, s *localoci.Server) loggingsearch.LogSearchClient {
	t.Helper()
	provider, err := common.ConfigurationProviderFromFile(s.Authority().ConfigFile(), "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := loggingsearch.NewLogSearchClientWithConfigurationProvider(provider)
	if err != nil {
		t.Fatal(err)
	}
	once := common.NoRetryPolicy()
	c.SetCustomClientConfiguration(common.CustomClientConfiguration{RetryPolicy: &once})
	c.Host = s.Endpoint()
	c.HTTPClient = &http.Client{}
	return c
}

const wholeLog = `search "` + localoci.WriteLog + `"`

// search is a search of the last two hours.
func search(query string) loggingsearch.SearchLogsRequest {
	return loggingsearch.SearchLogsRequest{SearchLogsDetails: loggingsearch.SearchLogsDetails{
		TimeStart: &common.SDKTime{Time: time.Now().Add(-time.Hour)},
		TimeEnd:   &common.SDKTime{Time: time.Now().Add(time.Hour)}, SearchQuery: &query,
	}}
}

// logEntries are the data of the entries found, earliest first.
func logEntries(t *testing.T, s *localoci.Server) []map[string]any {
	t.Helper()
	answer, err := searcher(t, s).SearchLogs(t.Context(), search(wholeLog+" | sort by datetime asc"))
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	for _, r := range answer.Results {
		doc, err := json.Marshal(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		var entry struct{ LogContent struct{ Data map[string]any } }
		if err := json.Unmarshal(doc, &entry); err != nil {
			t.Fatal(err)
		}
		list = append(list, entry.LogContent.Data)
	}
	if *answer.Summary.ResultCount != len(list) {
		t.Errorf("%d results are said to be %d", len(list), *answer.Summary.ResultCount)
	}
	return list
}

func TestTheWriteLogNamesWhoWrote(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	statements := []string{
		"Allow dynamic-group cemli-function to manage objects in compartment id " + localoci.Compartment +
			" where target.bucket.name='packages'",
		"Allow dynamic-group cemli-instance to manage objects in compartment id " + localoci.Compartment +
			" where target.bucket.name='packages'",
	}
	s := localtest.WithStatements(t, dir, statements)
	instance, err := s.Authority().NewInstance(time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	people := map[string]*localtest.Signer{
		"user": localtest.PersonOf(t, s), "resource": localtest.FunctionOf(t, s, time.Now().Add(time.Hour)),
		"instance": localtest.With(t, instance),
	}
	ids := map[string]string{"user": localoci.User, "resource": localoci.FunctionID, "instance": localoci.InstanceID}
	var want []string
	for _, kind := range []string{"user", "resource", "instance"} {
		resp, doc := people[kind].Send(t, "PUT", localtest.Object(s, "packages", kind+".zip"), "x", nil)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", kind, resp.StatusCode, doc)
		}
		want = append(want,
			fmt.Sprint(ids[kind], kind, resp.Header.Get("Etag"), resp.Header.Get("Version-Id"), 200, "PUT", false))
	}
	// What is read, and written elsewhere, is not in it; what is refused is.
	people["user"].Read(t, "GET", localtest.Object(s, "packages", "user.zip"), nil)
	people["user"].Send(t, "PUT", localtest.Object(s, "state", "user.zip"), "x", nil)
	people["user"].Send(t, "PUT", localtest.Object(s, "packages", "user.zip"), "x",
		func(r *http.Request) { r.Header.Set("If-None-Match", "*") })
	want = append(want, fmt.Sprint(localoci.User, "user", nil, nil, 412, "PUT", false))
	check := func() {
		t.Helper()
		var got []string
		for _, d := range logEntries(t, s) {
			details, _ := d["additionalDetails"].(map[string]any)
			got = append(got,
				fmt.Sprint(d["principalId"], d["authenticationType"], d["eTag"], details["versionId"], d["statusCode"],
					d["requestAction"], d["isPar"]))
			if d["bucketName"] != "packages" || d["clientIpAddress"] != "127.0.0.1" || d["principalName"] == "" ||
				!strings.HasSuffix(fmt.Sprint(d["objectName"]), ".zip") || d["opcRequestId"] == "" {
				t.Errorf("entry %v", d)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("entries (-want +got):\n%s", diff)
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = localtest.Open(t, dir, nil) // it is still there
	defer s.Close()
	check()
}

// An instance may do nothing without a statement for it.
func TestAnInstanceMayDoNothing(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	session, err := s.Authority().NewInstance(time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	i := localtest.With(t, session)
	resp, doc := i.Send(t, "PUT", localtest.Object(s, "state", "x"), "x", nil)
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("%d %v", resp.StatusCode, doc)
	}
}

// Multipart uploads and copies create objects, too.
func TestTheWriteLogHasEveryWayOfWriting(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	p := localtest.PersonOf(t, s)
	p.Send(t, "PUT", localtest.Object(s, "state", "from.zip"), "x", nil)
	body := fmt.Sprintf(`{"sourceObjectName":"from.zip","destinationRegion":%q,"destinationNamespace":"localns",
		"destinationBucket":"packages","destinationObjectName":"to.zip"}`, localoci.Region)
	resp, doc := p.Send(t, "POST", s.Endpoint()+"/n/localns/b/state/actions/copyObject", body, nil)
	if resp.StatusCode != http.StatusAccepted {
		t.Fatal(doc)
	}
	head, _ := p.Read(t, "GET", localtest.Object(s, "packages", "to.zip"), nil)
	list := logEntries(t, s)
	if len(list) != 1 || list[0]["eTag"] != head.Header.Get("Etag") || list[0]["principalId"] != localoci.User {
		t.Errorf("%v", list)
	}
}

func TestEntriesThatAreLostOrLate(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	p := localtest.PersonOf(t, s)
	for fault, want := range map[string]int{`{"log_lose":1}`: 0, `{"log_delay":"1h"}`: 0, `{}`: 1} {
		if status, doc := localtest.Admin(t, s, "PUT", "/local/faults", fault, nil); status != http.StatusOK {
			t.Fatal(doc)
		}
		before := len(logEntries(t, s))
		p.Send(t, "PUT", localtest.Object(s, "packages", "a.zip"), "x", nil)
		if got := len(logEntries(t, s)) - before; got != want {
			t.Errorf("%s: %d entries; want %d", fault, got, want)
		}
	}
	status, _ := localtest.Admin(t, s, "PUT", "/local/faults", `{"log_lose":2}`, nil)
	if status != http.StatusBadRequest {
		t.Errorf("a rate of 2: %d", status)
	}
}

// People can add entries as OCI would write them, because local OCI has no pre-authenticated requests.
func TestAnEntryOfAPreAuthenticatedRequest(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	status, doc := localtest.Admin(t, s, "POST", "/local/writes",
		`{"etag":"e","version_id":"v","principal":"ocid1.user.oc1..p","pre_authenticated":true}`, nil)
	if status != http.StatusOK {
		t.Fatal(doc)
	}
	list := logEntries(t, s)
	if len(list) != 1 || list[0]["isPar"] != true || list[0]["eTag"] != "e" ||
		list[0]["principalId"] != "ocid1.user.oc1..p" || list[0]["authenticationType"] != "user" {
		t.Errorf("%v", list)
	}
	status, _ = localtest.Admin(t, s, "POST", "/local/writes", `{"object":"x"}`, nil)
	if status != http.StatusBadRequest {
		t.Errorf("an unknown key: %d", status)
	}
}

func TestSearchesInPages(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	for n := range 5 {
		s.LogWrite(localoci.LoggedWrite{ETag: fmt.Sprint(n)})
	}
	c := searcher(t, s)
	for query, want := range map[string]string{
		wholeLog + " | sort by datetime asc":                                                    "[0 1] [2 3] [4]",
		wholeLog + " | sort by datetime desc":                                                   "[4 3] [2 1] [0]",
		`search "` + localoci.Compartment + `"`:                                                 "[4 3] [2 1] [0]",
		strings.TrimSuffix(wholeLog, `/ocid1.log.oc1.phx.cemlilocal"`) + `" | sort by datetime`: "[4 3] [2 1] [0]",
	} {
		q := search(query)
		q.Limit = common.Int(2)
		var pages []string
		for {
			answer, err := c.SearchLogs(t.Context(), q)
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			var page []any
			for _, r := range answer.Results {
				data, _ := (*r.Data).(map[string]any)
				content, _ := data["logContent"].(map[string]any)
				page = append(page, content["data"].(map[string]any)["eTag"])
			}
			pages = append(pages, fmt.Sprint(page))
			if q.Page = answer.OpcNextPage; q.Page == nil || len(pages) > 5 {
				break
			}
		}
		if got := strings.Join(pages, " "); got != want {
			t.Errorf("%s: %s; want %s", query, got, want)
		}
	}
}

func TestSearchesThatAreRefused(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	c := searcher(t, s)
	for name, change := range map[string]func(*loggingsearch.SearchLogsRequest){
		"InvalidParameter a query that is not known": func(q *loggingsearch.SearchLogsRequest) {
			q.SearchQuery = common.String(wholeLog + ` | where data.objectName='x'`)
		},
		"InvalidParameter no query": func(q *loggingsearch.SearchLogsRequest) {
			q.SearchQuery = common.String("")
		},
		"InvalidParameter more than 14 days": func(q *loggingsearch.SearchLogsRequest) {
			q.TimeStart.Time = time.Now().Add(-15 * 24 * time.Hour)
		},
		"InvalidParameter the end before the start": func(q *loggingsearch.SearchLogsRequest) {
			q.TimeEnd.Time = time.Now().Add(-2 * time.Hour)
		},
		"InvalidParameter a limit over 1000":  func(q *loggingsearch.SearchLogsRequest) { q.Limit = common.Int(1001) },
		"InvalidParameter a page of nobody's": func(q *loggingsearch.SearchLogsRequest) { q.Page = common.String("x") },
		"NotAuthorizedOrNotFound another log": func(q *loggingsearch.SearchLogsRequest) {
			q.SearchQuery = common.String(`search "` + localoci.Compartment + `/ocid1.loggroup.oc1.phx.other/x"`)
		},
		"NotAuthorizedOrNotFound another compartment": func(q *loggingsearch.SearchLogsRequest) {
			q.SearchQuery = common.String(`search "ocid1.compartment.oc1..other"`)
		},
	} {
		q := search(wholeLog)
		change(&q)
		want, what, _ := strings.Cut(name, " ")
		if _, err := c.SearchLogs(t.Context(), q); localtest.Refusal(err) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
}
