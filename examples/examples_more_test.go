package examples_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

func TestDataFix(t *testing.T) {
	r, results := run(t, "data-fix")
	succeeded(t, r)
	if r.Outputs["AFFECTED"] != "3" || !strings.Contains(r.Summary, "3 suppliers corrected") {
		t.Errorf("outputs %v, summary %q", r.Outputs, r.Summary)
	}
	if got := string(artifact(t, r, results, "before.csv")); !strings.Contains(got, " DE123456789") {
		t.Errorf("before.csv %q", got)
	}
	if got := string(artifact(t, r, results, "change.diff")); strings.Count(got, "\n> ") != 3 {
		t.Errorf("change.diff %q", got)
	}

	r, _ = run(t, "data-fix", change(func(q *executor.Request) { q.Action = executor.ActionDryRun }))
	succeeded(t, r)
	if !strings.Contains(r.Execution.Stdout, "nothing was written") || r.Steps[2].Status != evidence.StepNotRun {
		t.Errorf("dry run: %+v", r.Execution)
	}

	r, _ = run(t, "data-fix", with("EXPECTED", "4"))
	if r.Status != evidence.StatusFailed || r.Steps[0].Status != evidence.StepFailed ||
		r.Steps[1].Status != evidence.StepNotRun || r.Rollback != nil {
		t.Errorf("another number: %s, %+v", r.Status, r.Steps)
	}
}

func TestLocalization(t *testing.T) {
	for set, vat := range map[string]string{"FR": "20.0", "DE": "19.0"} {
		r, results := run(t, "localization", change(func(q *executor.Request) { q.ParameterSet = set }))
		succeeded(t, r)
		got := string(artifact(t, r, results, "target/test/invoice_"+set+".properties"))
		if r.ParameterSet != set || !strings.Contains(got, "invoice.vat.rate="+vat+"\n") {
			t.Errorf("%s: %q", set, got)
		}
	}
}

// A country whose labels are not complete keeps none of the others waiting, wherever it comes in their order.
func TestLocalizationGoesOnAfterACountryThatFailed(t *testing.T) {
	dir := example(t, "localization")
	edit(t, dir, "labels/DE.properties", "invoice.vat=MwSt.\n", "")
	list, results := runAll(t, dir)
	if len(list) != 2 || list[0].ParameterSet != "DE" || list[1].ParameterSet != "FR" ||
		list[0].RunID == list[1].RunID {
		t.Fatalf("results %+v", list)
	}
	failedIn(t, list[0], evidence.StatusFailed, "complete", "labels that do not match: invoice.vat")
	succeeded(t, list[1])
	got := string(artifact(t, list[1], results, "target/test/invoice_FR.properties"))
	if !strings.Contains(got, "invoice.vat=TVA\n") {
		t.Errorf("FR: %q", got)
	}

	// Without that line of the manifest it does.
	edit(t, dir, "manifest.json", `"on_set_failure": "continue",`, "")
	list, _ = runAll(t, dir)
	if len(list) != 2 || list[0].Status != evidence.StatusFailed || list[1].Status != evidence.StatusSkipped ||
		list[1].PreviousRunID != list[0].RunID {
		t.Errorf("results %+v", list)
	}
}

func TestReportTemplate(t *testing.T) {
	r, results := run(t, "report-template")
	succeeded(t, r)
	if got := string(artifact(t, r, results, "before/payment-advice.xml")); !strings.Contains(got, `version="2.0.0"`) {
		t.Errorf("before: %q", got)
	}
	if got := string(artifact(t, r, results, "deployed.sha256")); !strings.HasSuffix(got, "payment-advice.xml\n") {
		t.Errorf("digests: %q", got)
	}
}

func TestCredentialRotation(t *testing.T) {
	const password = "correct horse battery"
	r, results := run(t, "credential-rotation", func(c *executor.Config, _ *executor.Request) {
		c.Secrets = func(_ context.Context, _, ref string) (executor.Secret, error) {
			return executor.Secret{Value: []byte(password), ID: "ocid1.vaultsecret.oc1.phx." + ref, Version: "7"}, nil
		}
		accept(c)
	})
	succeeded(t, r)
	if len(r.Secrets) != 1 || r.Secrets[0].Version != "7" || !strings.Contains(r.Execution.Stdout, "it is ***\n") ||
		!strings.Contains(r.Execution.Stdout, "login works") {
		t.Errorf("secrets %+v, stdout %q", r.Secrets, r.Execution.Stdout)
	}
	page, err := results.List(t.Context(), store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range page.Objects {
		name := strings.TrimPrefix(o.Name, evidence.Dir(r.RunID)+"artifacts/")
		if name != o.Name && strings.Contains(string(artifact(t, r, results, name)), password) {
			t.Errorf("%s has the password", o.Name)
		}
	}
}

func TestEnvironmentReadiness(t *testing.T) {
	needTools(t, "curl", "openssl")
	r, _ := run(t, "environment-readiness", func(c *executor.Config, _ *executor.Request) { c.Environment = "local" })
	succeeded(t, r)
	if r.Outputs["READY"] != "yes" || !strings.Contains(r.Summary, "| erp-ca.pem | valid until") {
		t.Errorf("outputs %v, summary %q", r.Outputs, r.Summary)
	}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer up.Close()
	// A server whose certificate nobody has signed: its answer does not count, and what it shows is looked at.
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	r, _ = run(t, "environment-readiness", with("ENDPOINTS", `"`+up.URL+"/ "+up.URL+"/down "+tls.URL+`"`))
	if r.Status != evidence.StatusFailed || r.Outputs["READY"] != "" || r.Steps[2].Status != evidence.StepFailed ||
		!strings.Contains(r.Summary, "/down | 503 |") || !strings.Contains(r.Summary, ".pem | valid until") {
		t.Errorf("status %s, outputs %v, summary %q, stderr %q", r.Status, r.Outputs, r.Summary, r.Execution.Stderr)
	}
}

func TestFailingChange(t *testing.T) {
	r, _ := run(t, "failing-change")
	got := undone(r)
	if r.Status != evidence.StatusRolledBack || got != "03-grants success, 02-index success, 01-table success" {
		t.Errorf("status %s, undone %s", r.Status, got)
	}
	if !strings.Contains(r.Execution.Stderr, "the user APPS_RO does not exist") {
		t.Errorf("stderr %q", r.Execution.Stderr)
	}
	r, _ = run(t, "failing-change", with("FAIL", "false"))
	succeeded(t, r)
}
