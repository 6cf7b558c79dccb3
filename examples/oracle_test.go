package examples_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// oracleClient stands for SQL*Plus or SQLcl, which no test can have: it keeps its arguments and its stdin in files, and
// answers as it is told.
const oracleClient = `#!/bin/bash
echo "$*" >"$SEEN/arguments"
cat >"$SEEN/stdin"
printf '%s' "$ANSWER"
exit "$CODE"
`

// oracleRun is what lib/oracle.sh made of a file of SQL.
type oracleRun struct {
	stdout, stderr          string
	ok                      bool
	arguments, stdin, spool string
}

// onOracle runs a file of the package's sql/ as its scripts do.
func onOracle(t *testing.T, pkg, client, file, answer, code string) oracleRun {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"bin", "tmp", "artifacts"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", client), []byte(oracleClient), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash",
		"-c", `set -euo pipefail; source lib/oracle.sh; rows=$(run_sql "$1"); printf '%s' "$rows"`, "-", file)
	cmd.Dir = pkg
	cmd.Env = []string{
		"PATH=" + filepath.Join(dir, "bin") + ":/usr/bin:/bin", "TMPDIR=" + filepath.Join(dir, "tmp"),
		"CEMLI_ARTIFACTS=" + filepath.Join(dir, "artifacts"),
		"CEMLI_STEP=apply", "CEMLI_PARAM_DB_USER=cemli_change", "DB_USER=cemli_change",
		"CEMLI_PARAM_DATABASE=//erp-db:1521/ERP", "CEMLI_PARAM_APPROVED=3",
		"DB_PASSWORD=Tiger's $&%s \\1", "SEEN=" + dir, "ANSWER=" + answer, "CODE=" + code,
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	return oracleRun{
		stdout.String(), stderr.String(), err == nil, read("arguments"), read("stdin"), read("artifacts/spool.log"),
	}
}

func TestDatabaseChangeWithOraclesClients(t *testing.T) {
	sqlplus, sqlcl := example(t, "database-change"), example(t, "database-change")
	edit(t, sqlcl, "lib/oracle.sh", "client=sqlplus", "client=sql")
	for client, pkg := range map[string]string{"sqlplus": sqlplus, "sql": sqlcl} {
		r := onOracle(t, pkg, client, "touched.sql", "Connected.\n1002,NET60\n", "0")
		if !r.ok || r.stdout != "1002,NET60" || r.stderr != "" ||
			r.spool != "== apply: touched.sql\nConnected.\n1002,NET60\n" {
			t.Errorf("%s: %+v", client, r)
		}
		if r.arguments != "-S -L /nolog\n" {
			t.Errorf("%s: arguments %q", client, r.arguments)
		}
		rest := r.stdin
		for _, want := range []string{
			"whenever sqlerror exit failure rollback\n", "set define off",
			"connect cemli_change/" + "\"Tiger's $&%s \\1\"@//erp-db:1521/ERP\n",
			"execute :approved := 3\n", "select s.id", "\ncommit;\nexit success\n",
		} {
			_, after, found := strings.Cut(rest, want)
			if !found {
				t.Fatalf("%s: no %q, or not in its place, in what the client reads:\n%s", client, want, r.stdin)
			}
			rest = after
		}
	}

	for name, c := range map[string]struct{ answer, code string }{
		"an error that ends it":         {"ORA-00942: table or view does not exist\n", "1"},
		"an error that does not end it": {"SP2-0640: Not connected\n", "0"},
		"no login":                      {"ERROR:\nORA-01017: invalid username/password; logon denied\n", "0"},
		"a body that does not compile":  {"\nWarning: Package Body created with compilation errors.\n", "0"},
		"an end for another reason":     {"Killed\n", "137"},
	} {
		r := onOracle(t, sqlplus, "sqlplus", "touched.sql", c.answer, c.code)
		if r.ok || r.stdout != "" || r.stderr != c.answer || !strings.HasSuffix(r.spool, c.answer) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	// A row that speaks of errors is none.
	if r := onOracle(t, sqlplus, "sqlplus", "touched.sql", "seen: ORA-00942\n", "0"); !r.ok {
		t.Errorf("a row: %+v", r)
	}
	if r := onOracle(t, sqlplus, "sqlplus", "missing.sql", "", "0"); r.ok || strings.Contains(r.stdin, "commit") {
		t.Errorf("a file that is not there: %+v", r)
	}
}

// What the template of cemli init has as a comment for Oracle is a script that works.
func TestTemplateWithOraclesClients(t *testing.T) {
	dir := example(t, "../cmd/cemli/template/sql")
	text, err := os.ReadFile(filepath.Join(dir, "lib/sql.sh"))
	if err != nil {
		t.Fatal(err)
	}
	_, comment, _ := strings.Cut(string(text), "kept in spool.log.\n#\n")
	add(t, dir, "lib/oracle.sh", strings.TrimPrefix(strings.ReplaceAll("\n"+comment, "\n# ", "\n"), "\n"))
	for client, pkg := range map[string]string{"sqlplus": dir, "sql": example(t, dir)} {
		edit(t, pkg, "lib/oracle.sh", "| sqlplus ", "| "+client+" ")
		r := onOracle(t, pkg, client, "precheck.sql", "Connected.\n", "0")
		if !r.ok || r.stdout != "" || r.arguments != "-S -L /nolog\n" ||
			!strings.Contains(r.stdin, "connect cemli_change/"+"\"Tiger's $&%s \\1\"@//erp-db:1521/ERP\n") {
			t.Errorf("%s: %+v", client, r)
		}
		r = onOracle(t, pkg, client, "apply.sql", "SP2-0640: Not connected\n", "0")
		if r.ok || r.stderr != "SP2-0640: Not connected\n" {
			t.Errorf("%s: %+v", client, r)
		}
	}
}
