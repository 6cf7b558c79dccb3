package jobs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

const (
	someJob = "0123456789abcdef0123456789abcdef"
	dirHash = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
)

var (
	archive = []byte("PK the package\n and more of it")
	stopAt  = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
)

// digestOf is a digest.
func digestOf(text string) string { return sum([]byte(text)) }

// everyKey is a job with a value for every key.
func everyKey() Job {
	return Job{
		V: Version, Job: someJob, RunID: "20261127T115900Z-ledger-0123456789ab-2", Attempt: 2, Environment: "test",
		Action: ActionApply, Fence: "17",
		Package: Package{
			Name: "ledger", Version: "1.2.0", Type: "extension", SHA256: sum(archive), Size: int64(len(archive)),
			DirHash: dirHash,
		},
		Plan: []Step{
			{
				N: 1, Name: "export", Phase: "pre_check", Run: "prechecks/export.sh", SHA256: digestOf("1"), Do: DoSkip,
				Outputs: map[string]string{"ROWS": "7", "*** (2)": "***"},
			},
			{
				N: 2, Name: "apply", Phase: "run", Run: "steps/apply.sh", SHA256: digestOf("2"),
				Args: []string{"--all", ""}, Env: map[string]string{"A": "b\n"}, Secrets: []string{}, TimeoutMS: 60_000,
				Retries: 2, DelayMS: 500, ContinueOnError: true, Rollback: "rollback/apply.sh",
				RollbackSHA256: digestOf("3"), Do: DoRun,
			},
			{
				N: 3, Name: "log", Phase: "run", Run: "steps/log.sh", SHA256: digestOf("4"), Secrets: []string{"TOKEN"},
				Rollback: NoUndo, Do: DoRun,
			},
			{N: 4, Name: "tests", Phase: "post_check", Run: "tests/é.sh", SHA256: digestOf("5")},
		},
		OnFailure: OnFailureRollback, Arguments: map[string]string{"LEDGER": "1"}, Outputs: map[string]string{"X": "y"},
		Secrets: map[string]string{"TOKEN": "tiger-tiger"}, Mask: []string{"tiger-tiger", "secret\nlines"},
		Tools: []string{"jq"}, Network: true, Keep: []string{"reports/*.csv"},
		Restore: []Restored{{N: 1, Name: "before/old.csv", Size: 4, SHA256: digestOf("old")}},
		Limits:  Limits{LogBytes: 1 << 20, Artifacts: 100, ArtifactBytes: 1 << 20}, Level: "basic",
		AcceptInit: true,
		Times: Times{
			StepsMS: 60_000, KeptMS: 10_000, UndoMS: 20_000, StoreMS: 5000,
			StopAt: stopAt, KillAt: stopAt.Add(10 * time.Second),
		},
		Mailbox: "https://objectstorage.example.com/p/abcdefghijklmnop/n/ns/b/jobs/o/" + someJob + "/",
	}
}

// ended is an outcome of that job with a value for every key.
func endedBadly() Outcome {
	j := everyKey()
	record := func(n int) evidence.Step { return j.Plan[n-1].describe() }
	skipped := record(1)
	skipped.Status, skipped.Outputs = evidence.StepSkipped, j.Plan[0].Outputs
	ran := func(s evidence.Step, number int) evidence.Step {
		start := stopAt.Add(-time.Minute)
		end := start.Add(1500*time.Millisecond + 250*time.Microsecond)
		s.Status, s.Attempts, s.Start, s.End, s.DurationMS = evidence.StepSuccess, 1, &start, &end, 1500
		s.CPUMS, s.MaxRSS, s.OutputSize, s.StdoutTail, s.StderrTail = 20, 4<<20, 3, "a\x00b", "\u2028"
		s.Log, s.LogSHA256 = LogName(number, s.Phase, s.Name), digestOf("log")
		return s
	}
	applied, failed := ran(record(2), 2), ran(record(3), 3)
	applied.Outputs, applied.ChangedFiles, applied.MoreChanged = map[string]string{"ROWS": "8"}, []string{"a\nb"}, 3
	failed.Status, failed.ReturnCode, failed.Signal, failed.Truncated = evidence.StepFailed, -1, "SIGKILL", true
	failed.Error = &evidence.Error{
		Code: "step.failed", Message: "was ended by SIGKILL", Hint: "see the log",
		Problems: []problem.Problem{{Code: "step.failed", Where: "steps/log.sh", Message: "m", Hint: "h"}},
	}
	return Outcome{
		V: Version, Job: someJob, Began: true, Ended: Complete,
		Steps: []evidence.Step{skipped, applied, failed, record(4)},
		Rollback: &evidence.Rollback{
			Status: evidence.StepSuccess, Steps: []evidence.Step{ran(j.Plan[1].undo(), 5)},
			NeedNone: []string{"log"},
		},
		Summary: "# done\n",
		Artifacts: []Artifact{
			{N: 1, Name: "reports/a.csv", Size: 3, SHA256: digestOf("abc")},
			{N: 0, Name: "before/old.csv", Size: 4, SHA256: digestOf("old")},
			{N: 0, Name: ".", Withheld: "the folder artifacts is gone or no folder"},
		},
		Sandbox: Sandbox{
			Level: "basic", Gaps: []string{"signals"},
			Layers: Layers{
				NoNewPrivileges: true, Seccomp: true, Offline: true, Watched: true, Init: true, User: 10_000,
				Limits: evidence.SandboxLimits{Processes: 50, OpenFiles: 256, FileBytes: 1 << 20, DataBytes: 1 << 28},
			},
		},
		Runner: Runner{Kind: "function", Version: "1.0.0", Image: "fra.ocir.io/ns/cemli:1.0.0", JobsBefore: 3},
	}
}

// encoded encodes a document.
func encoded(t testing.TB, doc []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func jobDoc(t testing.TB, j Job) []byte {
	t.Helper()
	doc, err := j.Encode(nil)
	return encoded(t, doc, err)
}

func outcomeDoc(t testing.TB, o Outcome) []byte {
	t.Helper()
	doc, err := o.Encode()
	return encoded(t, doc, err)
}

// What is sent is what arrives.
func TestDocumentsComeBackAsTheyWere(t *testing.T) {
	call, err := everyKey().Encode(archive)
	if err != nil {
		t.Fatal(err)
	}
	j, zip, err := DecodeJob(call)
	if diff := cmp.Diff(everyKey(), j); diff != "" || err != nil || !bytes.Equal(zip, archive) {
		t.Errorf("%v, %q (-want +got):\n%s", err, zip, diff)
	}
	j, zip, err = DecodeJob(jobDoc(t, everyKey()))
	if diff := cmp.Diff(everyKey(), j); diff != "" || err != nil || zip != nil {
		t.Errorf("%v, %q (-want +got):\n%s", err, zip, diff)
	}
	o, err := DecodeOutcome(outcomeDoc(t, endedBadly()))
	if diff := cmp.Diff(endedBadly(), o); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestMailboxDocumentsComeBackAsTheyWere(t *testing.T) {
	b := Begun{Job: someJob, By: ByExecutor, Nonce: strings.Repeat("0", 32), At: stopAt, Withdrawn: true}
	p := Progress{Job: someJob, Seq: 3, Steps: endedBadly().Steps[1:2], Step: "log", Elapsed: 1500, Tail: "so far"}
	c := Control{Cancel: true, Reason: "the ledger is closed"}
	doc, err := b.Encode()
	if got, decodeErr := DecodeBegun(encoded(t, doc, err)); decodeErr != nil || !cmp.Equal(b, got) {
		t.Errorf("%v, %s", decodeErr, cmp.Diff(b, got))
	}
	doc, err = p.Encode()
	if got, decodeErr := DecodeProgress(encoded(t, doc, err)); decodeErr != nil || !cmp.Equal(p, got) {
		t.Errorf("%v, %s", decodeErr, cmp.Diff(p, got))
	}
	doc, err = c.Encode()
	if got, decodeErr := DecodeControl(encoded(t, doc, err)); decodeErr != nil || !cmp.Equal(c, got) {
		t.Errorf("%v, %s", decodeErr, cmp.Diff(c, got))
	}
	b.By = ByRunner
	if _, err := b.Encode(); problem.CodeOf(err) != "runner.mailbox" {
		t.Errorf("a runner withdraws a job: %v", err)
	}
	control := func(doc []byte) error { _, err := DecodeControl(doc); return err }
	progress := func(doc []byte) error { _, err := DecodeProgress(doc); return err }
	for doc, decode := range map[string]func([]byte) error{
		`{"cancel":true}`: control, `{"cancel":true,"cancel":false,"reason":""}`: control,
		`{"cancel":true,"Reason":""}`: control, `{"job":"` + someJob + `","seq":-1}`: progress,
		strings.Repeat(" ", MaxMail) + `{"cancel":true,"reason":""}`: control,
	} {
		if err := decode([]byte(doc)); problem.CodeOf(err) != "runner.mailbox" {
			t.Errorf("%.60s: %v", doc, err)
		}
	}
}

// A job that says nothing is a job, too, and lists that are empty stay what they are.
func TestTheLeastDocuments(t *testing.T) {
	j := everyKey()
	j.Plan, j.Arguments, j.Outputs, j.Secrets = nil, nil, nil, nil
	j.Mask, j.Tools, j.Keep, j.Restore = nil, nil, nil, nil
	if got, _, err := DecodeJob(jobDoc(t, j)); err != nil || !cmp.Equal(j, got) {
		t.Errorf("%v %s", err, cmp.Diff(j, got))
	}
	o := Outcome{V: Version, Job: someJob, Ended: Complete}
	o.Sandbox.Level, o.Runner.Kind = "none", "host"
	if got, err := DecodeOutcome(outcomeDoc(t, o)); err != nil || !cmp.Equal(o, got) {
		t.Errorf("%v %s", err, cmp.Diff(o, got))
	}
	if err := Check(j, o); err != nil {
		t.Error(err)
	}
}

// Nothing of a job is printed by accident.
func TestAJobIsNotPrinted(t *testing.T) {
	j := everyKey()
	for _, text := range []string{fmt.Sprint(j), fmt.Sprintf("%+v %#v %v", j, j, &j), fmt.Sprintf("%s", []Job{j})} {
		if strings.Contains(text, "tiger") || strings.Contains(text, "http") || !strings.Contains(text, someJob) {
			t.Error(text)
		}
	}
}

// What is wrong with a job is said without what is secret in it.
func TestRefusalsDoNotTellSecrets(t *testing.T) {
	for _, spoil := range []func(*Job){
		func(j *Job) { j.Mailbox = "ftp://tiger-tiger/" },
		func(j *Job) { j.Mask = []string{"tiger-tiger\x00"} },
		func(j *Job) { j.Secrets = map[string]string{"TOKEN": "tiger-tiger\x00"} },
		func(j *Job) { j.Secrets = map[string]string{"TOKEN": "tiger-tiger, unmasked"} },
		func(j *Job) { j.Arguments = map[string]string{"A": "tiger-tiger\x00"} },
	} {
		j := everyKey()
		spoil(&j)
		_, err := j.Encode(nil)
		if problem.CodeOf(err) != "runner.job" || strings.Contains(err.Error(), "tiger") {
			t.Errorf("%v", err)
		}
	}
}

// A job whose parts contradict each other is none.
func TestAJobIsConsistent(t *testing.T) {
	for name, spoil := range map[string]func(*Job){
		"numbers":                func(j *Job) { j.Plan[1].N = 1 },
		"undo in an apply":       func(j *Job) { j.Plan[1].Do = DoRevert },
		"a run in a rollback":    func(j *Job) { j.Action = ActionRollback },
		"an undo without digest": func(j *Job) { j.Plan[1].RollbackSHA256 = "" },
		"a digest without undo":  func(j *Job) { j.Plan[2].RollbackSHA256 = digestOf("") },
		"outputs of a run":       func(j *Job) { j.Plan[1].Outputs = map[string]string{"A": "b"} },
		"an unknown secret":      func(j *Job) { j.Plan[1].Secrets = []string{"OTHER"} },
		"a path out of it":       func(j *Job) { j.Plan[1].Run = "../../bin/sh" },
		"an absolute path":       func(j *Job) { j.Plan[1].Rollback = "/bin/sh" },
		"an unmasked secret":     func(j *Job) { j.Mask = j.Mask[1:] },
		"a short mask":           func(j *Job) { j.Mask = append(j.Mask, "12345") },
		"too much to mask":       func(j *Job) { j.Mask = append(j.Mask, strings.Repeat("é", MaxMasked/2)) },
		"too many secrets":       func(j *Job) { j.Secrets["A"], j.Secrets["B"] = strings.Repeat("é", maxSecret), "b" },
		"restored out of it":     func(j *Job) { j.Restore[0].Name = "a/../../b" },
		"restored numbers":       func(j *Job) { j.Restore[0].N = 2 },
		"no time":                func(j *Job) { j.Times.KillAt = j.Times.StopAt.Add(-1) },
		"large outputs": func(j *Job) {
			for i := range 5 {
				j.Outputs[fmt.Sprint(i)] = strings.Repeat("x", MaxOutput)
			}
		},
	} {
		j := everyKey()
		spoil(&j)
		if _, err := j.Encode(nil); problem.CodeOf(err) != "runner.job" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The bytes after a job are those of its package, all of them, or none.
func TestThePackageIsTheJobs(t *testing.T) {
	call, err := everyKey().Encode(archive)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(call)
	changed[len(changed)-1]++
	for name, call := range map[string][]byte{
		"cut": call[:len(call)-1], "longer": append(bytes.Clone(call), 'x'), "changed": changed,
		"none": append(jobDoc(t, everyKey()), '\n'), "too large": append(call, make([]byte, MaxCall)...),
	} {
		if _, _, err := DecodeJob(call); problem.CodeOf(err) != "runner.job" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := everyKey().Encode(make([]byte, MaxCall)); problem.CodeOf(err) != "runner.job" {
		t.Errorf("a package that does not fit: %v", err)
	}
}

// An outcome of many steps that print much is shortened to what can be answered.
func TestALargeOutcomeIsShortened(t *testing.T) {
	o := endedBadly()
	for range 1000 {
		s := o.Steps[1]
		s.StdoutTail = strings.Repeat("\x01é", evidence.TailBytes/3)
		o.Steps = append(o.Steps, s)
	}
	doc := outcomeDoc(t, o)
	got, err := DecodeOutcome(doc)
	if err != nil || len(doc) > MaxOutcome || len(got.Steps) != len(o.Steps) {
		t.Fatalf("%d bytes, %d steps, %v", len(doc), len(got.Steps), err)
	}
	if tail := got.Steps[1000].StdoutTail; tail == "" || !strings.HasSuffix(o.Steps[1000].StdoutTail, tail) {
		t.Errorf("the end of the output is %q", tail)
	}
	o.Summary = strings.Repeat("x", MaxSummary+1)
	if _, err := o.Encode(); problem.CodeOf(err) != "runner.outcome" {
		t.Errorf("what would be refused was encoded: %v", err)
	}
}

// schema reads a published schema.
func schema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	doc, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name, parsed); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// The published schemas give the same verdict as the decoders: on the documents with every key, and with each value of
// them left out, doubled by an unknown key, or made another.
func TestSchemasGiveTheSameVerdict(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		doc    []byte
		decode func([]byte) error
	}{
		"job.schema.json": {jobDoc(t, everyKey()), func(doc []byte) error { _, err := readJob(doc); return err }},
		"outcome.schema.json": {outcomeDoc(t, withErrors()), func(doc []byte) error {
			_, err := DecodeOutcome(doc)
			return err
		}},
	} {
		schema := schema(t, name)
		refused := 0
		changes(t, c.doc, func(what string, doc []byte) {
			parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
			if err != nil {
				t.Fatal(err)
			}
			bySchema, byDecoder := schema.Validate(parsed), c.decode(doc)
			if (bySchema == nil) != (byDecoder == nil) {
				t.Errorf("%s, %s: the schema says %v, and the decoder %v", name, what, bySchema, byDecoder)
			}
			if byDecoder != nil {
				refused++
			}
		})
		if refused < 500 {
			t.Errorf("%s: only %d changes were refused", name, refused)
		}
	}
}

// withErrors is an outcome with every key that one can have, also those that exclude each other.
func withErrors() Outcome {
	o := endedBadly()
	e := *o.Steps[2].Error
	e.Was = "step.error"
	o.Rollback.Error, o.Rollback.WithoutUndo = &e, []string{"log"}
	o.Refused = []problem.Problem{{Code: "step.tool", Where: "jq", Message: "it is not there", Hint: "add it"}}
	return o
}

// replacements are values that stand for all others.
var replacements = []any{
	nil, true, "", "x", "A", "none", "rollback", "apply", "a/b", "2026-11-27T12:00:00Z", "2026-13-27T12:00:00Z",
	"2026-11-27T12:00:00+01:00", "a\nb", "a\x00b", "*** (2)", strings.Repeat("é", 255), strings.Repeat("a", 256),
	strings.Repeat("é", 1025), strings.Repeat("é", 10_000), strings.Repeat("é", 10_001), strings.Repeat("x", 70_000),
	json.Number("0"), json.Number("-1"), json.Number("-2"), json.Number("1"), json.Number("1.5"), json.Number("1e1"),
	json.Number("12"), json.Number("256"), json.Number("1001"), json.Number("86400001"),
	json.Number("4503599627370497"),
	json.Number("1e999"),
	[]any{},
	[]any{"x"},
	[]any{json.Number("1")},
	map[string]any{},
	map[string]any{"a": "b"},
	map[string]any{"-": "b"},
	map[string]any{"A": json.Number("1")},
	members(100), members(101), members(1001),
	slices.Repeat([]any{"x"}, 50), slices.Repeat([]any{"x"}, 101), slices.Repeat([]any{"x"}, 1001),
}

// size is how large a value is: what is too large for its kind is of its kind.
func size(value any) int {
	switch v := value.(type) {
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	case string:
		return len(v) / 100
	}
	return 0
}

// members is an object of so many texts.
func members(n int) map[string]any {
	all := map[string]any{}
	for i := range n {
		all[fmt.Sprintf("A%d", i)] = "x"
	}
	return all
}

// Lists are as long as their bound, and no longer.
func TestListsAreBounded(t *testing.T) {
	t.Parallel()
	outcomes, plans := schema(t, "outcome.schema.json"), schema(t, "job.schema.json")
	longer := func(s *jsonschema.Schema, doc string, decode func([]byte) error, element string, most int) {
		t.Helper()
		for n, ok := range map[int]bool{most: true, most + 1: false} {
			changed := strings.Replace(doc, "[]", "["+strings.Repeat(element+",", n-1)+element+"]", 1)
			parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(changed))
			if err != nil {
				t.Fatal(err)
			}
			bySchema, err := s.Validate(parsed), decode([]byte(changed))
			if (bySchema == nil) != ok || (err == nil) != ok {
				t.Errorf("%d of %s: the schema says %.200v, and the decoder %.200v", n, element, bySchema, err)
			}
		}
	}
	least := Outcome{V: Version, Job: someJob, Ended: Stopped}
	least.Sandbox.Level, least.Runner.Kind = "none", "host"
	doc := string(outcomeDoc(t, least))
	decode := func(doc []byte) error { _, err := DecodeOutcome(doc); return err }
	for _, other := range []string{"refused", "steps", "gaps"} {
		doc = strings.Replace(doc, `"`+other+`":[]`, `"`+other+`":[ ]`, 1)
	}
	longer(outcomes, doc, decode, `{"n":0,"name":"","size":0}`, maxArtifacts+maxUncollected)
	j := everyKey()
	j.Plan = nil
	step := `{"n":1,"name":"","phase":"run","run":"","sha256":"` + digestOf("") + `"}`
	decodeJob := func(doc []byte) error { _, err := readJob(doc); return err }
	longer(plans, string(jobDoc(t, j)), decodeJob, step, maxSteps)
	j.Plan, j.Secrets, j.Mask = everyKey().Plan[:1], nil, nil
	longer(plans, string(jobDoc(t, j)), decodeJob, `"secret"`, maxMask)
}

// changes calls f with a document, and with each change of it.
func changes(t *testing.T, doc []byte, f func(what string, doc []byte)) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var root any
	if err := dec.Decode(&root); err != nil {
		t.Fatal(err)
	}
	tell := func(what string) {
		changed, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		f(what, changed)
	}
	tell("as it is")
	var walk func(at string, value any)
	seen := map[string]bool{} // elements of one list are alike
	change := func(at string, was any, set func(any)) {
		for _, r := range replacements {
			if !seen[at] && (size(r) < 3 || reflect.TypeOf(r) == reflect.TypeOf(was)) {
				set(r)
				tell(fmt.Sprintf("%s is %.40v", at, r))
			}
		}
		seen[at] = true
		set(was)
		walk(at, was)
	}
	walk = func(at string, value any) {
		switch v := value.(type) {
		case map[string]any:
			v["unknown"] = "x"
			tell(at + " with an unknown key")
			delete(v, "unknown")
			for _, key := range slices.Sorted(maps.Keys(v)) {
				was := v[key]
				delete(v, key)
				tell(at + " without " + key)
				change(at+"/"+key, was, func(r any) { v[key] = r })
			}
		case []any:
			for i, was := range v {
				change(at+"/-", was, func(r any) { v[i] = r })
			}
		}
	}
	walk("", root)
}
