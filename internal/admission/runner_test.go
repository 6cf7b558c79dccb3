package admission_test

import (
	"strings"
	"testing"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// A package runs on the runner that it names, else on the environment's first, and never on another.
func TestRunnerFor(t *testing.T) {
	t.Parallel()
	erp := admission.Runner{Label: "erp", Kind: admission.KindFunction, ID: "ocid1.fnfunc.oc1.phx.a"}
	bank := admission.Runner{Label: "bank", Kind: admission.KindFunction, ID: "ocid1.fnfunc.oc1.phx.b"}
	both := []admission.Runner{erp, bank}
	for _, c := range []struct {
		name, members string
		runners       []admission.Runner
		want          admission.Runner
		hint          string // of the refusal
	}{
		{"here", ``, nil, admission.Runner{}, ""},
		{"default", ``, both, erp, ""},
		{"named", `,"runs_on":"bank"`, both, bank, ""},
		{"unknown", `,"runs_on":"hr"`, both, admission.Runner{}, "erp, bank"},
		{"named where there are none", `,"runs_on":"erp"`, nil, admission.Runner{}, "CEMLI_RUNNER"},
	} {
		m, err := manifest.Parse([]byte(`{"name":"a","version":"1.0.0","type":"extension"` + c.members + `}`))
		if err != nil {
			t.Fatal(err)
		}
		got, err := admission.RunnerFor(c.runners, m)
		if got != c.want || (err != nil) != (c.hint != "") {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
		if err != nil {
			p := problem.Of(err, problem.Problem{}).Problems[0]
			if p.Code != "runner.unknown" || p.Where != "/runs_on" || !strings.Contains(p.Hint, c.hint) {
				t.Errorf("%s: %+v; want a hint with %q", c.name, p, c.hint)
			}
		}
	}
}
