package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/functions"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/fnhost"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// The function is built once, as for deployment.
var function = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "cemli-function-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "cemli-executor")
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, "cemli-executor")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return path, cmd.Run()
})

func TestMain(m *testing.M) {
	testkit.PretendKernel()
	local.Dispatch()
	code := m.Run()
	for _, built := range []func() (string, error){function, pair} {
		if path, err := built(); err == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
	}
	os.Exit(code)
}

// cloud is a running local OCI.
type cloud struct {
	*local.Stack
	t       testing.TB
	answers chan answer
	log     *testkit.Buffer
}

type answer struct {
	evidence.Summary
	Reason  string `json:"reason"`
	err     error
	several []answer // of parameter sets
}

func start(t *testing.T, change func(*local.Options)) *cloud {
	t.Helper()
	binary, err := function()
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{t: t, answers: make(chan answer, 100), log: &testkit.Buffer{}}
	o := local.Options{
		Dir: t.TempDir(), Binary: binary, Instances: 1, MemoryMB: 512, Timeout: time.Minute,
		FunctionLog: c.log, Log: slog.New(slog.DiscardHandler),
		Answered: c.answered,
	}
	if change != nil {
		change(&o)
	}
	stack, err := local.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Close(); err != nil {
			t.Error(err)
		}
	})
	c.Stack = stack
	return c
}

// unconfined lets scripts do what tests of the platform need: kill the function, and meet in a folder.
func unconfined(o *local.Options) { o.Settings = map[string]string{"CEMLI_SANDBOX": "none"} }

// accepting makes the policy accept that scripts get secrets if the kernel cannot isolate them.
func accepting(o *local.Options) {
	if !sandbox.Probe().Strongest().Reaches(sandbox.LevelIsolated) {
		o.Settings = map[string]string{"CEMLI_POLICY": `{"environment":"local","sandbox":"basic"}`}
	}
}

// answered receives the end of an invocation.
func (c *cloud) answered(a fnhost.Answer, err error) {
	got := answer{err: err}
	// no verdict
	if err == nil && !bytes.HasPrefix(a.Body, []byte("true")) && !bytes.HasPrefix(a.Body, []byte("false")) {
		if json.Unmarshal(a.Body, &got.several) == nil {
			c.answers <- got
			return
		}
		if err := json.Unmarshal(a.Body, &got); err != nil {
			c.t.Errorf("answer %q: %v", a.Body, err)
		}
	}
	c.answers <- got
}

func (c *cloud) packages() store.Bucket { return c.Person().Bucket(c.Buckets().Packages) }
func (c *cloud) results() store.Bucket  { return c.Person().Bucket(c.Buckets().Results) }

func (c *cloud) put(name string, data []byte) {
	c.t.Helper()
	_, err := c.packages().Put(c.t.Context(), name, bytes.NewReader(data), int64(len(data)), store.PutOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
}

// answer waits for the end of an invocation.
func (c *cloud) answer() answer {
	c.t.Helper()
	select {
	case a := <-c.answers:
		return a
	case <-time.After(90 * time.Second):
		c.t.Fatalf("no invocation ended; the function's log:\n%s", c.log)
		return answer{}
	}
}

// result reads the result that an answer names.
func (c *cloud) result(a answer) evidence.Result {
	c.t.Helper()
	if a.err != nil {
		c.t.Fatalf("the invocation failed: %v; the function's log:\n%s", a.err, c.log)
	}
	body, _, err := c.results().Get(c.t.Context(), a.Result.Object, store.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer body.Close()
	doc, err := io.ReadAll(body)
	if err != nil {
		c.t.Fatal(err)
	}
	testkit.CheckResult(c.t, doc)
	r, err := evidence.Decode(doc)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func sample(t testing.TB, script string) []byte {
	t.Helper()
	return testkit.Zip(t,
		map[string]string{
			"manifest.json": `{"name":"sample","version":"1.0.0","type":"extension"}`, "steps/run.sh": script,
		})
}

func TestUploadRunsAndLeavesAResult(t *testing.T) {
	c := start(t, nil)
	c.put("in/sample-1.0.0.zip", sample(t, "echo Hello; id -u; echo $CEMLI_ENVIRONMENT"))
	r := c.result(c.answer())
	if r.Status != evidence.StatusSuccess || !strings.HasPrefix(r.Execution.Stdout, "Hello\n") ||
		!strings.HasSuffix(r.Execution.Stdout, "\nlocal\n") {
		t.Errorf("status %s, %s, stdout %q", r.Status, r.Message, r.Execution.Stdout)
	}
	if os.Geteuid() == 0 && strings.Contains(r.Execution.Stdout, "\n0\n") {
		t.Error("the script ran as root")
	}
	if r.Trigger.Kind != "event" || r.Trigger.EventType != "com.oraclecloud.objectstorage.createobject" ||
		r.Trigger.Raw == nil {
		t.Errorf("trigger %+v", r.Trigger)
	}
	i := r.Identity
	if i.FunctionID == "" || i.TenancyID == "" || i.CompartmentID == "" || i.CallID == "" || i.AppID == "" {
		t.Errorf("identity %+v", i)
	}
	// Warm: the next upload is served by the same process, in a clean work folder.
	c.put("in/sample-1.0.1.zip", sample(t, "exit 3"))
	if r := c.result(c.answer()); r.Status != evidence.StatusFailed || r.Execution.ReturnCode != 3 {
		t.Errorf("status %s, %+v", r.Status, r.Execution)
	}
}

func TestWhatIsIgnoredOrRefused(t *testing.T) {
	c := start(t, nil)
	c.put("readme.txt", []byte("text"))
	if a := c.answer(); a.Status != "ignored" || a.Reason == "" {
		t.Errorf("answer %+v", a)
	}
	c.put("broken.zip", []byte("this is no zip"))
	if r := c.result(c.answer()); r.Status != evidence.StatusRejected || !strings.HasPrefix(r.Error.Code, "archive.") {
		t.Errorf("status %s, error %+v", r.Status, r.Error)
	}
}

// A script that runs past its time is stopped before the platform kills the function,
// so that there is evidence of it.
// The function reads the policy from a bucket that it may read and not write, anew at
// each run, and keeps its records in the state bucket: all with its own permissions.
func TestPolicyAndRecords(t *testing.T) {
	c := start(t, func(o *local.Options) {
		o.Settings = map[string]string{"CEMLI_POLICY": "cemli-policies/local.json"}
	})
	try := func(name, script string) evidence.Result {
		t.Helper()
		c.put(name, sample(t, script))
		return c.result(c.answer())
	}
	r := try("1.zip", "echo ran")
	if r.Status != evidence.StatusRejected || r.Error.Code != "policy.unavailable" || r.Execution.Ran {
		t.Errorf("without its policy: %s, %+v", r.Status, r.Error)
	}
	policy := func(text string) {
		t.Helper()
		_, err := c.Person().Bucket("cemli-policies").Put(t.Context(), "local.json", strings.NewReader(text),
			int64(len(text)), store.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	policy(`{"environment":"local","require":{"/owner":true}}`)
	if r := try("2.zip", "echo ran"); r.Status != evidence.StatusRejected || r.Error.Code != "policy.require" ||
		r.Policy.Source != "cemli-policies/local.json" {
		t.Errorf("without an owner: %s, %+v, policy %+v", r.Status, r.Error, r.Policy)
	}
	policy(`{"environment":"local"}`)
	first := try("3.zip", "echo ran")
	if first.Status != evidence.StatusSuccess || first.Policy.Digest == "" {
		t.Errorf("admitted: %s, %s, policy %+v", first.Status, first.Message, first.Policy)
	}
	if r := try("4.zip", "echo ran"); r.Status != evidence.StatusSkipped || r.PreviousRunID != first.RunID {
		t.Errorf("repeated: %s, previous %q; want %s", r.Status, r.PreviousRunID, first.RunID)
	}
	if r := try("5.zip", "echo other"); r.Status != evidence.StatusRejected || r.Error.Code != "policy.reuse" {
		t.Errorf("reused: %s, %+v", r.Status, r.Error)
	}
}

// A run needs each of these statements of the function's policy: without it there is no
// success, and the services' log names the permission.
func TestRunNeedsItsPermissions(t *testing.T) {
	all, err := localoci.Statements(
		localoci.Buckets{
			Packages: "cemli-packages", Results: "cemli-results", State: "cemli-state", Policies: "cemli-policies",
		})
	if err != nil {
		t.Fatal(err)
	}
	for name, missing := range map[string]string{
		"read_packages": "OBJECT_READ", "read_policies": "OBJECT_READ", "create_results": "OBJECT_CREATE",
		"read_results": "OBJECT_INSPECT", "manage_state": "OBJECT_READ",
	} {
		t.Run(name, func(t *testing.T) {
			log := &testkit.Buffer{}
			c := start(t, func(o *local.Options) {
				o.Settings = map[string]string{"CEMLI_POLICY": "cemli-policies/local.json"}
				o.Log = slog.New(slog.NewJSONHandler(log, nil))
				for _, s := range all {
					if s.Name != name {
						o.Statements = append(o.Statements, s.Statement)
					}
				}
			})
			const policy = `{"environment":"local"}`
			_, err := c.Person().Bucket("cemli-policies").Put(t.Context(), "local.json", strings.NewReader(policy),
				int64(len(policy)), store.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			c.put("sample-1.0.0.zip", sample(t, "echo ran"))
			if a := c.answer(); a.err == nil && a.Status == evidence.StatusSuccess {
				t.Errorf("the run succeeded without %s", name)
			}
			if !strings.Contains(log.String(), `"missing":"`+missing+`"`) {
				t.Errorf("the log does not name %s:\n%s", missing, log)
			}
		})
	}
}

func TestTimeoutLeavesEvidence(t *testing.T) {
	c := start(t, func(o *local.Options) {
		o.Timeout = 10 * time.Second
		o.Settings = map[string]string{"CEMLI_RESERVE": "3s"}
	})
	c.put("sample-1.0.0.zip", sample(t, "echo begun; sleep 1000"))
	if r := c.result(c.answer()); r.Status != evidence.StatusTimedOut || r.Execution.Stdout != "begun\n" {
		t.Errorf("status %s, %+v", r.Status, r.Execution)
	}
}

func TestBadConfigurationIsAnswered(t *testing.T) {
	c := start(t, func(o *local.Options) {
		o.Settings = map[string]string{"CEMLI_SANDBOX": "full", "CEMLI_RESERVE": "soon"}
	})
	c.put("sample-1.0.0.zip", sample(t, "true"))
	if a := c.answer(); a.err == nil || !strings.Contains(c.log.String(), "CEMLI_RESERVE") {
		t.Errorf("the event counts as done: %+v", a)
	}
}

// The function may not write where it reads packages, nor overwrite evidence, and sees nothing but its own buckets.
// It must work all the same.
func TestResultsBucketMissing(t *testing.T) {
	c := start(t, func(o *local.Options) { o.Settings = map[string]string{"RESULTS_BUCKET": "no-such-bucket"} })
	c.put("sample-1.0.0.zip", sample(t, "echo ran"))
	if a := c.answer(); a.err == nil {
		t.Errorf("the invocation did not fail: %+v", a)
	}
	if !strings.Contains(c.log.String(), "store.bucket_not_found") {
		t.Errorf("the log does not name the cause:\n%s", c.log)
	}
}

// An event survives a crash of the function: it is delivered again, and because the first run's steps had started,
// nothing is executed a second time.
func TestEventIsDeliveredAgain(t *testing.T) {
	c := start(t, unconfined)
	c.put("sample-1.0.0.zip", sample(t, "echo executed; sleep 0.2; kill -9 $PPID; sleep 100"))
	if a := c.answer(); a.err == nil {
		t.Fatalf("the function survived: %+v", a)
	}
	a := c.answer()
	if a.err != nil || a.Status != evidence.StatusInProgress || a.RunID == "" {
		t.Errorf("answer %+v", a)
	}
	if n := strings.Count(c.log.String(), `"line":"executed"`); n != 1 {
		t.Errorf("the script ran %d times", n)
	}
}

func TestSeveralInstancesRunAtOnce(t *testing.T) {
	c := start(t, func(o *local.Options) { unconfined(o); o.Instances = 3 })
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // for the function's users
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o777); err != nil { //nolint:gosec // as above
		t.Fatal(err)
	}
	// Each waits until all three have begun, which they can only at the same time.
	for _, n := range []string{"1", "2", "3"} {
		c.put("sample-1.0."+n+".zip", testkit.Zip(t, map[string]string{
			"manifest.json": `{"name":"sample","version":"1.0.` + n + `","type":"extension","concurrency":{"group":"` +
				n + `"}}`,
			"steps/run.sh": "touch " + dir + "/" + n + "; until [ $(ls " + dir +
				" | wc -l) -ge 3 ]; do sleep 0.05; done",
		}))
	}
	for range 3 {
		if r := c.result(c.answer()); r.Status != evidence.StatusSuccess {
			t.Errorf("status %s, %s", r.Status, r.Message)
		}
	}
}

// A person invokes the function with the SDK, given endpoint and configuration file.
func TestInvocationByHand(t *testing.T) {
	c := start(t, nil)
	// No event is about a package of that name, so that only the person runs it.
	c.put("by-hand", sample(t, "echo by hand"))
	if a := c.answer(); a.Status != "ignored" {
		t.Fatalf("answer %+v", a)
	}
	invoked := invokeByHand(t, c, `{"object":"by-hand","reason":"again","reference":"INC1"}`)
	var a answer
	if err := json.Unmarshal(invoked, &a); err != nil {
		t.Fatal(err)
	}
	r := c.result(a)
	if r.Trigger.Kind != "request" || r.Reason != "again" || r.Reference != "INC1" ||
		r.Execution.Stdout != "by hand\n" {
		t.Errorf("trigger %+v, reason %q, execution %+v", r.Trigger, r.Reason, r.Execution)
	}
}

// Secrets come from the vault with the function's own rights, and the end of a run is announced.
func TestSecretsAndAnnouncement(t *testing.T) {
	c := start(t, accepting)
	secret, err := c.Server().PutSecret("erp-db", []byte("tiger-s3cr3t"))
	if err != nil {
		t.Fatal(err)
	}
	zip := func(version, ref, script string) []byte {
		return testkit.Zip(t, map[string]string{
			"manifest.json": `{"name":"sample","version":"` + version +
				`","type":"extension","secrets":{"DB":{"vault_secret":"` + ref + `"}}}`, "steps/run.sh": script,
		})
	}
	for i, ref := range []string{"erp-db", secret.ID} {
		c.put(fmt.Sprintf("sample-1.0.%d.zip", i),
			zip(fmt.Sprintf("1.0.%d", i), ref, `[ "$DB" = tiger-s3cr3t ] && echo "it is $DB"`))
		r := c.result(c.answer())
		if r.Status != evidence.StatusSuccess || r.Execution.Stdout != "it is ***\n" ||
			r.Secrets[0].SecretID != secret.ID || r.Secrets[0].Version != "1" {
			t.Errorf("%s: status %s, %q, %+v, secrets %+v", ref, r.Status, r.Message, r.Execution, r.Secrets)
		}
	}
	c.put("sample-1.0.2.zip", zip("1.0.2", "no-such", "echo ran"))
	r := c.result(c.answer())
	if r.Status != evidence.StatusRejected || r.Error.Code != "secret.unavailable" || r.Execution.Ran {
		t.Errorf("status %s, %+v", r.Status, r.Error)
	}
	if strings.Contains(c.log.String(), "tiger") {
		t.Error("the secret is in the function's log")
	}
	messages, err := c.Server().Messages()
	if err != nil || len(messages) != 3 {
		t.Fatalf("%d messages, error %v; the function's log:\n%s", len(messages), err, c.log)
	}
	if m := messages[2]; !strings.HasPrefix(m.Title, "[local] sample 1.0.2: rejected - ") ||
		!strings.Contains(m.Body, `"dev.cemli.run.finished"`) || strings.Contains(m.Body, "tiger") {
		t.Errorf("message %+v", m)
	}
}

func TestOnlyFailuresAreAnnounced(t *testing.T) {
	c := start(t, func(o *local.Options) { o.Settings = map[string]string{"CEMLI_NOTIFY": "failures"} })
	c.put("sample-1.0.0.zip", sample(t, "echo fine"))
	c.result(c.answer())
	c.put("sample-1.0.1.zip", sample(t, "exit 1"))
	c.result(c.answer())
	messages, err := c.Server().Messages()
	if err != nil || len(messages) != 1 || !strings.Contains(messages[0].Title, "failed") {
		t.Errorf("messages %+v, error %v", messages, err)
	}
}

func TestParameterSetsByEvent(t *testing.T) {
	c := start(t, nil)
	c.put("sets-1.0.0.zip", testkit.Zip(t, map[string]string{
		"manifest.json": `{"name":"sets","version":"1.0.0","type":"localization","parameters":{"C":{"type":"string"}},
			"parameter_sets":{"FR":{"C":"fr"},"DE":{"C":"de"}}}`,
		"steps/run.sh": "echo $CEMLI_PARAM_C",
	}))
	a := c.answer()
	if a.err != nil || len(a.several) != 2 {
		t.Fatalf("answer %+v", a)
	}
	for i, want := range []string{"de\n", "fr\n"} {
		if r := c.result(a.several[i]); r.Status != evidence.StatusSuccess || r.Execution.Stdout != want {
			t.Errorf("status %s, %+v", r.Status, r.Execution)
		}
	}
}

// Each event arrives twice, at two instances: the package runs once, and both are answered with that run.
func TestEventsThatArriveTwice(t *testing.T) {
	c := start(t, func(o *local.Options) {
		o.Instances = 2
		o.Faults.EventDuplicate = 1
	})
	c.put("sample-1.0.0.zip", sample(t, "echo executed; sleep 0.5"))
	first, second := c.answer(), c.answer()
	if first.RunID != second.RunID || first.RunID == "" {
		t.Errorf("runs %q and %q", first.RunID, second.RunID)
	}
	if n := strings.Count(c.log.String(), `"line":"executed"`); n != 1 {
		t.Errorf("the script ran %d times", n)
	}
	page, err := c.results().List(t.Context(), store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	results := 0
	for _, o := range page.Objects {
		if strings.HasSuffix(o.Name, "/result.json") {
			results++
		}
	}
	if results != 1 {
		t.Errorf("%d results", results)
	}
}

// A package that needs more time than an event's invocation has goes on in a detached one, for which the function
// asks.
func TestALongPackageGoesOnDetached(t *testing.T) {
	c := start(t, nil)
	c.put("long-1.0.0.zip", testkit.Zip(t, map[string]string{
		"manifest.json": `{"name":"long","version":"1.0.0","type":"extension","timeout":"30m"}`,
		"steps/run.sh":  "echo $CEMLI_DEADLINE",
	}))
	first := c.answer()
	if first.err != nil || first.Status != evidence.StatusInProgress {
		t.Fatalf("answer %+v", first)
	}
	r := c.result(c.answer())
	deadline, err := time.Parse(time.RFC3339, strings.TrimSpace(r.Execution.Stdout))
	if err != nil || r.Status != evidence.StatusSuccess || r.RunID != first.RunID || r.Trigger.Kind != "event" ||
		time.Until(deadline) < 20*time.Minute {
		t.Errorf("run %s, status %s, trigger %s, deadline %s, %v", r.RunID, r.Status, r.Trigger.Kind, deadline, err)
	}
}

// A detached invocation has exactly the time that was asked for.
func TestTheTimeOfDetachedInvocations(t *testing.T) {
	c := start(t, func(o *local.Options) { o.Detached = 3 * time.Minute })
	c.put("long-1.0.0.zip", testkit.Zip(t, map[string]string{
		"manifest.json": `{"name":"long","version":"1.0.0","type":"extension","timeout":"90s"}`,
		"steps/run.sh":  "echo $CEMLI_DEADLINE",
	}))
	if first := c.answer(); first.err != nil || first.Status != evidence.StatusInProgress {
		t.Fatalf("answer %+v", first)
	}
	r := c.result(c.answer())
	deadline, err := time.Parse(time.RFC3339, strings.TrimSpace(r.Execution.Stdout))
	if err != nil || r.Status != evidence.StatusSuccess || deadline.After(r.Start.Add(3*time.Minute)) {
		t.Errorf("%s, deadline %s, start %s, %v", r.Status, deadline, r.Start, err)
	}
}

// The sweep runs an upload whose event was lost, over the same interfaces.
func TestSweepRunsWhatNoEventDid(t *testing.T) {
	c := start(t, func(o *local.Options) { o.Faults.EventLose = 1 })
	sweep := func() (swept struct {
		Status string `json:"status"`
		Runs   []struct {
			Status string `json:"status"`
			Object string `json:"object"`
		} `json:"runs"`
	},
	) {
		t.Helper()
		if err := json.Unmarshal(invokeByHand(t, c, `{"action":"sweep"}`), &swept); err != nil {
			t.Fatal(err)
		}
		return swept
	}
	sweep() // from here on uploads are looked after
	c.put("sample-1.0.0.zip", sample(t, "echo ran"))
	if swept := sweep(); swept.Status != "success" || len(swept.Runs) != 1 || swept.Runs[0].Status != "success" ||
		swept.Runs[0].Object != "sample-1.0.0.zip" {
		t.Errorf("%+v", swept)
	}
}

// A local OCI schedules sweeps as a tenancy does: an upload whose event was lost runs.
func TestSweepsAreOnASchedule(t *testing.T) {
	c := start(t, func(o *local.Options) { o.Faults.EventLose, o.Sweep = 1, time.Second })
	until := func(what string, done func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s; the function's log:\n%s", what, c.log)
			}
		}
	}
	until("nothing is watched", func() bool {
		_, err := c.Person().Bucket(c.Buckets().State).Head(t.Context(), "watch.json")
		return err == nil
	})
	c.put("sample-1.0.0.zip", sample(t, "echo ran"))
	until("the upload was not run", func() bool { return len(c.stored(t)) == 1 })
}

// invokeByHand calls the function as a person does, with the SDK.
func invokeByHand(t *testing.T, c *cloud, body string) []byte {
	t.Helper()
	answer, err := c.invoke(body)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// invoke is the same for an invocation that may fail.
func (c *cloud) invoke(body string) ([]byte, error) {
	provider, err := common.ConfigurationProviderFromFile(c.ConfigFile(), "")
	if err != nil {
		return nil, err
	}
	client, err := functions.NewFunctionsInvokeClientWithConfigurationProvider(provider, c.Endpoint())
	if err != nil {
		return nil, err
	}
	invoked, err := client.InvokeFunction(c.t.Context(), functions.InvokeFunctionRequest{
		FunctionId: common.String(localoci.FunctionID), InvokeFunctionBody: io.NopCloser(strings.NewReader(body)),
	})
	if err != nil {
		return nil, err
	}
	defer invoked.Content.Close()
	return io.ReadAll(invoked.Content)
}
