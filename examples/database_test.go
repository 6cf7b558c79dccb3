package examples_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

const databasePassword = `Tiger's "s3cret" \1`

// What the example's database begins with and ends with, by its list of what the change touches.
const (
	termsBefore = "1002,NET90\n1003,NET120\n1004,NET90\n"
	termsAfter  = "1002,NET60\n1003,NET60\n1004,NET60\n"
)

// changed fails the test unless the evidence shows the change, from the file before to the one after.
func changed(t *testing.T, r evidence.Result, results store.Bucket, files map[string]string) {
	t.Helper()
	for name, want := range files {
		if got := string(artifact(t, r, results, name)); got != want {
			t.Errorf("%s is %q; want %q", name, got, want)
		}
	}
}

// What goes wrong, on whichever database: a trigger is what the change did not reckon with.
type databaseFault struct {
	sqlite, postgresql string
	step, output       string
}

var databaseFaults = map[string]databaseFault{
	"half done": {
		sqlite: `create trigger fault before update on suppliers when new.id = 1004 and new.term = 'NET60' begin ` +
			`select raise(abort, 'period is closed'); end;`,
		postgresql: `create function fault() returns trigger language plpgsql as $$ begin
			if new.id = 1004 and new.term = 'NET60' then raise exception 'period is closed'; end if; return new; end $$;
			create trigger fault before update on suppliers for each row execute function fault();`,
		step: "apply", output: "period is closed",
	},
	"incomplete": {
		sqlite: `create trigger fault after update on suppliers when new.id = 1003 and new.term = 'NET60' begin ` +
			`update suppliers set term = 'NET120' where id = 1003; end;`,
		postgresql: `create function fault() returns trigger language plpgsql as $$ begin
			if new.id = 1003 and new.term = 'NET60' then new.term := 'NET120'; end if; return new; end $$;
			create trigger fault before update on suppliers for each row execute function fault();`,
		step: "verify", output: "supplier 1003 still has 120 days",
	},
}

// twice lets a package's undo run twice in a row.
func twice(t *testing.T, dir, script string) {
	t.Helper()
	edit(t, dir, "manifest.json", `"`+script+`"`, `"rollback/twice.sh"`)
	add(t, dir, "rollback/twice.sh", "set -eu\nbash "+script+"\nbash "+script+"\n")
}

func TestDatabaseChangeOnSQLite(t *testing.T) {
	needTools(t, "sqlite3")
	r, results := run(t, "database-change", vault(databasePassword))
	succeeded(t, r)
	changed(t, r, results, map[string]string{"before.csv": termsBefore, "after.csv": termsAfter})
	if r.Summary != "- suppliers changed: 3\n" || len(r.Artifacts) != 3 {
		t.Errorf("summary %q, artifacts %+v", r.Summary, r.Artifacts)
	}

	r, _ = run(t, "database-change", vault(databasePassword), with("APPROVED", "2"))
	failedIn(t, r, evidence.StatusFailed, "precheck", "approved for 2 suppliers, but there are 3")
	if r.Rollback != nil {
		t.Errorf("undone though nothing was done: %s", undone(r))
	}

	for name, fault := range databaseFaults {
		t.Run(name, func(t *testing.T) {
			dir := example(t, "database-change")
			add(t, dir, "sql/demo.sql", fault.sqlite)
			twice(t, dir, "rollback/undo.sh")
			// What is there after the undo is as before: the pre-check finds nothing against another try.
			add(t, dir, "rollback/twice.sh",
				"bash prechecks/precheck.sh 2>&1 | grep 'already exists'\nsource lib/sqlite.sh\nrun_sql precheck.sql\n")
			r, results := run(t, dir, vault(databasePassword))
			failedIn(t, r, evidence.StatusRolledBack, fault.step, fault.output)
			changed(t, r, results, map[string]string{"before.csv": termsBefore, "undone.csv": termsBefore})
		})
	}
}

// A file that is not there is no empty one.
func TestDatabaseChangeWithoutAFile(t *testing.T) {
	needTools(t, "sqlite3")
	dir := example(t, "database-change")
	if err := os.Remove(filepath.Join(dir, "sql/precheck.sql")); err != nil {
		t.Fatal(err)
	}
	r, _ := run(t, dir, vault(databasePassword))
	failedIn(t, r, evidence.StatusFailed, "precheck", "No such file")
}

func onPostgreSQL(db *cluster) func(*executor.Config, *executor.Request) {
	return change(func(q *executor.Request) {
		q.Parameters = map[string]json.RawMessage{
			"CLIENT": json.RawMessage(`"postgresql"`), "DATABASE": json.RawMessage(`"` + db.uri() + `"`),
		}
	})
}

// What the example's README says a team changes, and a real server with passwords.
func TestDatabaseChangeOnPostgreSQL(t *testing.T) {
	needTools(t, "psql")
	db := startPostgreSQL(t, "cemli_change", databasePassword)
	dir := example(t, "database-change")
	edit(t, dir, "manifest.json", `"sqlite3"`, `"psql"`)
	demo, err := os.ReadFile(filepath.Join(dir, "sql/demo.sql"))
	if err != nil {
		t.Fatal(err)
	}
	const terms = "select string_agg(id || ',' || term || e'\\n', '' order by id) from suppliers where id > 1001"

	t.Run("done, and taken back", func(t *testing.T) {
		db.reset(t, string(demo))
		r, results := run(t, dir, vault(databasePassword), onPostgreSQL(db))
		succeeded(t, r)
		changed(t, r, results, map[string]string{"before.csv": termsBefore, "after.csv": termsAfter})
		nowhere(t, results, databasePassword)
		if got := db.query(t, terms); got != termsAfter {
			t.Errorf("in the database: %q", got)
		}
		// Once more is refused by the state of the database, and touches nothing.
		r, _ = run(t, dir, vault(databasePassword), onPostgreSQL(db))
		failedIn(t, r, evidence.StatusFailed, "precheck", "the term NET60 is there already")
		if got := db.query(t, terms); got != termsAfter {
			t.Errorf("in the database: %q", got)
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		db.reset(t, string(demo))
		r, results := run(t, dir, vault("not-the-password"), onPostgreSQL(db))
		failedIn(t, r, evidence.StatusFailed, "precheck", "password authentication failed")
		nowhere(t, results, "not-the-password")
	})
	twice(t, dir, "rollback/undo.sh")
	for name, fault := range databaseFaults {
		t.Run(name, func(t *testing.T) {
			db.reset(t, string(demo)+fault.postgresql)
			r, results := run(t, dir, vault(databasePassword), onPostgreSQL(db))
			failedIn(t, r, evidence.StatusRolledBack, fault.step, fault.output)
			changed(t, r, results, map[string]string{"before.csv": termsBefore, "undone.csv": termsBefore})
			got := db.query(t, terms+" union all select code from payment_terms where code = 'NET60'")
			if got != termsBefore {
				t.Errorf("in the database: %q", got)
			}
		})
	}
}
