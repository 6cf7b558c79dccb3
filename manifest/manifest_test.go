package manifest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// found lists "code where" of every problem in err.
func found(err error) []string {
	var e *problem.Error
	if !errors.As(err, &e) {
		return nil
	}
	var list []string
	for _, p := range e.Problems {
		list = append(list, strings.TrimSpace(p.Code+" "+p.Where))
	}
	return list
}

func TestParse(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, c := range []struct {
		name, doc string
		want      []string
	}{
		{"smallest", `{"name":"hello-cemli","version":"1.0.0","type":"extension"}`, nil},
		{"descriptive keys", `{"$schema":"s","name":"a","version":"1.0.0-rc.1+b","type":"integration","description":"d","owner":"o","change_ticket":"CHG1","x-mine":[1]}`, nil},
		{"empty", ``, []string{"manifest.json"}},
		{"not JSON", `name: x`, []string{"manifest.json"}},
		{"cut off", `{"name":"a"`, []string{"manifest.json /name"}},
		{"not an object", `["name"]`, []string{"manifest.not_object"}},
		{"null", `null`, []string{"manifest.not_object"}},
		{"trailing text", `{"name":"a","version":"1.0.0","type":"extension"} {}`, []string{"manifest.json"}},
		{"duplicate key", `{"name":"a","name":"b","version":"1.0.0","type":"extension"}`, []string{"manifest.duplicate_key /name"}},
		{"nested duplicate", `{"x-a":{"b":1,"b":2}}`, []string{"manifest.duplicate_key /x-a/b"}},
		{"invalid UTF-8", "{\"name\":\"a\xff\"}", []string{"manifest.json /name"}},
		{"byte order mark", "\xef\xbb\xbf{}", []string{"manifest.json"}},
		{"too deep", strings.Repeat("[", 100), []string{"manifest.too_deep"}},
		{"too large", `{"x-a":"` + strings.Repeat("a", manifest.MaxBytes) + `"}`, []string{"manifest.too_large"}},
		{"everything missing", `{}`, []string{"manifest.required", "manifest.required", "manifest.required"}},
		{"every problem at once", `{"name":"A b","version":"1.0","type":"extention","owner":1,"steps":[],"change_tiket":"x"}`, []string{
			"manifest.unknown_key /change_tiket", "manifest.unsupported_key /steps", "manifest.type /owner",
			"manifest.name /name", "manifest.version /version", "manifest.package_type /type",
		}},
		{"wrong types", `{"name":1,"version":null,"type":["extension"]}`, []string{"manifest.type /name", "manifest.type /version", "manifest.type /type"}},
		{"empty text", `{"name":"","version":"1.0.0","type":"extension"}`, []string{"manifest.required /name"}},
		{"long name", `{"name":"` + long + `","version":"1.0.0","type":"extension"}`, []string{"manifest.name /name"}},
		{"long version", `{"name":"a","version":"1.0.0-` + long + long + `","type":"extension"}`, []string{"manifest.version /version"}},
		{"key with slash", `{"name":"a","version":"1.0.0","type":"extension","a/b~c":1}`, []string{"manifest.unknown_key /a~1b~0c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := manifest.Parse([]byte(c.doc))
			if diff := cmp.Diff(c.want, found(err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if (m == nil) != (err != nil) {
				t.Errorf("manifest %v with error %v", m, err)
			}
		})
	}
}

func TestParseSuggests(t *testing.T) {
	_, err := manifest.Parse([]byte(`{"name":"a","version":"1.0.0","type":"extention","change_tiket":"CHG1"}`))
	for _, want := range []string{"unknown key change_tiket; did you mean change_ticket?", "one of configuration"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want it to say %q", err, want)
		}
	}
}

func TestPlanFollowsTheConventions(t *testing.T) {
	m, err := manifest.Parse([]byte(`{"name":"a","version":"1.0.0","type":"extension"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		files []string
		want  []string
	}{
		{"nothing", []string{"manifest.json", "artifacts/a.sh", "rollback/run.sh"}, nil},
		{"run.sh alone", []string{"steps/run.sh", "steps/lib.sh"}, []string{"run run steps/run.sh"}},
		{"byte order", []string{"steps/b.sh", "steps/10.sh", "steps/B.sh", "steps/9.sh"}, []string{"run 10 steps/10.sh", "run 9 steps/9.sh", "run B steps/B.sh", "run b steps/b.sh"}},
		{"phases", []string{"tests/t.sh", "steps/s.sh", "prechecks/p.sh"}, []string{"pre_check p prechecks/p.sh", "run s steps/s.sh", "post_check t tests/t.sh"}},
		{"what does not count", []string{"steps/.hidden.sh", "steps/deep/a.sh", "steps/a.txt", "steps/a.SH", "steps.sh"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{}
			for _, f := range c.files {
				files[f] = "digest of " + f
			}
			var got []string
			for _, s := range m.Plan(files).Steps() {
				got = append(got, string(s.Phase)+" "+s.Name+" "+s.Run)
				if s.SHA256 != "digest of "+s.Run {
					t.Errorf("%s has digest %q", s.Run, s.SHA256)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"name":"a","version":"1.0.0","type":"extension"}`, `{"a":{"a":1,"a":2}}`, "[[", "{\"\xff\":1}", `{"x-":1e999}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		m, err := manifest.Parse(doc)
		if (m == nil) == (err == nil) {
			t.Fatalf("manifest %v with error %v", m, err)
		}
		if err != nil && problem.Family(problem.CodeOf(err)) != "manifest" {
			t.Fatalf("error without a manifest code: %v", err)
		}
	})
}
