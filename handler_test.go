package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	fdk "github.com/fnproject/fdk-go"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/container"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/oci"
	"cemli-executor/internal/store"
)

// testHandler makes a handler whose store is a port that nobody listens on.
func testHandler(t *testing.T, environ ...string) (*handler, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	config, problems := ParseConfig(append(environ, "CEMLI_RESERVE=1s"))
	config.WorkDir = t.TempDir()
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	return &handler{
		config: config, problems: problems, log: logger,
		container: container.Find(os.Getenv, config.WorkDir),
		listener:  newListener(func(string) string { return "" }, config.WorkDir, logger),
		client:    oci.ResourcePrincipal(oci.Options{Endpoint: "http://127.0.0.1:1", Backoff: time.Millisecond}),
	}, &log
}

// serve calls the handler as the FDK does and returns the decoded answer; failed says
// that the invocation failed.
func serve(t *testing.T, h *handler, ctx context.Context, body io.Reader) (answer map[string]any, failed bool) {
	t.Helper()
	var out bytes.Buffer
	func() {
		defer func() {
			if p := recover(); p != nil {
				if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
				failed = true
			}
		}()
		h.Serve(ctx, body, &out)
	}()
	if failed {
		if out.Len() > 0 {
			t.Errorf("a failed invocation wrote %q, which the FDK would put before the next answer", &out)
		}
		return nil, true
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		t.Fatalf("answer %q: %v", &out, err)
	}
	return answer, false
}

func errorCode(answer map[string]any) string {
	e, _ := answer["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

func TestBadRequestsAreAnswered(t *testing.T) {
	h, _ := testHandler(t)
	for body, want := range map[string]string{
		"": "trigger.empty", "hello": "trigger.not_json", `{"a":1}`: "trigger.unknown_form",
		strings.Repeat(" ", 7<<20) + "{}":             "trigger.too_large",
		`{"object":"a.zip","bucket":"cemli-results"}`: "trigger.bucket",
	} {
		answer, failed := serve(t, h, t.Context(), strings.NewReader(body))
		if failed || errorCode(answer) != want || answer["message"] == "" {
			t.Errorf("%.30q: %v, failed %v; want %s", body, answer, failed, want)
		}
	}
}

func TestIgnoredEventsSayWhy(t *testing.T) {
	h, _ := testHandler(t)
	answer, failed := serve(t, h, t.Context(), strings.NewReader(
		`{"cloudEventsVersion":"0.1","eventID":"i","source":"s",`+
			`"eventType":"com.oraclecloud.objectstorage.deleteobject","data":{}}`))
	if failed || answer["status"] != "ignored" || answer["reason"] == "" {
		t.Errorf("%v, failed %v", answer, failed)
	}
}

// An event that the policy's triggers may name fails its invocation as long as that is unknown, or what it starts
// cannot be accepted. A broken event does not: it would be broken the next time, too.
func TestEventsThatTriggersMayName(t *testing.T) {
	event := func(members string) string {
		return `{"cloudEventsVersion":"0.1","source":"s","eventType":"com.oraclecloud.vaultsecret.createsecretversion"` + members + `}`
	}
	named := event(`,"eventID":"i","data":{"resourceName":"erp-db"}`)
	const policy = `CEMLI_POLICY={"environment":"dev",` +
		`"triggers":[{"event_type":"com.oraclecloud.vaultsecret.createsecretversion","resource":"erp-*",` +
		`"object":"a.zip"}]}`
	for _, c := range []struct {
		name, policy, body string
		fails              bool
		want               string // status, or code
	}{
		{"named", policy, named, true, ""},
		{
			"in a batch", policy, "[" + event(`,"eventID":"i","data":{"resourceName":"bank"}`) + "," + named + "]",
			true, "",
		},
		{"not named", policy, event(`,"eventID":"i","data":{"resourceName":"bank"}`), false, "ignored"},
		{"without an id", policy, event(`,"data":{"resourceName":"erp-db"}`), false, "trigger.event"},
		{
			"about what nobody can read", policy, event(`,"eventID":"i","data":{"resourceName":7}`), false,
			"trigger.event",
		},
		{
			"about a name with a control character", policy,
			event(`,"eventID":"i","data":{"resourceName":"erp-\u0000"}`), false, "trigger.value",
		},
		{
			"of a type that none names", policy,
			`{"cloudEventsVersion":"0.1","eventType":"com.oraclecloud.computeapi.launchinstance"}`, false, "ignored",
		},
		{"a policy that is no JSON", `CEMLI_POLICY={`, named, true, ""},
		{"a policy of another environment", `CEMLI_POLICY={"environment":"prod"}`, named, true, ""},
		{"a policy that is out of reach", `CEMLI_POLICY=policies/dev.json`, named, true, ""},
		{"no policy", `CEMLI_LOG_LEVEL=info`, named, false, "ignored"},
	} {
		h, _ := testHandler(t, "CEMLI_ENVIRONMENT=dev", c.policy)
		answer, failed := serve(t, h, t.Context(), strings.NewReader(c.body))
		if got := errorCode(answer); failed != c.fails || !failed && got != c.want && answer["status"] != c.want {
			t.Errorf("%s: %v, failed %t", c.name, answer, failed)
		}
	}
}

func TestBadConfigurationIsAnsweredByName(t *testing.T) {
	h, _ := testHandler(t, "CEMLI_SANDBOX=maybe", "RESULTS_BUCKET=cemli-packages", "CEMLI_TYPO=1")
	for range 2 {
		answer, failed := serve(t, h, t.Context(), strings.NewReader(`{"object":"a.zip"}`))
		if failed {
			t.Fatal("the invocation failed")
		}
		doc, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"CEMLI_SANDBOX", "RESULTS_BUCKET", "CEMLI_TYPO"} {
			if !strings.Contains(string(doc), name) {
				t.Errorf("%s is not named in %s", name, doc)
			}
		}
	}
	for _, body := range []string{
		`{"action":"sweep"}`,
		`{"cloudEventsVersion":"0.1","eventID":"i","source":"s",` +
			`"eventType":"com.oraclecloud.objectstorage.createobject","data":{}}`,
	} {
		if answer, failed := serve(t, h, t.Context(), strings.NewReader(body)); !failed {
			t.Errorf("nobody reads the answer to %s: %v", body, answer)
		}
	}
}

// slowBody is a request that does not end before it is told to.
type slowBody struct {
	reading chan struct{}
	finish  chan struct{}
}

func (b slowBody) Read([]byte) (int, error) {
	close(b.reading)
	<-b.finish
	return 0, io.EOF
}

func TestSecondCallIsRefused(t *testing.T) {
	h, _ := testHandler(t)
	first := slowBody{make(chan struct{}), make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		serve(t, h, t.Context(), first)
	}()
	<-first.reading
	answer, failed := serve(t, h, t.Context(), strings.NewReader(`{"object":"a.zip"}`))
	if failed || errorCode(answer) != "trigger.busy" {
		t.Errorf("%v, failed %v; want trigger.busy", answer, failed)
	}
	close(first.finish)
	<-ended
	if answer, _ := serve(t, h, t.Context(), strings.NewReader(``)); errorCode(answer) != "trigger.empty" {
		t.Errorf("the call after: %v", answer)
	}
}

type panicBody struct{}

func (panicBody) Read([]byte) (int, error) { panic("boom") }

func TestPanicsFailTheCallOnly(t *testing.T) {
	h, log := testHandler(t)
	if _, failed := serve(t, h, t.Context(), panicBody{}); !failed {
		t.Error("a panic was answered as if nothing had happened")
	}
	if !strings.Contains(log.String(), "boom") || !strings.Contains(log.String(), "handler.go") {
		t.Errorf("the log does not say where it happened: %s", log)
	}
	if answer, _ := serve(t, h, t.Context(), strings.NewReader(``)); errorCode(answer) != "trigger.empty" {
		t.Errorf("the call after: %v", answer)
	}
}

// upload is an event of Object Storage.
const upload = `{"cloudEventsVersion":"0.1","eventID":"i","source":"s",` +
	`"eventType":"com.oraclecloud.objectstorage.createobject",` +
	`"eventTime":"2026-01-02T03:04:05Z","data":{"resourceName":"a.zip","additionalDetails":{"namespace":"n",` +
	`"bucketName":"cemli-packages","eTag":"e"}}}`

// Without credentials the store cannot be reached before the first step: the
// invocation fails, so that the event is delivered again.
func TestUnreachableStoreFailsTheInvocation(t *testing.T) {
	for _, body := range []string{upload, "[" + `{"object":"a.zip"}` + "]", `{"action":"sweep"}`} {
		h, log := testHandler(t)
		if answer, failed := serve(t, h, t.Context(), strings.NewReader(body)); !failed {
			t.Errorf("answered %v", answer)
		}
		if !strings.Contains(log.String(), "config.credentials") {
			t.Errorf("the log does not name the cause: %s", log)
		}
	}
}

// localOCI starts a local OCI with the function's buckets.
func localOCI(t *testing.T) *localoci.Server {
	t.Helper()
	server, err := localoci.Open(localoci.Config{
		Dir:     t.TempDir(),
		Buckets: localoci.Buckets{Packages: "cemli-packages", Results: "cemli-results", State: "cemli-state"},
		Log:     slog.New(slog.DiscardHandler),
		Invoke:  func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil },
	})
	if err == nil {
		err = server.Start(0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// An event's invocation sweeps before its answer; an invocation by hand does not.
func TestAnEventsInvocationSweeps(t *testing.T) {
	server := localOCI(t)
	h, _ := testHandler(t, "FN_FN_ID="+localoci.FunctionID)
	h.client = oci.ConfigFile(server.Authority().ConfigFile(), "DEFAULT", oci.Options{Endpoint: server.Endpoint()})
	swept := func() bool {
		_, err := h.client.Bucket("cemli-state").Head(t.Context(), "sweep/"+h.config.Environment+".json")
		return err == nil
	}
	for body, want := range map[string]bool{
		`{"object":"none.zip"}`: false, strings.Replace(upload, "a.zip", "a.txt", 1): true,
	} {
		if answer, failed := serve(t, h, t.Context(), strings.NewReader(body)); failed || swept() != want {
			t.Errorf("%s: answer %v, failed %v, swept %v", body, answer, failed, swept())
		}
		err := h.client.Bucket("cemli-state").Delete(t.Context(), "sweep/"+h.config.Environment+".json", "")
		if want != (err == nil) {
			t.Error(err)
		}
	}
}

// An invocation by hand is answered with what is wrong and what to do, whatever went wrong.
func TestByHandWhatIsWrongIsAnswered(t *testing.T) {
	server := localOCI(t)
	client := func(endpoint string) *oci.Client {
		return oci.ConfigFile(server.Authority().ConfigFile(), "DEFAULT",
			oci.Options{Endpoint: endpoint, Backoff: time.Millisecond})
	}
	var zipped bytes.Buffer
	if _, err := bundle.Create(&zipped, fstest.MapFS{
		"manifest.json": {Data: []byte(`{"name":"a","version":"1.0.0","type":"extension"}`)},
		"steps/run.sh":  {Data: []byte("true")},
	}); err != nil {
		t.Fatal(err)
	}
	_, err := client(server.Endpoint()).Bucket("cemli-packages").Put(t.Context(), "a.zip",
		bytes.NewReader(zipped.Bytes()), int64(zipped.Len()), store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, setting string
		client        *oci.Client
		want          string
	}{
		{"no credentials", "CEMLI_TOPIC=", nil, "config.credentials"},
		{"nobody listens", "CEMLI_TOPIC=", client("http://127.0.0.1:1"), "store.unavailable"},
		{"no packages bucket", "CEMLI_PACKAGES_BUCKET=none", client(server.Endpoint()), "store.bucket_not_found"},
		{"no state bucket", "CEMLI_STATE_BUCKET=none", client(server.Endpoint()), "store.bucket_not_found"},
		{"no results bucket", "RESULTS_BUCKET=none", client(server.Endpoint()), "store.bucket_not_found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _ := testHandler(t, c.setting)
			if c.client != nil {
				h.client = c.client
			}
			answer, failed := serve(t, h, t.Context(), strings.NewReader(`{"object":"a.zip"}`))
			reason, _ := answer["error"].(map[string]any)
			if failed || errorCode(answer) != c.want || reason["hint"] == "" || answer["status"] != "error" {
				t.Errorf("failed %v; %v", failed, answer)
			}
		})
	}
}

// fdkContext is what the FDK puts into a call's context.
type fdkContext struct {
	fdk.Context
	header http.Header
}

func (c fdkContext) Header() http.Header { return c.header }
func (c fdkContext) CallID() string      { return "call-1" }

func TestWhatThePlatformSays(t *testing.T) {
	ctx := fdk.WithContext(t.Context(), fdkContext{header: http.Header{"Oci-Subject-Id": {"ocid1.user.oc1..x"}}})
	caller := platform(ctx)
	by := requesters(caller.header, false)
	if caller.callID != "call-1" || len(by) != 1 || by[0].Subject != "ocid1.user.oc1..x" || by[0].Verified {
		t.Errorf("call id %q, requested by %+v", caller.callID, by)
	}
	if caller := platform(t.Context()); caller.callID != "" || caller.header == nil || caller.hidden {
		t.Errorf("without the FDK: %+v", caller)
	}
}

func TestBatchAnswerStaysUnderTheLimit(t *testing.T) {
	tail := strings.Repeat("x", evidence.TailBytes)
	var answers []any
	for range 100 {
		answers = append(answers,
			evidence.Summary{Status: evidence.StatusSuccess, RunID: "r", Execution: evidence.Execution{Stdout: tail}})
	}
	doc, err := encode(answers, true)
	if err != nil || len(doc) > evidence.MaxAnswer {
		t.Fatalf("%d bytes, %v", len(doc), err)
	}
	var items []evidence.Summary
	if err := json.Unmarshal(doc, &items); err != nil || len(items) != 100 || items[99].RunID != "r" {
		t.Errorf("%d items, %v", len(items), err)
	}
}

// A cancel that could not find out about its run says so, and fails only where nobody reads its answer.
func TestACancelThatCannotBeServed(t *testing.T) {
	h, _ := testHandler(t)
	const cancel = `{"action":"cancel","run_id":"20260101T000000Z-a-000000000000","reason":"wrong ledger"}`
	answer, failed := serve(t, h, t.Context(), strings.NewReader(cancel))
	if failed || answer["status"] != "error" || errorCode(answer) != "config.credentials" &&
		errorCode(answer) != "store.unavailable" {
		t.Errorf("failed %v, answer %v", failed, answer)
	}
	if answer, failed := serve(t, h, t.Context(), strings.NewReader("["+cancel+"]")); !failed {
		t.Errorf("in a batch: %v", answer)
	}
}
