package executor_test

import (
	"encoding/json"
	"strings"
	"testing"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
)

// withPW goes back in a way and gives the hidden value again.
func (b *bench) withPW(way func(*executor.Request, string), id, value string) evidence.Result {
	b.t.Helper()
	return b.asked(func(q *executor.Request) {
		way(q, id)
		q.Reason, q.Parameters = "with "+value, map[string]json.RawMessage{"PW": []byte(`"` + value + `"`)}
	})[0]
}

// What a step had saved and nobody could keep is not gone on without; an undo says that it had to.
func TestGoingBackWithoutWhatWasWithheld(t *testing.T) {
	b := newBench(t)
	failed := b.uploaded("a-1.0.0.zip",
		with(`"on_failure":"stop","parameters":{"PW":{"type":"string","sensitive":true,"default":"secretone"}}`, files{
			"steps/01.sh":    `echo "old value; password secretone" >"$CEMLI_ARTIFACTS/backup.sql"`,
			"steps/02.sh":    `[ ! -e "$CEMLI_ARTIFACTS/backup.sql" ]`,
			"rollback/01.sh": `cat "$CEMLI_ARTIFACTS/backup.sql" || echo nothing`,
		}))[0]
	b.wants("the first", failed, evidence.StatusFailed, "step.failed")
	resumed := b.withPW(resumeOf, failed.RunID, "secretone")
	b.wants("resume", resumed, evidence.StatusRejected, "request.withheld")
	if !strings.Contains(resumed.Message, "backup.sql") || resumed.Execution.Ran {
		t.Errorf("ran %t, %s", resumed.Execution.Ran, resumed.Message)
	}
	undone := b.withPW(rollBackOf, failed.RunID, "secretone")
	b.wants("rollback", undone, evidence.StatusSuccess, "")
	if !strings.Contains(undone.Message, "not kept") || !strings.Contains(undone.Message, "backup.sql") {
		t.Error("a rollback does not say what was missing:", undone.Message)
	}
}

// What is done again from its beginning starts without the artifacts of the run before, and has its own.
func TestDoneAgainStartsWithoutArtifacts(t *testing.T) {
	b := newBench(t)
	first := b.uploaded("a-1.0.0.zip", files{
		"steps/run.sh": `ls -A "$CEMLI_ARTIFACTS"; [ -e "$CEMLI_ARTIFACTS/report.csv" ] || echo "$CEMLI_RUN_ID" ` +
			`>"$CEMLI_ARTIFACTS/report.csv"`,
	})[0]
	for name, way := range map[string]func(*executor.Request, string){"rerun": rerunOf, "apply again": applyAgain} {
		r := b.back(way, first.RunID, name)
		b.wants(name, r, evidence.StatusSuccess, "")
		if r.Execution.Stdout != "" {
			t.Errorf("%s: it began with %q", name, r.Execution.Stdout)
		}
		if len(r.Artifacts) != 1 || r.Artifacts[0].Run != "" ||
			b.object(evidence.Dir(r.RunID)+r.Artifacts[0].Object) != r.RunID+"\n" {
			t.Errorf("%s: artifacts %+v", name, r.Artifacts)
		}
	}
}

// Hidden values that are given again are those of the run that is named; an undo may need a new password.
func TestHiddenValuesAreTheSameAgain(t *testing.T) {
	b := newBench(t)
	contents := with(`"on_failure":"stop","parameters":{"PW":{"type":"string","sensitive":true}}`, files{
		"steps/01.sh": `echo ${#CEMLI_PARAM_PW}`, "steps/02.sh": "exit 1",
		"rollback/01.sh": `echo undone with ${#CEMLI_PARAM_PW}`,
	})
	failed := b.asks(contents, func(q *executor.Request) {
		q.Parameters = map[string]json.RawMessage{"PW": []byte(`"secret-one"`)}
	})[0]
	b.wants("the first", failed, evidence.StatusFailed, "step.failed")
	for name, way := range map[string]func(*executor.Request, string){
		"rerun": rerunOf, "resume": resumeOf, "apply again": applyAgain,
	} {
		r := b.withPW(way, failed.RunID, "another-secret-two")
		b.wants(name, r, evidence.StatusRejected, "request.differs")
		if r.Execution.Ran || strings.Contains(b.object(evidence.ResultObject(r.RunID)), "secret-two") {
			t.Errorf("%s: ran %t, or it shows the value", name, r.Execution.Ran)
		}
	}
	b.wants("the same value", b.withPW(resumeOf, failed.RunID, "secret-one"), evidence.StatusFailed, "step.failed")
	fresh := newBench(t)
	failed = fresh.asks(contents, func(q *executor.Request) {
		q.Parameters = map[string]json.RawMessage{"PW": []byte(`"secret-one"`)}
	})[0]
	undone := fresh.withPW(rollBackOf, failed.RunID, "another-secret-two")
	fresh.wants("rollback with a new password", undone, evidence.StatusSuccess, "")
	if undone.Execution.Stdout != "undone with 18\n" {
		t.Errorf("stdout %q", undone.Execution.Stdout)
	}
}
