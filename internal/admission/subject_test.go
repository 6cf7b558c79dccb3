package admission_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
	"cemli-executor/manifest"
)

type files map[string]string

// manifestOf is a manifest with more members.
func manifestOf(members string) string {
	return `{"name":"sample","version":"1.0.0","type":"extension"` + members + `}`
}

// subject takes a package through the stages before the verdict.
func subject(t *testing.T, contents files) admission.Subject {
	t.Helper()
	zip := testkit.Zip(t, contents)
	archive, err := admission.Open("sample.zip", bytes.NewReader(zip), int64(len(zip)), admission.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	m, err := admission.ReadManifest(archive)
	if err != nil {
		t.Fatal(err)
	}
	root := rootIn(t)
	extracted, err := archive.Extract(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return admission.Subject{
		Manifest: m, Contents: extracted, Root: root, Inputs: manifest.Inputs{Environment: "test"},
		Facts: manifest.Case{Object: "sample.zip", Action: "apply", Kind: "request", Now: time.Now().UTC()},
	}
}

func rootIn(t *testing.T) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// with gives a subject's request a set and parameters.
func with(t *testing.T, s admission.Subject, set, parameters string) admission.Subject {
	t.Helper()
	var docs map[string]json.RawMessage
	if err := json.Unmarshal([]byte(parameters), &docs); err != nil {
		t.Fatal(err)
	}
	s.Inputs.Set, s.Inputs.Parameters = set, map[string]manifest.Value{}
	for name, doc := range docs {
		value, err := manifest.ParseValue(doc)
		if err != nil {
			t.Fatal(err)
		}
		s.Inputs.Parameters[name] = value
	}
	return s
}

// under adds a policy.
func under(t *testing.T, s admission.Subject, policy string) admission.Subject {
	t.Helper()
	p, err := manifest.ParsePolicy([]byte(policy), "test")
	if err != nil {
		t.Fatal(err)
	}
	s.Policy = p
	return s
}

// codesOf are the codes of problems with their places.
func codesOf(problems []problem.Problem) []string {
	var list []string
	for _, p := range problems {
		list = append(list, strings.TrimSpace(p.Code+" "+p.Where))
	}
	return list
}

// judged checks what is against a package: problems, and what it breaks of the policy.
func judged(t *testing.T, s admission.Subject, problems, violations []string) *manifest.Plan {
	t.Helper()
	plan, gotProblems, gotViolations, err := s.Judge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(problems, codesOf(gotProblems)); diff != "" {
		t.Error("problems (-want +got):\n" + diff)
	}
	if diff := cmp.Diff(violations, codesOf(gotViolations)); diff != "" {
		t.Error("violations (-want +got):\n" + diff)
	}
	return plan
}

// A package with nothing against it gets the plan of exactly its files.
func TestJudgePlans(t *testing.T) {
	t.Parallel()
	s := subject(t, files{"manifest.json": manifestOf(""), "steps/1.sh": "one", "tests/t.sh": "two"})
	plan := judged(t, s, nil, nil)
	got := map[string]string{}
	for _, step := range plan.Steps() {
		got[step.Run] = step.SHA256
	}
	want := map[string]string{}
	for _, f := range s.Contents.Files {
		if f.Name != manifest.Name {
			want[f.Name] = f.SHA256
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) != 2 {
		t.Error("scripts and digests (-want +got):\n" + diff)
	}
}

// Every reason against a package is listed, of what is asked, of the package itself and of the policy.
func TestJudgeListsEveryReason(t *testing.T) {
	t.Parallel()
	s := subject(t, files{"manifest.json": manifestOf(`,"environments":["dev","prod"],"steps":[{"run":"absent.sh"}],
		"parameters":{"A":{"type":"integer","required":true},"B":{"type":"string"}},"requires":{"base":"^1.2"}`)})
	s = with(t, s, "", `{"B":1,"C":2}`)
	s = under(t, s, `{"environment":"test","require":{"/owner":true},"types":["integration"]}`)
	s.Others = func(context.Context, string) (*claim.Package, error) { return &claim.Package{}, nil }
	plan, problems, violations, err := s.Judge(t.Context())
	if plan != nil || err != nil {
		t.Fatalf("plan %v, %v", plan, err)
	}
	got := map[string]int{}
	for _, p := range append(problems, violations...) {
		got[p.Code]++
	}
	want := map[string]int{
		"trigger.parameter": 1, "trigger.parameter_missing": 1, "trigger.parameter_unknown": 1,
		"manifest.step_missing": 1,
		"manifest.environment":  1, "manifest.requires": 1, "policy.require": 1, "policy.type": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("codes (-want +got):\n" + diff)
	}
}

// A policy that denies secrets in files has them looked for; others cost nothing and find nothing.
func TestSecretsInFiles(t *testing.T) {
	t.Parallel()
	s := subject(t, files{"manifest.json": manifestOf(""), "steps/1.sh": "cat <<E\n" + privateKey(t) + "E\n"})
	judged(t, under(t, s, `{"environment":"test"}`), nil, nil)
	_, _, violations, err := under(t, s, `{"environment":"test","embedded_secrets":"deny"}`).Judge(t.Context())
	if err != nil || len(violations) != 1 || violations[0].Code != "policy.embedded_secret" {
		t.Fatalf("%v, %v", violations, err)
	}
	text := violations[0].Where + violations[0].Message
	if !strings.Contains(text, "steps/1.sh") || strings.Contains(text, "PRIVATE KEY---") {
		t.Errorf("%+v", violations[0])
	}
}

// past is a record of runs in the state bucket, which a test fills.
func past(t *testing.T, name string, change func(*claim.Package)) *claim.Package {
	t.Helper()
	state, err := store.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	book := claim.Book{State: state, Environment: "test", Clock: time.Now, Log: slog.New(slog.DiscardHandler)}
	record, err := book.Package(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := record.Update(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if record, err = book.Package(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return record
}

// applied is an entry of a success.
func applied(version string, sets ...string) claim.Entry {
	return claim.Entry{
		RunID: "run-of-" + version, Standing: claim.Applied, Version: version, DirHash: "h1:" + version, Declares: sets,
		Start: time.Now().UTC(), End: time.Now().UTC(),
	}
}

// What a package requires has to be applied: in the same parameter set where that package has it, else in all.
func TestRequires(t *testing.T) {
	t.Parallel()
	failed := applied("1.3.0")
	failed.Standing = claim.Partial
	for name, c := range map[string]struct {
		set  string
		base func(*claim.Package)
		want string // of the reason; "" if it may run
	}{
		"nothing":          {"", func(*claim.Package) {}, "nothing of it is applied in test"},
		"applied":          {"", func(p *claim.Package) { p.Add("", applied("1.2.3")) }, ""},
		"an older version": {"", func(p *claim.Package) { p.Add("", applied("1.1.0")) }, "test has 1.1.0"},
		"a newer that failed": {
			"", func(p *claim.Package) { p.Add("", applied("1.2.0")); p.Add("", failed) },
			"nothing of it is applied in test",
		},
		"the same set": {"FR", func(p *claim.Package) { p.Add("FR", applied("1.2.0", "FR", "DE")) }, ""},
		"another set": {
			"FR", func(p *claim.Package) { p.Add("DE", applied("1.2.0", "FR", "DE")) },
			"nothing of its parameter set FR",
		},
		"sets that it has not": {
			"IT", func(p *claim.Package) { p.Add("DE", applied("1.2.0", "FR", "DE")) },
			"nothing of its parameter set FR",
		},
		"all its sets": {"IT", func(p *claim.Package) {
			p.Add("DE", applied("1.2.0", "FR", "DE"))
			p.Add("FR", applied("1.2.1", "FR", "DE"))
		}, ""},
		"a success whose set is not known": {"", func(p *claim.Package) {
			p.Done = []claim.Success{{Key: "k", RunID: "old", Version: "1.2.0", Lost: true}}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := subject(t,
				files{"manifest.json": manifestOf(`,"requires":{"base":"^1.2"},"parameter_sets":{"FR":{},"IT":{}}`)})
			s.Inputs.Set = c.set
			if c.set == "" {
				s = subject(t, files{"manifest.json": manifestOf(`,"requires":{"base":"^1.2"}`)})
			}
			base := past(t, "base", c.base)
			s.Others = func(_ context.Context, name string) (*claim.Package, error) {
				if name != "base" {
					t.Errorf("%s is looked at", name)
				}
				return base, nil
			}
			_, problems, _, err := s.Judge(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			if c.want != "" {
				want = []string{"manifest.requires /requires/base"}
			}
			if diff := cmp.Diff(want, codesOf(problems)); diff != "" {
				t.Fatal("problems (-want +got):\n" + diff)
			}
			if want != nil && !strings.Contains(problems[0].Message, c.want) {
				t.Errorf("%q; want %q", problems[0].Message, c.want)
			}
		})
	}
}

// What cannot be looked at is an error, no verdict; of an undo nothing is required.
func TestRequirementsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := subject(t, files{"manifest.json": manifestOf(`,"requires":{"base":"*"}`)})
	s.Others = func(context.Context, string) (*claim.Package, error) {
		return nil, store.Error(store.ErrUnavailable, "get", "state", "packages/test/base.json", nil)
	}
	plan, problems, violations, err := s.Judge(t.Context())
	if !errors.Is(err, store.ErrUnavailable) || plan != nil || problems != nil || violations != nil {
		t.Errorf("%v, %v, %v, error %v", plan, problems, violations, err)
	}
	s.Facts.Action = "rollback"
	judged(t, s, nil, nil)
}
