package manifest_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/manifest"
)

func parse(t *testing.T, doc string) *manifest.Manifest {
	t.Helper()
	m, err := manifest.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// lines describes a plan, one step a line.
func lines(p *manifest.Plan) []string {
	var list []string
	for _, s := range p.Steps() {
		line := string(s.Phase) + " " + s.Name + " " + s.Run
		if s.Rollback != "" {
			line += " undo " + s.Rollback
		}
		list = append(list, line)
	}
	return list
}

func TestPlanFollowsTheConventions(t *testing.T) {
	t.Parallel()
	m := parse(t, `{"name":"a","version":"1.0.0","type":"extension"}`)
	for _, c := range []struct {
		name  string
		files []string
		want  []string
	}{
		{"nothing", []string{"manifest.json", "artifacts/a.sh", "rollback/run.sh"}, nil},
		{"run.sh alone", []string{"steps/run.sh", "steps/lib.sh"}, []string{"run run steps/run.sh"}},
		{
			"byte order", []string{"steps/b.sh", "steps/10.sh", "steps/B.sh", "steps/9.sh"}, []string{
				"run 10 steps/10.sh", "run 9 steps/9.sh", "run B steps/B.sh", "run b steps/b.sh",
			},
		},
		{
			"phases", []string{"tests/t.sh", "steps/s.sh", "prechecks/p.sh"}, []string{
				"pre_check p prechecks/p.sh", "run s steps/s.sh", "post_check t tests/t.sh",
			},
		},
		{"undo", []string{"steps/a.sh", "steps/b.sh", "rollback/b.sh", "prechecks/b.sh", "tests/b.sh"}, []string{
			"pre_check b prechecks/b.sh", "run a steps/a.sh", "run b steps/b.sh undo rollback/b.sh",
			"post_check b tests/b.sh",
		}},
		{
			"what does not count", []string{
				"steps/.hidden.sh", "steps/deep/a.sh", "steps/a.txt", "steps/a.SH", "steps.sh",
			}, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, err := m.Plan(digests(c.files), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, lines(plan)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			for _, s := range plan.Steps() {
				if s.SHA256 != "digest of "+s.Run || s.Rollback != "" && s.RollbackSHA256 != "digest of "+s.Rollback {
					t.Errorf("%s has digests %q and %q", s.Run, s.SHA256, s.RollbackSHA256)
				}
			}
		})
	}
}

func digests(names []string) map[string]string {
	files := map[string]string{}
	for _, f := range names {
		files[f] = "digest of " + f
	}
	return files
}

func TestPlanOfListedSteps(t *testing.T) {
	t.Parallel()
	m := parse(t,
		with(`"steps":[{"run":"z.sh","phase":"post_check"},{"run":"b.sh","name":"second"},`+
			`{"run":"a.sh","rollback":"undo.sh"},{"run":"check.sh","phase":"pre_check"}]`))
	plan, err := m.Plan(digests([]string{
		"a.sh", "b.sh", "z.sh", "check.sh", "undo.sh", "steps/run.sh", "rollback/b.sh",
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"pre_check check check.sh", "run second b.sh", "run a a.sh undo undo.sh", "post_check z z.sh"}
	if diff := cmp.Diff(want, lines(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	_, err = m.Plan(digests([]string{"a.sh", "bb.sh", "z.sh", "check.sh"}), nil)
	if diff := cmp.Diff([]string{
		"manifest.step_missing b.sh", "manifest.step_missing undo.sh",
	}, found(err)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if empty, err := parse(t, with(`"steps":[]`)).Plan(digests([]string{"steps/run.sh"}), nil); err != nil ||
		len(empty.Steps()) != 0 {
		t.Errorf("an empty list of steps gives %v, %v; want no steps", empty.Steps(), err)
	}
}

// A step that needs no undo has none, whatever files the package has.
func TestPlanOfStepsThatNeedNoUndo(t *testing.T) {
	t.Parallel()
	m := parse(t, with(`"steps":[{"run":"backup.sh","rollback":"none"},{"run":"apply.sh"}]`))
	plan, err := m.Plan(digests([]string{"backup.sh", "apply.sh", "none", "rollback/backup.sh"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"run backup backup.sh", "run apply apply.sh"}, lines(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	steps := plan.Steps()
	if plan.Undoable() || !steps[0].NoUndo || steps[0].RollbackSHA256 != "" || steps[1].NoUndo {
		t.Errorf("undoable %v, steps %+v", plan.Undoable(), steps)
	}
}

const parameters = `"parameters":{
	"LEDGER":{"type":"integer","default":0},"MODE":{"type":"string","enum":["fast","slow"],"default":"fast"},
	"RATE":{"type":"number"},"ALL":{"type":"boolean"},"CODE":{"type":"string","pattern":"^[A-Z]{2}$","sensitive":true}},
	"environment_parameters":{"dev":{"LEDGER":1},"prod":{"LEDGER":2}},"parameter_sets":{"FR":{"LEDGER":3,"CODE":"FR"}}`

func TestResolvePrecedence(t *testing.T) {
	t.Parallel()
	m := parse(t, with(parameters))
	for _, c := range []struct {
		name, environment, set, given, want string
	}{
		{"defaults", "local", "", `{}`, "LEDGER=0 MODE=fast"},
		{"environment over default", "prod", "", `{}`, "LEDGER=2 MODE=fast"},
		{"set over environment", "prod", "FR", `{}`, "CODE=FR! LEDGER=3 MODE=fast"},
		{
			"request over set", "prod", "FR", `{"LEDGER":4.0,"RATE":1.50,"ALL":true,"MODE":"slow"}`,
			"ALL=true CODE=FR! LEDGER=4 MODE=slow RATE=1.50",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			arguments, err := m.Resolve(manifest.Inputs{
				Environment: c.environment, Set: c.set, Parameters: values(t, c.given),
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range arguments {
				text := a.Name + "=" + a.Value.Text()
				if a.Sensitive {
					text += "!"
				}
				got = append(got, text)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("arguments %s; want %s", got, c.want)
			}
		})
	}
}

func values(t *testing.T, doc string) map[string]manifest.Value {
	t.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(doc), &raw); err != nil {
		t.Fatal(err)
	}
	given := map[string]manifest.Value{}
	for name, text := range raw {
		v, err := manifest.ParseValue(text)
		if err != nil {
			t.Fatal(err)
		}
		given[name] = v
	}
	return given
}

func TestResolveRefuses(t *testing.T) {
	t.Parallel()
	m := parse(t,
		with(`"parameters":{"A":{"type":"integer","required":true},"B":{"type":"string","enum":["x"]},`+
			`"C":{"type":"string","pattern":"^x$","sensitive":true}},"parameter_sets":{"FR":{"A":1}}`))
	for _, c := range []struct {
		name, set, given string
		want             []string
	}{
		{"nothing given", "", `{}`, []string{"trigger.parameter_missing A"}},
		{"unknown set", "DE", `{"A":1}`, []string{"trigger.parameter_set DE"}},
		{
			"everything wrong", "", `{"A":"1","B":"y","C":"hunter2","D":1}`, []string{
				"trigger.parameter A", "trigger.parameter B", "trigger.parameter C", "trigger.parameter_unknown D",
			},
		},
		{"set gives it", "FR", `{}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := m.Resolve(manifest.Inputs{Set: c.set, Parameters: values(t, c.given)})
			got := found(err)
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a sensitive value is quoted: %v", err)
			}
		})
	}
}

func TestParseValue(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{"null", "[]", "{}", "1 2", "", `"` + strings.Repeat("a", 20_000) + `"`, `"a\u0000"`} {
		if v, err := manifest.ParseValue([]byte(doc)); err == nil {
			t.Errorf("%.20s: value %v; want an error", doc, v)
		}
	}
	for _, doc := range []string{`"a\"b"`, `1.50`, `true`, ` false `} {
		v, err := manifest.ParseValue([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := json.Marshal(v); err != nil || string(back) != strings.TrimSpace(doc) {
			t.Errorf("%s came back as %s, %v", doc, back, err)
		}
	}
}
