package executor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// Whatever a package has as a secret, its evidence is whole: what a document is made of is no secret's.
func TestSecretsDoNotDecideOnEvidence(t *testing.T) {
	const event = `{"cloudEventsVersion":"0.1","eventType":"com.oracle","data":{"resourceName":"x"}}`
	for _, secret := range []string{`","version":"1.0.0"`, `report`, `eventType`} { // others: internal/hiding
		b := newBench(t)
		quoted, _ := json.Marshal(secret)
		r := b.asks(with(`"parameters":{"DB_PASSWORD":{"type":"string","sensitive":true,"default":`+string(quoted)+`}}`,
			files{
				"steps/run.sh": `echo kept >"$CEMLI_ARTIFACTS/report.txt"; echo too >"$CEMLI_ARTIFACTS/a-report.txt"`,
			}), func(q *executor.Request) {
			q.Trigger = executor.Trigger{Kind: executor.TriggerEvent, Raw: json.RawMessage(event)}
		})[0]
		r = b.stored(r.RunID)
		if r.Status != evidence.StatusSuccess {
			t.Errorf("%s: status %s, %s", secret, r.Status, r.Message)
		}
		var m struct {
			Version, Type string
			Parameters    map[string]struct {
				Sensitive bool
				Default   string
			}
		}
		if err := json.Unmarshal(r.Manifest, &m); err != nil || m.Version != "1.0.0" || m.Type != "extension" ||
			!m.Parameters["DB_PASSWORD"].Sensitive || m.Parameters["DB_PASSWORD"].Default != "***" {
			t.Errorf("%s: manifest %s, %v", secret, r.Manifest, err)
		}
		if got := compact(t, r.Trigger.Raw); got != event {
			t.Errorf("%s: trigger %s", secret, got)
		}
		for _, a := range r.Artifacts {
			if a.Withheld != "" || !strings.HasSuffix(a.Object, ".txt") {
				t.Errorf("%s: artifact %+v", secret, a)
			}
		}
		if len(r.Artifacts) != 2 {
			t.Errorf("%s: artifacts %+v", secret, r.Artifacts)
		}
	}
}

// Two names that differ only in what is hidden are two files.
func TestHiddenNamesOfArtifacts(t *testing.T) {
	b := newBench(t)
	b.hides(map[string]string{"a": "first-secret", "b": "other-secret"})
	r := b.ran(with(`"secrets":{"A":{"vault_secret":"a"},"B":{"vault_secret":"b"}}`, files{
		"steps/run.sh": `cd "$CEMLI_ARTIFACTS"; echo 1 >"x-$A.txt"; echo 2 >"x-$B.txt"; mkdir "$A"; echo 3 >"$A/$B"; echo "$A=1" >>$CEMLI_OUTPUT; echo "k${A/-/_}=1
k${B/-/_}=2" >$CEMLI_OUTPUT`,
	}))
	var names []string
	for _, a := range r.Artifacts {
		names = append(names, a.Name+" "+b.object(evidence.Dir(r.RunID)+a.Object))
	}
	if got := strings.Join(names, ""); got != "***/*** 3\nx-***.txt 1\nx-***.txt (2) 2\n" {
		t.Errorf("artifacts %q", got)
	}
	b.nowhere("first-secret", "other-secret")
}

// A name without its secret is no other file's, and no folder of one: what is there is kept, and put back.
func TestHiddenNamesBesideLiteralOnes(t *testing.T) {
	const declared = `"on_failure":"stop","parameters":{"PW":{"type":"string","sensitive":true,` +
		`"default":"secretone"},"FIRST":{"type":"string","sensitive":true,"default":"!before"}}`
	for name, c := range map[string]struct{ script, want string }{
		"a file":       {`echo 1 >'***'; echo 2 >secretone`, "***=1 *** (2)=2"},
		"a later file": {`echo 1 >'!before'; echo 2 >'***'`, "*** (2)=1 ***=2"},
		"numbered":     {`echo 1 >secretone; echo 2 >'*** (2)'; echo 3 >'***'`, "***=3 *** (2)=2 *** (3)=1"},
		"two numbered": {`echo 1 >secretone; echo 2 >'!before'; echo 3 >'*** (2)'`, "***=2 *** (2)=3 *** (3)=1"},
		"a folder":     {`echo 1 >secretone; mkdir '***'; echo 2 >'***/a'`, "***/a=2 *** (2)=1"},
		"in a folder": {
			`echo 1 >'***'; mkdir secretone; echo 2 >secretone/a; echo 3 >secretone/b`, "***=1 *** (2)/a=2 *** (2)/b=3",
		},
		"hidden folders":  {`echo 1 >'!before'; mkdir secretone; echo 2 >secretone/a`, "***=1 *** (2)/a=2"},
		"a hidden folder": {`echo 1 >secretone; mkdir '!before'; echo 2 >'!before/a'`, "***/a=2 *** (2)=1"},
		"one folder": {
			`mkdir secretone '!before'; echo 1 >secretone/a; echo 2 >'!before/a'`, "***/a=2 ***/a (2)=1",
		},
		"a package's file": {`echo 1 >secretone; echo 2 >"$OLDPWD/***"`, "*** (2)=1 ***=2"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			r := b.ran(with(declared+`,"outputs":["[*]*"]`, files{
				"steps/01.sh": `cd "$CEMLI_ARTIFACTS"; ` + c.script, "steps/02.sh": "exit 1", "rollback/01.sh": "true",
			}))
			if got := b.keptBy(r); strings.Join(got, " ") != c.want {
				t.Errorf("artifacts %q; want %q; status %s, %s", got, c.want, r.Status, r.Message)
			}
			again := b.asked(func(q *executor.Request) {
				resumeOf(q, r.RunID)
				q.Reason, q.Parameters = "goes on",
					map[string]json.RawMessage{"PW": []byte(`"secretone"`), "FIRST": []byte(`"!before"`)}
			})[0]
			if again.Status != evidence.StatusFailed || len(again.Artifacts) < 2 {
				t.Errorf("resumed: status %s, %s, artifacts %+v", again.Status, again.Message, again.Artifacts)
			}
			b.nowhere("secretone", "!before")
		})
	}
}

// keptBy are the artifacts of a run with what is in them.
func (b *bench) keptBy(r evidence.Result) []string {
	var kept []string
	for _, a := range r.Artifacts {
		if a.Object == "" {
			kept = append(kept, a.Name+": "+a.Withheld)
			continue
		}
		kept = append(kept, a.Name+"="+strings.TrimSpace(b.object(evidence.Dir(r.RunID)+a.Object)))
	}
	return kept
}

// What could not be put back beside what was kept is not kept.
func TestArtifactsThatAreFileAndFolder(t *testing.T) {
	b := newBench(t)
	r := b.ran(with(`"outputs":["a/*","b"]`,
		files{
			"steps/run.sh": `echo 1 >"$CEMLI_ARTIFACTS/a"; mkdir a "$CEMLI_ARTIFACTS/b"; echo 2 >a/x; echo 3 >b; ` +
				`echo 4 >"$CEMLI_ARTIFACTS/b/y"`,
		}))
	const clash = ": a file that was kept has the name of its folder, or is in a folder of its name"
	if got := strings.Join(b.keptBy(r), ", "); got != "a=1, b/y=4, a/x"+clash+", b"+clash {
		t.Errorf("artifacts %s", got)
	}
}

// An artifact whose name is taken in the bucket is not kept, and the result is.
func TestArtifactThatIsThereAlready(t *testing.T) {
	b := newBench(t)
	b.config.Results = faulty{Bucket: b.results, put: func(name string) error {
		if strings.HasSuffix(name, "artifacts/b") {
			_, _ = b.results.Put(t.Context(), name, strings.NewReader("other"), 5, store.PutOptions{IfNoneMatch: true})
		}
		return nil
	}}
	r := b.ran(files{"steps/run.sh": `cd "$CEMLI_ARTIFACTS"; echo 1 >a; echo 2 >b; echo 3 >c`})
	if r = b.stored(r.RunID); r.Status != evidence.StatusSuccess || r.Duplicate {
		t.Errorf("status %s, %s", r.Status, r.Message)
	}
	if got := strings.Join(b.keptBy(r), ", "); got != "a=1, b: another object has its name, c=3" {
		t.Errorf("artifacts %s", got)
	}
}

// The names of parameters are kept, and the values of those that are known not to be sensitive.
func TestTriggerShowsOnlyWhatIsNotSensitive(t *testing.T) {
	const declared = `"parameters":{"PW":{"type":"string","sensitive":true},"PIN":{"type":"integer",` +
		`"sensitive":true},"LEDGER":{"type":"string"}}`
	for name, c := range map[string]struct{ members, given, want, code string }{
		"misspelt": {
			declared, `{"PWD":"Tiger-s3cr3t","LEDGER":"GL"}`, `{"PWD":"***","LEDGER":"GL"}`,
			"trigger.parameter_unknown",
		},
		"short":            {declared, `{"PW":"x9!q"}`, `{"PW":"***"}`, "secret.short"},
		"number":           {declared, `{"PIN":1.23456e5,"LEDGER":"no 123456"}`, `{"PIN":"***","LEDGER":"no ***"}`, ""},
		"without manifest": {"", `{"LEDGER":"GL-is-long"}`, `{"LEDGER":"***"}`, "manifest.json"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			contents := with(declared, files{"steps/run.sh": "echo ran"})
			if c.members == "" {
				contents = files{"manifest.json": "{", "steps/run.sh": "echo ran"}
			}
			info := b.upload("sample-1.0.0.zip", pack(t, contents), store.PutOptions{})
			q := request(info.Name, info.ETag)
			q.Trigger.Raw = json.RawMessage(`{"object":"x","parameters":` + c.given + `}`)
			if err := json.Unmarshal([]byte(c.given), &q.Parameters); err != nil {
				t.Fatal(err)
			}
			r, err := b.run(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			r = b.stored(r.RunID)
			if got := compact(t, r.Trigger.Raw); code(r) != c.code || got != `{"object":"x","parameters":`+c.want+`}` {
				t.Errorf("code %s (%s), trigger %s", code(r), r.Message, got)
			}
			b.nowhere("s3cr", "x9!q", "1.23456", "123456")
		})
	}
}

func compact(t *testing.T, doc json.RawMessage) string {
	t.Helper()
	var short bytes.Buffer
	if err := json.Compact(&short, doc); err != nil {
		t.Fatal(err)
	}
	return short.String()
}

// A value that is too short to be masked is refused, and in no evidence.
func TestShortValuesAreNotStored(t *testing.T) {
	b := newBench(t)
	r := b.ran(with(`"parameters":{"P":{"type":"integer","sensitive":true,"default":48151,"enum":[48151,62342]}},`+
		`"parameter_sets":{"S":{"P":62342}}`, files{"steps/run.sh": "echo ran"}))
	if code(r) != "secret.short" {
		t.Errorf("%+v", r.Error)
	}
	b.nowhere("48151", "62342")
}

// What a script adds while it runs is masked from then on, in what it prints, leaves and gives, and in the result.
func TestMaskFile(t *testing.T) {
	b := newBench(t)
	r := b.ran(with(`"steps":[{"run":"0.sh"},{"run":"1.sh"},{"run":"2.sh"}]`, files{
		"0.sh": `echo "before tok-$((4700 + 11))-$(echo abc | tr a-c x-z)"`,
		"1.sh": `token="tok-$((4700 + 11))-$(echo abc | tr a-c x-z)"
echo "$token" >>"$CEMLI_MASK"
echo "after $token"; echo "after $token" >&2
printf %s "u$token" | base64
printf '%s\r\n%s\n' "other-$token" "line two of it" >>"$CEMLI_MASK"
echo "line two of it"
echo abc >>"$CEMLI_MASK"
printf 'no-end-%s' "$token-x" | tee -a "$CEMLI_MASK" | tr n m; echo
echo "OUT=$token" >>$CEMLI_OUTPUT; echo "# $token" >$CEMLI_SUMMARY
echo "$token" >$CEMLI_ARTIFACTS/has; echo x >"$CEMLI_ARTIFACTS/name-$token"`,
		"2.sh": `echo "later $CEMLI_OUT_OUT"; echo "no-end-$CEMLI_OUT_OUT-x"; [ "$CEMLI_OUT_OUT" = tok-4711-xyz ]`,
	}))
	if r.Status != evidence.StatusSuccess {
		t.Fatalf("status %s, %s, %s", r.Status, r.Message, r.Execution.Stderr)
	}
	if before := b.object(evidence.Dir(r.RunID) + r.Steps[0].Log); before != "before tok-4711-xyz\n" {
		t.Errorf("log of the step before %q", before)
	}
	log := b.object(evidence.Dir(r.RunID) + r.Steps[1].Log)
	for _, want := range []string{
		"after ***\n", "\nd***\n", "\n***\n", "[cemli] a line of CEMLI_MASK has fewer than 6 bytes and is not masked\n",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q: %s", want, log)
		}
	}
	if strings.Contains(log, "4711") || strings.Contains(log, "line two") || strings.Count(log, "CEMLI_MASK") != 1 {
		t.Errorf("log %s", log)
	}
	if later := b.object(evidence.Dir(r.RunID) + r.Steps[2].Log); later != "later ***\n***\n" {
		t.Errorf("log of the next step %q", later)
	}
	if doc := b.object(evidence.ResultObject(r.RunID)); strings.Contains(doc, "4711-xyz") {
		t.Errorf("the result has it: %s", doc)
	}
	if r.Outputs["OUT"] != "***" || r.Summary != "# ***\n" ||
		!strings.Contains(fmt.Sprint(r.Artifacts), "it has a secret in it") ||
		!strings.Contains(fmt.Sprint(r.Artifacts), "name-***") {
		t.Errorf("outputs %v, summary %q, artifacts %+v", r.Outputs, r.Summary, r.Artifacts)
	}
}

// A script may close the file to others, who are of its user.
func TestMaskFileThatIsClosed(t *testing.T) {
	b := newBench(t)
	r := b.ran(files{
		"steps/run.sh": `echo token-4711 >"$CEMLI_MASK"; chmod 0 "$CEMLI_MASK"; chmod 0 "${CEMLI_MASK%/*}"; echo ` +
			`token-4711`,
	})
	if r.Status != evidence.StatusSuccess || r.Execution.Stdout != "***\n" {
		t.Errorf("status %s, %s, stdout %q", r.Status, r.Message, r.Execution.Stdout)
	}
}

// A file that is none, or too much, stops the step, and nothing more that scripts print is shown. Undo goes on.
func TestMaskFileThatCannotBeUsed(t *testing.T) {
	for name, script := range map[string]string{
		"a link":       `ln -s /etc/passwd "$CEMLI_MASK"`,
		"a pipe":       `mkfifo "$CEMLI_MASK"`,
		"a folder":     `mkdir "$CEMLI_MASK"`,
		"too large":    `head -c 1000000 /dev/zero | tr '\0' x >"$CEMLI_MASK"`,
		"too many":     `for i in $(seq 9000); do echo "value-$i"; done >"$CEMLI_MASK"`,
		"endless":      `truncate -s 50M "$CEMLI_MASK"`,
		"turns a link": `echo long-enough >"$CEMLI_MASK"; echo x; ln -sf /dev/zero "$CEMLI_MASK"`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			r := b.ran(files{
				"steps/run.sh":    "echo early\n" + script + "\necho not-to-be-seen; echo nor-this >&2",
				"rollback/run.sh": `echo undone`,
			})
			if code(r) != "step.mask" || r.Status != evidence.StatusRolledBack {
				t.Errorf("status %s, %+v", r.Status, r.Error)
			}
			if log := b.object(evidence.Dir(r.RunID) + r.Steps[0].Log); !strings.Contains(log,
				"[cemli] what is printed from here on is not shown: CEMLI_MASK cannot be used") ||
				!r.Steps[0].Truncated {
				t.Errorf("log %q, truncated %t", log, r.Steps[0].Truncated)
			}
			b.nowhere("not-to-be-seen", "nor-this")
		})
	}
}

// What is masked is bounded, whoever gives it.
func TestMaskedValuesAreBounded(t *testing.T) {
	quoted := func(n int) json.RawMessage { return json.RawMessage(strconv.Quote(strings.Repeat("x", n))) }
	declared := ""
	for i := range 6 {
		declared += fmt.Sprintf(`,"P%d":{"type":"string","sensitive":true}`, i)
	}
	contents := with(`"parameters":{`+declared[1:]+`,"Q":{"type":"string","sensitive":true,"default":`+
		strconv.Quote(strings.Repeat("q", 16<<10))+`}},"secrets":{"A":{"vault_secret":"a"}}`,
		files{"steps/run.sh": "echo ran"})
	for name, c := range map[string]struct {
		each   int
		secret string
		code   string
	}{
		"request":            {11000, "value-of-a", "secret.size"},
		"with a secret":      {6000, strings.Repeat("s", 20000), "secret.size"},
		"not more than fits": {4000, strings.Repeat("s", 10000), ""},
	} {
		b := newBench(t)
		b.hides(map[string]string{"a": c.secret})
		r := b.asks(contents, func(q *executor.Request) {
			q.Parameters = map[string]json.RawMessage{}
			for i := range 6 {
				q.Parameters[fmt.Sprintf("P%d", i)] = append(quoted(c.each)[:c.each],
					json.RawMessage(fmt.Sprintf(`%d"`, i))...)
			}
		})[0]
		if code(r) != c.code {
			t.Errorf("%s: %+v", name, r.Error)
		}
	}
}

// TestWorstManifestCosts: what an author can write into a manifest does not cost memory.
func TestWorstManifestCosts(t *testing.T) {
	long := func(n int) string {
		quoted, _ := json.Marshal(strings.Repeat(`'"\`, n/3))
		return string(quoted)
	}
	groups := func(n, size int) string {
		var values []string
		for i := range n {
			values = append(values, fmt.Sprintf(`"e%d":{"P":%s}`, i, long(size+3*(i%4))))
		}
		return `"parameters":{"P":{"type":"string","sensitive":true}},"environment_parameters":{` +
			strings.Join(values, ",") + `}`
	}
	cost := func(members, want string) uint64 {
		b := newBench(t)
		contents := pack(t, with(members, files{"steps/run.sh": "true"}))
		info := b.upload("sample-1.0.0.zip", contents, store.PutOptions{})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := b.run(t.Context(), request(info.Name, info.ETag))
		runtime.ReadMemStats(&after)
		if err != nil || code(r) != want {
			t.Errorf("%v, %+v; want %q", err, r.Error, want)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	many := func(n int, format string) string {
		var members []string
		for i := range n {
			members = append(members, fmt.Sprintf(format, i))
		}
		return strings.Join(members, ",")
	}
	repeated := `(?:` + strings.Repeat("a?", 480) + `){1000}`
	usual := cost(`"parameters":{"P":{"type":"string"}}`, "")
	for name, c := range map[string]struct {
		members, code string
	}{
		"100 long ones":   {groups(100, 5000), "manifest.sensitive_size"},
		"as many as fit":  {groups(16, 1000), ""},
		"of the shortest": {groups(1000, 6), ""},
		"nothing masked":  {`"x-a":` + long(500_000), ""},
		"a vast pattern":  {`"parameters":{"P":{"type":"string","pattern":"` + repeated + `"}}`, "manifest.pattern"},
		"vast patterns": {
			`"parameters":{` + many(900, `"P%d":{"type":"string","pattern":"`+repeated+`"}`) + `}`, "manifest.pattern",
		},
		"large patterns": {`"parameters":{` +
			many(10, `"P%d":{"type":"string","pattern":"(?:`+strings.Repeat("a?", 480)+`){9}"}`) + `}`, ""},
		"braces":          {`"outputs":["` + strings.Repeat("{a,a}", 40) + `c"]`, "manifest.glob"},
		"braces that fit": {`"outputs":[` + many(15, `"`+strings.Repeat("{a,a}", 6)+`%d"`) + `]`, ""},
		"undeclared": {
			`"parameters":{` + many(1000, `"P`+strings.Repeat("q", 56)+`%d":{"type":"string"}`) +
				`},"parameter_sets":{"S":{` + many(990, `"Z`+strings.Repeat("q", 56)+`%d":1`) + `}}`,
			"manifest.undeclared",
		},
		"unknown keys": {`"steps":[` + many(80, `{"n%d":[],`+many(900, `"nam%d":1`)+`}`) + `]`, "manifest.required"},
	} {
		if used := cost(c.members, c.code); used > usual+64<<20 {
			t.Errorf("%s: %d MB; usual %d", name, used>>20, usual>>20)
		} else {
			t.Logf("%s: %d MB; usual %d", name, used>>20, usual>>20)
		}
	}
}
