package oci_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/oci"
)

// granted are the calls that were granted, and untried those whose service was not reached.
func granted(all []oci.Tried) (granted, untried []string) {
	for _, t := range all {
		switch {
		case t.Err == nil:
			granted = append(granted, t.What)
		case errors.Is(t.Err, oci.ErrUntried):
			untried = append(untried, t.What)
		}
	}
	return granted, untried
}

// A token without grants is refused each call that is tried with it; one that has some is found out.
func TestGrants(t *testing.T) {
	const id = "ocid1.fnfunc.oc1.phx.own"
	for _, c := range []struct {
		statements []string
		want       []string
	}{
		{[]string{"Allow dynamic-group others to manage objects in compartment id " + localoci.Compartment}, nil},
		{
			[]string{
				"Allow dynamic-group cemli-function to manage buckets in compartment id " + localoci.Compartment,
				"Allow dynamic-group cemli-function to manage objects in compartment id " + localoci.Compartment,
			},
			[]string{"list buckets", "list objects of cemli-state"},
		},
	} {
		s := local(t)
		if err := s.SetStatements(c.statements); err != nil {
			t.Fatal(err)
		}
		newBucket(t, s, "cemli-state")
		all := function(t, s, s.Endpoint()).TryGrants(t.Context(), id)
		got, untried := granted(all)
		if len(all) != 7 || !slices.Equal(got, c.want) || untried != nil {
			t.Errorf("granted %v; want %v; untried %v", got, c.want, untried)
		}
	}
}

// That a service is not reached is no refusal, and no grant.
func TestGrantsThatCannotBeTried(t *testing.T) {
	s := local(t)
	p := proxy(t, s, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { answer(w, 503, "ServiceUnavailable") })
	all := function(t, s, p.URL).TryGrants(t.Context(), "ocid1.fnfunc.oc1.phx.own")
	if got, untried := granted(all); got != nil || len(untried) != len(all) {
		t.Errorf("granted %v, untried %v of %v", got, untried, all)
	}
	t.Setenv("OCI_RESOURCE_PRINCIPAL_RPST", "/nowhere")
	if all := oci.ResourcePrincipal(quick(p.URL)).TryGrants(t.Context(), ""); all != nil {
		t.Errorf("without credentials: %v", all)
	}
}
