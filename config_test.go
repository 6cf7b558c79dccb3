package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/executor"
	"cemli-executor/internal/oci"
	"cemli-executor/internal/sandbox"
)

// onOCI is the minimal configuration of a function on OCI.
var onOCI = []string{"OCI_RESOURCE_PRINCIPAL_VERSION=2.2", "CEMLI_ENVIRONMENT=prod"}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	c, problems := ParseConfig(nil)
	if problems != nil {
		t.Fatal(problems)
	}
	if !c.KeepPackages || c.Environment != "local" || c.Sandbox != sandbox.LevelBasic || c.Endpoint != "" {
		t.Errorf("elsewhere than on OCI: %+v", c)
	}
	c, problems = ParseConfig(onOCI)
	if problems != nil {
		t.Fatal(problems)
	}
	got := []string{
		c.PackagesBucket, c.ResultsBucket, c.StateBucket, c.Environment, string(c.Sandbox), string(c.Output),
		c.Reserve.String(), c.LogLevel.String(),
	}
	want := []string{"cemli-packages", "cemli-results", "cemli-state", "prod", "isolated", "all", "15s", "INFO"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("on OCI (-want +got):\n" + diff)
	}
	if diff := cmp.Diff(executor.DefaultLimits(), c.Limits); diff != "" {
		t.Error("limits (-want +got):\n" + diff)
	}
}

func TestConfigTakesEveryVariable(t *testing.T) {
	t.Parallel()
	c, problems := ParseConfig([]string{
		"CEMLI_PACKAGES_BUCKET=p", "RESULTS_BUCKET=r", "CEMLI_STATE_BUCKET=s", "CEMLI_ENVIRONMENT=test",
		"CEMLI_SANDBOX=none",
		"CEMLI_LOG_LEVEL=debug", "CEMLI_LOG_OUTPUT=tail", "CEMLI_RESERVE=5s", "CEMLI_KEEP_PACKAGES=false",
		"CEMLI_ENDPOINT=http://127.0.0.1:8080/",
		"CEMLI_LIMIT_PACKAGE_BYTES=1000", "CEMLI_LIMIT_LOG_BYTES=2048", "CEMLI_LIMIT_RUN_TIME=90s",
		"CEMLI_LIMIT_ENTRIES=7",
		"CEMLI_LIMIT_FILE_BYTES=8", "CEMLI_LIMIT_TOTAL_BYTES=9", "CEMLI_LIMIT_RATIO=10", "CEMLI_LIMIT_ARTIFACTS=11",
		"CEMLI_LIMIT_ARTIFACT_BYTES=12",
		"FN_MEMORY=512", "FN_FN_ID=f", "FN_FN_NAME=n", "FN_APP_ID=a", "HOME=/home/fn",
	})
	if problems != nil {
		t.Fatal(problems)
	}
	l := c.Limits
	got := []any{
		c.PackagesBucket, c.ResultsBucket, c.StateBucket, c.Environment, c.Sandbox, c.LogLevel, c.Output, c.Reserve,
		c.Endpoint, c.MemoryMB,
		l.PackageBytes, l.LogBytes, l.RunTime, l.Archive.Entries, l.Archive.FileBytes, l.Archive.TotalBytes,
		l.Archive.Ratio, l.Artifacts, l.ArtifactBytes,
		c.Identity.FunctionID, c.Identity.FunctionName, c.Identity.AppID, c.KeepPackages,
	}
	want := []any{
		"p", "r", "s", "test", sandbox.LevelNone, slog.LevelDebug, executor.OutputTail, 5 * time.Second,
		"http://127.0.0.1:8080", int64(512),
		int64(1000), int64(2048), 90 * time.Second, 7, int64(8), int64(9), int64(10), 11, int64(12), "f", "n", "a",
		false,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
}

func TestConfigReportsEveryProblemByName(t *testing.T) {
	t.Parallel()
	_, problems := ParseConfig([]string{
		"OCI_RESOURCE_PRINCIPAL_VERSION=2.2", "RESULTS_BUCKET=cemli-packages", "CEMLI_STATE_BUCKET=a/b",
		"CEMLI_SANDBOX=some",
		"CEMLI_RUNNER=there", "CEMLI_JOBS_BUCKET=a/b/c", "CEMLI_LOG_LEVEL=loud", "CEMLI_LOG_OUTPUT=yes", "CEMLI_RESERVE=fast", "CEMLI_ENDPOINT=http://169.254.169.254",
		"CEMLI_LIMIT_ENTRIES=-1",
		"CEMLI_LIMIT_RUN_TIME=1000h", "CEMLI_SIGNING_KEY=x", "CEMLI_TOPIC=topic", "CEMLI_NOTIFY=some",
		"CEMLI_SANDBOXX=full", "CEMLI_SOMETHING=1", "FN_MEMORY=lots",
	})
	var got []string
	for _, p := range problems {
		got = append(got, p.Where+" "+p.Code)
		if p.Message == "" {
			t.Errorf("%s has no message", p.Where)
		}
		if p.Where == "CEMLI_SANDBOXX" && !strings.Contains(p.Hint, "CEMLI_SANDBOX?") {
			t.Errorf("hint for the misspelt variable: %q", p.Hint)
		}
	}
	want := []string{
		"CEMLI_ENDPOINT config.value", "CEMLI_ENVIRONMENT config.required", "CEMLI_JOBS_BUCKET config.value",
		"CEMLI_LIMIT_ENTRIES config.value", "CEMLI_LIMIT_RUN_TIME config.value",
		"CEMLI_LOG_LEVEL config.value", "CEMLI_LOG_OUTPUT config.value", "CEMLI_NOTIFY config.value",
		"CEMLI_RESERVE config.value", "CEMLI_RUNNER config.value",
		"CEMLI_SANDBOX config.value", "CEMLI_SANDBOXX config.unknown", "CEMLI_SIGNING_KEY config.unsupported",
		"CEMLI_SOMETHING config.unknown", "CEMLI_STATE_BUCKET config.value", "CEMLI_TOPIC config.value",
		"FN_MEMORY config.value", "RESULTS_BUCKET config.value",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
}

// A value that becomes part of a query must have exactly the documented form.
func TestTheWriteLogIsThreeOCIDs(t *testing.T) {
	t.Parallel()
	const compartment, group, log = "ocid1.compartment.oc1..c", "ocid1.loggroup.oc1.phx.g", "ocid1.log.oc1.phx.l"
	c, problems := ParseConfig([]string{"CEMLI_WRITE_LOG=" + compartment + "/" + group + "/" + log})
	diff := cmp.Diff(oci.WriteLog{Compartment: compartment, Group: group, Log: log}, c.WriteLog)
	if diff != "" || problems != nil {
		t.Errorf("%v (-want +got):\n%s", problems, diff)
	}
	for _, value := range []string{
		log, group + "/" + log, compartment + "/" + group, compartment + "/" + log + "/" + group,
		compartment + "/" + group + "/" + log + "/x", "a/b/c",
		compartment + "/" + group + "/" + log + `" | where true`, compartment + "/" + group + "/" + log + "\n",
		" " + compartment + "/" + group + "/" + log,
		compartment + "/" + group + "/" + log + strings.Repeat("x", 800),
	} {
		c, problems := ParseConfig([]string{"CEMLI_WRITE_LOG=" + value})
		if len(problems) != 1 || problems[0].Code != "config.value" || problems[0].Where != "CEMLI_WRITE_LOG" ||
			c.WriteLog != (oci.WriteLog{}) {
			t.Errorf("%q: %+v, %v", value, c.WriteLog, problems)
		}
	}
}

func TestPolicyIsInlineOrInABucketOfItsOwn(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]PolicyConfig{
		"":                           {},
		`{"environment":"dev"}`:      {Inline: `{"environment":"dev"}`},
		" {":                         {Inline: " {"},
		"cemli-policies/a/prod.json": {Bucket: "cemli-policies", Object: "a/prod.json"},
	} {
		c, problems := ParseConfig([]string{"CEMLI_POLICY=" + value})
		if problems != nil || c.Policy != want {
			t.Errorf("%s: %+v, problems %v", value, c.Policy, problems)
		}
	}
	for _, value := range []string{
		"prod.json", "/prod.json", "b/", "b/../x", "cemli-packages/p.json", "cemli-results/p.json",
		"cemli-state/p.json", "[]",
	} {
		c, problems := ParseConfig([]string{"CEMLI_POLICY=" + value})
		if len(problems) != 1 || problems[0].Where != "CEMLI_POLICY" {
			t.Errorf("%s: %+v, problems %v", value, c.Policy, problems)
		}
	}
}

func TestEndpointIsLoopbackOnly(t *testing.T) {
	t.Parallel()
	for value, ok := range map[string]bool{
		"http://127.0.0.1:1": true, "https://localhost:2": true, "http://[::1]:3": true, "http://127.0.0.1:1/": true,
		"http://10.0.0.1": false, "http://example.com": false, "http://127.0.0.1.example.com": false,
		"http://127.0.0.1@example.com": false,
		"ftp://127.0.0.1":              false, "127.0.0.1:80": false, "http://127.0.0.1/path": false,
		"http://127.0.0.1?x": false, "http://": false,
	} {
		if _, problems := ParseConfig([]string{"CEMLI_ENDPOINT=" + value}); (problems == nil) != ok {
			t.Errorf("%s: problems %v; accepted should be %v", value, problems, ok)
		}
	}
}
