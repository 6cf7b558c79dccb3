package codes_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cemli-executor/internal/codes"
)

var update = flag.Bool("update", false, "write docs/authors/error-codes.md anew")

// What the code decides by and what people read are one table.
func TestTheDocumentIsTheTable(t *testing.T) {
	t.Parallel()
	const path = "../../docs/authors/error-codes.md"
	want := document()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not the table's: run go test ./internal/codes -update", path)
	}
}

// document is the table as people read it.
func document() string {
	var b strings.Builder
	b.WriteString(`# Error codes

Codes are stable; scripts may test them. Made from the table in ` + "`internal/codes`" + `, by which the executor and ` + "`cemli`" + ` decide;
` + "`go test ./internal/codes -update`" + ` writes it anew.

A run that fails with a code has the status in *ends as*; ` + "`cemli`" + ` exits with 1 where that is failed, timed_out,
interrupted or cancelled, with 3 where it is rejected, and with 4 where it is error. *Tried again* means that, before the first
step, the request is not at its end: the sweep goes on with it, as often as ` + "`CEMLI_LIMIT_ATTEMPTS`" + ` allows where it
says *counted*, else until somebody has mended it. *Whose* is who can mend it: the author of the package, the asker who
sent the request, the operator of the function, or the platform, which also is the executor itself.
`)
	family := ""
	for _, m := range codes.All() {
		if m.Family() != family {
			family = m.Family()
			fmt.Fprintf(&b,
				"\n## %s\n\n| code | cause | cure | ends as | tried again | whose |\n| --- | --- | --- | --- | --- | "+
					"--- |\n", family)
		}
		cause := m.Cause
		if was := codes.Was(m.Code); was != "" {
			cause += " (until now `" + was + "`)"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", m.Code, cause, m.Cure, m.Status, tried(m), m.Fault)
	}
	return b.String()
}

func tried(m codes.Meaning) string {
	switch {
	case m.ByCause:
		return "if the store failed"
	case m.Retried && m.Counted:
		return "counted"
	case m.Retried:
		return "yes"
	}
	return "no"
}

// Each code has one row, in a family of the contract, that says what happened and what to do.
func TestRows(t *testing.T) {
	t.Parallel()
	families := strings.Fields(
		"archive manifest policy signature trigger request rollback runner target config store sandbox step secret " +
			"state audit")
	form := regexp.MustCompile(`^[a-z]+\.[a-z0-9_]+$`)
	seen := map[string]bool{}
	for _, m := range codes.All() {
		if !form.MatchString(m.Code) || !slices.Contains(families, m.Family()) || seen[m.Code] {
			t.Errorf("%s has no family of the contract, or two rows", m.Code)
		}
		seen[m.Code] = true
		if m.Cause == "" || m.Cure == "" || m.Status == "" || m.Fault == "" ||
			strings.ContainsAny(m.Cause+m.Cure, "|\n") {
			t.Errorf("%s says too little, or cannot be shown: %+v", m.Code, m)
		}
		if m.Retried && m.Status != "error" || m.Counted && !m.Retried {
			t.Errorf("%s: %+v: what is tried again is no verdict on the package", m.Code, m.Verdict)
		}
	}
}

// An author's fault is a refusal or a failure of the scripts, and never one of the infrastructure.
func TestWhatAuthorsCanMend(t *testing.T) {
	t.Parallel()
	for _, m := range codes.All() {
		if exit := m.Exit(); m.Fault == codes.Author && exit == codes.ExitInfrastructure ||
			m.Fault == codes.Platform && exit == codes.ExitRejected {
			t.Errorf("%s is the %s's to mend and ends with %d", m.Code, m.Fault, exit)
		}
	}
	for _, code := range []string{"step.interpreter", "step.tool", "trigger.parameter_set"} {
		if m := codes.Of(code); m.Status != "rejected" || m.Exit() != codes.ExitRejected {
			t.Errorf("%s: %s, exit %d; want rejected, 3", code, m.Status, m.Exit())
		}
	}
}

// A code of another version is no reason to try for ever, or to run.
func TestAnUnknownCode(t *testing.T) {
	t.Parallel()
	if m := codes.Of("moon.full"); m.Code != codes.Internal || m.Retried || m.Exit() != codes.ExitInfrastructure {
		t.Errorf("%+v", m)
	}
}
