package admission_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/testkit"
)

// inspect looks at a package as for an upload.
func inspect(t *testing.T, contents files, policy string) (admission.Inspection, []byte, error) {
	t.Helper()
	zip := testkit.Zip(t, contents)
	opts := admission.InspectOptions{
		Limits: admission.DefaultLimits(), Environment: "test", Object: "in/sample-1.0.0.zip",
		Kind: intake.TriggerEvent,
	}
	if policy != "" {
		opts.Policy = []byte(policy)
	}
	found, err := admission.Inspect(t.Context(), bytes.NewReader(zip), int64(len(zip)), rootIn(t), opts)
	return found, zip, err
}

// An inspection says what the package is, with the digests that a run would tell, and what a request has yet to give.
func TestInspection(t *testing.T) {
	t.Parallel()
	contents := files{
		"manifest.json": manifestOf(`,"parameters":{
			"A":{"type":"integer","required":true},"B":{"type":"string","required":true}},
			"parameter_sets":{"FR":{"B":"x","A":1},"DE":{"B":"y"}}`),
		"steps/run.sh": "cat <<E\n" + privateKey(t) + "E\n",
	}
	found, zip, err := inspect(t, contents, "")
	if err != nil {
		t.Fatal(err)
	}
	want := evidence.Package{
		Name: "sample", Version: "1.0.0", Type: "extension", Size: int64(len(zip)), Entries: 2,
		SHA256: fmt.Sprintf("%x", sha256.Sum256(zip)), DirHash: subject(t, contents).Contents.DirHash,
	}
	if diff := cmp.Diff(want, found.Package); diff != "" {
		t.Error("package (-want +got):\n" + diff)
	}
	if diff := cmp.Diff([]string{"A"}, found.Unset); diff != "" {
		t.Error("what a request has to give (-want +got):\n" + diff)
	}
	if len(found.Leaks) != 1 || len(found.Files) != 2 || len(found.Plan.Steps()) != 1 {
		t.Errorf("leaks %v, files %v, plan %v", found.Leaks, found.Files, found.Plan)
	}
}

// Whatever is wrong is told with the code that a run would have, and with all that was found out before.
func TestInspectionsThatRefuse(t *testing.T) {
	t.Parallel()
	named := evidence.Package{Name: "sample", Version: "1.0.0", Type: "extension"}
	long := `,"parameters":{"P":{"type":"string","sensitive":true}},"steps":[{"run":"1.sh"}]`
	for name, c := range map[string]struct {
		contents files
		policy   string
		want     []string
		known    evidence.Package
	}{
		"a policy that is not understood": {files{}, `{}`, []string{"policy.unavailable"}, evidence.Package{}},
		"more than the policy allows": {
			files{"manifest.json": manifestOf(""), "a": ""},
			`{"environment":"test","limits":{"entries":1}}`,
			[]string{"archive.too_many_entries"},
			evidence.Package{},
		},
		"no manifest": {files{"a": ""}, "", []string{"manifest.missing manifest.json"}, evidence.Package{}},
		"a script missing": {
			files{"manifest.json": manifestOf(long)}, "", []string{"manifest.step_missing 1.sh"}, named,
		},
		"another environment": {
			files{"manifest.json": manifestOf(`,"environments":["prod"]`)},
			"",
			[]string{"manifest.environment /environments"},
			named,
		},
		"what the policy demands": {
			files{"manifest.json": manifestOf("")},
			`{"environment":"test","require":{"/owner":true}}`,
			[]string{"policy.require /owner"},
			named,
		},
		"what an upload may not do": {
			files{"manifest.json": manifestOf("")},
			`{"environment":"test","actions":{"event":["check"]}}`,
			[]string{"policy.action apply"},
			named,
		},
		"a script that no shell reads": {
			files{"manifest.json": manifestOf(""), "steps/run.sh": "#!/bin/bash\r\necho 1\r\n"},
			"",
			[]string{"step.interpreter steps/run.sh"},
			named,
		},
	} {
		found, _, err := inspect(t, c.contents, c.policy)
		if err == nil {
			t.Errorf("%s: it is not refused", name)
			continue
		}
		got := codesOf(problem.Of(err, problem.Problem{Code: "none"}).Problems)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: codes (-want +got):\n%s", name, diff)
		}
		digests := cmpopts.IgnoreFields(evidence.Package{}, "Size", "SHA256", "DirHash", "Entries")
		if diff := cmp.Diff(c.known, found.Package, digests); diff != "" {
			t.Errorf("%s: package (-want +got):\n%s", name, diff)
		}
	}
}

// Packages that triggers start again and again are named, unless something lets them run twice.
func TestInspectionOfWhatTriggersStart(t *testing.T) {
	t.Parallel()
	const triggers = `"triggers":[
		{"event_type":"com.example.done","resource":"*","object":"in/sample-1.0.0.zip"},
		{"event_type":"com.example.other","resource":"a","object":"elsewhere/sample-2.0.0.zip"},
		{"event_type":"com.example.other","resource":"b","object":"in/sample-1.0.0.zip"},
		{"event_type":"com.example.other","resource":"*","object":"other.zip"}]`
	for name, c := range map[string]struct {
		members, version string
		want             []string
	}{
		"once only":            {"", "", []string{"in/sample-1.0.0.zip", "elsewhere/sample-2.0.0.zip"}},
		"idempotent":           {`,"idempotent":true`, "", nil},
		"the policy allows it": {"", `,"version":{"repeat":"allow"}`, nil},
	} {
		policy := `{"environment":"test",` + triggers + c.version + `}`
		found, _, err := inspect(t, files{"manifest.json": manifestOf(c.members)}, policy)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, found.Skipped); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
