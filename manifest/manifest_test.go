package manifest_test

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// found lists "code where" of every problem in err.
func found(err error) []string {
	var e *problem.Error
	if !errors.As(err, &e) {
		return nil
	}
	var list []string
	for _, p := range e.Problems {
		list = append(list, strings.TrimSpace(p.Code+" "+p.Where))
	}
	return list
}

const head = `"name":"a","version":"1.0.0","type":"extension"`

// with is a valid manifest with more members.
func with(members string) string { return "{" + head + "," + members + "}" }

var long = strings.Repeat("a", 300)

// cases are documents with the problems that Parse finds in them.
var cases = []struct {
	name, doc string
	want      []string
}{
	{"smallest", `{"name":"hello-cemli","version":"1.0.0","type":"extension"}`, nil},
	{"everything", everything, nil},
	{
		"descriptive keys",
		`{"$schema":"s","name":"a","version":"1.0.0-rc.1+b","type":"integration","description":"a\nb","owner":"o",` +
			`"change_ticket":"CHG1","x-mine":[1,{"a":null}]}`, nil,
	},

	{"empty", ``, []string{"manifest.json"}},
	{"not JSON", `name: x`, []string{"manifest.json"}},
	{"cut off", `{"name":"a"`, []string{"manifest.json /name"}},
	{"not an object", `["name"]`, []string{"manifest.not_object"}},
	{"null", `null`, []string{"manifest.not_object"}},
	{"trailing text", `{` + head + `} {}`, []string{"manifest.json"}},
	{
		"duplicate key", `{"name":"a","name":"b","version":"1.0.0","type":"extension"}`,
		[]string{"manifest.duplicate_key /name"},
	},
	{"nested duplicate", with(`"x-a":{"b":1,"b":2}`), []string{"manifest.duplicate_key /x-a/b"}},
	{"duplicate by escape", with(`"owner":"a","\u006fwner":"b"`), []string{"manifest.duplicate_key /owner"}},
	{"invalid UTF-8", "{\"name\":\"a\xff\"}", []string{"manifest.json /name"}},
	{"lone surrogate", with(`"owner":"\ud800"`), []string{"manifest.json /owner"}},
	{"byte order mark", "\xef\xbb\xbf{}", []string{"manifest.json"}},
	{"too deep", strings.Repeat("[", 100), []string{"manifest.too_deep"}},
	{"too large", with(`"x-a":"` + strings.Repeat("a", manifest.MaxBytes) + `"`), []string{"manifest.too_large"}},

	{"everything missing", `{}`, []string{"manifest.required", "manifest.required", "manifest.required"}},
	{
		"every problem at once",
		`{"name":"A b","version":"1.0","type":"extention","owner":1,"steps":{},"change_tiket":"x"}`,
		[]string{
			"manifest.name /name", "manifest.version /version", "manifest.package_type /type", "manifest.type /owner",
			"manifest.type /steps", "manifest.unknown_key /change_tiket",
		},
	},
	{
		"wrong types", `{"name":1,"version":null,"type":["extension"]}`, []string{
			"manifest.type /name", "manifest.type /version", "manifest.type /type",
		},
	},
	{"empty name", `{"name":"","version":"1.0.0","type":"extension"}`, []string{"manifest.name /name"}},
	{"long name", `{"name":"` + long[:64] + `","version":"1.0.0","type":"extension"}`, []string{"manifest.name /name"}},
	{
		"name with a newline at its end", `{"name":"a\n","version":"1.0.0","type":"extension"}`,
		[]string{"manifest.name /name"},
	},
	{
		"long version", `{"name":"a","version":"1.0.0-` + long[:130] + `","type":"extension"}`,
		[]string{"manifest.version /version"},
	},
	{"version with v", `{"name":"a","version":"v1.0.0","type":"extension"}`, []string{"manifest.version /version"}},
	{
		"version with leading zero", `{"name":"a","version":"1.01.0","type":"extension"}`,
		[]string{"manifest.version /version"},
	},
	{"key with slash", with(`"a/b~c":1`), []string{"manifest.unknown_key /a~1b~0c"}},
	{"key in capitals", with(`"Owner":"x"`), []string{"manifest.unknown_key /Owner"}},
	{"x without hyphen", with(`"x":1`), []string{"manifest.unknown_key /x"}},
	{"x- further down", with(`"concurrency":{"x-a":1}`), []string{"manifest.unknown_key /concurrency/x-a"}},

	{"long owner", with(`"owner":"` + long + `"`), []string{"manifest.text /owner"}},
	{"owner of many bytes", with(`"owner":"` + strings.Repeat("é", 255) + `"`), nil},
	{"two lines in a ticket", with(`"change_ticket":"CHG1\nCHG2"`), []string{"manifest.text /change_ticket"}},
	{"terminal codes", with(`"owner":"\u001b[2J"`), []string{"manifest.text /owner"}},
	{"NUL in the description", with(`"description":"a\u0000"`), []string{"manifest.text /description"}},
	{
		"labels", with(`"labels":{"CostCenter":"4711","":"x","a\nb":"y","n":1}`), []string{
			"manifest.text /labels/", "manifest.text /labels/a\nb", "manifest.type /labels/n",
		},
	},
	{"too many labels", with(`"labels":{` + many(1001) + `}`), []string{"manifest.too_many /labels"}},

	{"environments", with(`"environments":["dev","a b","",1,"dev"]`), []string{
		"manifest.environment_name /environments/1", "manifest.environment_name /environments/2",
		"manifest.type /environments/3", "manifest.repeated /environments/4",
	}},
	{"no environment", with(`"environments":[]`), nil},

	{
		"parameters of every type",
		with(`"parameters":{"S":{"type":"string","default":"x","enum":["x","y"],"pattern":"^[xy]$"},` +
			`"I":{"type":"integer","default":1.0},"N":{"type":"number","default":1e3},` +
			`"B":{"type":"boolean","default":false,"sensitive":true,"required":true,"description":"d"}}`), nil,
	},
	{"parameter without a type", with(`"parameters":{"A":{"default":1}}`), []string{"manifest.required /parameters/A"}},
	{
		"unknown parameter type", with(`"parameters":{"A":{"type":"int"}}`),
		[]string{"manifest.choice /parameters/A/type"},
	},
	{
		"parameter names", with(`"parameters":{"1A":{"type":"string"},"A-B":{"type":"string"},"":{"type":"string"}}`),
		[]string{
			"manifest.parameter_name /parameters/", "manifest.parameter_name /parameters/1A",
			"manifest.parameter_name /parameters/A-B",
		},
	},
	{
		"sensitive values of 16 KB",
		with(`"parameters":{"A":{"type":"string","sensitive":true,"default":"` + strings.Repeat("a", 8<<10) +
			`"}},"parameter_sets":{"X":{"A":"` + strings.Repeat("b", 8<<10) + `"}}`), nil,
	},
	{
		"sensitive values of more",
		with(`"parameters":{"A":{"type":"string","sensitive":true,"default":"` + strings.Repeat("a", 8<<10) +
			`"},"B":{"type":"string","default":"` + strings.Repeat("b", 8<<10) +
			`"}},"environment_parameters":{"dev":{"A":"` + strings.Repeat("c", 8<<10) + `"},"prod":{"A":"` +
			strings.Repeat("d", 8<<10) + `"},"test":{"A":"e"}}`),
		[]string{"manifest.sensitive_size /environment_parameters/prod/A"},
	},
	{
		"default of another type", with(`"parameters":{"A":{"type":"integer","default":"1"}}`),
		[]string{"manifest.value /parameters/A/default"},
	},
	{
		"fraction for an integer", with(`"parameters":{"A":{"type":"integer","default":1.5}}`),
		[]string{"manifest.value /parameters/A/default"},
	},
	{
		"integer beyond 2^53", with(`"parameters":{"A":{"type":"integer","default":9007199254740994}}`),
		[]string{"manifest.value /parameters/A/default"},
	},
	{
		"number beyond all", with(`"parameters":{"A":{"type":"number","default":1e999}}`),
		[]string{"manifest.value /parameters/A/default"},
	},
	{
		"NUL in a default", with(`"parameters":{"A":{"type":"string","default":"a\u0000b"}}`),
		[]string{"manifest.value /parameters/A/default"},
	},
	{
		"default null", with(`"parameters":{"A":{"type":"string","default":null}}`),
		[]string{"manifest.type /parameters/A/default"},
	},
	{
		"default outside enum", with(`"parameters":{"A":{"type":"string","default":"z","enum":["x"]}}`),
		[]string{"manifest.value /parameters/A/default"},
	},
	{
		"default outside pattern", with(`"parameters":{"A":{"type":"string","default":"z","pattern":"^x$"}}`),
		[]string{"manifest.value /parameters/A/default"},
	},
	{
		"enum of another type", with(`"parameters":{"A":{"type":"string","enum":["x",1]}}`),
		[]string{"manifest.value /parameters/A/enum/1"},
	},
	{
		"empty enum", with(`"parameters":{"A":{"type":"string","enum":[]}}`),
		[]string{"manifest.required /parameters/A/enum"},
	},
	{
		"pattern that is none", with(`"parameters":{"A":{"type":"string","pattern":"("}}`),
		[]string{"manifest.pattern /parameters/A/pattern"},
	},
	{
		"pattern that RE2 does not have", with(`"parameters":{"A":{"type":"string","pattern":"(?=x)"}}`),
		[]string{"manifest.pattern /parameters/A/pattern"},
	},
	{
		"pattern of a number", with(`"parameters":{"A":{"type":"number","pattern":"1"}}`),
		[]string{"manifest.pattern /parameters/A/pattern"},
	},
	{
		"misspelt key of a parameter", with(`"parameters":{"A":{"type":"string","defualt":"x"}}`),
		[]string{"manifest.unknown_key /parameters/A/defualt"},
	},
	{
		"values per environment",
		with(`"parameters":{"A":{"type":"integer"}},"environment_parameters":{"dev":{"A":1},"test":{"A":"1","B":2},` +
			`"a b":{}}`),
		[]string{
			"manifest.environment_name /environment_parameters/a b", "manifest.value /environment_parameters/test/A",
			"manifest.undeclared /environment_parameters/test/B",
		},
	},
	{
		"values per set",
		with(`"parameters":{"A":{"type":"integer"}},"parameter_sets":{"FR":{"A":1},"DE":{"A":[1]},"a.b":{}}`),
		[]string{
			"manifest.set_name /parameter_sets/a.b", "manifest.type /parameter_sets/DE/A",
		},
	},

	{
		"secrets",
		with(`"secrets":{"DB_PASSWORD":{"vault_secret":"erp-db"},"CEMLI_X":{"vault_secret":"x"},` +
			`"LD_PRELOAD":{"vault_secret":"x"},"A B":{"vault_secret":"x"},"X":{},"Y":{"vault_secret":""}}`),
		[]string{
			"manifest.variable /secrets/A B", "manifest.reserved /secrets/CEMLI_X",
			"manifest.reserved /secrets/LD_PRELOAD", "manifest.required /secrets/X",
			"manifest.required /secrets/Y/vault_secret",
		},
	},
	{
		"tools", with(`"tools":["jq","/usr/bin/jq","jq","a b"]`), []string{
			"manifest.tool /tools/1", "manifest.repeated /tools/2", "manifest.tool /tools/3",
		},
	},
	{"network as text", with(`"network":"false"`), []string{"manifest.type /network"}},
	{
		"concurrency", with(`"concurrency":{"group":"a\n","on_busy":"wait"}`), []string{
			"manifest.group /concurrency/group", "manifest.choice /concurrency/on_busy",
		},
	},
	{"durations", with(`"timeout":"1h30m","rollback_timeout":"90"`), []string{"manifest.duration /rollback_timeout"}},
	{
		"durations out of range", with(`"timeout":"0s","rollback_timeout":"25h"`), []string{
			"manifest.duration_range /timeout", "manifest.duration_range /rollback_timeout",
		},
	},
	{"negative duration", with(`"timeout":"-1s"`), []string{"manifest.duration /timeout"}},
	{"duration as number", with(`"timeout":60`), []string{"manifest.type /timeout"}},
	{"on_failure", with(`"on_failure":"undo"`), []string{"manifest.choice /on_failure"}},
	{"on_set_failure", with(`"on_set_failure":"continue"`), nil},
	{"on_set_failure that is none", with(`"on_set_failure":"skip"`), []string{"manifest.choice /on_set_failure"}},
	{
		"keys of later versions", with(`"requires_wait":"1h","not_before":"2026-01-01T00:00:00Z"`),
		[]string{"manifest.unsupported /not_before", "manifest.unsupported /requires_wait"},
	},
	{"runner", with(`"runs_on":"erp-2"`), nil},
	{"runner that is none", with(`"runs_on":"ERP"`), []string{"manifest.runner /runs_on"}},
	{"runner without a name", with(`"runs_on":""`), []string{"manifest.runner /runs_on"}},
	{"runner of two lines", with(`"runs_on":"erp\n"`), []string{"manifest.runner /runs_on"}},
	{"runners", with(`"runs_on":["erp"]`), []string{"manifest.type /runs_on"}},
	{
		"runner with a long name", with(`"runs_on":"` + strings.Repeat("e", 33) + `"`),
		[]string{"manifest.runner /runs_on"},
	},
	{
		"outputs", with(`"outputs":["reports/**/*.csv","../x","a[","/abs"]`), []string{
			"manifest.path /outputs/1", "manifest.glob /outputs/2", "manifest.path /outputs/3",
		},
	},
	{
		"requires", with(`"requires":{"base":">=1.2, <2","Other":"*","x":"one","y":""}`), []string{
			"manifest.name /requires/Other", "manifest.version_range /requires/x", "manifest.required /requires/y",
		},
	},
	{
		"ranges with vast numbers",
		with(`"requires":{"a":">=99999999999999999999","b":"^1.0.0-99999999999999999999","c":"<9999999999999999999"}`),
		[]string{"manifest.version_range /requires/a", "manifest.version_range /requires/b"},
	},
	{
		"version of vast numbers",
		`{"name":"a","version":"99999999999999999999.0.0-99999999999999999999","type":"extension"}`, nil,
	},

	{
		"steps",
		with(`"steps":[{"run":"steps/a.sh"},{"run":"../a.sh"},{"run":"/a.sh"},{"run":"a//b"},{"run":"./a"},` +
			`{"run":"a\\b"},{},{"run":"..a/.b/...","name":"x"}]`),
		[]string{
			"manifest.path /steps/1/run", "manifest.path /steps/2/run", "manifest.path /steps/3/run",
			"manifest.path /steps/4/run", "manifest.path /steps/5/run", "manifest.required /steps/6",
		},
	},
	{
		"two steps of one name", with(`"steps":[{"run":"a.sh"},{"run":"b/a.sh"},{"run":"a.sh","phase":"pre_check"}]`),
		[]string{"manifest.duplicate_step /steps/1"},
	},
	{
		"step of an unknown phase", with(`"steps":[{"run":"a.sh","phase":"before"}]`),
		[]string{"manifest.choice /steps/0/phase"},
	},
	{
		"environment of a step",
		with(`"steps":[{"run":"a.sh","env":{"A":"1","PATH":"/x","ENV":"x","IFS":"","BASH_ENV":"x","N":1}}]`),
		[]string{
			"manifest.reserved /steps/0/env/BASH_ENV", "manifest.reserved /steps/0/env/ENV",
			"manifest.reserved /steps/0/env/IFS", "manifest.type /steps/0/env/N", "manifest.reserved /steps/0/env/PATH",
		},
	},
	{
		"steps that need no undo",
		with(`"steps":[{"run":"a.sh","rollback":"none"},{"run":"b.sh","rollback":"./none"},` +
			`{"run":"c.sh","rollback":""},{"run":"d.sh","rollback":false}]`),
		[]string{
			"manifest.path /steps/1/rollback", "manifest.path /steps/2/rollback", "manifest.type /steps/3/rollback",
		},
	},
	{
		"secrets of a step", with(`"secrets":{"A":{"vault_secret":"a"}},"steps":[{"run":"a.sh","secrets":["A","B"]}]`),
		[]string{"manifest.undeclared /steps/0/secrets"},
	},
	{
		"retries",
		with(`"steps":[{"run":"a.sh","retries":{"max":11}},{"run":"b.sh","retries":{"delay":"1s"}},` +
			`{"run":"c.sh","retries":{"max":1.5}},{"run":"d.sh","retries":{"max":2.0,"delay":"1s"}}]`),
		[]string{
			"manifest.number /steps/0/retries/max", "manifest.required /steps/1/retries",
			"manifest.number /steps/2/retries/max",
		},
	},
	{
		"args", with(`"steps":[{"run":"a.sh","args":["--x","a b",1,"a\u0000"]}]`), []string{
			"manifest.type /steps/0/args/2", "manifest.text /steps/0/args/3",
		},
	},
}

func many(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = `"k` + strings.Repeat("x", i%10) + string(rune('a'+i%26)) + strings.Repeat("y", i/26) + `":"v"`
	}
	return strings.Join(members, ",")
}

// everything uses every key.
const everything = `{` + head + `,
	"$schema": "https://example.com/manifest.json", "description": "d", "owner": "finance", "change_ticket": "CHG0000001",
	"labels": {"CostCenter": "4711"}, "environments": ["dev", "test"],
	"parameters": {"LEDGER": {"type": "integer", "required": true}, "MODE": {"type": "string", "default": "fast", "enum": ["fast", "slow"]}},
	"environment_parameters": {"dev": {"LEDGER": 1}}, "parameter_sets": {"FR": {"MODE": "slow"}},
	"secrets": {"DB_PASSWORD": {"vault_secret": "erp-db"}}, "tools": ["jq", "g++"], "network": false,
	"concurrency": {"group": "ledger", "on_busy": "reject"}, "timeout": "1m", "rollback_timeout": "1.5m", "on_failure": "rollback", "on_set_failure": "continue", "idempotent": true,
	"steps": [{"name": "apply", "phase": "run", "run": "steps/apply.sh", "args": ["--all"], "env": {"A": "b"}, "secrets": ["DB_PASSWORD"], "timeout": "30s",
		"retries": {"max": 2, "delay": "5s"}, "continue_on_error": true, "dry_run": true, "rollback": "rollback/apply.sh"},
		{"run": "steps/backup.sh", "rollback": "none"}],
	"outputs": ["reports/*.csv"], "requires": {"base": "^1.2"}, "runs_on": "erp", "x-mine": {"any": ["thing"]}
}`

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, err := manifest.Parse([]byte(c.doc))
			got := found(err)
			slices.Sort(got)
			want := slices.Clone(c.want)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if (m == nil) != (err != nil) {
				t.Errorf("manifest %v with error %v", m, err)
			}
		})
	}
}

// The published schema gives the same verdict as Parse, except where a document has only
// problems of the codes in SchemaBlind: those it does not see. Each of them is needed.
func TestSchemaGivesTheSameVerdict(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.NewCompiler().Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	blind := map[string]bool{}
	for _, c := range cases {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(c.doc))
		if err != nil {
			if !slices.ContainsFunc(c.want, func(p string) bool {
				return strings.HasPrefix(p, "manifest.json") || p == "manifest.too_deep"
			}) {
				t.Errorf("%s: JSON readers refuse it: %v", c.name, err)
			}
			blind["manifest.json"], blind["manifest.too_deep"] = true, true
			continue
		}
		if strings.Contains(strings.Join(c.want, " "), "manifest.json") {
			continue // other readers take what is no strict JSON
		}
		seen := false // a problem that the schema can see
		for _, p := range c.want {
			code, _, _ := strings.Cut(p, " ")
			if slices.Contains(manifest.SchemaBlind, code) {
				blind[code] = true
			} else {
				seen = true
			}
		}
		if err := schema.Validate(value); (err != nil) != seen {
			t.Errorf("%s: the schema says %v; Parse found %v", c.name, err, c.want)
		}
	}
	for _, code := range manifest.SchemaBlind {
		if !blind[code] {
			t.Errorf("no case needs %s", code)
		}
	}
}

func TestSchemaIsOfItsDraft(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Draft string `json:"$schema"`
	}
	if err := json.Unmarshal(doc, &schema); err != nil ||
		schema.Draft != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("draft %q, %v", schema.Draft, err)
	}
}

func TestParseSuggests(t *testing.T) {
	t.Parallel()
	_, err := manifest.Parse([]byte(`{"name":"a","version":"1.0.0","type":"extention","change_tiket":"CHG1"}`))
	for _, want := range []string{"unknown key change_tiket; did you mean change_ticket?", "none of configuration"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want it to say %q", err, want)
		}
	}
	_, err = manifest.Parse([]byte(with(`"parameters":{"LEDGER":{"type":"string"}},` +
		`"environment_parameters":{"dev":{"LEGDER":"x"}}`)))
	if err == nil || !strings.Contains(err.Error(), "did you mean LEDGER?") {
		t.Errorf("error %v; want it to suggest LEDGER", err)
	}
}

func TestSaysWhatItDoesNotSupport(t *testing.T) {
	t.Parallel()
	_, err := manifest.Parse([]byte(with(`"requires_wait":"1h"`)))
	if err == nil || !strings.Contains(err.Error(), "this version does not support the key requires_wait") {
		t.Errorf("error %v", err)
	}
	_, err = manifest.Parse([]byte(with(`"requires":{"a":">=99999999999999999999"}`)))
	if err == nil || !strings.Contains(err.Error(), "more than 19 digits") {
		t.Errorf("error %v; want it to say what is wrong with the range", err)
	}
}

func TestOnSetFailure(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]manifest.OnSetFailure{
		"{" + head + "}":                    manifest.OnSetFailureStop,
		with(`"on_set_failure":"stop"`):     manifest.OnSetFailureStop,
		with(`"on_set_failure":"continue"`): manifest.OnSetFailureContinue,
	} {
		if got := parse(t, doc).OnSetFailure; got != want {
			t.Errorf("%s: %q; want %q", doc, got, want)
		}
	}
}

// What is sensitive is not quoted in a message, which goes into logs and evidence.
func TestSensitiveValuesAreNotQuoted(t *testing.T) {
	t.Parallel()
	_, err := manifest.Parse([]byte(with(`"parameters":{"A":{"type":"string","sensitive":true,"pattern":"^x$",` +
		`"default":"hunter2"}}`)))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}

// encodes fails if a result cannot be stored and read back.
func encodes(t *testing.T, r evidence.Result) {
	t.Helper()
	doc, err := r.Encode()
	if err == nil {
		_, err = evidence.Decode(doc)
	}
	if err == nil {
		_, err = r.JUnit()
	}
	if err != nil || !utf8.Valid(doc) {
		t.Fatalf("the result that has it cannot be stored: %v\n%s", err, doc)
	}
}

// What is a manifest for one reader is one for all: white space is what JSON has, and no more.
func TestWhiteSpaceOfJSONOnly(t *testing.T) {
	t.Parallel()
	const doc = `{"name":"ffp","version":"1.0.0","type":"extension"}`
	for _, space := range []string{"\f", "\v", "\x00", "\u00a0", "\u0085", "\u2028", "\u3000", "\ufeff"} {
		for _, text := range []string{doc + space, space + doc, doc + "\n" + space} {
			if _, err := manifest.Parse([]byte(text)); problem.CodeOf(err) != "manifest.json" {
				t.Errorf("%q as a manifest: %v", text, err)
			}
			if _, err := manifest.ParsePolicy([]byte(strings.Replace(text, doc, `{"environment":"prod"}`, 1)),
				"prod"); problem.CodeOf(err) != "policy.unavailable" {
				t.Errorf("%q around a policy: %v", space, err)
			}
			if _, err := manifest.ParseValue([]byte(strings.Replace(text, doc, `"x"`, 1))); err == nil {
				t.Errorf("%q around a value was accepted", space)
			}
		}
	}
	m, err := manifest.Parse([]byte("\t{ \"name\" :\r\n\"ffp\", \"version\":\"1.0.0\",\"type\":\"extension\", " +
		"\"x-a\": [ 1.0, \"\\u0041 b\" ] }\n"))
	if err != nil || string(m.Raw) != `{"name":"ffp","version":"1.0.0","type":"extension","x-a":[1.0,"\u0041 b"]}` {
		t.Errorf("%s, %v", m.Raw, err)
	}
}

func TestHides(t *testing.T) {
	t.Parallel()
	m, err := manifest.Parse([]byte(with(`"parameters":{"A":{"type":"string","sensitive":true,"default":"x",` +
		`"enum":["x","y"]},"B":{"type":"string"}},"environment_parameters":{"dev":{"A":"x","B":"y"}},` +
		`"parameter_sets":{"S":{"A":"y","B":"y"}}`)))
	if err != nil {
		t.Fatal(err)
	}
	for pointer, want := range map[string]bool{
		"/parameters/A/default": true, "/parameters/A/enum": true, "/environment_parameters/dev/A": true,
		"/parameter_sets/S/A": true,
		"":                    false, "/parameters": false, "/parameters/A": false, "/parameters/A/type": false,
		"/parameters/B/default": false, "/environment_parameters/dev/B": false, "/labels/A/default": false,
	} {
		if got := m.Hides(pointer); got != want {
			t.Errorf("%s: %t", pointer, got)
		}
	}
	if m.Shows("A") || !m.Shows("B") || m.Shows("C") {
		t.Error("Shows is wrong")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("{\"name\":\"ffp\",\"version\":\"1.0.0\",\"type\":\"extension\"}\f"))
	for _, c := range cases {
		if len(c.doc) < 10_000 {
			f.Add([]byte(c.doc))
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		m, err := manifest.Parse(doc)
		if (m == nil) == (err == nil) {
			t.Fatalf("manifest %v with error %v", m, err)
		}
		if err != nil && problem.Family(problem.CodeOf(err)) != "manifest" {
			t.Fatalf("error without a manifest code: %v", err)
		}
		if m == nil {
			return
		}
		encodes(t, evidence.Result{Manifest: m.Raw})
		if m.Name == "" || m.Version == "" || !slices.Contains(manifest.Types, m.Type) {
			t.Fatalf("a valid manifest without identity: %+v", m)
		}
		files := map[string]string{"steps/run.sh": "digest"}
		arguments, _ := m.Resolve(manifest.Inputs{Environment: "dev"})
		for _, s := range m.StepList {
			files[s.Run], files[s.Rollback] = "digest", "digest"
			if s.NoUndo && s.Rollback != "" {
				t.Fatalf("a step needs no undo and has one: %+v", s)
			}
		}
		plan, err := m.Plan(files, arguments)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range plan.Steps() {
			if s.SHA256 == "" || s.Name == "" {
				t.Fatalf("step %+v", s)
			}
		}
	})
}
