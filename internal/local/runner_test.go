package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/functions"

	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/testkit"
)

// The function that takes the place of both is built once.
var pair = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "cemli-pair-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "function")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", path, "./testdata/runner")
	cmd.Stderr = os.Stderr
	return path, cmd.Run()
})

// apart is a local OCI with a runner, whose log is apart, and where both functions do what their request says.
type apart struct {
	*cloud
	runnerLog *testkit.Buffer
}

func startApart(t *testing.T, change func(*local.Options)) apart {
	t.Helper()
	binary, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	a := apart{runnerLog: &testkit.Buffer{}}
	a.cloud = start(t, func(o *local.Options) {
		o.Binary, o.Runner, o.Answered = binary, &local.Runner{Log: a.runnerLog}, nil
		if change != nil {
			change(o)
		}
	})
	return a
}

// call calls a function with the SDK, and returns its answer, or status and code of a refusal.
func (a apart) call(id, do, arg string) (string, error) {
	body, err := json.Marshal(map[string]string{"Do": do, "Arg": arg})
	if err != nil {
		return "", err
	}
	return a.callWith(id, body)
}

func (a apart) callWith(id string, body []byte) (string, error) {
	provider, err := common.ConfigurationProviderFromFile(a.ConfigFile(), "")
	if err != nil {
		return "", err
	}
	client, err := functions.NewFunctionsInvokeClientWithConfigurationProvider(provider, a.Endpoint())
	if err != nil {
		return "", err
	}
	client.HTTPClient = &http.Client{}
	answer, err := client.InvokeFunction(a.t.Context(), functions.InvokeFunctionRequest{
		FunctionId: &id, InvokeFunctionBody: io.NopCloser(bytes.NewReader(body)),
	})
	var refused common.ServiceError
	if errors.As(err, &refused) {
		return fmt.Sprint(refused.GetHTTPStatusCode(), " ", refused.GetCode()), nil
	}
	if err != nil {
		return "", err
	}
	defer answer.Content.Close()
	text, err := io.ReadAll(answer.Content)
	return string(text), err
}

// shell is what a shell says that a function starts.
func (a apart) shell(id, script string) string {
	a.t.Helper()
	said, err := a.call(id, "shell", script)
	if err != nil {
		a.t.Fatal(err)
	}
	return strings.TrimSpace(said)
}

// The runner has its own ids, user and credentials, and of the configuration only what a runner needs.
func TestTheRunnerIsAFunctionOfItsOwn(t *testing.T) {
	a := startApart(t, func(o *local.Options) { o.Settings = map[string]string{"CEMLI_POLICY": "{}"} })
	const looks = "env | grep -E '^(CEMLI|RESULTS|FN_FN|FN_APP)' | grep -v ENDPOINT | sort"
	want := "CEMLI_ROLE=runner\nCEMLI_SANDBOX=basic\nFN_APP_ID=" + localoci.RunnerAppID + "\nFN_APP_NAME=cemli-runner\n" +
		"FN_FN_ID=" + localoci.RunnerID + "\nFN_FN_NAME=cemli-runner"
	if got := a.shell(localoci.RunnerID, looks); got != want {
		t.Errorf("the runner's environment:\n%s\nwant:\n%s", got, want)
	}
	executor := a.shell(localoci.FunctionID, looks)
	for _, line := range []string{"CEMLI_RUNNER=function:" + localoci.RunnerID, "CEMLI_JOBS_BUCKET=cemli-jobs", "CEMLI_POLICY={}"} {
		if !strings.Contains(executor, line+"\n") {
			t.Errorf("the executor's environment lacks %s:\n%s", line, executor)
		}
	}
	const who = "id -u; cat $OCI_RESOURCE_PRINCIPAL_RPST"
	runs, decides := strings.Fields(a.shell(localoci.RunnerID, who)), strings.Fields(a.shell(localoci.FunctionID, who))
	if len(runs) != 2 || len(decides) != 2 || runs[1] == decides[1] || os.Geteuid() == 0 && runs[0] == decides[0] {
		t.Errorf("the runner is %q, the executor %q", runs, decides)
	}
	const parent = "tr '\\0' ' ' </proc/$(sed -n 's/^PPid:\t//p' /proc/$PPID/status)/cmdline"
	if got := a.shell(localoci.RunnerID, parent); !strings.Contains(got, "function-init start") {
		t.Errorf("the runner's parent is %q", got)
	}
	if a.RunnerID() != localoci.RunnerID || a.Buckets().Jobs != "cemli-jobs" {
		t.Errorf("the stack says %q, %q", a.RunnerID(), a.Buckets().Jobs)
	}
}

// With --shared-uid the containers of a function are one user, and not that of the other function's.
func TestRunnersThatShareAUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	a := startApart(t, func(o *local.Options) { o.Instances, o.SharedUID = 2, true })
	users := map[string]bool{}
	for _, id := range []string{localoci.RunnerID, localoci.FunctionID} {
		said := make(chan string, 2)
		for range 2 { // at the same time
			go func() {
				text, err := a.call(id, "shell", "id -u; sleep 0.3")
				said <- fmt.Sprint(strings.TrimSpace(text), err)
			}()
		}
		first, second := <-said, <-said
		if first != second || users[first] {
			t.Errorf("%s: users %s and %s", id, first, second)
		}
		users[first] = true
	}
}

// Where steps run in the function there is no second one, and it is told of none.
func TestWithoutARunner(t *testing.T) {
	a := startApart(t, func(o *local.Options) { o.Runner = nil })
	if got := a.shell(localoci.FunctionID, "env | grep -E 'RUNNER|JOBS|ROLE' || echo nothing"); !strings.HasPrefix(got, "nothing") {
		t.Errorf("the function is told %q", got)
	}
	if got, err := a.call(localoci.RunnerID, "shell", "true"); got != "404 NotAuthorizedOrNotFound" || a.RunnerID() != "" {
		t.Errorf("the runner: %q, %v, id %q", got, err, a.RunnerID())
	}
}

// Calls and answers have at most 6 MB.
func TestHowMuchACallCarries(t *testing.T) {
	a := startApart(t, nil)
	const most = 6 << 20
	empty, err := json.Marshal(map[string]string{"Do": "answer", "Arg": ""})
	if err != nil {
		t.Fatal(err)
	}
	body := func(size int) []byte {
		return bytes.Replace(empty, []byte(`""`), []byte(`"`+strings.Repeat("x", size-len(empty))+`"`), 1)
	}
	if !bytes.Contains(empty, []byte(`"Arg":""`)) {
		t.Fatalf("the test is wrong: %s", empty)
	}
	if got, err := a.callWith(localoci.RunnerID, body(most)); err != nil || len(got) != most-len(empty) {
		t.Errorf("6 MB: %d bytes, %.60q, %v", len(got), got, err)
	}
	if got, err := a.callWith(localoci.RunnerID, body(most+1)); got != "413 RequestEntityTooLarge" {
		t.Errorf("more: %.60q, %v", got, err)
	}
	if got, err := a.call(localoci.RunnerID, "large", ""); got != "502 FunctionInvokeExecutionFailed" {
		t.Errorf("a larger answer: %.60q, %v", got, err)
	}
}

// A runner whose time ends is killed, with what it has started, and the next call is another instance's.
func TestARunnerIsKilledAtItsTimeout(t *testing.T) {
	a := startApart(t, func(o *local.Options) { o.Timeout = 2 * time.Second })
	if got, err := a.call(localoci.RunnerID, "sleep", ""); got != "504 FunctionInvokeExecutionTimeout" {
		t.Errorf("%q, %v", got, err)
	}
	if got := a.shell(localoci.RunnerID, "echo fine"); got != "fine" {
		t.Errorf("afterwards: %q", got)
	}
}

func TestLogsOfTheFunctionsAreApart(t *testing.T) {
	a := startApart(t, nil)
	a.shell(localoci.RunnerID, "true")
	a.shell(localoci.FunctionID, "true")
	for name, log := range map[string]*testkit.Buffer{"cemli-runner": a.runnerLog, "cemli-executor": a.log} {
		text := log.String()
		if !strings.Contains(text, "function "+name) || strings.Count(text, "function cemli-") != 1 {
			t.Errorf("the log of %s:\n%s", name, text)
		}
	}
}

// The runner can be on another kernel than the machine's, and the executor is not.
func TestARunnerUnderAnotherKernel(t *testing.T) {
	if status, err := os.ReadFile("/proc/self/status"); err == nil && !strings.Contains(string(status), "Seccomp:\t0") {
		t.Skip("needs a kernel that is not pretended")
	}
	a := startApart(t, func(o *local.Options) { o.Runner.Under = testkit.UnderKernel(testkit.NoLandlock) })
	const filters = "sed -n 's/^Seccomp:\t//p' /proc/$PPID/status"
	if runner, executor := a.shell(localoci.RunnerID, filters), a.shell(localoci.FunctionID, filters); runner != "2" || executor != "0" {
		t.Errorf("filters: the runner %q, the executor %q", runner, executor)
	}
}
