package executor_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"

	"github.com/google/go-cmp/cmp"
)

// with makes a package from more members of the manifest, and scripts.
func with(members string, contents files) files {
	contents["manifest.json"] = manifestWith(members)
	return contents
}

// statuses are the steps of a result, in short.
func statuses(r evidence.Result) string {
	var list []string
	for _, s := range r.Steps {
		list = append(list, s.Name+" "+string(s.Status))
	}
	return strings.Join(list, ", ")
}

// asks runs a package and changes the request.
func (b *bench) asks(contents files, change func(*executor.Request)) []evidence.Result {
	b.t.Helper()
	info := b.upload("sample-1.0.0.zip", pack(b.t, contents), store.PutOptions{})
	q := request(info.Name, info.ETag)
	if change != nil {
		change(&q)
	}
	results, err := executor.New(b.config).Run(b.t.Context(), q)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range results {
		b.stored(r.RunID)
	}
	return results
}

func TestOutputsGoFromStepToStep(t *testing.T) {
	r := newBench(t).ran(files{
		"steps/1.sh": `echo "A=one=1" >>$CEMLI_OUTPUT; printf 'B<<END\nline 1\nline 2\nEND\n_c=\n' >>"$CEMLI_OUTPUT"`,
		"steps/2.sh": `echo "[$CEMLI_OUT_A] [$CEMLI_OUT_B] [$CEMLI_OUT__c] ${CEMLI_OUT_A+set}"; ` +
			`echo A=two >"$CEMLI_OUTPUT"`,
		"steps/3.sh": `echo "[$CEMLI_OUT_A]"`,
	})
	if r.Status != evidence.StatusSuccess || r.Execution.Stdout != "[one=1] [line 1\nline 2] [] set\n[two]\n" {
		t.Errorf("status %s, %s, stdout %q", r.Status, r.Message, r.Execution.Stdout)
	}
	if r.Outputs["A"] != "two" || r.Outputs["B"] != "line 1\nline 2" || r.Steps[0].Outputs["A"] != "one=1" ||
		len(r.Steps[2].Outputs) != 0 {
		t.Errorf("outputs %v, of steps %v", r.Outputs, r.Steps[0].Outputs)
	}
}

func TestBadOutputs(t *testing.T) {
	for name, script := range map[string]string{
		"no key":     `echo nothing >$CEMLI_OUTPUT`,
		"reserved":   `echo 'A B=1' >$CEMLI_OUTPUT`,
		"no end":     `printf 'A<<END\nx\n' >$CEMLI_OUTPUT`,
		"binary":     `head -c 100 /dev/urandom >$CEMLI_OUTPUT; printf '\377' >>$CEMLI_OUTPUT`,
		"NUL":        `printf 'A=\0\n' >$CEMLI_OUTPUT`,
		"a link":     `ln -s /etc/passwd $CEMLI_OUTPUT`,
		"a pipe":     `mkfifo $CEMLI_OUTPUT`,
		"a folder":   `mkdir $CEMLI_OUTPUT`,
		"a terabyte": `truncate -s 1T $CEMLI_OUTPUT || truncate -s 1G $CEMLI_OUTPUT`,
		"long value": `echo "A=$(head -c 70000 /dev/zero | tr '\0' x)" >$CEMLI_OUTPUT`,
		"many":       `for i in $(seq 101); do echo "K$i=1"; done >$CEMLI_OUTPUT`,
		"unreadable": `echo A=1 >$CEMLI_OUTPUT; chmod 0 $CEMLI_OUTPUT; [ "$(id -u)" -ne 0 ] && exit 0`,
	} {
		t.Run(name, func(t *testing.T) {
			r := newBench(t).ran(files{"steps/1.sh": script, "steps/2.sh": "echo ran"})
			if name == "unreadable" && os.Geteuid() == 0 {
				return // root reads it
			}
			if code(r) != "step.output" || r.Status != evidence.StatusFailed || statuses(r) != "1 failed, 2 not_run" {
				t.Errorf("status %s, %+v, %s", r.Status, r.Error, statuses(r))
			}
		})
	}
}

func TestRetries(t *testing.T) {
	b := newBench(t)
	r := b.ran(with(`"steps":[{"run":"s.sh","retries":{"max":3,"delay":"10ms"}}]`, files{
		"s.sh": `echo "attempt $CEMLI_ATTEMPT"; echo "N=$CEMLI_ATTEMPT" >>$CEMLI_OUTPUT; [ "$CEMLI_ATTEMPT" = 3 ]`,
	}))
	if r.Status != evidence.StatusSuccess || r.Steps[0].Attempts != 3 || r.Outputs["N"] != "3" {
		t.Errorf("status %s, %s, %+v", r.Status, r.Message, r.Steps)
	}
	log := b.object(evidence.Dir(r.RunID) + r.Steps[0].Log)
	if !strings.Contains(log, "attempt 1\n[cemli] attempt 2 of 4, as the one before ended with failed\nattempt 2\n") {
		t.Errorf("log %q", log)
	}
	r = newBench(t).ran(with(`"steps":[{"run":"s.sh","retries":{"max":2}}]`, files{"s.sh": "exit 4"}))
	if r.Status != evidence.StatusFailed || r.Steps[0].Attempts != 3 || r.Steps[0].ReturnCode != 4 {
		t.Errorf("status %s, %+v", r.Status, r.Steps)
	}
}

func TestContinueOnError(t *testing.T) {
	r := newBench(t).ran(with(`"steps":[{"run":"1.sh","continue_on_error":true},{"run":"2.sh"}]`,
		files{"1.sh": "exit 3", "2.sh": "echo ran"}))
	if r.Status != evidence.StatusSuccess || statuses(r) != "1 failed, 2 success" ||
		r.Message != "1 step succeeded, 1 failed and may" {
		t.Errorf("status %s, %q, %s", r.Status, r.Message, statuses(r))
	}
}

func TestDryRunAndCheck(t *testing.T) {
	contents := func() files {
		return with(`"steps":[{"run":"pre.sh","phase":"pre_check"},{"run":"change.sh"},`+
			`{"run":"dry.sh","dry_run":true},{"run":"test.sh","phase":"post_check"}]`, files{
			"pre.sh": "echo pre $CEMLI_ACTION [$CEMLI_DRY_RUN]", "change.sh": "echo changed",
			"dry.sh": "echo dry [$CEMLI_DRY_RUN]", "test.sh": "echo test",
		})
	}
	b := newBench(t)
	r := b.asks(contents(), func(q *executor.Request) { q.Action = executor.ActionDryRun })[0]
	if r.Status != evidence.StatusSuccess || r.Execution.Stdout != "pre dry_run [1]\ndry [1]\n" ||
		statuses(r) != "pre success, change not_run, dry success, test not_run" || r.Action != "dry_run" {
		t.Errorf("dry run: status %s, %q, stdout %q, %s", r.Status, r.Message, r.Execution.Stdout, statuses(r))
	}
	r = b.asks(contents(), func(q *executor.Request) { q.Action = executor.ActionCheck })[0]
	if r.Status != evidence.StatusSuccess || r.Execution.Ran ||
		statuses(r) != "pre not_run, change not_run, dry not_run, test not_run" || r.Steps[0].SHA256 == "" {
		t.Errorf("check: status %s, %q, %s", r.Status, r.Message, statuses(r))
	}
	// Neither counts as having been done.
	if r = b.asks(contents(), nil)[0]; r.Status != evidence.StatusSuccess ||
		!strings.Contains(r.Execution.Stdout, "changed") {
		t.Errorf("apply: status %s, %q", r.Status, r.Message)
	}
}

func TestParameterSets(t *testing.T) {
	contents := func() files {
		return with(`"parameters":{"C":{"type":"string","default":"none"}},`+
			`"environment_parameters":{"test":{"C":"env"}},"parameter_sets":{"DE":{"C":"de"},"FR":{"C":"fr"},"XX":{}}`,
			files{"steps/run.sh": `echo $CEMLI_PARAM_C; [ "$CEMLI_PARAM_C" != "$FAIL" ]`})
	}
	b := newBench(t)
	all := b.asks(contents(), nil)
	var got []string
	for _, r := range all {
		got = append(got, r.ParameterSet+" "+string(r.Status)+" "+strings.TrimSpace(r.Execution.Stdout))
		if stored := b.stored(r.RunID); stored.ParameterSet != r.ParameterSet || stored.Parameters["C"] == nil {
			t.Errorf("evidence of %s: %+v", r.ParameterSet, stored)
		}
	}
	if diff := cmp.Diff([]string{"DE success de", "FR success fr", "XX success env"}, got); diff != "" {
		t.Errorf("sets (-want +got):\n%s", diff)
	}
	one := newBench(t).asks(contents(), func(q *executor.Request) { q.ParameterSet = "FR" })
	if len(one) != 1 || one[0].Execution.Stdout != "fr\n" {
		t.Errorf("%+v", one)
	}
	if none := newBench(t).asks(contents(),
		func(q *executor.Request) { q.ParameterSet = "IT" })[0]; code(none) != "trigger.parameter_set" {
		t.Errorf("%+v; want trigger.parameter_set", none.Error)
	}
}

func TestAFailedSetStopsTheLaterOnes(t *testing.T) {
	b := newBench(t)
	all := b.asks(with(`"parameters":{"C":{"type":"string"}},"parameter_sets":{"A":{"C":"a"},"B":{"C":"b"},`+
		`"D":{"C":"d"}}`,
		files{"steps/run.sh": `[ $CEMLI_PARAM_C != b ]`}), nil)
	if len(all) != 3 || all[0].Status != evidence.StatusSuccess || all[1].Status != evidence.StatusFailed ||
		all[2].Status != evidence.StatusSkipped {
		t.Fatalf("%d results: %+v", len(all), all)
	}
	last := b.stored(all[2].RunID)
	if last.Execution.Ran || last.PreviousRunID != all[1].RunID || last.ParameterSet != "D" ||
		last.Package.DirHash != all[0].Package.DirHash {
		t.Errorf("the last one: %+v", last)
	}
}

const undoable = `"steps":[{"run":"1.sh","rollback":"u1.sh"},{"run":"2.sh","rollback":"u2.sh"},` +
	`{"run":"3.sh"}],"idempotent":true`

func TestRollbackOfARun(t *testing.T) {
	b := newBench(t)
	contents := func() files {
		return with(undoable, files{
			"1.sh": "echo 1", "2.sh": "echo 2", "3.sh": "echo 3", "u1.sh": "echo undo 1 $CEMLI_ACTION",
			"u2.sh": "echo undo 2",
		})
	}
	first := b.asks(contents(), nil)[0]
	back := b.asks(contents(), func(q *executor.Request) {
		q.Action, q.RollbackOf, q.Reason = executor.ActionRollback, first.RunID, "wrong ledger"
	})[0]
	if back.Status != evidence.StatusSuccess || back.Execution.Stdout != "undo 2\nundo 1 rollback\n" ||
		back.PreviousRunID != first.RunID || back.Message != "2 undo scripts succeeded; these steps have none: 3" {
		t.Errorf("status %s, %q, stdout %q", back.Status, back.Message, back.Execution.Stdout)
	}
	for name, c := range map[string]struct {
		change func(*executor.Request)
		code   string
	}{
		"no run": {func(q *executor.Request) { q.Action, q.Reason = executor.ActionRollback, "x" }, "trigger.value"},
		"no reason": {
			func(q *executor.Request) {
				q.Action, q.RollbackOf = executor.ActionRollback, first.RunID
			}, "trigger.value",
		},
		"unknown run": {func(q *executor.Request) {
			q.Action, q.RollbackOf, q.Reason = executor.ActionRollback, "20260101T000000Z-sample-000000000000", "x"
		}, "request.unknown_run"},
		"a rollback": {
			func(q *executor.Request) {
				q.Action, q.RollbackOf, q.Reason = executor.ActionRollback, back.RunID, "x"
			}, "rollback.of_rollback",
		},
		"resume and undo": {
			func(q *executor.Request) {
				q.ResumeFrom, q.RollbackOf, q.Reason = first.RunID, first.RunID, "x"
			}, "trigger.value",
		},
		"resume success": {func(q *executor.Request) { q.ResumeFrom = first.RunID }, "request.not_partial"},
	} {
		if r := b.asks(contents(), c.change)[0]; code(r) != c.code || r.Execution.Ran {
			t.Errorf("%s: %+v; want %s", name, r.Error, c.code)
		}
	}
	other := contents()
	other["x"] = "other content"
	if r := b.asks(other, func(q *executor.Request) {
		q.Action, q.RollbackOf, q.Reason = executor.ActionRollback, first.RunID, "x"
	})[0]; code(r) != "request.differs" {
		t.Errorf("other content: %+v", r.Error)
	}
}

// What a failed undo leaves is listed with the request that does it, which does just that.
func TestUndoThatFailsCanBeFinished(t *testing.T) {
	b := newBench(t)
	mark := filepath.Join(t.TempDir(), "repaired")
	b.config.Sandbox = "none" // the undo looks at a file outside
	contents := func() files {
		return with(undoable, files{
			"1.sh": "echo 1", "2.sh": "echo 2", "3.sh": "exit 1", "u1.sh": "echo undo 1; [ -e " + mark + " ]",
			"u2.sh": "echo undo 2",
		})
	}
	r := b.asks(contents(), nil)[0]
	if r.Status != evidence.StatusFailed || r.Rollback == nil || r.Rollback.Request == nil || r.Rollback.Error == nil {
		t.Fatalf("status %s, rollback %+v", r.Status, r.Rollback)
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	back := b.asks(contents(), func(q *executor.Request) {
		u := r.Rollback.Request
		q.Action, q.RollbackOf, q.Reason = executor.Action(u.Action), u.RollbackOf, u.Reason
	})[0]
	if back.Status != evidence.StatusSuccess || back.Execution.Stdout != "undo 1\n" {
		t.Errorf("status %s, %q, stdout %q", back.Status, back.Message, back.Execution.Stdout)
	}
}

func TestResume(t *testing.T) {
	b := newBench(t)
	mark := filepath.Join(t.TempDir(), "repaired")
	b.config.Sandbox = "none" // a step looks at a file outside
	contents := func() files {
		return with(`"on_failure":"stop","parameters":{"P":{"type":"integer","default":1}}`, files{
			"steps/1.sh": "echo one; echo K=v >$CEMLI_OUTPUT", "steps/2.sh": "[ -e " + mark + " ]",
			"steps/3.sh": "echo three $CEMLI_OUT_K $CEMLI_PARAM_P",
		})
	}
	first := b.asks(contents(), func(q *executor.Request) {
		q.Parameters = map[string]json.RawMessage{"P": json.RawMessage("7")}
	})[0]
	if statuses(first) != "1 success, 2 failed, 3 not_run" {
		t.Fatal(statuses(first))
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := b.asks(contents(), func(q *executor.Request) {
		q.ResumeFrom, q.Parameters = first.RunID, map[string]json.RawMessage{"P": json.RawMessage("8")}
	})[0]
	if code(other) != "request.differs" {
		t.Errorf("other parameters: %+v", other.Error)
	}
	r := b.asks(contents(), func(q *executor.Request) { q.ResumeFrom = first.RunID })[0]
	if r.Status != evidence.StatusSuccess || statuses(r) != "1 skipped, 2 success, 3 success" ||
		r.Execution.Stdout != "three v 7\n" || r.PreviousRunID != first.RunID {
		t.Errorf("status %s, %q, %s, stdout %q", r.Status, r.Message, statuses(r), r.Execution.Stdout)
	}
}

func TestOutputFiles(t *testing.T) {
	r := newBench(t).ran(with(`"outputs":["reports/**/*.csv","top.txt"]`, files{
		"steps/run.sh": `mkdir -p reports/a; echo 1 >reports/a/x.csv; echo 2 >reports/y.txt; echo 3 >top.txt; ` +
			`echo 4 >$CEMLI_ARTIFACTS/top.txt; ln -s /etc/passwd reports/l.csv`,
	}))
	var got []string
	for _, a := range r.Artifacts {
		got = append(got, a.Name+" "+a.Object+" "+a.Withheld)
	}
	want := []string{
		"top.txt artifacts/top.txt ", "reports/a/x.csv artifacts/reports/a/x.csv ", "reports/l.csv  not a regular file",
		"top.txt  another file of this name was kept",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("artifacts (-want +got):\n%s", diff)
	}
}

// vault is a source of secrets.
func vault(secrets map[string]string) executor.SecretSource {
	return func(_ context.Context, _, ref string) (executor.Secret, error) {
		value, ok := secrets[ref]
		if !ok {
			return executor.Secret{}, problem.New(problem.Problem{
				Code: "secret.unavailable", Where: ref, Message: "no such secret", Hint: "make one",
			}, nil)
		}
		return executor.Secret{Value: []byte(value), ID: "ocid1.vaultsecret.oc1.phx." + ref, Version: "3"}, nil
	}
}

// hides gives the bench a vault. Where the kernel cannot isolate scripts a policy accepts that, as an
// environment's has to.
func (b *bench) hides(secrets map[string]string) {
	b.config.Secrets = vault(secrets)
	if !sandbox.Probe().Strongest().Reaches(sandbox.LevelIsolated) && b.config.Policy == nil {
		b.config.Policy = executor.InlinePolicy("inline", []byte(`{"environment":"test","sandbox":"basic"}`))
	}
}

// nowhere checks that no object of the evidence or the state, nor the log, has a text.
func (b *bench) nowhere(texts ...string) {
	b.t.Helper()
	all := b.log.String()
	for _, bucket := range []store.Bucket{b.results, b.state} {
		page, err := bucket.List(b.t.Context(), store.ListOptions{})
		if err != nil {
			b.t.Fatal(err)
		}
		for _, o := range page.Objects {
			body, _, err := bucket.Get(b.t.Context(), o.Name, store.GetOptions{})
			if err != nil {
				b.t.Fatal(err)
			}
			text, err := readAll(body)
			if err != nil {
				b.t.Fatal(err)
			}
			all += o.Name + "\n" + text
		}
	}
	for _, text := range texts {
		if strings.Contains(all, text) {
			at := strings.Index(all, text)
			b.t.Errorf("%q is in the evidence or the log: %q", text, all[max(0, at-80):min(len(all), at+80)])
		}
	}
}

func TestSecrets(t *testing.T) {
	const tiger, key = "tiger-s3cr3t&<>", "-----BEGIN-----\nfirst line of it\nsecond line of it\n-----END-----\n"
	b := newBench(t)
	b.hides(map[string]string{"db": tiger, "key": key})
	r := b.ran(with(`"secrets":{"DB":{"vault_secret":"db"},"KEY":{"vault_secret":"key"}},"parameters":{"P":{"type":"string","default":"sensitive-value","sensitive":true}},
		"steps":[{"run":"1.sh","secrets":["DB"]},{"run":"2.sh"},{"run":"3.sh","secrets":[],"args":["x"]}]`, files{
		"1.sh": `echo "$DB [$KEY]"; printf %s "${DB:0:5}"; sleep 0.05; echo "${DB:5}"; echo "$DB" >&2; printf %s "$DB" | base64; printf x%s "$DB" | base64; printf xx%s "$DB" | base64
echo "OUT=$DB" >>$CEMLI_OUTPUT; echo "# $DB" >$CEMLI_SUMMARY; echo "$DB" >$CEMLI_ARTIFACTS/has; echo none >$CEMLI_ARTIFACTS/has-not; echo x >"$CEMLI_ARTIFACTS/$DB"`,
		"2.sh": `echo "$KEY"; echo "$CEMLI_PARAM_P"; echo "$CEMLI_OUT_OUT" | tr a-z b-za | tr b-za a-z`,
		"3.sh": `echo "[$DB$KEY]"; ps ax -o args 2>/dev/null | grep -c tiger-s3cr3t; ` +
			`cat /proc/*/cmdline 2>/dev/null | grep -c tiger-s3; true`,
	}))
	if r.Status != evidence.StatusSuccess {
		t.Fatalf("status %s, %s, %s", r.Status, r.Message, r.Execution.Stderr)
	}
	b.nowhere(tiger, "tiger-s3", "first line", "second line", "sensitive-value",
		base64.StdEncoding.EncodeToString([]byte(tiger))[:16],
		base64.StdEncoding.EncodeToString([]byte("x" + tiger))[4:16],
		base64.StdEncoding.EncodeToString([]byte("xx" + tiger))[4:16], `tiger-s3cr3t\u0026`)
	if len(r.Secrets) != 2 || r.Secrets[0] != (evidence.Secret{
		Env: "DB", SecretID: "ocid1.vaultsecret.oc1.phx.db", Version: "3",
	}) {
		t.Errorf("secrets %+v", r.Secrets)
	}
	if !strings.HasPrefix(r.Execution.Stdout, "*** []\n***\n") || !strings.Contains(r.Execution.Stdout, "[]\n") {
		t.Errorf("stdout %q", r.Execution.Stdout)
	}
	if r.Outputs["OUT"] != "***" || r.Summary != "# ***\n" || r.Parameters["P"] != "***" {
		t.Errorf("outputs %v, summary %q, parameters %v", r.Outputs, r.Summary, r.Parameters)
	}
	var kept []string
	for _, a := range r.Artifacts {
		if a.Object != "" {
			kept = append(kept, a.Name)
		}
	}
	if !slices.Equal(kept, []string{"has-not", "***"}) || len(r.Artifacts) != 3 {
		t.Errorf("artifacts %+v", r.Artifacts)
	}
}

// A sensitive value of a request is in what triggered the run, too.
func TestSensitiveParametersOfARequest(t *testing.T) {
	b := newBench(t)
	for name, contents := range map[string]files{
		"runs": with(`"parameters":{"P":{"type":"string","sensitive":true}}`,
			files{"steps/run.sh": "echo $CEMLI_PARAM_P"}),
		"is refused": with(`"parameters":{"P":{"type":"string","sensitive":true,"enum":["other-one"]}}`,
			files{"steps/run.sh": "echo ran"}),
		"no manifest": {"manifest.json": "{"},
	} {
		r := b.asks(contents, func(q *executor.Request) {
			q.Parameters = map[string]json.RawMessage{"P": json.RawMessage(`"hunter2hunter2"`)}
			q.Trigger.Raw = json.RawMessage(`{"object":"x","parameters":{"P":"hunter2hunter2"}}`)
		})[0]
		if name == "runs" && r.Execution.Stdout != "***\n" {
			t.Errorf("stdout %q", r.Execution.Stdout)
		}
	}
	b.nowhere("hunter2hunter2")
}

func TestBadSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		members, value, code string
		change               func(*executor.Config)
	}{
		"short":   {`"secrets":{"A":{"vault_secret":"a"}}`, "12345", "secret.short", nil},
		"large":   {`"secrets":{"A":{"vault_secret":"a"}}`, strings.Repeat("x", 64<<10+1), "secret.large", nil},
		"binary":  {`"secrets":{"A":{"vault_secret":"a"}}`, "\xff\xfe123456", "secret.value", nil},
		"NUL":     {`"secrets":{"A":{"vault_secret":"a"}}`, "1234567\x00", "secret.value", nil},
		"missing": {`"secrets":{"A":{"vault_secret":"b"}}`, "value-of-a", "secret.unavailable", nil},
		"no vault": {
			`"secrets":{"A":{"vault_secret":"a"}}`, "value-of-a", "secret.unavailable",
			func(c *executor.Config) { c.Secrets = nil },
		},
		"not confined": {
			`"secrets":{"A":{"vault_secret":"a"}}`, "value-of-a", "secret.sandbox",
			func(c *executor.Config) { c.Sandbox, c.Policy = "none", nil },
		},
		"not allowed": {
			`"secrets":{"A":{"vault_secret":"a"}}`, "value-of-a", "policy.secret",
			func(c *executor.Config) {
				c.Policy = executor.InlinePolicy("inline", []byte(`{"environment":"test","secrets":["erp-*"]}`))
			},
		},
		"short parameter": {
			`"parameters":{"P":{"type":"integer","default":12345,"sensitive":true}}`, "", "secret.short", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "not confined" {
				here(t, "the runner decides that")
			}
			b := newBench(t)
			b.hides(map[string]string{"a": c.value})
			if c.change != nil {
				c.change(&b.config)
			}
			r := b.ran(with(c.members, files{"steps/run.sh": "echo ran"}))
			if code(r) != c.code || r.Status != evidence.StatusRejected {
				t.Errorf("status %s, %+v; want %s", r.Status, r.Error, c.code)
			}
			nothingRan(t, r)
		})
	}
	// The policy may accept a lower level, by naming it.
	b := newBench(t)
	b.config.Secrets, b.config.Sandbox = vault(map[string]string{"a": "value-of-a"}), "none"
	b.config.Policy = executor.InlinePolicy("inline", []byte(`{"environment":"test","sandbox":"none"}`))
	if r := b.ran(with(`"secrets":{"A":{"vault_secret":"a"}}`,
		files{"steps/run.sh": "echo $A"})); r.Status != evidence.StatusSuccess || r.Execution.Stdout != "***\n" {
		t.Errorf("status %s, %+v", r.Status, r.Error)
	}
}

// TestNoSecretOnDisk looks at the run's own folder while a script runs.
func TestNoSecretOnDisk(t *testing.T) {
	b := newBench(t)
	b.hides(map[string]string{"a": "value-of-the-secret"})
	r := b.ran(with(`"secrets":{"A":{"vault_secret":"a"}}`, files{
		"steps/run.sh": `cd ..; for d in package home tmp artifacts out; do grep -rl "${A}" $d; done; echo done`,
	}))
	if r.Execution.Stdout != "done\n" {
		t.Errorf("stdout %q", r.Execution.Stdout)
	}
	if err := filepath.WalkDir(b.config.WorkDir, func(string, fs.DirEntry, error) error { return nil }); err != nil {
		t.Error(err)
	}
}

func readAll(r io.ReadCloser) (string, error) {
	defer r.Close()
	text, err := io.ReadAll(r)
	return string(text), err
}

// A value that happens to be a secret is one wherever it comes from.
func TestASecretAsAParameter(t *testing.T) {
	b := newBench(t)
	b.hides(map[string]string{"a": "value-of-the-secret"})
	r := b.asks(with(`"secrets":{"A":{"vault_secret":"a"}},"parameters":{"P":{"type":"string"}}`,
		files{"steps/run.sh": "true"}), func(q *executor.Request) {
		q.Parameters = map[string]json.RawMessage{"P": json.RawMessage(`"x value-of-the-secret"`)}
		q.Reason, q.Trigger.Raw = "because value-of-the-secret", json.RawMessage(
			`{"parameters":{"P":"x value-of-the-secret"}}`)
	})[0]
	if r.Status != evidence.StatusSuccess || r.Parameters["P"] != "x ***" {
		t.Errorf("status %s, parameters %v", r.Status, r.Parameters)
	}
	b.nowhere("value-of-the-secret")
}

func TestTooManyArtifacts(t *testing.T) {
	b := newBench(t)
	b.config.Limits.Artifacts = 50
	r := b.ran(files{"steps/run.sh": `cd "$CEMLI_ARTIFACTS"; for i in $(seq 10000); do : >f$i; done`})
	kept := 0
	for _, a := range r.Artifacts {
		if a.Object != "" {
			kept++
		}
	}
	if r.Status != evidence.StatusSuccess || kept != 50 || len(r.Artifacts) != 51 ||
		!strings.HasPrefix(r.Artifacts[50].Withheld, "more than 50 files") {
		t.Errorf("status %s, %d kept of %d, the last %+v", r.Status, kept, len(r.Artifacts),
			r.Artifacts[len(r.Artifacts)-1])
	}
}

func TestUndoThatHangs(t *testing.T) {
	r := newBench(t).ran(with(`"rollback_timeout":"1s","steps":[{"run":"1.sh","rollback":"u1.sh"},`+
		`{"run":"2.sh","rollback":"u2.sh"}]`, files{
		"1.sh": "true", "2.sh": "exit 1", "u1.sh": "echo undo 1", "u2.sh": "echo begun; sleep 1000",
	}))
	if r.Status != evidence.StatusFailed || r.Rollback == nil || r.Rollback.Steps[0].Status != evidence.StepTimedOut ||
		r.Rollback.Steps[1].Status != evidence.StepNotRun ||
		r.Rollback.Request == nil || r.Rollback.Request.RollbackOf != r.RunID {
		t.Errorf("status %s, %+v", r.Status, r.Rollback)
	}
}

func TestResumeFromAnotherContent(t *testing.T) {
	b := newBench(t)
	first := b.asks(files{"steps/1.sh": "true", "steps/2.sh": "exit 1"}, nil)[0]
	r := b.asks(files{"steps/1.sh": "true", "steps/2.sh": "exit 0"},
		func(q *executor.Request) { q.ResumeFrom = first.RunID })[0]
	if code(r) != "request.differs" || r.Execution.Ran {
		t.Errorf("%+v; want request.differs", r.Error)
	}
}

func TestAnnouncement(t *testing.T) {
	b := newBench(t)
	var told []evidence.Result
	b.config.Announce = func(_ context.Context, r evidence.Result) error {
		if _, _, err := b.results.Get(b.t.Context(), evidence.ResultObject(r.RunID), store.GetOptions{}); err != nil {
			t.Errorf("announced before the result is stored: %v", err)
		}
		told = append(told, r)
		return errors.New("the topic is full")
	}
	r := b.ran(files{"steps/run.sh": "true"})
	if r.Status != evidence.StatusSuccess || len(told) != 1 || told[0].RunID != r.RunID {
		t.Errorf("status %s, told %d times", r.Status, len(told))
	}
	if !strings.Contains(b.log.String(), `"what":"announce"`) {
		t.Error("the failure is not in the log")
	}
}

// An undo that is asked for later finds what its step had saved.
func TestRollbackFindsTheArtifacts(t *testing.T) {
	b := newBench(t)
	contents := func() files {
		return with(`"steps":[{"run":"1.sh","rollback":"u1.sh"}],"idempotent":true`, files{
			"1.sh": `mkdir -p "$CEMLI_ARTIFACTS/d"; echo before >"$CEMLI_ARTIFACTS/d/saved"; ` +
				`echo other >"$CEMLI_ARTIFACTS/x"; echo K=v >>"$CEMLI_OUTPUT"`,
			"u1.sh": `cat "$CEMLI_ARTIFACTS/d/saved"; echo "$CEMLI_OUT_K"; echo changed >"$CEMLI_ARTIFACTS/x"`,
		})
	}
	first := b.asks(contents(), nil)[0]
	back := func() evidence.Result {
		return b.asks(contents(), func(q *executor.Request) {
			q.Action, q.RollbackOf, q.Reason = executor.ActionRollback, first.RunID, "x"
		})[0]
	}
	second := b.asks(contents(), nil)[0]
	if r := back(); code(r) != "rollback.not_latest" || !strings.Contains(r.Message, second.RunID) {
		t.Fatalf("%s, %s", r.Status, r.Message)
	}
	first = second
	r := back()
	if r.Status != evidence.StatusSuccess || r.Execution.Ran != true || len(r.Artifacts) != 2 {
		t.Fatalf("status %s, %s, artifacts %+v", r.Status, r.Message, r.Artifacts)
	}
	if log := b.object(evidence.Dir(r.RunID) + r.Rollback.Steps[0].Log); log != "before\nv\n" {
		t.Errorf("log %q", log)
	}
	if a := r.Artifacts[0]; a.Name != "d/saved" || a.Run != first.RunID || a.Object == "" {
		t.Errorf("artifact %+v", a)
	}
	if a := r.Artifacts[1]; a.Name != "x" || a.Object == "" || a.Run != "" {
		t.Errorf("artifact %+v", a)
	}
	// An artifact that somebody changed is not given to an undo.
	first = b.asks(contents(), nil)[0]
	object := evidence.Dir(first.RunID) + "artifacts/d/saved"
	if err := b.results.Delete(t.Context(), object, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := b.results.Put(t.Context(), object, strings.NewReader("forged\n"), 7, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if r := back(); code(r) != "request.gone" || r.Execution.Ran {
		t.Errorf("%+v; want request.gone", r.Error)
	}
}

func TestNoSecretByASideDoor(t *testing.T) {
	const token = "Hunter2_correct_horse_battery"
	b := newBench(t)
	b.hides(map[string]string{"a": token})
	r := b.ran(with(`"secrets":{"A":{"vault_secret":"a"}},"steps":[{"run":"1.sh"},`+
		`{"run":"2.sh","continue_on_error":true}]`, files{
		"1.sh": `echo "$A=1" >>$CEMLI_OUTPUT; { head -c 65516 /dev/zero | tr '\0' x; echo "$A"; } >"$CEMLI_SUMMARY"
printf 'a-long-user-name-of-somebody@example.com:%s' "$A" | base64`,
		"2.sh": `echo "$A.-$A$A$A=1" >>$CEMLI_OUTPUT`,
	}))
	if r.Status != evidence.StatusSuccess {
		t.Errorf("status %s, %s", r.Status, r.Message)
	}
	b.nowhere(token, token[:20], "Hunter2_c",
		base64.StdEncoding.EncodeToString([]byte("a-long-user-name-of-somebody@example.com:" + token))[60:76])
}

// The manifest is in the result, with the values of other sets and environments.
func TestSensitiveValuesOfTheManifest(t *testing.T) {
	const members = `"parameters":{"P":{"type":"string","sensitive":true,"default":"default-secret"}},` +
		`"environment_parameters":{"prod":{"P":"prod-secret-3"}},"parameter_sets":{"DE":{"P":"de-secret-1"},` +
		`"FR":{"P":"fr-secret-2"}}`
	for _, action := range []executor.Action{executor.ActionApply, executor.ActionCheck} {
		b := newBench(t)
		for _, r := range b.asks(with(members, files{"steps/run.sh": `[ "$CEMLI_PARAM_P" = de-secret-1 ]`}),
			func(q *executor.Request) { q.Action = action }) {
			if !strings.Contains(string(r.Manifest), `"***"`) {
				t.Errorf("%s: manifest %s", action, r.Manifest)
			}
		}
		b.nowhere("default-secret", "prod-secret-3", "de-secret-1", "fr-secret-2")
	}
}

// A log that was stored, whose answer was lost, is stored.
func TestALostAnswerForALog(t *testing.T) {
	b := newBench(t)
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/1.sh": "echo one"}), store.PutOptions{})
	b.config.Results = lossy{b.results}
	r, err := b.run(t.Context(), request(info.Name, info.ETag))
	if err != nil || r.Status != evidence.StatusSuccess || b.stored(r.RunID).Status != evidence.StatusSuccess {
		t.Errorf("status %s, error %v", r.Status, err)
	}
}

// lossy carries out the writes of logs and loses the answers.
type lossy struct{ store.Bucket }

func (l lossy) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, opts store.PutOptions,
) (store.Info, error) {
	info, err := l.Bucket.Put(ctx, name, body, size, opts)
	if err == nil && strings.HasSuffix(name, ".log") {
		return store.Info{}, store.Error(store.ErrUnavailable, "put", "results", name, nil)
	}
	return info, err
}

func TestOutputsOfManySteps(t *testing.T) {
	var steps []string
	contents := files{}
	for _, n := range strings.Split("abcdefgh", "") {
		steps = append(steps, `{"run":"`+n+`.sh","rollback":"u.sh"}`)
		contents[n+".sh"] = `for k in 1 2; do echo "` + n +
			`$k=$(head -c 60000 /dev/zero | tr '\0' x)"; done >$CEMLI_OUTPUT`
	}
	contents["u.sh"] = "true"
	r := newBench(t).ran(with(`"steps":[`+strings.Join(steps, ",")+`]`, contents))
	if r.Status != evidence.StatusRolledBack || code(r) != "step.output" || r.Rollback.Status != evidence.StepSuccess {
		t.Errorf("status %s, %+v, rollback %+v", r.Status, r.Error, r.Rollback)
	}
	same := `for i in $(seq 60); do echo "K$i=1"; done >$CEMLI_OUTPUT`
	if r := newBench(t).ran(files{"steps/1.sh": same, "steps/2.sh": same}); r.Status != evidence.StatusSuccess {
		t.Errorf("the same keys twice: %s, %s", r.Status, r.Message)
	}
	if r := newBench(t).ran(files{"steps/1.sh": "echo PATH=/evil >$CEMLI_OUTPUT"}); code(r) != "step.output" {
		t.Errorf("a reserved name: %+v", r.Error)
	}
}

func TestSetsWithTheSameValues(t *testing.T) {
	all := newBench(t).asks(with(
		`"parameters":{"A":{"type":"string"}},"parameter_sets":{"DE":{"A":"x"},"FR":{"A":"x"}}`,
		files{"steps/run.sh": "true"}), nil)
	if len(all) != 2 || all[1].Status != evidence.StatusSuccess {
		t.Errorf("%+v", all)
	}
}

func TestResumeOfAResumedRun(t *testing.T) {
	b := newBench(t)
	b.config.Sandbox = "none" // steps look at files outside
	marks := t.TempDir()
	contents := func() files {
		return with(`"steps":[{"run":"1.sh","rollback":"u1.sh"},{"run":"2.sh"},{"run":"3.sh"}],"on_failure":"stop"`,
			files{
				"1.sh":  `echo K=v >$CEMLI_OUTPUT; echo saved >$CEMLI_ARTIFACTS/saved`,
				"u1.sh": `cat $CEMLI_ARTIFACTS/saved`,
				"2.sh":  "[ -e " + marks + "/2 ]", "3.sh": `echo "[$CEMLI_OUT_K]"; [ -e ` + marks + `/3 ]`,
			})
	}
	first := b.asks(contents(), nil)[0]
	for _, mark := range []string{"2", "3"} {
		if err := os.WriteFile(filepath.Join(marks, mark), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		first = b.asks(contents(), func(q *executor.Request) { q.ResumeFrom = first.RunID })[0]
		if first.Execution.Stdout != "[v]\n" || first.Outputs["K"] != "v" {
			t.Errorf("with mark %s: status %s, %s, stdout %q, outputs %v", mark, first.Status, statuses(first),
				first.Execution.Stdout, first.Outputs)
		}
	}
	back := b.asks(contents(), func(q *executor.Request) {
		q.Action, q.RollbackOf, q.Reason = executor.ActionRollback, first.RunID, "x"
	})[0]
	if back.Status != evidence.StatusSuccess || back.Execution.Stdout != "saved\n" ||
		!slices.Equal(back.Rollback.WithoutUndo, []string{"2", "3"}) {
		t.Errorf("rollback: status %s, %q, stdout %q, %+v", back.Status, back.Message, back.Execution.Stdout,
			back.Rollback)
	}
}

// A rollback that succeeded has undone the run, whatever had no undo: what is left is a person's, and the
// same may be applied again.
func TestARollbackThatDidNothing(t *testing.T) {
	b := newBench(t)
	contents := func() files { return files{"steps/run.sh": "true"} }
	first := b.asks(contents(), nil)[0]
	back := b.asks(contents(), func(q *executor.Request) {
		q.Action, q.RollbackOf, q.Reason = executor.ActionRollback, first.RunID, "x"
	})[0]
	if back.Status != evidence.StatusSuccess || !slices.Equal(back.Rollback.WithoutUndo, []string{"run"}) {
		t.Errorf("status %s, %q, rollback %+v", back.Status, back.Message, back.Rollback)
	}
	if r := b.asks(contents(), nil)[0]; r.Status != evidence.StatusSuccess || !r.Execution.Ran {
		t.Errorf("status %s, %q", r.Status, r.Message)
	}
}

func TestHiddenParametersAreGivenAgain(t *testing.T) {
	b := newBench(t)
	contents := func() files {
		return with(undoable+`,"parameters":{"P":{"type":"string","sensitive":true,"default":"default-value"}}`,
			files{"1.sh": "", "2.sh": "", "3.sh": "", "u1.sh": "", "u2.sh": ""})
	}
	first := b.asks(contents(), nil)[0]
	back := func(parameters map[string]json.RawMessage) evidence.Result {
		return b.asks(contents(), func(q *executor.Request) {
			q.Action, q.RollbackOf, q.Reason, q.Parameters = executor.ActionRollback, first.RunID, "x", parameters
		})[0]
	}
	if r := back(nil); code(r) != "request.hidden" {
		t.Errorf("without: %+v", r.Error)
	}
	given := map[string]json.RawMessage{"P": json.RawMessage(`"default-value"`)}
	if r := back(given); r.Status != evidence.StatusSuccess {
		t.Errorf("with: %s, %s", r.Status, r.Message)
	}
}

func TestALargeResultStaysReadable(t *testing.T) {
	here(t, "an outcome has at most 5 MB")
	var steps []string
	contents := files{}
	for i := range 80 {
		name := fmt.Sprintf("s%03d.sh", i)
		steps = append(steps, `{"run":"`+name+`"}`)
		contents[name] = `head -c 20000 /dev/zero | tr '\0' '\001'`
	}
	b := newBench(t)
	b.config.Reserve = 30 * time.Second // of encoding with the race detector
	r := b.ran(with(`"steps":[`+strings.Join(steps, ",")+`]`, contents))
	if r.Status != evidence.StatusSuccess || r.Execution.Note == "" || len(r.Steps[0].StdoutTail) > 2000 {
		t.Errorf("status %s, note %q, tail %d", r.Status, r.Execution.Note, len(r.Steps[0].StdoutTail))
	}
}

func TestFailuresThatAreNoStepsOwn(t *testing.T) {
	b := newBench(t)
	r := b.ran(files{"steps/1.sh": "echo 'exit 0' >steps/2.sh", "steps/2.sh": "exit 1"})
	if r.Execution.ReturnCode != -1 || r.Steps[1].LogSHA256 != "" {
		t.Errorf("return code %d, steps %+v", r.Execution.ReturnCode, r.Steps)
	}
	if junit := b.object(evidence.Dir(r.RunID) + "junit.xml"); !strings.Contains(junit, `errors="1"`) ||
		!strings.Contains(junit, "step.modified") {
		t.Errorf("JUnit %s", junit)
	}
	r = b.ran(with(`"requires":{"other":">=1"}`, files{"steps/1.sh": "true"}))
	if junit := b.object(evidence.Dir(r.RunID) + "junit.xml"); !strings.Contains(junit, "manifest.requires") {
		t.Errorf("JUnit %s", junit)
	}
	r = b.ran(files{"steps/1.sh": "", "steps/2.sh": "exit 3", "rollback/2.sh": ""})
	if r.Status != evidence.StatusRolledBack || r.Execution.ReturnCode != 3 ||
		!strings.Contains(r.Message, "which these have not: 1") {
		t.Errorf("status %s, return code %d, %q", r.Status, r.Execution.ReturnCode, r.Message)
	}
}

func TestInterruptionLeavesTheUndoToAPerson(t *testing.T) {
	here(t, "a run goes on when its executor is stopped")
	b := newBench(t)
	info := b.upload("sample-1.0.0.zip", pack(t, files{
		"steps/1.sh": "echo begun; sleep 60", "rollback/1.sh": "true",
	}), store.PutOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !strings.Contains(b.log.String(), `"line":"begun"`) {
			time.Sleep(time.Millisecond) // polls the script's own sign
		}
		cancel()
	}()
	r, err := b.run(ctx, request(info.Name, info.ETag))
	if err != nil || r.Status != evidence.StatusInterrupted || r.Rollback == nil || r.Rollback.Request == nil ||
		r.Rollback.Steps[0].Status != evidence.StepNotRun {
		t.Errorf("status %s, rollback %+v, error %v", r.Status, r.Rollback, err)
	}
}

// A secret that looks like the syntax of a document does not cost the evidence that document.
func TestASecretThatLooksLikeSyntax(t *testing.T) {
	b := newBench(t)
	r := b.asks(with(`"parameters":{"PW":{"type":"string","sensitive":true,"default":"\",\"version\":\"1.0.0\""}}`,
		files{"steps/run.sh": "true"}), nil)[0]
	var m struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(b.stored(r.RunID).Manifest, &m); err != nil || m.Name != "sample" ||
		r.Status != evidence.StatusSuccess {
		t.Errorf("status %s, manifest %s, %v", r.Status, r.Manifest, err)
	}
}
