package objectstorage_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
	"cemli-executor/internal/testkit"
)

// details are what a pre-authenticated request is made of that is valid for an hour.
func details(
	kind objectstorage.CreatePreauthenticatedRequestDetailsAccessTypeEnum, object string, listing bool,
) objectstorage.CreatePreauthenticatedRequestDetails {
	d := objectstorage.CreatePreauthenticatedRequestDetails{
		Name: common.String("par"), AccessType: kind, TimeExpires: &common.SDKTime{Time: time.Now().Add(time.Hour)},
	}
	if object != "" {
		d.ObjectName = &object
	}
	if listing {
		d.BucketListingAction = objectstorage.PreauthenticatedRequestBucketListingActionListobjects
	}
	return d
}

func preauthenticate(
	t *testing.T, c objectstorage.ObjectStorageClient, bucket string,
	d objectstorage.CreatePreauthenticatedRequestDetails,
) objectstorage.PreauthenticatedRequest {
	t.Helper()
	r, err := c.CreatePreauthenticatedRequest(t.Context(),
		objectstorage.CreatePreauthenticatedRequestRequest{
			NamespaceName: localtest.NS, BucketName: &bucket, CreatePreauthenticatedRequestDetails: d,
		})
	if err != nil {
		t.Fatal(err)
	}
	return r.PreauthenticatedRequest
}

// plain sends a request without a signature, its path as it is, and returns the status, and the code of a refusal or
// the text.
func plain(t *testing.T, s *localoci.Server, method, path, body string, header ...string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.Endpoint()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	said, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(text)), `{"code":"`), `","message`)
	return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", said))
}

const (
	read      = objectstorage.CreatePreauthenticatedRequestDetailsAccessTypeObjectread
	write     = objectstorage.CreatePreauthenticatedRequestDetailsAccessTypeObjectwrite
	both      = objectstorage.CreatePreauthenticatedRequestDetailsAccessTypeObjectreadwrite
	readAny   = objectstorage.CreatePreauthenticatedRequestDetailsAccessTypeAnyobjectread
	writeAny  = objectstorage.CreatePreauthenticatedRequestDetailsAccessTypeAnyobjectwrite
	bothAny   = objectstorage.CreatePreauthenticatedRequestDetailsAccessTypeAnyobjectreadwrite
	nobody    = "401 NotAuthenticated"
	noBucket  = "404 BucketNotFound"
	forMaking = "Allow dynamic-group cemli-function to manage buckets in compartment id " + localoci.Compartment +
		" where request.permission='PAR_MANAGE'"
	allOfB = "Allow dynamic-group cemli-function to manage objects in compartment id " + localoci.Compartment
)

// What each type of access grants, and nothing beyond it.
func TestWhatPreAuthenticatedRequestsGrant(t *testing.T) {
	s := localtest.Start(t)
	c := localtest.Client(t, s)
	for _, name := range []string{"in/a", "in/b c", "out", "inside"} {
		localtest.Put(t, c, "state", name, name)
	}
	localtest.Put(t, c, "results", "in/a", "another")
	for _, p := range []struct {
		details objectstorage.CreatePreauthenticatedRequestDetails
		uri     string // after …/o/
		want    map[string]string
	}{
		{details(read, "in/b c", false), "in/b%20c", map[string]string{
			"GET in/b%20c": "200 in/b c", "HEAD in/b%20c": "200", "PUT in/b%20c": nobody, "GET in/a": nobody,
			"GET in/b": nobody, "GET ": nobody, "DELETE in/b%20c": nobody,
		}},
		{
			details(write, "w/a", false), "w/a",
			map[string]string{"PUT w/a": "200", "GET w/a": nobody, "HEAD w/a": "401", "PUT w/ab": nobody},
		},
		{
			details(both, "new", false), "new",
			map[string]string{"PUT new": "200", "DELETE new": nobody, "GET out": nobody},
		},
		{details(readAny, "in/", false), "", map[string]string{
			"GET in/a": "200 in/a", "GET out": nobody, "GET inside": nobody, "PUT in/x": nobody,
			"GET in/none": "404 ObjectNotFound", "GET ": nobody,
			"GET in/a?versionId=x": nobody,
		}},
		{
			details(readAny, "", true), "",
			map[string]string{
				"GET out": "200 out", "GET ?prefix=o": `200 {"objects":[{"name":"out"}]}`, "PUT out": nobody,
			},
		},
		{details(readAny, "in/", true), "", map[string]string{
			"GET ":             `200 {"objects":[{"name":"in/a"},{"name":"in/b c"}]}`,
			"GET ?prefix=i":    `200 {"objects":[{"name":"in/a"},{"name":"in/b c"}]}`,
			"GET ?prefix=in/b": `200 {"objects":[{"name":"in/b c"}]}`, "GET ?prefix=out": nobody,
			"GET ?limit=1&start=a": `200 {"objects":[{"name":"in/a"}],"nextStartWith":"in/b c"}`,
			"HEAD ":                "404", "PUT ": "404 NotAuthorizedOrNotFound",
		}},
		{
			details(writeAny, "w/", false), "",
			map[string]string{"PUT w/1": "200", "GET w/1": nobody, "PUT x": nobody, "GET ": nobody},
		},
		{details(bothAny, "in/", false), "", map[string]string{
			"PUT in/new": "200", "PUT in/": "200", "GET ": nobody, "POST ": "404 NotAuthorizedOrNotFound",
			// Dots lead nowhere: what they are sent in is the name.
			"GET in/../out": "404 ObjectNotFound", "GET in/%2e%2e/out": "404 ObjectNotFound",
			"GET in%2F..%2Fout": "404 ObjectNotFound",
			"GET ../o/out":      nobody, "GET %2e%2e/o/out": nobody, "GET ./in/a": nobody, "GET /in/a": nobody,
			"GET %69n/a": "200 in/a", "PUT out": nobody,
		}},
	} {
		par := preauthenticate(t, c, "state", p.details)
		base, object, _ := strings.Cut(*par.AccessUri, "/o/")
		if object != p.uri || !strings.HasSuffix(base, "/n/localns/b/state") ||
			*par.FullPath != s.Endpoint()+*par.AccessUri {
			t.Errorf("%s %q: its address is %s and %s", p.details.AccessType, *par.Name, *par.AccessUri, *par.FullPath)
		}
		for request, want := range p.want {
			method, name, _ := strings.Cut(request, " ")
			if got := plain(t, s, method, base+"/o/"+name, "new"); got != want {
				t.Errorf("%s of %q: %s: %s; want %s", p.details.AccessType, common.PointerString(p.details), request,
					got, want)
			}
		}
		for _, elsewhere := range []string{
			strings.Replace(base, "/b/state", "/b/results", 1) + "/o/in/a",
			strings.Replace(base, "/localns/", "/otherns/", 1) + "/o/in/a",
			base[:3] + base[4:] + "/o/in/a", "/p//n/localns/b/state/o/in/a",
		} {
			if got := plain(t, s, "GET", elsewhere, ""); got != nobody {
				t.Errorf("%s: %s: %s; want %s", p.details.AccessType, elsewhere, got, nobody)
			}
		}
		for _, path := range []string{"/u", "/objectversions", "/p", "", "/actions/renameObject"} {
			if got := plain(t, s, "GET", base+path, ""); got != "404 NotAuthorizedOrNotFound" {
				t.Errorf("%s: %s: %s", p.details.AccessType, path, got)
			}
		}
	}
}

// A write and a read are those of the service, with their conditions, ranges, events and log.
func TestPreAuthenticatedConditionsAndRanges(t *testing.T) {
	s := localtest.Start(t)
	c := localtest.Client(t, s)
	par := preauthenticate(t, c, "state", details(bothAny, "in/", false))
	object := *par.AccessUri + "in/a"
	for _, step := range []struct {
		method, body string
		header       []string
		want         string
	}{
		{"PUT", "0123456789", []string{"If-None-Match", "*", "Content-Md5", "eB5eJF1ptWaXm4bijSPyxw=="}, "200"},
		{"PUT", "another", []string{"If-None-Match", "*"}, "412 IfNoneMatchFailed"},
		{"PUT", "another", []string{"If-Match", "x"}, "412 IfMatchFailed"},
		{"PUT", "another", []string{"Content-Md5", "eB5eJF1ptWaXm4bijSPyxw=="}, "400 UnmatchedContentMD5"},
		{"PUT", "", []string{"Opc-Multipart", "true"}, "501 NotImplemented"},
		{"GET", "", []string{"Range", "bytes=2-4"}, "206 234"},
		{"GET", "", []string{"Range", "bytes=20-"}, "416 InvalidRange"},
		{"GET", "", []string{"If-Match", "x"}, "412 IfMatchFailed"},
		{"GET", "", nil, "200 0123456789"},
	} {
		if got := plain(t, s, step.method, object, step.body, step.header...); got != step.want {
			t.Errorf("%s %q: %s; want %s", step.method, step.header, got, step.want)
		}
	}
	if got := localtest.Get(t, c, "state", "in/a", ""); got != "0123456789" {
		t.Errorf("stored is %q", got)
	}
}

func TestPreAuthenticatedRequestsAreManaged(t *testing.T) {
	s, ctx := localtest.Start(t), t.Context()
	c := localtest.Client(t, s)
	want := map[string]string{}
	for _, object := range []string{"in/a", "in/b", "out", "ü"} {
		par := preauthenticate(t, c, "state", details(both, object, false))
		want[*par.Id] = object
		got, err := c.GetPreauthenticatedRequest(ctx,
			objectstorage.GetPreauthenticatedRequestRequest{
				NamespaceName: localtest.NS, BucketName: common.String("state"), ParId: par.Id,
			})
		if err != nil || *got.ObjectName != object || !got.TimeExpires.Equal(par.TimeExpires.Time) ||
			got.BucketListingAction != "" {
			t.Errorf("%q: %v, %v", object, got, err)
		}
	}
	for _, list := range []struct {
		prefix       string
		limit, count int
	}{{"", 1, 4}, {"", 3, 4}, {"in/", 1, 2}, {"none", 10, 0}} {
		seen := map[string]bool{}
		request := objectstorage.ListPreauthenticatedRequestsRequest{
			NamespaceName: localtest.NS, BucketName: common.String("state"), ObjectNamePrefix: &list.prefix,
			Limit: &list.limit,
		}
		for {
			page, err := c.ListPreauthenticatedRequests(ctx, request)
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range page.Items {
				if seen[*item.Id] = true; want[*item.Id] != *item.ObjectName {
					t.Errorf("%+v", item)
				}
			}
			if page.RawResponse.ContentLength > 0 && strings.Contains(fmt.Sprint(page), "/p/") {
				t.Errorf("a list tells addresses: %v", page)
			}
			if request.Page = page.OpcNextPage; request.Page == nil {
				break
			}
		}
		if len(seen) != list.count {
			t.Errorf("with prefix %q: %d; want %d", list.prefix, len(seen), list.count)
		}
	}
	remove := func() error {
		_, err := c.DeleteBucket(ctx,
			objectstorage.DeleteBucketRequest{NamespaceName: localtest.NS, BucketName: common.String("state")})
		return err
	}
	if got := localtest.Refusal(remove()); got != "BucketNotEmpty" {
		t.Errorf("deleting a bucket that has pre-authenticated requests: %s", got)
	}
	for id := range want {
		for _, code := range []string{"none", "PreauthenticatedRequestNotFound"} {
			_, err := c.DeletePreauthenticatedRequest(ctx,
				objectstorage.DeletePreauthenticatedRequestRequest{
					NamespaceName: localtest.NS, BucketName: common.String("state"), ParId: &id,
				})
			if got := localtest.Refusal(err); got != code {
				t.Errorf("delete: %s; want %s", got, code)
			}
		}
	}
	if got := localtest.Refusal(remove()); got != "none" {
		t.Errorf("deleting the bucket: %s", got)
	}
}

func TestPreAuthenticatedRequestsThatAreRefused(t *testing.T) {
	s := localtest.Start(t)
	p := localtest.PersonOf(t, s)
	later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for body, want := range map[string]string{
		`{"name":"p","accessType":"ObjectRead","objectName":"a","timeExpires":"` + later +
			`"}`: "200 ",
		`{"name":"p","accessType":"AnyObjectWrite","bucketListingAction":"Deny","timeExpires":"` + later +
			`"}`: "200 ",
		`{"accessType":"ObjectRead","objectName":"a","timeExpires":"` + later +
			`"}`: "400 MissingParameter",
		`{"name":"p","objectName":"a","timeExpires":"` + later +
			`"}`: "400 MissingParameter",
		`{"name":"p","accessType":"ObjectRead","objectName":"a"}`: "400 MissingParameter",
		`{"name":"a/b","accessType":"AnyObjectRead","timeExpires":"` + later +
			`"}`: "400 InvalidParameter",
		`{"name":"p","accessType":"ObjectRead","timeExpires":"` + later +
			`"}`: "400 InvalidParameter",
		`{"name":"p","accessType":"objectread","objectName":"a","timeExpires":"` + later +
			`"}`: "400 InvalidParameter",
		`{"name":"p","accessType":"ObjectDelete","objectName":"a","timeExpires":"` + later +
			`"}`: "400 InvalidParameter",
		`{"name":"p","accessType":"AnyObjectRead","timeExpires":"2020-01-01T00:00:00Z"}`: "400 InvalidParameter",
		`{"name":"p","accessType":"AnyObjectRead","timeExpires":"tomorrow"}`:             "400 InvalidJson",
		`{"name":"p","accessType":"AnyObjectWrite","bucketListingAction":"ListObjects","timeExpires":"` + later +
			`"}`: "400 InvalidParameter",
		`{"name":"p","accessType":"ObjectRead","objectName":"a","bucketListingAction":"ListObjects","timeExpires":"` +
			later + `"}`: "400 InvalidParameter",
		`{"name":"p","accessType":"AnyObjectRead","bucketListingAction":"Everything","timeExpires":"` + later +
			`"}`: "400 InvalidParameter",
		`{"name":"p","accessType":"ObjectRead","objectName":"` + strings.Repeat("x", 1025) + `","timeExpires":"` +
			later + `"}`: "400 InvalidObjectName",
		`{"name":"` + strings.Repeat("p", 3501) + `","accessType":"AnyObjectRead","timeExpires":"` + later +
			`"}`: "400 InvalidParameter",
		`{"name":"p","accessType":"ObjectRead","objectName":"a\u0000b","timeExpires":"` + later +
			`"}`: "400 InvalidObjectName",
		`{"name":"p","accessType":"AnyObjectReadWrite","bucketListingAction":"ListObjects","timeExpires":"` + later +
			`","extra":true}`: "200 ",
	} {
		resp, doc := p.Send(t, "POST", s.Endpoint()+"/n/localns/b/state/p", body, nil)
		code, _ := doc["code"].(string)
		if got := fmt.Sprint(resp.StatusCode, " ", code); got != want {
			t.Errorf("%.150s: %s; want %s", body, got, want)
		}
	}
	for path, want := range map[string]int{
		"/n/localns/b/none/p": 404, "/n/localns/b/state/p/none": 404, "/n/localns/b/state/p?limit=0": 400,
	} {
		if resp, _ := p.Send(t, "GET", s.Endpoint()+path, "", nil); resp.StatusCode != want {
			t.Errorf("GET %s: %d; want %d", path, resp.StatusCode, want)
		}
	}
}

// It ends by the clock, with its deletion, and with its creator's right, and begins anew with that; its secret, which
// is in no file and in no log, is known after a restart.
func TestPreAuthenticatedRequestsEnd(t *testing.T) {
	log, now := &testkit.Buffer{}, time.Now()
	var later atomic.Int64
	config := localtest.Config(t.TempDir(), nil)
	config.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config.Now = func() time.Time { return now.Add(time.Duration(later.Load())) }
	config.Statements = []string{forMaking, allOfB}
	var said testkit.Buffer
	config.Observe = func(a localoci.Activity) { fmt.Fprintln(&said, a.Kind, a.Detail) }
	s := localtest.OpenAs(t, config)
	person := localtest.PersonOf(t, s)
	body := `{"name":"p","accessType":"AnyObjectReadWrite","objectName":"in/","timeExpires":"` +
		now.Add(time.Minute).UTC().Format(time.RFC3339Nano) + `"}`
	request := func() (id, uri string) {
		t.Helper()
		resp, doc := localtest.FunctionOf(t, s, now.Add(time.Hour)).Send(t, "POST",
			s.Endpoint()+"/n/localns/b/packages/p", body, nil)
		if resp.StatusCode != 200 {
			t.Fatalf("status %d %v", resp.StatusCode, doc)
		}
		return doc["id"].(string), doc["accessUri"].(string)
	}
	use := func(uri, want string) {
		t.Helper()
		if got := plain(t, s, "PUT", uri+"in/a", "x"); got != want {
			t.Errorf("%s; want %s", got, want)
		}
	}
	id, uri := request()
	use(uri, "200")
	for _, statements := range [][]string{
		{}, {allOfB}, {forMaking}, {forMaking, strings.Replace(allOfB, "manage", "use", 1)},
	} {
		if err := s.SetStatements(statements); err != nil {
			t.Fatal(err)
		}
		use(uri, noBucket)
		if resp, _ := localtest.FunctionOf(t, s, now.Add(time.Hour)).Send(t, "POST",
			s.Endpoint()+"/n/localns/b/packages/p", body, nil); resp.StatusCode != 404 {
			t.Errorf("who lacks a right makes one with it: %d", resp.StatusCode)
		}
	}
	if err := s.SetStatements(config.Statements); err != nil {
		t.Fatal(err)
	}
	use(uri, "200")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = localtest.OpenAs(t, config)
	defer s.Close()
	use(uri, "200")
	later.Store(int64(time.Minute))
	use(uri, nobody)
	later.Store(int64(time.Minute - time.Second))
	use(uri, "200")
	person.Send(t, "DELETE", s.Endpoint()+"/n/localns/b/packages/p/"+strings.ReplaceAll(id, "/", "%2F"), "", nil)
	use(uri, nobody)
	_, other := request()
	use(other, "200")
	for _, uri := range []string{uri, other} {
		secret := strings.Split(uri, "/")[2]
		plain(t, s, "PATCH", "/p/"+secret+"/n/localns/b/packages/o/x", "")
		plain(t, s, "GET", "//p//"+secret, "")
		if strings.Contains(log.String(), secret) || strings.Contains(said.String(), secret) {
			t.Errorf("the secret is told:\n%s\n%s", log, &said)
		}
	}
	if !strings.Contains(log.String(), "/p/***/n/localns/b/packages/o/in/a") {
		t.Errorf("the log does not name what was refused:\n%s", log)
	}
}

// The write log says that a request was pre-authenticated, whose it was, and not its secret.
func TestPreAuthenticatedWritesAreLogged(t *testing.T) {
	s := localtest.Start(t)
	c := localtest.Client(t, s)
	par := preauthenticate(t, c, "packages", details(write, "in/a.zip", false))
	plain(t, s, "PUT", *par.AccessUri, "x")
	query := fmt.Sprintf(`{"timeStart":%q,"timeEnd":%q,"searchQuery":"search \"%s\""}`,
		time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		localoci.WriteLog)
	_, doc := localtest.PersonOf(t, s).Send(t, "POST", s.Endpoint()+"/20190909/search", query, nil)
	text := fmt.Sprint(doc["results"])
	for _, want := range []string{
		"isPar:true", "principalId:" + localoci.User, "requestResourcePath:/n/localns/b/packages/o/in/a.zip",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, strings.Split(*par.AccessUri, "/")[2]) {
		t.Errorf("the log has the secret:\n%s", text)
	}
}
