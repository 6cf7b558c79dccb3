package input_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"cemli-executor/internal/cli/input"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

const manifest = `{"name":"p","version":"1.0.0","type":"extension","on_set_failure":"continue",
"parameters":{"TEXT":{"type":"string"},"NUMBER":{"type":"integer"}},"parameter_sets":{"A":{},"B":{}}}`

// folder is a working folder with a package p, another one q, and files that are none.
func folder(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"p/manifest.json": manifest, "p/steps/run.sh": "true\n",
		"q/manifest.json": `{"name":"q","version":"2.0.0","type":"extension"}`,
		"text":            "text", "policy.json": `{"environment":"dev"}`,
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700),
			os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// wrong is the first problem of an error, as people read it.
func wrong(err error) string {
	var e *problem.Error
	if !errors.As(err, &e) {
		return ""
	}
	p := e.Problems[0]
	return p.Code + " " + p.Where + ": " + p.Message + "; " + p.Hint
}

// A path that leads to no package gets an answer that says what it most likely was to be.
func TestPaths(t *testing.T) {
	folder(t)
	for path, want := range map[string]string{
		"p":               "",
		"polici.json":     "usage polici.json: there is no such file or folder; did you mean policy.json?",
		"elsewhere":       "usage elsewhere: there is no such file or folder; PATH is a package folder or a zip",
		"p/manifest.json": "usage p/manifest.json: it is a file of the package p; name that folder",
		"p/steps":         "usage p/steps: it is a folder of the package p; name that folder",
		".":               "usage .: it is no package; there are 2 in it; name one of these: p, q",
		"text":            "usage text: it is neither a folder nor a zip; PATH is a package folder or a zip",
	} {
		zip, name, err := input.OpenPackage(path)
		if got := wrong(err); got != want {
			t.Errorf("%s: %q; want %q", path, got, want)
		}
		if err == nil {
			if name != "p-1.0.0.zip" {
				t.Errorf("%s is uploaded as %s", path, name)
			}
			if err := zip.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A zip that was made for the occasion is gone with its Close, and a person's own stays.
func TestZipsThatWereMadeAreRemoved(t *testing.T) {
	folder(t)
	t.Setenv("TMPDIR", t.TempDir())
	zip, _, err := input.OpenPackage("p")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := io.ReadAll(zip)
	if err := errors.Join(err, zip.Close(), os.WriteFile("own.zip", doc, 0o600)); err != nil {
		t.Fatal(err)
	}
	own, name, err := input.OpenPackage("own.zip")
	if err != nil || name != "own.zip" {
		t.Fatal(name, err)
	}
	if err := own.Close(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if _, gone := os.Stat("own.zip"); err != nil || len(left) > 0 || gone != nil {
		t.Errorf("left: %v, %v; own.zip: %v", left, err, gone)
	}
}

// flags are those of a call.
func flags(t *testing.T, args ...string) input.RequestFlags {
	t.Helper()
	var f input.RequestFlags
	cmd := &cobra.Command{}
	f.Add(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return f
}

// Values have the types that the package declares, and where it declares none, or is not there, those they look like.
func TestParameters(t *testing.T) {
	folder(t)
	const form = " is not NAME=VALUE; write it like LEDGER=4711, without blanks around ="
	for _, c := range []struct {
		path, param, want, wrong string
	}{
		{"p", "TEXT=1", `"1"`, ""},
		{"p", "NUMBER=1", `1`, ""},
		{"p", "NUMBER=one", `"one"`, ""},
		{"p", "OTHER=true", `true`, ""},
		{"", "TEXT=1", `1`, ""},
		{"p", "TEXT", "", `usage --param: "TEXT"` + form},
		{"p", "TEXT =1", "", `usage --param: "TEXT =1"` + form},
	} {
		got, err := flags(t, "--param", c.param).Parameters(c.path)
		if wrong(err) != c.wrong {
			t.Errorf("%s: %q; want %q", c.param, wrong(err), c.wrong)
		}
		for _, value := range got {
			if diff := cmp.Diff(json.RawMessage(c.want), value); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.param, diff)
			}
		}
		if len(got) != 1 && c.wrong == "" {
			t.Errorf("%s: %v", c.param, got)
		}
	}
}

// Sets are asked for one after the other; only a package that says so goes on after one that failed.
func TestSets(t *testing.T) {
	folder(t)
	if got := flags(t).Chosen(); len(got) != 1 || got[0] != "" {
		t.Errorf("all sets are %q", got)
	}
	two := flags(t, "--set", "A", "--set", "B")
	if !two.GoesOn("p") || two.GoesOn("q") || flags(t, "--set", "A").GoesOn("p") {
		t.Error("it goes on where it must not, or the other way round")
	}
	for _, c := range []struct{ flag, value, want string }{
		{"--set", "A,B", "usage : --set A,B names more than one; repeat it: --set A --set B"},
		{"--set", "", "usage : --set: the name of the set is missing; leave the flag out for all sets"},
		{"--env", "a b", `usage --env: "a b" is no name of an environment; ` +
			"use letters, digits, dots, hyphens and underscores, such as dev"},
		{"--env", "dev", ""},
	} {
		if got := wrong(flags(t, c.flag, c.value).Check()); got != c.want {
			t.Errorf("%s %s: %q; want %q", c.flag, c.value, got, c.want)
		}
	}
}

// A policy is read as it is; a manifest is none.
func TestPolicies(t *testing.T) {
	folder(t)
	doc, err := input.ReadPolicy("policy.json")
	if err != nil || string(doc) != `{"environment":"dev"}` {
		t.Errorf("%s, %v", doc, err)
	}
	if none, err := input.Policy(""); none != nil || err != nil {
		t.Errorf("%v, %v", none, err)
	}
	for path, want := range map[string]string{
		"p/manifest.json": "this is a package's manifest, and no admission policy", "none": "the policy cannot be read",
	} {
		_, err := input.Policy(path)
		if got := wrong(err); got != "usage "+path+": "+want+"; --policy is a file with an admission policy" {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// What is uploaded is the folder without what the command writes into it.
func TestUpload(t *testing.T) {
	folder(t)
	if err := errors.Join(os.Mkdir("p/evidence", 0o700), os.Mkdir("bucket", 0o700)); err != nil {
		t.Fatal(err)
	}
	bucket, err := store.OpenFolder("bucket")
	if err != nil {
		t.Fatal(err)
	}
	before, err := input.Upload(t.Context(), bucket, "p", nil, "p/evidence")
	if err := errors.Join(err, os.WriteFile("p/evidence/result.json", []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	after, err := input.Upload(t.Context(), bucket, "p", nil, "p/evidence")
	if err != nil || after.Name != "p-1.0.0.zip" || after.Size != before.Size {
		t.Errorf("%v, then %v, %v", before, after, err)
	}
}
