package advice_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/executor"
	"cemli-executor/internal/admission"
	"cemli-executor/internal/bundle"
	"cemli-executor/internal/cli/advice"
)

// of is the advice on a package of these files, a line each.
func of(t *testing.T, files map[string]string) []string {
	t.Helper()
	folder := fstest.MapFS{}
	for name, text := range files {
		folder[name] = &fstest.MapFile{Data: []byte(text)}
	}
	var zip bytes.Buffer
	if _, err := bundle.Create(&zip, folder); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	opts := admission.InspectOptions{Limits: executor.DefaultLimits()}
	found, err := admission.Inspect(t.Context(), bytes.NewReader(zip.Bytes()), int64(zip.Len()), root, opts)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, a := range advice.Of(found, root) {
		lines = append(lines, a.Where+": "+a.Message)
	}
	return lines
}

// with is a manifest with more members.
func with(members string) string {
	return `{"name":"p","version":"1.0.0","type":"extension"` + members + `}`
}

const script = "#!/usr/bin/env bash\ntrue\n"

// What is right needs no advice; each thing that is not gets one, with the place.
func TestAdvice(t *testing.T) {
	t.Parallel()
	const noTests = "tests/: there are no tests; nobody will know whether the change worked"
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"nothing to say": {
			map[string]string{"manifest.json": with(""), "steps/run.sh": script, "tests/a.sh": script}, nil,
		},
		"no scripts": {
			map[string]string{"manifest.json": with("")},
			[]string{"manifest.json: the package has no scripts; it does nothing"},
		},
		"the template's": {
			map[string]string{
				"manifest.json": with(`,"owner":"` + advice.TemplateOwner + `"`), "steps/run.sh": script,
				"tests/a.sh": script,
			},
			[]string{"/owner: this is still the template's; put in your own"},
		},
		"a misspelt folder": {
			map[string]string{"manifest.json": with(""), "steps/run.sh": script, "test/a.sh": script},
			[]string{noTests, "test/a.sh: it will not run; did you mean tests/a.sh?"},
		},
		"helpers that nobody calls": {
			map[string]string{
				"manifest.json": with(""), "steps/run.sh": script, "steps/b.sh": script, "tests/a.sh": script,
			},
			[]string{"steps/b.sh: it will not run: where there is a steps/run.sh, that is the whole change"},
		},
		"numbers": {
			map[string]string{
				"manifest.json": with(""), "steps/2.sh": script, "steps/10.sh": script, "tests/a.sh": script,
			},
			[]string{
				"steps/: 10.sh runs before 2.sh: the order is that of the bytes; number scripts with leading zeros",
			},
		},
		"an undo of nothing": {
			map[string]string{
				"manifest.json": with(""), "steps/a.sh": script, "rollback/b.sh": script, "tests/a.sh": script,
			},
			[]string{"rollback/b.sh: it undoes no step: there is none of its name"},
		},
		"parameters": {
			map[string]string{
				"manifest.json": with(`,"parameters":{"LEDGER":{"type":"string","pattern":"[0-9]+","required":true}}`),
				"steps/run.sh":  script + "echo $CEMLI_PARAM_LEGDER\n", "tests/a.sh": script,
			},
			[]string{
				"/parameters/LEDGER: no script reads CEMLI_PARAM_LEDGER",
				"/parameters/LEDGER/pattern: it need only match a part of the value; anchor it with ^ and $",
				"/parameters/LEDGER: it is required and has no value here; " +
					"only a request by hand, or --param, can give one, and no upload",
				"/parameters: a script reads CEMLI_PARAM_LEGDER, which is not declared; did you mean LEDGER?",
			},
		},
	} {
		if diff := cmp.Diff(c.want, of(t, c.files)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Scripts are read as bash reads them.
func TestAdviceOnScripts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		script:                                "",
		"true\n":                              "it has no #! line; bash runs it",
		"#!/bin/bash\ntrue\r\n":               "it has CR LF line endings; bash takes the CR for a part of the command",
		"#!/bin/bash\nif true; then\n":        "bash will not understand it: ",
		"#!/bin/bash\nsudo true\n":            "line 2: sudo: there is nobody to become",
		"#!/bin/bash\n# sudo\necho sudo\n":    "",
		"#!/bin/bash\nread -p Sure? x\n":      "line 2: read -p waits for a person; stdin is empty",
		"#!/bin/bash\nread -r x <f\n":         "",
		"#!/bin/bash\ndate >/tmp/now\n":       "line 2: scripts write to their run's folders only; use $TMPDIR",
		"#!/bin/bash\n./tests/a.sh\n":         "line 2: ./tests/a.sh is in the package, where nothing can be executed",
		"#!/usr/bin/env python3\nif: sudo(\n": "",
	} {
		lines := of(t, map[string]string{"manifest.json": with(""), "steps/run.sh": text, "tests/a.sh": script})
		got := strings.Join(lines, "\n")
		if want == "" && got != "" || !strings.HasPrefix(strings.TrimPrefix(got, "steps/run.sh: "), want) ||
			len(lines) > 1 {
			t.Errorf("%q: %q; want %q", text, got, want)
		}
	}
}
