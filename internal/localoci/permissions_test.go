package localoci_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/common/auth"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
	"cemli-executor/internal/testkit"
)

func TestTheFunctionsPrincipalWithTheSDK(t *testing.T) {
	s, ctx := localtest.Start(t), t.Context()
	session, err := s.Authority().NewSession(time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2")
	t.Setenv("OCI_RESOURCE_PRINCIPAL_REGION", localoci.Region)
	t.Setenv("OCI_RESOURCE_PRINCIPAL_RPST", session.Token)
	t.Setenv("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", string(session.PrivateKey))
	provider, err := auth.ResourcePrincipalConfigurationProvider()
	if err != nil {
		t.Fatal(err)
	}
	for claim, want := range map[string]string{
		"res_type": "fnfunc", "res_id": localoci.FunctionID, "sub": localoci.FunctionID, "res_tenant": localoci.Tenancy,
		"res_compartment": localoci.Compartment,
	} {
		if got, err := provider.GetClaim(claim); got != want {
			t.Errorf("claim %s is %v, %v; want %s", claim, got, err, want)
		}
	}
	c := localtest.ClientOf(t, s, provider)
	put := func(bucket string) error {
		_, err := c.PutObject(ctx,
			objectstorage.PutObjectRequest{
				NamespaceName: localtest.NS, BucketName: &bucket, ObjectName: common.String("x"),
				PutObjectBody: io.NopCloser(strings.NewReader("x")), ContentLength: common.Int64(1),
			})
		return err
	}
	_, seen := c.HeadBucket(ctx,
		objectstorage.HeadBucketRequest{NamespaceName: localtest.NS, BucketName: localtest.Packages})
	_, described := c.GetBucket(ctx,
		objectstorage.GetBucketRequest{NamespaceName: localtest.NS, BucketName: localtest.Packages})
	_, listed := c.ListObjects(ctx,
		objectstorage.ListObjectsRequest{NamespaceName: localtest.NS, BucketName: localtest.Packages})
	for _, c := range []struct {
		name, got, want string
	}{
		{"create a result", localtest.Refusal(put("results")), "none"},
		{"overwrite a result", localtest.Refusal(put("results")), "BucketNotFound"},
		{"write a package", localtest.Refusal(put("packages")), "BucketNotFound"},
		{"list packages", localtest.Refusal(listed), "none"},
		{"describe the bucket", localtest.Refusal(described), "BucketNotFound"},
		// HEAD has no body to name the code
		{"see whether the bucket exists", localtest.Refusal(seen), "BadErrorResponse"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s; want %s", c.name, c.got, c.want)
		}
	}
}

// Each statement of the function's policy is needed: without it, the operation that it is for is denied as OCI denies
// it, and the log names the missing permission.
func TestEveryPolicyStatementIsNeeded(t *testing.T) {
	t.Parallel()
	buckets := localoci.Buckets{
		Packages: "packages", Results: "results", State: "state", Policies: "policies", Jobs: "jobs",
	}
	all, err := localoci.Statements(buckets)
	if err != nil {
		t.Fatal(err)
	}
	operations := []struct {
		statement, missing string
		method, path, body string
	}{
		{"read_packages", "OBJECT_READ", "GET", "/n/localns/b/packages/o/there", ""},
		{"read_policies", "OBJECT_READ", "GET", "/n/localns/b/policies/o/there", ""},
		{"create_results", "OBJECT_CREATE", "PUT", "/n/localns/b/results/o/new", "x"},
		{"read_results", "OBJECT_READ", "HEAD", "/n/localns/b/results/o/there", ""},
		{"manage_state", "OBJECT_CREATE", "PUT", "/n/localns/b/state/o/there", "x"},
		{
			"read_secrets", "SECRET_BUNDLE_READ", "POST",
			"/20190301/secretbundles/actions/getByName?secretName=there&vaultId=" + localoci.VaultID, "",
		},
		{"publish", "ONS_TOPIC_PUBLISH", "POST", "/20181201/topics/" + localoci.TopicID + "/messages", `{"body":"x"}`},
		{
			"read_write_log", "LOG_CONTENT_READ", "POST", "/20190909/search",
			`{"timeStart":"2026-01-01T00:00:00Z","timeEnd":"2026-01-02T00:00:00Z","searchQuery":"search \"` +
				localoci.WriteLog + `\""}`,
		},
		{"find_itself", "FN_FUNCTION_READ", "GET", "/20181201/functions/" + localoci.FunctionID, ""},
		{
			"invoke_itself", "FN_INVOCATION", "POST", "/20181201/functions/" + localoci.FunctionID + "/actions/invoke",
			"{}",
		},
		{"find_runner", "FN_FUNCTION_READ", "GET", "/20181201/functions/" + localoci.RunnerID, ""},
		{
			"invoke_runner", "FN_INVOCATION", "POST", "/20181201/functions/" + localoci.RunnerID + "/actions/invoke",
			"{}",
		},
		{"exchange_jobs", "OBJECT_CREATE", "PUT", "/n/localns/b/jobs/o/new", "x"},
		{
			"open_mailboxes", "PAR_MANAGE", "POST", "/n/localns/b/jobs/p",
			`{"name":"p","accessType":"AnyObjectReadWrite","objectName":"p/","timeExpires":"` +
				time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}`,
		},
	}
	invoke := func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil }
	if len(all) != len(operations) {
		t.Fatalf("%d statements, and operations for %d", len(all), len(operations))
	}
	for i := -1; i < len(all); i++ { // -1: none is missing
		var texts []string
		for j, s := range all {
			if j != i {
				texts = append(texts, s.Statement)
			}
		}
		log := &testkit.Buffer{}
		s, err := localoci.Open(localoci.Config{
			Dir: t.TempDir(), Buckets: buckets, Statements: texts, Invoke: invoke, Runner: invoke,
			Log: slog.New(slog.NewJSONHandler(log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(0); err != nil {
			t.Fatal(err)
		}
		person, function := localtest.PersonOf(t, s), localtest.FunctionOf(t, s, time.Now().Add(time.Hour))
		for _, bucket := range []string{"packages", "policies", "results", "state"} {
			person.Send(t, "PUT", localtest.Object(s, bucket, "there"), "x", nil)
		}
		if _, err := s.PutSecret("there", []byte("x")); err != nil {
			t.Fatal(err)
		}
		for _, o := range operations {
			resp, _ := function.Send(t, o.method, s.Endpoint()+o.path, o.body, nil)
			named := i >= 0 && o.statement == all[i].Name
			// Nobody makes an address that grants more than its maker has.
			denied := named || i >= 0 && o.statement == "open_mailboxes" && all[i].Name == "exchange_jobs"
			if denied != (resp.StatusCode == 404 || resp.StatusCode == 403) || !denied && resp.StatusCode >= 300 {
				t.Errorf("without %d: %s answers %d", i, o.statement, resp.StatusCode)
			}
			if named && !strings.Contains(log.String(), `"missing":"`+o.missing+`"`) {
				t.Errorf("without %s the log does not name %s:\n%s", o.statement, o.missing, log)
			}
		}
		if i < 0 && strings.Contains(log.String(), "denied") {
			t.Errorf("with all statements something is denied:\n%s", log)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The function's principal sees nothing but its buckets, and there only what it needs.
func TestTheFunctionMayDoLittle(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	p, f := localtest.PersonOf(t, s), localtest.FunctionOf(t, s, time.Now().Add(time.Hour))
	for _, bucket := range []string{"packages", "results", "state"} {
		p.Send(t, "PUT", localtest.Object(s, bucket, "there"), "x", nil)
	}
	for _, c := range []struct {
		method, url string
		want        bool
	}{
		{"GET", localtest.Object(s, "packages", "there"), true},
		{"PUT", localtest.Object(s, "packages", "new"), false},
		{"DELETE", localtest.Object(s, "packages", "there"), false},
		{"GET", localtest.Object(s, "results", "there"), true},
		{"PUT", localtest.Object(s, "results", "new"), true},
		{"PUT", localtest.Object(s, "results", "there"), false},
		{"DELETE", localtest.Object(s, "results", "there"), false},
		{"GET", localtest.Object(s, "state", "there"), true},
		{"PUT", localtest.Object(s, "state", "new"), true},
		{"PUT", localtest.Object(s, "state", "there"), true},
		{"DELETE", localtest.Object(s, "state", "there"), true},
		{"GET", s.Endpoint() + "/n/localns/b", false},
		{"POST", s.Endpoint() + "/n/localns/b", false},
	} {
		resp, doc := f.Send(t, c.method, c.url, "x", nil)
		if got := resp.StatusCode < 300; got != c.want {
			t.Errorf("%s %s: status %d %v; allowed should be %v", c.method, c.url, resp.StatusCode, doc, c.want)
		}
	}
}
