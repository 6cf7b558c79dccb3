package localoci_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
)

// withRunner is a local OCI with a second function. What is called is told.
func withRunner(t *testing.T) (s *localoci.Server, called chan string) {
	t.Helper()
	called = make(chan string, 100)
	function := func(name string) localtest.Function {
		return func(_ context.Context, call localoci.Invocation) (localoci.Answer, error) {
			called <- name + " by " + call.Header.Get("Oci-Subject-Id")
			return localoci.Answer{CallID: "call-1", Body: []byte(`"` + name + `"`)}, nil
		}
	}
	config := localtest.Config(t.TempDir(), function("executor"))
	config.Buckets.Policies, config.Buckets.Jobs = "policies", "jobs"
	config.Runner = function("runner")
	s = localtest.OpenAs(t, config)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, called
}

// runnerOf signs as the runner.
func runnerOf(t *testing.T, s *localoci.Server) *localtest.Signer {
	t.Helper()
	session, err := s.Authority().NewRunner(time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return localtest.With(t, session)
}

func executorOf(t *testing.T, s *localoci.Server) *localtest.Signer {
	t.Helper()
	return localtest.FunctionOf(t, s, time.Now().Add(time.Hour))
}

func TestWhoMayInvokeWhichFunction(t *testing.T) {
	t.Parallel()
	s, called := withRunner(t)
	person, executor, runner := localtest.PersonOf(t, s), executorOf(t, s), runnerOf(t, s)
	for _, c := range []struct {
		name     string
		signer   *localtest.Signer
		function string
		want     string // who is called; empty: nobody
	}{
		{"a person", person, localoci.FunctionID, "executor by " + localoci.User},
		{"a person the runner", person, localoci.RunnerID, "runner by " + localoci.User},
		{"the executor itself", executor, localoci.FunctionID, "executor by " + localoci.FunctionID},
		{"the executor the runner", executor, localoci.RunnerID, "runner by " + localoci.FunctionID},
		{"the executor another", executor, localoci.RunnerID + "2", ""},
		{"the runner itself", runner, localoci.RunnerID, ""},
		{"the runner the executor", runner, localoci.FunctionID, ""},
	} {
		for _, how := range []string{"sync", "detached"} {
			resp, doc := c.signer.Send(t, "POST", localtest.InvokeURL(s, c.function), "{}",
				func(r *http.Request) { r.Header.Set("Fn-Invoke-Type", how) })
			if c.want == "" {
				if resp.StatusCode != 404 || doc["code"] != "NotAuthorizedOrNotFound" {
					t.Errorf("%s, %s: %d %v; want 404", c.name, how, resp.StatusCode, doc)
				}
				continue
			}
			if got := <-called; resp.StatusCode != map[string]int{"sync": 200, "detached": 202}[how] || got != c.want {
				t.Errorf("%s, %s: %d, %s is called", c.name, how, resp.StatusCode, got)
			}
		}
	}
	select {
	case who := <-called:
		t.Errorf("%s was called, too", who)
	default:
	}
	url := s.Endpoint() + "/20181201/functions/" + localoci.RunnerID
	if _, doc := executor.Send(t, "GET", url, "", nil); doc["compartmentId"] == localoci.Compartment ||
		doc["applicationId"] != localoci.RunnerAppID || doc["invokeEndpoint"] != s.Endpoint() {
		t.Errorf("the runner is described as %v", doc)
	}
}

// Without a runner there is no second function, whatever the policy says.
func TestThereIsNoRunnerUnlessItIsStarted(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	for _, signer := range []*localtest.Signer{localtest.PersonOf(t, s), executorOf(t, s)} {
		if resp, doc := signer.Send(t, "POST", localtest.InvokeURL(s, localoci.RunnerID), "{}", nil); resp.StatusCode != 404 {
			t.Errorf("%d %v; want 404", resp.StatusCode, doc)
		}
	}
}

// The runner's token is genuine and grants nothing: each call that the function may make, or a person, is refused as
// if nothing were there. The same calls by the person succeed, so that it is not the call.
func TestTheRunnerIsGrantedNothing(t *testing.T) {
	t.Parallel()
	s, _ := withRunner(t)
	person, runner := localtest.PersonOf(t, s), runnerOf(t, s)
	if _, err := s.PutSecret("erp-db", []byte("tiger-s3cr3t")); err != nil {
		t.Fatal(err)
	}
	buckets := []string{"packages", "results", "state", "policies", "jobs"}
	for _, bucket := range buckets {
		person.Send(t, "PUT", localtest.Object(s, bucket, "there"), "x", nil)
	}
	for _, a := range localtest.Attempts(buckets...) {
		resp, doc := runner.Send(t, a.Method, s.Endpoint()+a.Path, a.Body, nil)
		code, _ := doc["code"].(string)
		if resp.StatusCode != 404 || a.Method != "HEAD" && code != "NotAuthorizedOrNotFound" && code != "BucketNotFound" {
			t.Errorf("the runner: %s %s: %d %v", a.Method, a.Path, resp.StatusCode, doc)
		}
		if resp, doc := person.Send(t, a.Method, s.Endpoint()+a.Path, a.Body, nil); resp.StatusCode >= 400 {
			t.Errorf("the control: %s %s: %d %v", a.Method, a.Path, resp.StatusCode, doc)
		}
	}
	resp, _ := runner.Send(t, "GET", s.Endpoint()+"/n", "", nil)
	if resp.StatusCode != 200 { // whose token is good may ask for its namespace, whatever it is granted
		t.Errorf("the namespace: %d", resp.StatusCode)
	}
}

// No statement that names dynamic groups, or everybody, grants the runner anything.
func TestNoStatementReachesTheRunner(t *testing.T) {
	t.Parallel()
	s, _ := withRunner(t)
	localtest.PersonOf(t, s).Send(t, "PUT", localtest.Object(s, "jobs", "there"), "x", nil)
	where := " to manage objects in compartment id " + localoci.Compartment
	if err := s.SetStatements([]string{
		"Allow dynamic-group cemli-function" + where, "Allow dynamic-group cemli-instance" + where,
		"Allow any-user" + where,
	}); err != nil {
		t.Fatal(err)
	}
	if resp, _ := executorOf(t, s).Send(t, "GET", localtest.Object(s, "jobs", "there"), "", nil); resp.StatusCode != 200 {
		t.Errorf("the control: %d", resp.StatusCode)
	}
	if resp, _ := runnerOf(t, s).Send(t, "GET", localtest.Object(s, "jobs", "there"), "", nil); resp.StatusCode != 404 {
		t.Errorf("the runner: %d", resp.StatusCode)
	}
}

// A mailbox works for who has its address, with the executor's permissions, in the jobs bucket and in no other.
func TestTheExecutorMakesMailboxes(t *testing.T) {
	t.Parallel()
	s, _ := withRunner(t)
	executor := executorOf(t, s)
	for bucket, want := range map[string]int{"jobs": 200, "state": 404, "results": 404, "packages": 404, "policies": 404} {
		resp, doc := executor.Send(t, "POST", s.Endpoint()+"/n/localns/b/"+bucket+"/p", fmt.Sprintf(
			`{"name":"p","accessType":"AnyObjectReadWrite","objectName":"0a1b/","timeExpires":%q}`,
			time.Now().Add(time.Hour).UTC().Format(time.RFC3339)), nil)
		if resp.StatusCode != want {
			t.Errorf("%s: %d %v; want %d", bucket, resp.StatusCode, doc, want)
			continue
		}
		if want != 200 {
			continue
		}
		address := s.Endpoint() + doc["accessUri"].(string) + "0a1b/begun.json"
		for _, status := range []int{200, 412} {
			r, err := http.NewRequestWithContext(t.Context(), "PUT", address, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("If-None-Match", "*")
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if _ = resp.Body.Close(); resp.StatusCode != status {
				t.Errorf("the use of the mailbox: %d; want %d", resp.StatusCode, status)
			}
		}
	}
}
