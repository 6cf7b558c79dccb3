package claim_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/claim"
)

// What a runner found is told of that runner alone, as it was found last.
func TestWhatARunnerFound(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	all := claim.RunnersOf(s.Book)
	const one, other = "ocid1.fnfunc.oc1.phx.one", "ocid1.fnfunc.oc1.phx.other"
	if r, err := all.Of(t.Context(), "erp", one); r != nil || err != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	found := claim.Runner{
		Label: "erp", Kind: "function", ID: one, Version: "1.0.0", Level: "basic", Gaps: []string{"init"},
		Credentials: "granted",
	}
	s.ok(all.Put(t.Context(), found))
	found.Credentials = "ungranted"
	s.ok(all.Put(t.Context(), found))
	r, err := all.Of(t.Context(), "erp", one)
	s.ok(err)
	got := []any{r.Label, r.Kind, r.ID, r.Version, r.Level, r.Gaps, r.Credentials, r.Environment}
	want := []any{"erp", "function", one, "1.0.0", "basic", []string{"init"}, "ungranted", "prod"}
	if diff := cmp.Diff(want, got); diff != "" || time.Since(r.Probed).Abs() > time.Hour {
		t.Errorf("probed %s (-want +got):\n%s", r.Probed, diff)
	}
	if r, err := all.Of(t.Context(), "erp", other); r != nil || err != nil {
		t.Errorf("of another function: %+v, %v", r, err)
	}
	if diff := cmp.Diff([]string{"runners/prod/erp.json"}, s.has("runners/")); diff != "" {
		t.Error(diff)
	}
	s.write("runners/prod/bank.json", `{"schema_version":1,"environment":"prod","label":"erp","id":"`+one+`"}`)
	_, err = all.Of(t.Context(), "bank", one)
	s.code("one of another label", err, "state.corrupt")
	s.code("over one that is damaged", all.Put(t.Context(), claim.Runner{Label: "bank"}), "state.corrupt")
}
