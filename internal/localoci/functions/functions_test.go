package functions_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/functions"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
)

// A caller's body, and the headers that OCI passes on, reach the function, and its answer reaches the caller.
func TestInvokeWithTheSDK(t *testing.T) {
	t.Parallel()
	called := make(chan localoci.Invocation, 1)
	s := localtest.Open(t, t.TempDir(), func(_ context.Context, call localoci.Invocation) (localoci.Answer, error) {
		called <- call
		return localoci.Answer{
			CallID: "call-1", Header: http.Header{"Content-Type": {"application/json"}, "Fn-Http-Status": {"500"}},
			Body: []byte(`{"status":"success"}`),
		}, nil
	})
	defer s.Close()
	provider, err := common.ConfigurationProviderFromFile(s.Authority().ConfigFile(), "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := functions.NewFunctionsInvokeClientWithConfigurationProvider(provider, s.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.InvokeFunction(t.Context(), functions.InvokeFunctionRequest{
		FunctionId:         common.String(localoci.FunctionID),
		InvokeFunctionBody: io.NopCloser(strings.NewReader(`{"object":"a"}`)),
		FnIntent:           functions.InvokeFunctionFnIntentHttprequest,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Content.Close()
	text, err := io.ReadAll(answer.Content)
	if err != nil || string(text) != `{"status":"success"}` ||
		answer.RawResponse.Header.Get("Fn-Call-Id") != "call-1" || *answer.OpcRequestId == "" {
		t.Errorf("answer %s, %+v, %v", text, answer.RawResponse.Header, err)
	}
	call := <-called
	if string(call.Body) != `{"object":"a"}` || call.Header.Get("Fn-Intent") != "httprequest" ||
		call.Header.Get("Authorization") != "" || call.Header.Get("Date") != "" {
		t.Errorf("the function was called with %s, %v", call.Body, call.Header)
	}
}

func TestWhatAFailedInvocationAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		err    error
		status int
		code   string
	}{
		{
			"failed",
			&localoci.InvokeError{Status: 502, Code: "FunctionInvokeExecutionFailed", Message: "function failed"}, 502,
			"FunctionInvokeExecutionFailed",
		},
		{
			"too many", &localoci.InvokeError{Status: 429, Code: "TooManyRequests", Message: "busy"}, 429,
			"TooManyRequests",
		},
		{"not foreseen", errors.New("the disk says secret things"), 500, "InternalServerError"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := localtest.Open(t, t.TempDir(), func(context.Context, localoci.Invocation) (localoci.Answer, error) {
				return localoci.Answer{CallID: "call-1"}, c.err
			})
			defer s.Close()
			resp, doc := localtest.PersonOf(t, s).Send(t, "POST", localtest.InvokeURL(s, localoci.FunctionID), "{}",
				nil)
			if resp.StatusCode != c.status || doc["code"] != c.code || resp.Header.Get("Fn-Call-Id") != "call-1" {
				t.Errorf("status %d %v, %v; want %d %s", resp.StatusCode, doc, resp.Header, c.status, c.code)
			}
			if message, _ := doc["message"].(string); strings.Contains(message, "secret") {
				t.Errorf("the answer tells the cause: %s", message)
			}
		})
	}
}

func TestWhoMayInvoke(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	p, f := localtest.PersonOf(t, s), localtest.FunctionOf(t, s, time.Now().Add(time.Hour))
	for _, c := range []struct {
		name     string
		signer   *localtest.Signer
		function string
		status   int
	}{
		{"a person", p, localoci.FunctionID, 200},
		{"the function itself", f, localoci.FunctionID, 200},
		{"another function", p, "ocid1.fnfunc.oc1.phx.other", 404},
		{"another function, by the function", f, "ocid1.fnfunc.oc1.phx.other", 404},
	} {
		resp, doc := c.signer.Send(t, "POST", localtest.InvokeURL(s, c.function), "{}", nil)
		if resp.StatusCode != c.status {
			t.Errorf("%s: status %d %v; want %d", c.name, resp.StatusCode, doc, c.status)
		}
	}
	resp, doc := p.Send(t, "POST", localtest.InvokeURL(s, localoci.FunctionID), strings.Repeat("x", 6<<20+1), nil)
	if resp.StatusCode != 413 {
		t.Errorf("more than 6 MB: status %d %v; want 413", resp.StatusCode, doc)
	}
}

// A detached call is acknowledged at once; it goes on when its caller has gone, until the server is closed.
func TestDetached(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan struct{})
	s := localtest.Open(t, t.TempDir(), func(ctx context.Context, _ localoci.Invocation) (localoci.Answer, error) {
		close(begun)
		<-ctx.Done()
		close(ended)
		return localoci.Answer{}, ctx.Err()
	})
	resp, doc := localtest.PersonOf(t, s).Send(t, "POST", localtest.InvokeURL(s, localoci.FunctionID), "{}",
		func(r *http.Request) { r.Header.Set("Fn-Invoke-Type", "detached") })
	if resp.StatusCode != 202 {
		t.Errorf("status %d %v; want 202", resp.StatusCode, doc)
	}
	<-begun
	select {
	case <-ended:
		t.Error("the call ended with its request")
	default:
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	default:
		t.Error("the server was closed and the call goes on")
	}
}

// A signed invocation carries who signed it, whatever its caller claims; an event has no signer.
func TestTheSubjectIsTheSigner(t *testing.T) {
	t.Parallel()
	called := make(chan localoci.Invocation, 1)
	s := localtest.Open(t, t.TempDir(), func(_ context.Context, call localoci.Invocation) (localoci.Answer, error) {
		called <- call
		return localoci.Answer{Body: []byte("{}")}, nil
	})
	defer s.Close()
	subject := func() map[string]string {
		found := map[string]string{}
		for name, values := range (<-called).Header {
			if strings.HasPrefix(strings.ToLower(name), "oci-") {
				found[name] = strings.Join(values, ", ")
			}
		}
		return found
	}
	person := map[string]string{
		"Oci-Subject-Id": localoci.User, "Oci-Subject-Type": "user", "Oci-Subject-Tenancy-Id": localoci.Tenancy,
		"Oci-Subject-Compartment-Id": localoci.Tenancy,
	}
	function := map[string]string{
		"Oci-Subject-Id": localoci.FunctionID, "Oci-Subject-Type": "resource",
		"Oci-Subject-Tenancy-Id": localoci.Tenancy, "Oci-Subject-Compartment-Id": localoci.Compartment,
	}
	forge := func(r *http.Request) {
		for _, name := range []string{
			"Oci-Subject-Id", "oci-subject-type", "OCI-SUBJECT-TENANCY-ID", "Oci-Subject-Compartment-Id",
			"Oci-Subject-Other",
		} {
			r.Header[name] = []string{"ocid1.user.oc1..forged", "twice"}
		}
	}
	detached := func(r *http.Request) { forge(r); r.Header.Set("Fn-Invoke-Type", "detached") }
	for _, c := range []struct {
		name   string
		signer *localtest.Signer
		change func(*http.Request)
		want   map[string]string
	}{
		{"a person", localtest.PersonOf(t, s), nil, person},
		{"a person who forges", localtest.PersonOf(t, s), forge, person},
		{"a person who forges, detached", localtest.PersonOf(t, s), detached, person},
		{"the function", localtest.FunctionOf(t, s, time.Now().Add(time.Hour)), forge, function},
	} {
		c.signer.Send(t, "POST", localtest.InvokeURL(s, localoci.FunctionID), "{}", c.change)
		if diff := cmp.Diff(c.want, subject()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	localtest.PersonOf(t, s).Send(t, "PUT", localtest.Object(s, "packages", "in/a.zip"), "x", forge)
	if found := subject(); len(found) > 0 {
		t.Errorf("an event has a subject: %v", found)
	}
}

// A client first asks for the endpoint at which it can invoke the function.
func TestTheFunctionIsDescribed(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	url := s.Endpoint() + "/20181201/functions/" + localoci.FunctionID
	resp, doc := localtest.PersonOf(t, s).Send(t, "GET", url, "", nil)
	if resp.StatusCode != 200 || doc["invokeEndpoint"] != s.Endpoint() || doc["id"] != localoci.FunctionID {
		t.Errorf("status %d %v", resp.StatusCode, doc)
	}
	if resp, doc := localtest.PersonOf(t, s).Send(t, "GET", url+"x", "", nil); resp.StatusCode != 404 {
		t.Errorf("another function: status %d %v", resp.StatusCode, doc)
	}
}
