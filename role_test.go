package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/testkit"
)

// asRunner makes a handler of a runner whose mailboxes nobody can reach.
func asRunner(t *testing.T, environ ...string) (*handler, *bytes.Buffer) {
	t.Helper()
	h, log := testHandler(t, append(environ, "CEMLI_ROLE=runner")...)
	h.problems = slices.DeleteFunc(h.problems, func(p problem.Problem) bool { return p.Where == "CEMLI_RESERVE" })
	h.config.WorkDir = filepath.Join(testkit.TempDir(t), "work")
	h.runner = runnerRole{h}.newRunner()
	return h, log
}

// aJob is a call with a job, that may last so long from now on.
func aJob(t *testing.T, lasts time.Duration) []byte {
	t.Helper()
	digest, at := strings.Repeat("a", 64), time.Now()
	call, err := jobs.Job{
		V: jobs.Version, Job: strings.Repeat("1", 32), RunID: "20261127T115900Z-sample-0123456789ab", Attempt: 1,
		Environment: "test", Action: jobs.ActionApply, OnFailure: jobs.OnFailureStop, Level: "basic",
		Package: jobs.Package{
			Name: "sample", Version: "1.0.0", Type: "extension", SHA256: digest, Size: 1,
			DirHash: "h1:" + strings.Repeat("A", 43) + "=",
		},
		Times:   jobs.Times{StopAt: at.Add(lasts - time.Second), KillAt: at.Add(lasts)},
		Mailbox: "http://127.0.0.1:1/p/abcdefghijklmnop/n/ns/b/jobs/o/" + strings.Repeat("1", 32) + "/",
	}.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	return call
}

// A runner has little to be told, and is not told what an executor is.
func TestConfigOfARunner(t *testing.T) {
	t.Parallel()
	environ := []string{"CEMLI_ROLE=runner", "OCI_RESOURCE_PRINCIPAL_VERSION=2.2", "FN_MEMORY=256", "FN_FN_ID=f"}
	c, problems := ParseConfig(append(environ, "CEMLI_LIMIT_RATIO=10", "CEMLI_LOG_OUTPUT=tail", "CEMLI_LOG_LEVEL=warn"))
	if problems != nil || !c.Apart.IsRunner || c.Sandbox != sandbox.LevelBasic || c.Limits.Archive.Ratio != 10 ||
		c.Output != "tail" || c.MemoryMB != 256 || c.Scripts.Processes == 0 || c.Environment != "" {
		t.Errorf("%+v, %v", c, problems)
	}
	for _, variable := range []string{
		"CEMLI_PACKAGES_BUCKET=p", "RESULTS_BUCKET=r", "CEMLI_STATE_BUCKET=s", "CEMLI_JOBS_BUCKET=j", "CEMLI_ENVIRONMENT=dev",
		"CEMLI_POLICY={}", "CEMLI_TOPIC=ocid1.onstopic.x", "CEMLI_VAULT=ocid1.vault.x", "CEMLI_RESERVE=5s",
		"CEMLI_RUNNER=here", "CEMLI_LIMIT_ATTEMPTS=3", "CEMLI_KEEP_PACKAGES=false",
	} {
		name, _, _ := strings.Cut(variable, "=")
		_, problems := ParseConfig(append(environ, variable))
		if len(problems) != 1 || problems[0].Where != name || problems[0].Code != "config.value" ||
			!strings.Contains(problems[0].Hint, "executor") {
			t.Errorf("%s: %v", variable, problems)
		}
	}
	if _, problems := ParseConfig(append(environ, "CEMLI_SANBOX=none")); len(problems) != 1 ||
		problems[0].Code != "config.unknown" {
		t.Errorf("a misspelt one: %v", problems)
	}
	if _, problems := ParseConfig([]string{"CEMLI_ROLE=walker"}); len(problems) != 1 || problems[0].Where != "CEMLI_ROLE" {
		t.Errorf("another role: %v", problems)
	}
	if c, problems := ParseConfig([]string{"CEMLI_ROLE=executor"}); problems != nil || c.Apart.IsRunner {
		t.Errorf("an executor: %v", problems)
	}
}

// Each role refuses what is for the other.
func TestRoles(t *testing.T) {
	h, _ := testHandler(t)
	if answer, failed := serve(t, h, t.Context(), bytes.NewReader(aJob(t, time.Minute))); failed ||
		errorCode(answer) != "trigger.role" {
		t.Errorf("a job to an executor: %v, failed %t", answer, failed)
	}
	h, _ = asRunner(t)
	for _, body := range []string{
		`{"object":"a.zip"}`, `{"action":"sweep"}`, `[{"object":"a.zip"}]`, "", "hello",
		`{"cloudEventsVersion":"0.1","eventID":"i","source":"s","eventType":"com.oraclecloud.objectstorage.createobject",` +
			`"data":{"resourceName":"a.zip","additionalDetails":{"bucketName":"b","namespace":"n"}}}`,
	} {
		if answer, failed := serve(t, h, t.Context(), strings.NewReader(body)); failed ||
			errorCode(answer) != "trigger.role" {
			t.Errorf("%s to a runner: %v, failed %t", body, answer, failed)
		}
	}
}

// says is what a runner answers to a job, or the code with which it refuses a call that is none.
func says(t *testing.T, h *handler, ctx context.Context, call []byte) (says, code string, failed bool) {
	t.Helper()
	answer, failed := serve(t, h, ctx, bytes.NewReader(call))
	says, _ = answer["says"].(string)
	if list, ok := answer["refused"].([]any); ok {
		code, _ = list[0].(map[string]any)["code"].(string)
		return says, code, failed
	}
	return says, errorCode(answer), failed
}

// A runner answers a job in a runner's words, also where it cannot do it.
func TestWhatARunnerAnswers(t *testing.T) {
	broken := bytes.Replace(aJob(t, time.Minute), []byte(`"attempt":1`), []byte(`"attempt":0`), 1)
	for _, c := range []struct {
		name    string
		environ []string
		call    []byte
		prepare func(h *handler)
		says    string
		code    string
	}{
		{"its end is too early", nil, aJob(t, time.Hour), nil, "refused", "runner.deadline"},
		{"it is not configured", []string{"CEMLI_TOPIC=x"}, aJob(t, time.Minute), nil, "refused", "config.value"},
		{"it is busy", nil, aJob(t, time.Minute), func(h *handler) { h.busy.Lock() }, "refused", "trigger.busy"},
		{
			"it is in doubt", nil, aJob(t, time.Minute),
			func(h *handler) { h.container.Doubt("a process is left") },
			"refused", "sandbox.doubt",
		},
		{"no job of this version", nil, broken, nil, "", "runner.job"},
	} {
		h, _ := asRunner(t, c.environ...)
		if c.prepare != nil {
			c.prepare(h)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		if says, code, failed := says(t, h, ctx, c.call); says != c.says || code != c.code || failed {
			t.Errorf("%s: %s %s, failed %t; want %s %s", c.name, says, code, failed, c.says, c.code)
		}
		cancel()
	}
	// Where it cannot be told whether the job has begun the call fails.
	h, _ := asRunner(t, "CEMLI_ENDPOINT=http://127.0.0.1:1")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, _, failed := says(t, h, ctx, aJob(t, time.Minute)); !failed {
		t.Error("a job that may have begun was answered")
	}
}

// A runner's probe is what an executor can read, whatever is wrong.
func TestProbeOfARunner(t *testing.T) {
	for _, c := range []struct {
		environ []string
		ok      bool
	}{{nil, true}, {[]string{"CEMLI_TOPIC=x"}, false}} {
		h, log := asRunner(t, c.environ...)
		answer, failed := serve(t, h, t.Context(), strings.NewReader(`{"action":"probe"}`))
		doc, err := json.Marshal(answer)
		if failed || err != nil {
			t.Fatalf("%v, %t", err, failed)
		}
		p, err := jobs.DecodeProbed(doc)
		if err != nil || p.OK != c.ok || p.Credentials != jobs.CredentialsNone {
			t.Errorf("%v: %s", err, doc)
		}
		var whats []string
		for _, l := range p.Lines {
			whats = append(whats, l.What)
		}
		for _, want := range strings.Fields("configuration kernel landlock memory processes tools seccomp tmp sandbox " +
			"container init user_namespaces metadata token") {
			if !slices.Contains(whats, want) {
				t.Errorf("no line %s in %v", want, whats)
			}
		}
		if !strings.Contains(log.String(), `"what":"metadata"`) {
			t.Error("the log has no findings")
		}
	}
	h, _ := asRunner(t)
	var out bytes.Buffer
	h.Serve(t.Context(), strings.NewReader(`{"action":"probe","verdict":true}`), &out)
	if strings.TrimSpace(out.String()) != "true" {
		t.Errorf("the verdict is %s", &out)
	}
}
