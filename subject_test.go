package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	fdk "github.com/fnproject/fdk-go"
	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/evidence"
)

// trusted is a function on OCI whose operator vouches for the platform's headers.
var trusted = append([]string{"FN_FN_ID=ocid1.fnfunc.oc1.phx.x", "CEMLI_TRUST_SUBJECT=true"}, onOCI...)

func subject(id, kind string) http.Header {
	return http.Header{
		"Oci-Subject-Id": {id}, "Oci-Subject-Type": {kind}, "Oci-Subject-Tenancy-Id": {"ocid1.tenancy.oc1..t"},
	}
}

// Whoever signed an invocation is its requester, verified if the operator vouches for the platform.
func TestTheSubjectIsWhoAsked(t *testing.T) {
	t.Parallel()
	const user = "ocid1.user.oc1..x"
	by := func(subject, kind string, verified bool) evidence.Requester {
		return evidence.Requester{Subject: subject, Type: kind, Source: "Oci-Subject-Id", Verified: verified}
	}
	for _, c := range []struct {
		name    string
		header  http.Header
		trusted bool
		want    []evidence.Requester
	}{
		{"a person", subject(user, "user"), false, []evidence.Requester{by(user, "user", false)}},
		{"a person, vouched for", subject(user, "user"), true, []evidence.Requester{by(user, "user", true)}},
		{
			"a resource, vouched for", subject("ocid1.eventrule.oc1.phx.x", "resource"), true,
			[]evidence.Requester{by("ocid1.eventrule.oc1.phx.x", "resource", true)},
		},
		{"without a type", http.Header{"Oci-Subject-Id": {user}}, true, []evidence.Requester{by(user, "", true)}},
		{"nobody", http.Header{}, true, nil},
		{"a type alone", http.Header{"Oci-Subject-Type": {"user"}}, true, nil},
		{"nobody's name", subject("", "user"), true, nil},
		// A caller's own header beside the platform's: which is which cannot be told.
		{
			"two",
			http.Header{"Oci-Subject-Id": {user, "ocid1.user.oc1..y"}, "Oci-Subject-Type": {"user"}},
			true,
			[]evidence.Requester{by(user, "", false), by("ocid1.user.oc1..y", "", false)},
		},
		{
			"two types",
			http.Header{"Oci-Subject-Id": {user}, "Oci-Subject-Type": {"user", "resource"}},
			true,
			[]evidence.Requester{by(user, "", false)},
		},
		{"a type of many words", subject(user, "user or\tso"), true, []evidence.Requester{by(user, "", false)}},
		{"what is no id", subject("a b", "user"), true, nil},
		{"what is too long", subject(strings.Repeat("x", 257), "user"), true, nil},
		{
			"many",
			http.Header{"Oci-Subject-Id": strings.Fields(strings.Repeat("x ", 1000))},
			true,
			slices.Repeat([]evidence.Requester{by("x", "", false)}, 4),
		},
	} {
		if diff := cmp.Diff(c.want, requesters(c.header, c.trusted)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// asHTTP is a call whose Fn-Intent is httprequest as the FDK presents it: with the headers that the caller sent as
// Fn-Http-H-*, and without the platform's.
type asHTTP struct{ fdkContext }

func (asHTTP) RequestURL() string    { return "/" }
func (asHTTP) RequestMethod() string { return "POST" }

// A caller who hides the platform's headers, and sends others instead, is not believed; if requesters must be
// verified, it is refused.
func TestACallerCannotNameTheSubject(t *testing.T) {
	t.Parallel()
	hidden := fdk.WithContext(t.Context(), asHTTP{fdkContext{header: subject("ocid1.user.oc1..forged", "user")}})
	caller := platform(hidden)
	if by := requesters(caller.header, true); len(by) != 0 || !caller.hidden || caller.callID != "call-1" {
		t.Errorf("the caller's header is taken for the platform's: %+v, %+v", by, caller)
	}
	if caller.header.Get("Oci-Subject-Type") != "" {
		t.Errorf("headers %v", caller.header)
	}
	for _, c := range []struct {
		name    string
		environ []string
		ctx     context.Context
		want    string
	}{
		{"hidden", trusted, hidden, "trigger.subject"},
		{"hidden, and nobody is verified", onOCI, hidden, "trigger.unknown_form"},
		{
			"not hidden", trusted,
			fdk.WithContext(t.Context(), fdkContext{header: subject("ocid1.user.oc1..x", "user")}),
			"trigger.unknown_form",
		},
	} {
		h, log := testHandler(t, c.environ...)
		answer, failed := serve(t, h, c.ctx, strings.NewReader(`{}`))
		if failed || errorCode(answer) != c.want {
			t.Errorf("%s: failed %v, %v; want %s; log %s", c.name, failed, answer, c.want, log)
		}
	}
}

// A Fn server passes on whatever a caller sends, so nobody can vouch for it there.
func TestNobodyVouchesForAFnServer(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"FN_FN_ID=01HQ3V5NG3NG8G00GZJ0000001", "FN_FN_ID=", "HOME=/"} {
		_, problems := ParseConfig([]string{"CEMLI_TRUST_SUBJECT=true", id})
		if len(problems) != 1 || problems[0].Where != "CEMLI_TRUST_SUBJECT" || problems[0].Code != "config.value" ||
			problems[0].Hint == "" {
			t.Errorf("%s: problems %v", id, problems)
		}
	}
	for value, ok := range map[string]bool{"true": true, "false": true, "": true, "yes": false, "TRUE": false} {
		c, problems := ParseConfig(
			append([]string{"FN_FN_ID=ocid1.fnfunc.oc1.phx.x", "CEMLI_TRUST_SUBJECT=" + value}, onOCI...))
		if (problems == nil) != ok || c.TrustSubject != (value == "true") {
			t.Errorf("%q: trust %v, problems %v", value, c.TrustSubject, problems)
		}
	}
}

// Only OCI Functions has detached invocations: a function whose id is no OCID asks for none.
func TestAFnServerIsNotAskedForAnotherInvocation(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"ocid1.fnfunc.oc1.phx.x": true, "01KB2V5NG3NG8G00GZJ0000001": false, "": false,
	} {
		h, _ := testHandler(t, "FN_FN_ID="+id)
		if got := h.executor().Invoke != nil; got != want {
			t.Errorf("id %q: it can be asked %v; want %v", id, got, want)
		}
	}
}
