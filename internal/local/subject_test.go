package local_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oracle/oci-go-sdk/v65/common"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/fnhost"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/testkit"
)

// invokeAs has a person invoke the function with headers of its own.
func (c *cloud) invokeAs(body string, header map[string]string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost,
		c.Endpoint()+"/20181201/functions/"+localoci.FunctionID+"/actions/invoke", bytes.NewReader([]byte(body)))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	r.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	provider, err := common.ConfigurationProviderFromFile(c.ConfigFile(), "")
	if err != nil {
		c.t.Fatal(err)
	}
	if err := common.DefaultRequestSigner(provider).Sign(r); err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		c.t.Fatalf("status %d", resp.StatusCode)
	}
}

// The result of a run that was asked for by hand says who signed that, whatever the caller writes; an
// upload's event does not say who uploaded.
func TestWhoAskedIsInTheResult(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		c := start(t, func(o *local.Options) {
			if trusted {
				o.Settings = map[string]string{"CEMLI_TRUST_SUBJECT": "true"}
			}
		})
		c.put("sample-1.0.0.zip", sample(t, "true"))
		if r := c.result(c.answer()); len(r.RequestedBy) != 0 || r.Status != evidence.StatusSuccess {
			t.Errorf("after an event: status %s, requested by %+v", r.Status, r.RequestedBy)
		}
		c.invokeAs(`{"object":"sample-1.0.0.zip","action":"check"}`, map[string]string{
			"Oci-Subject-Id": "ocid1.user.oc1..forged", "Oci-Subject-Type": "resource",
			"Fn-Http-H-Oci-Subject-Id": "ocid1.user.oc1..forged",
		})
		want := []evidence.Requester{{
			Subject: localoci.User, Type: "user", Source: "Oci-Subject-Id", Verified: trusted,
		}}
		if diff := cmp.Diff(want, c.result(c.answer()).RequestedBy); diff != "" {
			t.Errorf("trusted %v (-want +got):\n%s", trusted, diff)
		}
		// With this header the FDK replaces the platform's by the caller's.
		c.invokeAs(`{"object":"sample-1.0.0.zip","action":"dry_run"}`, map[string]string{
			"Fn-Intent": "httprequest", "Fn-Http-H-Oci-Subject-Id": "ocid1.user.oc1..forged",
			"Fn-Http-H-Oci-Subject-Type": "user",
		})
		a := c.answer()
		switch {
		case trusted && (a.Error == nil || a.Error.Code != "trigger.subject"):
			t.Errorf("a caller who hides who it is: %+v", a)
		case !trusted:
			if r := c.result(a); len(r.RequestedBy) != 0 {
				t.Errorf("a caller named the subject: %+v", r.RequestedBy)
			}
		}
	}
}

// A script knows the port and the folder of its local OCI, and has the network; it gets no further.
func TestScriptsCannotUseTheSwitches(t *testing.T) {
	needFull(t)
	dir := t.TempDir()
	c := start(t, func(o *local.Options) { o.Dir = dir })
	token, err := os.ReadFile(filepath.Join(dir, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	// The sandbox alone suffices, as it must where the function has the folder's owner for its user.
	if err := os.Chmod(filepath.Join(dir, "admin-token"), 0o644); err != nil { //nolint:gosec // see above
		t.Fatal(err)
	}
	c.put("sample-1.0.0.zip", sample(t, `cat `+dir+`/admin-token `+dir+`/endpoint `+dir+`/oci/* && exit 9
cat /proc/*/environ /proc/*/cmdline 2>/dev/null
for host in 127.0.0.1 localhost evil.example; do
  for token in 1 "$(cat `+dir+`/admin-token)" ''; do
    curl -s --max-time 10 -H "Host: $host" -H "Cemli-Local: $token" `+c.Endpoint()+`/local/faults -X PUT -d '{"unavailable":1}' && echo
    curl -s --max-time 10 -H "Cemli-Local: $token" `+c.Endpoint()+`/local/credentials -d '{"valid":"1h"}' && echo
  done
done; true`))
	r := c.result(c.answer())
	out := r.Execution.Stdout + r.Execution.Stderr
	if r.Status != evidence.StatusSuccess ||
		strings.Count(out, "NotAuthenticated")+strings.Count(out, "NotAllowed") != 18 {
		t.Errorf("status %s, %s; output %s", r.Status, r.Message, out)
	}
	if strings.Contains(out, strings.TrimSpace(string(token))) || strings.Contains(out, "PRIVATE KEY") {
		t.Errorf("the script has a key: %s", out)
	}
}

// A function that another host runs, here as a Fn server does, with credentials in its environment and an id
// that is no OCID, does what the function of local OCI does.
func TestFunctionOfAnotherHost(t *testing.T) {
	dir := t.TempDir()
	c := start(t, func(o *local.Options) { o.Dir, o.Faults.EventLose = dir, 1 })
	environment, err := localoci.FetchCredentials(t.Context(), dir, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	binary, err := function()
	if err != nil {
		t.Fatal(err)
	}
	environment["CEMLI_RESERVE"] = "1s"
	host, err := fnhost.New(fnhost.Config{
		Binary: binary, Instances: 1, MemoryMB: 512, Timeout: 20 * time.Second, Settings: environment, Log: c.log,
		FunctionID: "01KB2V5NG3NG8G00GZJ0000001", FunctionName: "cemli-executor", AppID: "01KB2V5NG3NG8G00GZJ0000002",
		AppName: "cemli", Region: localoci.Region,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close() })
	invoke := func(body string, header http.Header) evidence.Result {
		t.Helper()
		a, err := host.Invoke(t.Context(), fnhost.Call{Body: []byte(body), Header: header})
		c.answered(a, err)
		return c.result(c.answer())
	}
	c.put("sample-1.0.0.zip", sample(t, "echo fine"))
	// What a caller writes goes through a Fn server: it is told, and not believed.
	r := invoke(`{"object":"sample-1.0.0.zip"}`,
		http.Header{"Oci-Subject-Id": {"ocid1.user.oc1..forged"}, "Oci-Subject-Type": {"user"}})
	want := []evidence.Requester{{Subject: "ocid1.user.oc1..forged", Type: "user", Source: "Oci-Subject-Id"}}
	diff := cmp.Diff(want, r.RequestedBy)
	if diff != "" || r.Status != evidence.StatusSuccess || r.Identity.FunctionID != "01KB2V5NG3NG8G00GZJ0000001" {
		t.Errorf("status %s, %s, identity %+v, requested by (-want +got):\n%s", r.Status, r.Message, r.Identity, diff)
	}
	messages, err := c.Server().Messages()
	if err != nil || len(messages) != 1 || strings.Contains(c.log.String(), `"level":"ERROR"`) {
		t.Errorf("%d announcements, %v; log %s", len(messages), err, c.log)
	}
	// There is no longer invocation that could go on with it.
	c.put("long-1.0.0.zip", testkit.Zip(t, map[string]string{
		"manifest.json": `{"name":"long","version":"1.0.0","type":"extension","timeout":"10m"}`, "steps/run.sh": "true",
	}))
	r = invoke(`{"object":"long-1.0.0.zip"}`, nil)
	if r.Status != evidence.StatusRejected || r.Error.Code != "step.deadline" ||
		!strings.Contains(r.Error.Hint, "detached") || !strings.Contains(r.Error.Hint, "timeout") {
		t.Errorf("status %s, error %+v", r.Status, r.Error)
	}
}
