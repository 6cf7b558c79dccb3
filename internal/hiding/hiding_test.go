package hiding_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/steps"
	"cemli-executor/manifest"
)

// parsed is a manifest with more members, and its document.
func parsed(t *testing.T, members string) (*manifest.Manifest, []byte) {
	t.Helper()
	doc := []byte(`{"name":"sample","version":"1.0.0","type":"extension",` + members + `}`)
	m, err := manifest.Parse(doc)
	if err != nil {
		t.Fatal(err)
	}
	return m, doc
}

// given are the parameters of a request.
func given(t *testing.T, doc string) map[string]json.RawMessage {
	t.Helper()
	var values map[string]json.RawMessage
	if err := json.Unmarshal([]byte(doc), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

const declared = `"parameters":{
	"PW":{"type":"string","sensitive":true},"PIN":{"type":"integer","sensitive":true},
	"LEDGER":{"type":"string"},"N":{"type":"integer"}
}`

// The names of parameters are kept, and the values of those that are known not to be sensitive: in the trigger that a
// result quotes, and among its parameters.
func TestWhatARequestHasGiven(t *testing.T) {
	t.Parallel()
	m, _ := parsed(t, declared)
	for name, c := range map[string]struct {
		m           *manifest.Manifest
		given, want string
	}{
		"escaped":          {m, `{"PW":"Tiger\u002Bs3cr\u0065t\/x","LEDGER":"GL"}`, `{"PW":"***","LEDGER":"GL"}`},
		"misspelt":         {m, `{"PWD":"Tiger-s3cr3t","LEDGER":"GL"}`, `{"PWD":"***","LEDGER":"GL"}`},
		"short":            {m, `{"PW":"x9!q"}`, `{"PW":"***"}`},
		"a short number":   {m, `{"PIN":-471}`, `{"PIN":"***"}`},
		"a number":         {m, `{"PIN":1234567,"LEDGER":"no 1234567"}`, `{"PIN":"***","LEDGER":"no ***"}`},
		"stays a number":   {m, `{"PW":"Tiger-s3cr3t","N":7}`, `{"PW":"***","N":7}`},
		"of another type":  {m, `{"PIN":"Tiger-s3cr3t"}`, `{"PIN":"***"}`},
		"without manifest": {nil, `{"LEDGER":"GL-is-long"}`, `{"LEDGER":"***"}`},
	} {
		values := given(t, c.given)
		h := hiding.Of(values, c.m)
		r := evidence.Result{Parameters: h.Asked(values)}
		r.Trigger.Raw = json.RawMessage(`{"object":"x","parameters":` + c.given + `}`)
		h.Mask(&r)
		if diff := cmp.Diff(`{"object":"x","parameters":`+c.want+`}`, compact(t, r.Trigger.Raw)); diff != "" {
			t.Errorf("%s: trigger (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(sorted(t, []byte(c.want)), sorted(t, encoded(t, r.Parameters))); diff != "" {
			t.Errorf("%s: parameters (-want +got):\n%s", name, diff)
		}
	}
	if got := hiding.Of(nil, m).Asked(nil); got != nil {
		t.Errorf("of no parameters: %v", got)
	}
}

func compact(t *testing.T, doc []byte) string {
	t.Helper()
	var short bytes.Buffer
	if err := json.Compact(&short, doc); err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return short.String()
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// sorted is a document with the members of its objects in their order.
func sorted(t *testing.T, doc []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatal(err)
	}
	return string(encoded(t, v))
}

// Whatever a package has as a secret, what a result quotes is whole: what documents are made of is no secret's.
func TestSecretsDoNotDecideOnDocuments(t *testing.T) {
	t.Parallel()
	const event = `{"cloudEventsVersion":"0.1","eventType":"com.oracle","data":{"resourceName":"x"}}`
	for _, secret := range []string{
		`","version":"1.0.0"`, `"eventType":"`, `version`, `parameters`, `sensitive`, `eventType`, `resourceName`,
		`string`,
		`extension`, `{"name":`, `null,\n`, `DB_PASSWORD`,
	} {
		quoted := string(encoded(t, secret))
		members := `"parameters":{"DB_PASSWORD":{"type":"string","sensitive":true,"default":%s}}`
		m, doc := parsed(t, fmt.Sprintf(members, quoted))
		r := evidence.Result{Manifest: doc, Trigger: evidence.Trigger{Raw: json.RawMessage(event)}}
		hiding.Of(nil, m).Mask(&r)
		_, want := parsed(t, fmt.Sprintf(members, `"***"`))
		if diff := cmp.Diff(string(want), compact(t, r.Manifest)); diff != "" {
			t.Errorf("%s: manifest (-want +got):\n%s", secret, diff)
		}
		if diff := cmp.Diff(event, compact(t, r.Trigger.Raw)); diff != "" {
			t.Errorf("%s: trigger (-want +got):\n%s", secret, diff)
		}
	}
}

// Every sensitive value that the manifest has is hidden, wherever it has it.
func TestSensitiveValuesOfTheManifest(t *testing.T) {
	t.Parallel()
	m, doc := parsed(t, `"parameters":{"PW":{
		"type":"string","sensitive":true,"default":"by-default","enum":["by-default","not-given","of-prod","of-a-set"]
	}},"environment_parameters":{"prod":{"PW":"of-prod"}},"parameter_sets":{"S":{"PW":"of-a-set"}}`)
	h := hiding.Of(nil, m)
	const said = "by-default of-prod of-a-set"
	r := evidence.Result{Manifest: doc, Message: said}
	h.Mask(&r)
	for _, secret := range append(strings.Fields(said), "not-given") {
		if strings.Contains(string(r.Manifest)+r.Message, secret) {
			t.Errorf("%s is in %s, or in %s", secret, r.Message, r.Manifest)
		}
	}
}

// What is hidden besides counts, too, from then on, and in what was learned of arguments; ids and digests stay.
func TestMoreIsHidden(t *testing.T) {
	t.Parallel()
	m, _ := parsed(t, declared)
	plain := hiding.Of(nil, m)
	h := plain.And([]string{"from-the-vault"})
	arguments, err := m.Resolve(inputs(t, map[string]string{"PW": `"Tiger-s3cr3t"`, "LEDGER": `"is from-the-vault"`}))
	if err != nil {
		t.Fatal(err)
	}
	values, problems := hiding.Sensitive(arguments)
	if diff := cmp.Diff([]string{"Tiger-s3cr3t"}, values); diff != "" || problems != nil {
		t.Errorf("problems %v; values (-want +got):\n%s", problems, diff)
	}
	h = h.And(values)
	r := evidence.Result{
		RunID: "from-the-vault", Message: "Tiger-s3cr3t, from-the-vault", Parameters: hiding.Shown(arguments),
		Package: evidence.Package{SHA256: "from-the-vault"},
	}
	h.Mask(&r)
	got := []any{r.RunID, r.Message, r.Package.SHA256, r.Parameters}
	want := []any{"from-the-vault", "***, ***", "from-the-vault", map[string]any{"PW": "***", "LEDGER": "is ***"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	if got := plain.Masker.String("from-the-vault"); got != "from-the-vault" {
		t.Errorf("what was hidden before has changed: %s", got)
	}
	for value, masked := range map[any]bool{"***": true, "is ***": true, "**": false, 7: false, nil: false} {
		if hiding.IsMasked(value) != masked {
			t.Errorf("IsMasked(%v) is %t", value, !masked)
		}
	}
	if shown := hiding.Shown(nil); shown != nil {
		t.Errorf("of no arguments: %v", shown)
	}
}

// inputs are parameters for a manifest.
func inputs(t *testing.T, docs map[string]string) manifest.Inputs {
	t.Helper()
	in := manifest.Inputs{Environment: "test", Parameters: map[string]manifest.Value{}}
	for name, doc := range docs {
		value, err := manifest.ParseValue([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		in.Parameters[name] = value
	}
	return in
}

// A run of the same package that begins no step hides what the run before did, also what its scripts have added.
func TestForAnotherRun(t *testing.T) {
	t.Parallel()
	m, _ := parsed(t, declared)
	first := hiding.Of(given(t, `{"PW":"Tiger-s3cr3t"}`), m)
	first.Masker.Add("from-a-script")
	next := first.For(given(t, `{"PW":"Tiger-s3cr3t"}`))
	if got := next.Masker.String("Tiger-s3cr3t from-a-script"); got != "*** ***" {
		t.Errorf("hidden are %q", got)
	}
	unread := hiding.Of(nil, nil).For(given(t, `{"LEDGER":"GL-is-long"}`))
	if got := unread.Masker.String("GL-is-long"); got != "***" {
		t.Errorf("without a manifest %q is shown", got)
	}
}

// More than can be masked is refused, and nothing costs more than what can be.
func TestTooMuch(t *testing.T) {
	t.Parallel()
	fits := strings.Repeat("x", 10_000)
	h := hiding.Of(nil, nil).And([]string{fits})
	if problems := h.TooMuch(); problems != nil {
		t.Errorf("10 KB are too much: %v", problems)
	}
	h = h.And([]string{fits, fits}).And(nil) // the same value again is no more
	if problems := h.TooMuch(); problems != nil {
		t.Errorf("10 KB twice are too much: %v", problems)
	}
	var values []string
	for i := range 1000 {
		values = append(values, fmt.Sprintf("%d-%s", i, strings.Repeat("y", 1000)))
	}
	h = h.And(values)
	problems := h.TooMuch()
	if len(problems) != 1 || problems[0].Code != "secret.size" || problems[0].Hint == "" {
		t.Errorf("1 MB: %v", problems)
	}
	if size := h.Masker.Size(); size > steps.MaxMasked {
		t.Errorf("%d bytes are masked; at most %d may be", size, steps.MaxMasked)
	}
}

// A value that cannot be masked is a problem that names it and does not show it.
func TestTooShort(t *testing.T) {
	t.Parallel()
	m, _ := parsed(t, declared)
	arguments, err := m.Resolve(inputs(t, map[string]string{"PW": `"x9!q"`, "LEDGER": `"GL"`}))
	if err != nil {
		t.Fatal(err)
	}
	values, problems := hiding.Sensitive(arguments)
	if len(problems) != 1 || problems[0].Code != "secret.short" || problems[0].Where != "PW" || len(values) != 1 {
		t.Fatalf("problems %v, values %v", problems, values)
	}
	if strings.Contains(problems[0].Message+problems[0].Hint, "x9!q") {
		t.Errorf("%+v shows the value", problems[0])
	}
}
