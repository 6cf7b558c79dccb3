package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/jobs"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/oci"
)

// The probe makes, uses and ends a mailbox, and calls each runner; what is missing for that fails it.
func TestProbeWithARunner(t *testing.T) {
	called := ""
	server, err := localoci.Open(localoci.Config{
		Dir:     t.TempDir(),
		Buckets: localoci.Buckets{Packages: "cemli-packages", Results: "cemli-results", State: "cemli-state"},
		Log:     slog.New(slog.DiscardHandler),
		Invoke: func(_ context.Context, call localoci.Invocation) (localoci.Answer, error) {
			called = string(call.Body)
			doc, err := json.Marshal(jobs.Probed{
				Action: "probe", OK: true, Version: "v", Level: "basic", Credentials: jobs.CredentialsUngranted,
				Lines: []jobs.ProbedLine{{What: "init", OK: true, Says: "out of reach"}},
			})
			return localoci.Answer{Body: doc}, err
		},
	})
	if err == nil {
		err = server.Start(0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	probe := func(runner string) (says map[string]string, failing []string) {
		h, _ := testHandler(t, "CEMLI_RUNNER="+runner)
		h.client = oci.ConfigFile(server.Authority().ConfigFile(), "DEFAULT",
			oci.Options{Endpoint: server.Endpoint(), Backoff: time.Millisecond})
		answer, failed := serve(t, h, t.Context(), strings.NewReader(`{"action":"probe"}`))
		if failed {
			t.Fatal(answer)
		}
		says = map[string]string{}
		for _, line := range answer["lines"].([]any) {
			l := line.(map[string]any)
			what := l["what"].(string)
			if says[what] = l["says"].(string); l["ok"] != true {
				failing = append(failing, what+" "+l["code"].(string))
			}
		}
		return says, failing
	}
	const runner = "erp=function:" + localoci.FunctionID
	if _, failing := probe(runner); !slices.Equal(failing, []string{"jobs store.bucket_not_found"}) {
		t.Errorf("without the jobs bucket: %q", failing)
	}
	jobsBucket(t, server)
	says, failing := probe(runner)
	if failing != nil || called != `{"action":"probe"}` {
		t.Errorf("failing: %q, called with %q", failing, called)
	}
	for what, want := range map[string]string{
		"jobs": "cemli-jobs", "erp: invoke": "may be invoked", "erp: probe": "credentials: ungranted",
		"erp: init": "out of reach",
	} {
		if !strings.Contains(says[what], want) {
			t.Errorf("%s says %q; want %q", what, says[what], want)
		}
	}
	_, failing = probe("erp=function:ocid1.fnfunc.oc1.phx.none")
	if !slices.Equal(failing, []string{"erp: invoke runner.invoke", "erp: probe runner.invoke"}) {
		t.Errorf("a runner that is not there: %q", failing)
	}
	if says, _ := probe("here"); says["jobs"] != "" || says["sandbox"] == "" || says["erp: probe"] != "" {
		t.Errorf("here: %v", says)
	}
}

// jobsBucket makes the bucket for mailboxes.
func jobsBucket(t *testing.T, server *localoci.Server) {
	t.Helper()
	provider, err := common.ConfigurationProviderFromFile(server.Authority().ConfigFile(), "")
	if err != nil {
		t.Fatal(err)
	}
	client, err := objectstorage.NewObjectStorageClientWithConfigurationProvider(provider)
	if err != nil {
		t.Fatal(err)
	}
	client.Host = server.Endpoint()
	if _, err := client.CreateBucket(t.Context(), objectstorage.CreateBucketRequest{
		NamespaceName: common.String(localoci.Namespace),
		CreateBucketDetails: objectstorage.CreateBucketDetails{
			Name: common.String("cemli-jobs"), CompartmentId: common.String(localoci.Compartment),
		},
	}); err != nil {
		t.Fatal(err)
	}
}
