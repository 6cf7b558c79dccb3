package executor_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
)

// manifestWith is a manifest with more members.
func manifestWith(members string) string {
	return `{"name":"sample","version":"1.0.0","type":"extension",` + members + `}`
}

func codes(r evidence.Result) []string {
	if r.Error == nil {
		return nil
	}
	if r.Error.Problems == nil {
		return []string{r.Error.Code}
	}
	var list []string
	for _, p := range r.Error.Problems {
		list = append(list, p.Code)
	}
	return list
}

// nothingRan checks that a run was ended before its first step.
func nothingRan(t *testing.T, r evidence.Result) {
	t.Helper()
	if r.Execution.Ran || len(r.Steps) > 0 {
		t.Errorf("scripts ran: %+v", r.Steps)
	}
}

func privateKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestPolicyRejectsWithEveryReason(t *testing.T) {
	b := newBench(t)
	doc := []byte(`{"environment":"test","require":{"/change_ticket":true,"/owner":true},"types":["integration"],` +
		`"object_name":"{name}.zip","embedded_secrets":"deny"}`)
	b.config.Policy = executor.InlinePolicy("policies/test.json", doc)
	r := b.ran(files{"steps/run.sh": "echo ran", "artifacts/key.pem": privateKey(t)})
	want := []string{"policy.require", "policy.require", "policy.type", "policy.object_name", "policy.embedded_secret"}
	if diff := cmp.Diff(want, codes(r)); diff != "" || r.Status != evidence.StatusRejected {
		t.Errorf("status %s, codes (-want +got):\n%s", r.Status, diff)
	}
	nothingRan(t, r)
	if r.Policy.Source != "policies/test.json" || !strings.HasPrefix(r.Policy.Digest, "sha256:") ||
		len(r.Policy.Violations) != 5 {
		t.Errorf("policy %+v", r.Policy)
	}
	if strings.Contains(b.object(evidence.ResultObject(r.RunID)), "PRIVATE KEY---") {
		t.Error("the evidence quotes the secret")
	}
}

// A package that names a runner runs there or not at all, and every other reason is said too.
func TestRunnersThatAreNotThere(t *testing.T) {
	for name, runners := range map[string][]executor.Runner{
		"here": nil, "others": {{Label: "erp", Kind: executor.KindFunction, ID: "ocid1.fnfunc.oc1.phx.a"}},
	} {
		b := newBench(t)
		b.config.Runners = runners
		b.config.Policy = executor.InlinePolicy("p", []byte(`{"environment":"test","runners":["erp"],"types":[]}`))
		r := b.ran(files{"manifest.json": manifestWith(`"runs_on":"bank"`), "steps/run.sh": "echo ran"})
		want := []string{"runner.unknown", "policy.type", "policy.runner"}
		if diff := cmp.Diff(want, codes(r)); diff != "" || r.Status != evidence.StatusRejected {
			t.Errorf("%s: status %s, codes (-want +got):\n%s", name, r.Status, diff)
		}
		nothingRan(t, r)
	}
}

func TestPolicyAdmits(t *testing.T) {
	b := newBench(t)
	b.config.Policy = executor.InlinePolicy("inline",
		[]byte(`{"environment":"test","require":{"/change_ticket":"^CHG"},"embedded_secrets":"deny",`+
			`"version":{"prerelease":"deny"}}`))
	r := b.ran(files{"manifest.json": manifestWith(`"change_ticket":"CHG1"`), "steps/run.sh": "echo ran"})
	if r.Status != evidence.StatusSuccess || len(r.Policy.Violations) != 0 || r.Policy.Source != "inline" {
		t.Errorf("status %s, %q, policy %+v", r.Status, r.Message, r.Policy)
	}
}

// A policy that is set and cannot be had, whatever the reason, lets nothing run.
func TestPolicyFailsClosed(t *testing.T) {
	for name, doc := range map[string]string{
		"not JSON": `{`, "empty": ``, "unknown key": `{"environment":"test","allow":true}`,
		"another environment": `{"environment":"prod"}`,
		"later":               `{"environment":"test","signatures":{}}`,
	} {
		b := newBench(t)
		b.config.Policy = executor.InlinePolicy("inline", []byte(doc))
		r := b.ran(files{"steps/run.sh": "echo ran"})
		if code(r) != "policy.unavailable" || r.Status != evidence.StatusRejected || r.Policy.Digest == "" {
			t.Errorf("%s: status %s, %+v, policy %+v", name, r.Status, r.Error, r.Policy)
		}
		nothingRan(t, r)
	}
}

func TestPolicyThatCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		err   error
		fails bool // the invocation fails, to be tried again
	}{{store.ErrNotFound, false}, {store.ErrUnavailable, true}, {store.ErrDenied, true}} {
		b := newBench(t)
		b.config.Policy = &executor.Policy{Source: "policies/p.json", Read: func(context.Context) ([]byte, error) {
			return nil, store.Error(c.err, "get", "policies", "p.json", nil)
		}}
		info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
		r, err := b.run(t.Context(), request(info.Name, info.ETag))
		if code(r) != "policy.unavailable" || (err != nil) != c.fails {
			t.Errorf("%v: result %+v, error %v", c.err, r.Error, err)
		}
		nothingRan(t, r)
	}
}

func TestPolicyLowersLimits(t *testing.T) {
	b := newBench(t)
	b.config.Policy = executor.InlinePolicy("inline",
		[]byte(`{"environment":"test","limits":{"entries":2,"package_bytes":100000000000}}`))
	if r := b.ran(files{"steps/run.sh": "echo ran", "a": "", "b": ""}); code(r) != "archive.too_many_entries" {
		t.Errorf("%+v; want archive.too_many_entries", r.Error)
	}
	b.config.Limits.PackageBytes = 10 // which the policy does not raise
	if r := b.ran(files{"steps/run.sh": "echo ran"}); code(r) != "archive.package_too_large" {
		t.Errorf("%+v; want archive.package_too_large", r.Error)
	}
}

func TestPolicyRaisesTheSandbox(t *testing.T) {
	for _, level := range []sandbox.Level{sandbox.LevelBasic, sandbox.LevelIsolated, sandbox.LevelFull} {
		b := newBench(t)
		b.config.Policy = executor.InlinePolicy("inline",
			[]byte(`{"environment":"test","sandbox":"`+string(level)+`"}`))
		b.config.Sandbox = sandbox.LevelNone
		r := b.ran(files{"steps/run.sh": "echo ran"})
		has := sandbox.Probe().Strongest()
		if !has.Reaches(level) {
			if nothingRan(t, r); code(r) != "sandbox.unavailable" {
				t.Errorf("%s: %+v; want sandbox.unavailable", level, r.Error)
			}
			continue
		}
		if r.Status != evidence.StatusSuccess || r.Sandbox.Level != string(has) ||
			r.Sandbox.CredentialsReachable != !has.Reaches(sandbox.LevelIsolated) {
			t.Errorf("%s: status %s, sandbox %+v", level, r.Status, r.Sandbox)
		}
	}
}

// What succeeded does not run again: the same content, however it was packed and named.
func TestRepeatIsSkipped(t *testing.T) {
	b := newBench(t)
	first := b.ran(files{"steps/run.sh": "echo ran"})
	again := b.upload("other-name.zip", append(pack(t, files{"steps/run.sh": "echo ran"}), nil...), store.PutOptions{})
	r, err := b.run(t.Context(), request(again.Name, again.ETag))
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != evidence.StatusSkipped || r.PreviousRunID != first.RunID ||
		!strings.Contains(r.Message, first.RunID) || r.Error != nil {
		t.Errorf("status %s, previous %q, message %q, error %+v", r.Status, r.PreviousRunID, r.Message, r.Error)
	}
	nothingRan(t, r)
	if stored := b.stored(r.RunID); stored.Status != evidence.StatusSkipped {
		t.Errorf("stored status %s", stored.Status)
	}
}

func TestWhatIsNoRepeat(t *testing.T) {
	const idempotent = `"idempotent":true`
	const parameter = `"parameters":{"LEDGER":{"type":"integer","default":1}}`
	for _, c := range []struct {
		name, members, policy string
		change                func(*executor.Request)
		second                files
	}{
		{
			"other content", `"x-a":1`, "", nil,
			files{"manifest.json": manifestWith(`"x-a":1`), "steps/run.sh": "echo other"},
		},
		{"idempotent", idempotent, "", nil, nil},
		{
			"other parameters", parameter, "",
			func(q *executor.Request) { q.Parameters = map[string]json.RawMessage{"LEDGER": []byte("2")} }, nil,
		},
		{"allowed by the policy", `"x-a":1`, `{"environment":"test","version":{"repeat":"allow"}}`, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			if c.policy != "" {
				b.config.Policy = executor.InlinePolicy("inline", []byte(c.policy))
			}
			contents := files{"manifest.json": manifestWith(c.members), "steps/run.sh": "echo ran"}
			if r := b.ran(contents); r.Status != evidence.StatusSuccess {
				t.Fatalf("first: %s %s", r.Status, r.Message)
			}
			if c.second != nil {
				contents = c.second
			}
			info := b.upload("again.zip", pack(t, contents), store.PutOptions{})
			q := request(info.Name, info.ETag)
			if c.change != nil {
				c.change(&q)
			}
			if r, err := b.run(t.Context(), q); err != nil || r.Status != evidence.StatusSuccess {
				t.Errorf("second: %s %s, %v", r.Status, r.Message, err)
			}
		})
	}
}

// What failed may run again.
func TestFailureIsNoRepeat(t *testing.T) {
	b := newBench(t)
	for range 2 {
		info := b.upload(fmt.Sprintf("%d.zip", len(b.log.String())), pack(t, files{"steps/run.sh": "exit 1"}),
			store.PutOptions{})
		if r, err := b.run(t.Context(), request(info.Name, info.ETag)); err != nil ||
			r.Status != evidence.StatusFailed {
			t.Errorf("status %s, %v", r.Status, err)
		}
	}
}

func TestVersionsAreRemembered(t *testing.T) {
	b := newBench(t)
	b.config.Policy = executor.InlinePolicy("inline", []byte(`{"environment":"test","version":{"downgrade":"deny"}}`))
	runs := 0
	try := func(version, script string) []string {
		t.Helper()
		runs++
		doc := `{"name":"sample","version":"` + version + `","type":"extension"}`
		info := b.upload(fmt.Sprintf("%d.zip", runs), pack(t, files{"manifest.json": doc, "steps/run.sh": script}),
			store.PutOptions{})
		r, err := b.run(t.Context(), request(info.Name, info.ETag))
		if err != nil {
			t.Fatal(err)
		}
		return codes(r)
	}
	for _, c := range []struct {
		version, script string
		want            []string
	}{
		{"1.1.0", "echo", nil},
		{"1.0.0", "echo", []string{"policy.downgrade"}},
		{"1.1.0", "echo changed", []string{"policy.reuse"}},
		{"1.2.0", "exit 1", []string{"step.failed"}},
		{"1.2.0", "echo mended", []string{"policy.reuse"}}, // other contents had begun under it
		{"1.1.5", "echo", nil},                             // 1.2.0 did not succeed
		{"1.1.4", "echo changed", []string{"policy.downgrade"}},
	} {
		if diff := cmp.Diff(c.want, try(c.version, c.script)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.version, diff)
		}
	}
}

func TestDamagedRecordLetsNothingRun(t *testing.T) {
	b := newBench(t)
	if _, err := b.state.Put(t.Context(), "packages/test/sample.json", strings.NewReader("{"), 1,
		store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
	r, err := b.run(t.Context(), request(info.Name, info.ETag))
	if err == nil || code(r) != "state.corrupt" || b.resultsStored() != 0 {
		t.Errorf("status %s, %+v, error %v, %d results: the request is not over", r.Status, r.Error, err,
			b.resultsStored())
	}
	nothingRan(t, r)
}

func TestRequires(t *testing.T) {
	b := newBench(t)
	try := func(name, version, requires string) []string {
		t.Helper()
		doc := `{"name":"` + name + `","version":"` + version + `","type":"extension","requires":{` + requires + `}}`
		info := b.upload(name+version+".zip", pack(t, files{"manifest.json": doc, "steps/run.sh": "echo " + requires}),
			store.PutOptions{})
		r, err := b.run(t.Context(), request(info.Name, info.ETag))
		if err != nil {
			t.Fatal(err)
		}
		return codes(r)
	}
	for _, c := range []struct {
		name, version, requires string
		want                    []string
	}{
		{"app", "1.0.0", `"base":"^1.2","other":"*"`, []string{"manifest.requires", "manifest.requires"}},
		{"base", "1.1.0", ``, nil},
		{"app", "1.0.1", `"base":"^1.2"`, []string{"manifest.requires"}},
		{"base", "1.2.0", ``, nil},
		{"app", "1.0.2", `"base":"^1.2"`, nil},
	} {
		if diff := cmp.Diff(c.want, try(c.name, c.version, c.requires)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.name, c.version, diff)
		}
	}
}

func TestEnvironments(t *testing.T) {
	b := newBench(t)
	if r := b.ran(files{
		"manifest.json": manifestWith(`"environments":["dev","prod"]`), "steps/run.sh": "echo ran",
	}); code(r) != "manifest.environment" {
		t.Errorf("%+v; want manifest.environment", r.Error)
	}
	if r := b.ran(files{
		"manifest.json": manifestWith(`"environments":["dev","test"]`), "steps/run.sh": "echo ran",
	}); r.Status != evidence.StatusSuccess {
		t.Errorf("%s %s", r.Status, r.Message)
	}
}

func TestParametersReachTheScripts(t *testing.T) {
	b := newBench(t)
	doc := manifestWith(`"parameters":{"LEDGER":{"type":"integer","default":1},"MODE":{"type":"string","enum":["fast","slow mode"]},"UNSET":{"type":"string"}},
		"environment_parameters":{"test":{"LEDGER":7}},
		"steps":[{"run":"apply.sh","name":"first step","args":["--all","a b",""],"env":{"MINE":"my value","HOME":"/elsewhere"}}]`)
	script := `echo "$CEMLI_PARAM_LEDGER|$CEMLI_PARAM_MODE|${CEMLI_PARAM_UNSET-none}|$MINE|$#|$2|$CEMLI_STEP"`
	info := b.upload("p.zip", pack(t, files{"manifest.json": doc, "apply.sh": script, "steps/run.sh": "exit 9"}),
		store.PutOptions{})
	q := request(info.Name, info.ETag)
	q.Parameters = map[string]json.RawMessage{"MODE": []byte(`"slow mode"`)}
	r, err := b.run(t.Context(), q)
	if err != nil || r.Execution.Stdout != "7|slow mode|none|my value|3|a b|first step\n" {
		t.Errorf("stdout %q, %s, %v", r.Execution.Stdout, r.Message, err)
	}
	if text, err := json.Marshal(b.stored(r.RunID).Parameters); err != nil ||
		string(text) != `{"LEDGER":7,"MODE":"slow mode"}` {
		t.Errorf("parameters in the result: %s, %v", text, err)
	}
}

func TestWrongParametersLetNothingRun(t *testing.T) {
	b := newBench(t)
	doc := manifestWith(`"parameters":{"A":{"type":"integer","required":true},"B":{"type":"string"}}`)
	info := b.upload("p.zip", pack(t, files{"manifest.json": doc, "steps/run.sh": "echo ran"}), store.PutOptions{})
	q := request(info.Name, info.ETag)
	q.ParameterSet = "FR"
	q.Parameters = map[string]json.RawMessage{"B": []byte(`1`), "C": []byte(`2`)}
	r, err := b.run(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	got := codes(r)
	slices.Sort(got)
	want := []string{
		"trigger.parameter", "trigger.parameter_missing", "trigger.parameter_set", "trigger.parameter_unknown",
	}
	if diff := cmp.Diff(want, got); diff != "" || r.Status != evidence.StatusRejected {
		t.Errorf("status %s, codes (-want +got):\n%s", r.Status, diff)
	}
	nothingRan(t, r)
}
