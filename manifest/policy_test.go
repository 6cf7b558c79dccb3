package manifest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/evidence"
	"cemli-executor/manifest"
)

// Every level can be demanded, or accepted.
func TestPolicySandbox(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"none", "basic", "isolated", "full"} {
		p, err := manifest.ParsePolicy([]byte(`{"environment":"test","sandbox":"`+level+`"}`), "test")
		if err != nil || p.Sandbox != level {
			t.Errorf("%s: %+v, %v", level, p, err)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	t.Parallel()
	const ok = `"environment":"prod"`
	for _, c := range []struct {
		name, doc string
		want      []string // places of the problems
	}{
		{"smallest", `{` + ok + `}`, nil},
		{
			"everything",
			`{` + ok + `,"$schema":"s","description":"d","require":{"/change_ticket":"^CHG[0-9]{7}$","/labels/CostCenter":true},"types":["extension"],
			"object_name":"{name}-{version}.zip","version":{"prerelease":"deny","downgrade":"deny","reuse":"deny","repeat":"deny"},
			"actions":{"event":["apply"],"request":["apply","rollback"]},"network":"declared","secrets":["erp-*"],"embedded_secrets":"deny","sandbox":"full","runners":["erp","bank-2"],
			"concurrency":{"group":"erp"},"limits":{"package_bytes":1048576,"run_time":"10m"},
			"freeze":[{"from":"2026-12-24T00:00","until":"2027-01-02T06:00:00","time_zone":"Europe/Berlin","reason":"year end"},{"days":["sat","sun"],"time_zone":"UTC","reason":"weekend"}]}`, nil,
		},
		{"not JSON", `environment: prod`, []string{""}},
		{"empty", ``, []string{""}},
		{"a list", `[]`, []string{""}},
		{"duplicate key", `{` + ok + `,"environment":"prod"}`, []string{"/environment"}},
		{"no environment", `{}`, []string{""}},
		{"another environment", `{"environment":"dev"}`, []string{"/environment"}},
		{"unknown key", `{` + ok + `,"requires":{}}`, []string{"/requires"}},
		{"own keys are unknown too", `{` + ok + `,"x-mine":1}`, []string{"/x-mine"}},
		{
			"later keys",
			`{` + ok + `,"signatures":{},"require_success_in":["test"],"revision":1,"windows":{},` +
				`"ownership":[],"emergency":{}}`,
			[]string{
				"/emergency", "/ownership", "/require_success_in", "/revision", "/signatures", "/windows",
			},
		},
		{"later action", `{` + ok + `,"actions":{"request":["apply","mark"]}}`, []string{"/actions/request/1"}},
		{"groups for sets", `{` + ok + `,"concurrency":{"group":"erp-{set}"}}`, nil},
		{"groups that are none", `{` + ok + `,"concurrency":{"group":"erp-{env}"}}`, []string{"/concurrency/group"}},
		{"group without a name", `{` + ok + `,"concurrency":{"group":""}}`, []string{"/concurrency/group"}},
		{
			"freeze for rollbacks too",
			`{` + ok + `,"freeze":[{"days":["sat"],"time_zone":"UTC","reason":"r","rollback":"deny"},` +
				`{"days":["sat"],"time_zone":"UTC","reason":"r","rollback":false}]}`,
			[]string{"/freeze/1/rollback"},
		},
		{
			"freeze without a reason that can be seen",
			`{` + ok + `,"freeze":[{"days":["sat"],"time_zone":"UTC","reason":" \u200b"}]}`,
			[]string{"/freeze/0/reason"},
		},
		{
			"require", `{` + ok + `,"require":{"change_ticket":true,"/a":false,"/b":"(","/c":1,"":true}}`, []string{
				"/require/", "/require/change_ticket", "/require/~1a", "/require/~1b", "/require/~1c",
			},
		},
		{"types", `{` + ok + `,"types":["extention"]}`, []string{"/types/0"}},
		{"object name", `{` + ok + `,"object_name":"{package}.zip"}`, []string{"/object_name"}},
		{
			"version", `{` + ok + `,"version":{"prerelease":"no","patch":"allow"}}`,
			[]string{"/version/patch", "/version/prerelease"},
		},
		{
			"actions", `{` + ok + `,"actions":{"events":["apply"],"cli":["sweep"]}}`,
			[]string{"/actions/cli/0", "/actions/events"},
		},
		{
			"words", `{` + ok + `,"network":"off","secrets":["a["],"embedded_secrets":"warn","sandbox":"high"}`,
			[]string{"/embedded_secrets", "/network", "/sandbox", "/secrets/0"},
		},
		{"runners", `{` + ok + `,"runners":["erp","ERP","erp",1,""]}`, []string{
			"/runners/1", "/runners/2", "/runners/3", "/runners/4",
		}},
		{"a runner", `{` + ok + `,"runners":"erp"}`, []string{"/runners"}},
		{
			"limits", `{` + ok + `,"limits":{"package_bytes":-1,"run_time":60,"memory":1}}`, []string{
				"/limits/memory", "/limits/package_bytes", "/limits/run_time",
			},
		},
		{
			"freeze",
			`{` + ok + `,"freeze":[{"from":"2026-12-24","until":"2026-12-24T00:00","time_zone":"Mars/Base","reason":""},{"reason":"x","time_zone":"UTC"},{"reason":"x","time_zone":"Local","days":["saturday"],"from":"25:00"},
			{"reason":"x","time_zone":"UTC","from":"2026-12-24T00:00","until":"2026-12-23T00:00"},{"reason":"x","time_zone":"UTC","from":"2026-02-30T00:00","until":"2027-12-23T00:00"}]}`,
			[]string{
				"/freeze/0/from", "/freeze/0/reason", "/freeze/0/time_zone", "/freeze/1", "/freeze/2/days/0",
				"/freeze/2/from", "/freeze/2/time_zone", "/freeze/3/until", "/freeze/4/from",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, err := manifest.ParsePolicy([]byte(c.doc), "prod")
			var got []string
			for _, line := range found(err) {
				code, where, _ := strings.Cut(line, " ")
				if code != "policy.unavailable" {
					t.Errorf("code %s; want policy.unavailable", code)
				}
				got = append(got, where)
			}
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems at (-want +got):\n%s\n%v", diff, err)
			}
			if (p == nil) != (err != nil) {
				t.Errorf("policy %v with error %v", p, err)
			}
		})
	}
}

func policy(t *testing.T, members string) *manifest.Policy {
	t.Helper()
	p, err := manifest.ParsePolicy([]byte(`{"environment":"prod",`+members+`}`), "prod")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	plain := manifest.Case{
		Object: "a-1.0.0.zip", Action: "apply", Kind: "event", Now: at("2026-11-21T12:00:00Z"), DirHash: "h1:now",
	}
	with := func(change func(*manifest.Case)) manifest.Case {
		c := plain
		change(&c)
		return c
	}
	for _, c := range []struct {
		name, policy, members string
		c                     manifest.Case
		want                  []string
	}{
		{"nothing demanded", `"description":"d"`, ``, plain, nil},
		{
			"required and there",
			`"require":{"/change_ticket":"^CHG[0-9]{7}$","/labels/CostCenter":true,"/steps/0/run":"^s"}`,
			`,"change_ticket":"CHG0000001","labels":{"CostCenter":"1"},"steps":[{"run":"s.sh"}]`, plain, nil,
		},
		{
			"required and not there",
			`"require":{"/change_ticket":true,"/labels/CostCenter":true,"/owner":true,"/network":"^false$"}`,
			`,"owner":"","network":true`, plain,
			[]string{
				"policy.require /change_ticket", "policy.require /labels/CostCenter", "policy.require /network",
				"policy.require /owner",
			},
		},
		{
			"required and invisible",
			`"require":{"/owner":true,"/change_ticket":true,"/description":true,"/labels":true,"/x-a":true,` +
				`"/x-b":true,"/x-c":true}`,
			`,"owner":" ","change_ticket":"\u200b\u2060","description":"\u3164\n\u2800\u0301",` +
				`"labels":{"a":"\u00ad"},"x-a":[" ",{"b":null}],"x-b":0,"x-c":["\u200b","é"]`, plain,
			[]string{
				"policy.require /change_ticket", "policy.require /description", "policy.require /labels",
				"policy.require /owner", "policy.require /x-a",
			},
		},
		{
			"required and a single letter of any script", `"require":{"/owner":true,"/x-a":true,"/x-b":true}`,
			`,"owner":"財","x-a":"👍","x-b":"."`, plain, nil,
		},
		{
			"required in another form", `"require":{"/change_ticket":"^CHG[0-9]{7}$"}`, `,"change_ticket":"CHG1"`,
			plain,
			[]string{"policy.require /change_ticket"},
		},
		{"type", `"types":["integration"]`, ``, plain, []string{"policy.type /type"}},
		{
			"object name", `"object_name":"{name}-{version}.zip"`, ``,
			with(func(c *manifest.Case) { c.Object = "finance/a-1.0.0.zip" }), nil,
		},
		{
			"other object name", `"object_name":"{name}-{version}.zip"`, ``,
			with(func(c *manifest.Case) { c.Object = "b-1.0.0.zip" }),
			[]string{"policy.object_name b-1.0.0.zip"},
		},
		{
			"object name with folder", `"object_name":"{type}/{name}.zip"`, ``,
			with(func(c *manifest.Case) { c.Object = "a.zip" }),
			[]string{"policy.object_name a.zip"},
		},
		{
			"no downgrade", `"version":{"downgrade":"deny"}`, ``,
			with(func(c *manifest.Case) { c.Current = "1.0.0-rc.1" }), nil,
		},
		{
			"downgrade", `"version":{"downgrade":"deny"}`, ``, with(func(c *manifest.Case) { c.Current = "1.0.1" }),
			[]string{"policy.downgrade /version"},
		},
		{
			"downgrade by numbers, not letters", `"version":{"downgrade":"deny"}`, ``,
			with(func(c *manifest.Case) { c.Current = "0.10.0" }), nil,
		},
		{
			"downgrade on purpose", `"version":{"downgrade":"deny"}`, ``,
			with(func(c *manifest.Case) { c.Current, c.Rollback = "1.0.1", true }), nil,
		},
		{"downgrade allowed", `"description":"d"`, ``, with(func(c *manifest.Case) { c.Current = "1.0.1" }), nil},
		{
			"same version, same contents", `"description":"d"`, ``, with(func(c *manifest.Case) { c.Seen = "h1:now" }),
			nil,
		},
		{
			"same version, other contents", `"description":"d"`, ``,
			with(func(c *manifest.Case) { c.Seen = "h1:other" }),
			[]string{"policy.reuse /version"},
		},
		{"reuse allowed", `"version":{"reuse":"allow"}`, ``, with(func(c *manifest.Case) { c.Seen = "h1:other" }), nil},
		{"action", `"actions":{"event":["check"],"request":["apply"]}`, ``, plain, []string{"policy.action apply"}},
		{"kind that may nothing", `"actions":{"request":["apply"]}`, ``, plain, []string{"policy.action apply"}},
		{"network denied", `"network":"deny"`, ``, plain, []string{"policy.network /network"}},
		{"no network", `"network":"deny"`, `,"network":false`, plain, nil},
		{"network not declared", `"network":"declared"`, ``, plain, []string{"policy.network /network"}},
		{"network declared", `"network":"declared"`, `,"network":true`, plain, nil},
		{
			"secrets", `"secrets":["erp-*"]`, `,"secrets":{"A":{"vault_secret":"erp-db"},"B":{"vault_secret":"hr-db"}}`,
			plain,
			[]string{"policy.secret /secrets/B"},
		},
		{"a runner that may be named", `"runners":["erp","bank"]`, `,"runs_on":"bank"`, plain, nil},
		{
			"a runner that may not", `"runners":["erp"]`, `,"runs_on":"bank"`, plain,
			[]string{"policy.runner /runs_on"},
		},
		{"no runner may be named", `"runners":[]`, `,"runs_on":"erp"`, plain, []string{"policy.runner /runs_on"}},
		{"no runner is named", `"runners":[]`, ``, plain, nil},
		{"any runner", `"network":"allow"`, `,"runs_on":"erp"`, plain, nil},
		{
			"embedded secrets", `"embedded_secrets":"deny"`, ``,
			with(func(c *manifest.Case) { c.Embedded = []string{"steps/run.sh: private key"} }),
			[]string{"policy.embedded_secret steps/run.sh: private key"},
		},
		{
			"embedded secrets allowed", `"embedded_secrets":"allow"`, ``,
			with(func(c *manifest.Case) { c.Embedded = []string{"steps/run.sh: private key"} }), nil,
		},
		{
			"frozen", `"freeze":[{"days":["sat"],"time_zone":"UTC","reason":"weekend"}]`, ``, plain,
			[]string{"policy.freeze"},
		},
		{
			"frozen for dry runs, which run scripts",
			`"freeze":[{"days":["sat"],"time_zone":"UTC","reason":"weekend"}]`, ``,
			with(func(c *manifest.Case) { c.Action = "dry_run" }),
			[]string{"policy.freeze"},
		},
		{
			"frozen for a rollback that names nothing",
			`"freeze":[{"days":["sat"],"time_zone":"UTC","reason":"weekend"}]`, ``,
			with(func(c *manifest.Case) { c.Action, c.Reference = "rollback", " \u200b" }),
			[]string{"policy.freeze"},
		},
		{
			"a rollback with a reference", `"freeze":[{"days":["sat"],"time_zone":"UTC","reason":"weekend"}]`, ``,
			with(func(c *manifest.Case) { c.Action, c.Reference = "rollback", "INC1" }), nil,
		},
		{
			"frozen for rollbacks too",
			`"freeze":[{"days":["sat"],"time_zone":"UTC","reason":"weekend","rollback":"deny"},` +
				`{"days":["sat"],"time_zone":"UTC","reason":"x","rollback":"allow"}]`, ``,
			with(func(c *manifest.Case) { c.Action, c.Reference = "rollback", "INC1" }),
			[]string{"policy.freeze"},
		},
		{
			"frozen for an earlier content", `"freeze":[{"days":["sat"],"time_zone":"UTC","reason":"weekend"}]`, ``,
			with(func(c *manifest.Case) { c.Rollback, c.Reference = true, "INC1" }),
			[]string{"policy.freeze"},
		},
		{
			"a check changes nothing", `"freeze":[{"days":["sat"],"time_zone":"UTC","reason":"weekend"}]`, ``,
			with(func(c *manifest.Case) { c.Action = "check" }), nil,
		},
		{
			"everything at once",
			`"require":{"/owner":true},"types":[],"version":{"downgrade":"deny"},"network":"deny","actions":{}`, ``, with(func(c *manifest.Case) { c.Current, c.Seen = "2.0.0", "h1:other" }),
			[]string{
				"policy.require /owner", "policy.type /type", "policy.downgrade /version", "policy.reuse /version",
				"policy.action apply", "policy.network /network",
			},
		},
		{"prerelease", `"version":{"prerelease":"deny"}`, ``, plain, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.c.Manifest = parse(t, `{"name":"a","version":"1.0.0","type":"extension"`+c.members+`}`)
			var got []string
			for _, p := range policy(t, c.policy).Admit(c.c) {
				got = append(got, strings.TrimSpace(p.Code+" "+p.Where))
				if p.Message == "" {
					t.Errorf("%s says nothing", p.Code)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrereleases(t *testing.T) {
	t.Parallel()
	p := policy(t, `"version":{"prerelease":"deny"}`)
	for version, want := range map[string]int{"1.0.0": 0, "1.0.0+b-1": 0, "1.0.0-rc.1": 1, "1.0.0-0+b": 1} {
		m := parse(t, `{"name":"a","version":"`+version+`","type":"extension"}`)
		if got := p.Admit(manifest.Case{Manifest: m, Action: "apply"}); len(got) != want {
			t.Errorf("%s: %v; want %d violations", version, got, want)
		}
	}
}

// Hints say what helps.
func TestHintsOfViolations(t *testing.T) {
	t.Parallel()
	freeze := `"freeze":[{"days":["sat"],"time_zone":"UTC","reason":"weekend"}]`
	for _, c := range []struct{ name, policy, action, want string }{
		{
			"older", `"version":{"downgrade":"deny"}`, "apply",
			"rollback_of (the earlier run that is to be applied again)",
		},
		{"frozen", freeze, "apply", "again then"},
		{"frozen rollback", freeze, "rollback", "name the incident or change as reference"},
		{
			"closed to rollbacks", strings.Replace(freeze, `"reason"`, `"rollback":"deny","reason"`, 1), "rollback",
			"closed to rollbacks too",
		},
	} {
		m := parse(t, `{"name":"a","version":"1.0.0","type":"extension"}`)
		got := policy(t, c.policy).Admit(manifest.Case{
			Manifest: m, Action: c.action, Now: at("2026-11-21T12:00:00Z"), Current: "2.0.0",
		})
		if len(got) != 1 || !strings.Contains(got[0].Hint, c.want) {
			t.Errorf("%s: %+v; want a hint with %q", c.name, got, c.want)
		}
	}
}

// Build metadata says nothing of what is newer.
func TestDowngradeIgnoresBuildMetadata(t *testing.T) {
	t.Parallel()
	p := policy(t, `"version":{"downgrade":"deny"}`)
	m := parse(t, `{"name":"a","version":"1.0.0+a","type":"extension"}`)
	if got := p.Admit(manifest.Case{Manifest: m, Action: "apply", Current: "1.0.0+b"}); got != nil {
		t.Errorf("violations %v", got)
	}
}

func TestGroupFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ policy, set, want string }{
		{`"description":"d"`, "FR", ""},
		{`"concurrency":{"group":"erp"}`, "FR", "erp"},
		{`"concurrency":{"group":"erp-{set}"}`, "FR", "erp-FR"},
		{`"concurrency":{"group":"erp-{set}"}`, "", "erp-"},
		{`"concurrency":{"group":"{set}"}`, "", ""},
	} {
		if got := policy(t, c.policy).GroupFor(c.set); got != c.want {
			t.Errorf("%s: the group of %q is %q; want %q", c.policy, c.set, got, c.want)
		}
	}
}

func at(text string) time.Time {
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return moment
}

func TestFreezeWindows(t *testing.T) {
	t.Parallel()
	const berlin = `"time_zone":"Europe/Berlin","reason":"close"`
	for _, c := range []struct {
		name, window string
		open, closed []string // moments
	}{
		{
			"once", `{"from":"2026-12-24T18:00","until":"2027-01-02T06:00",` + berlin + `}`,
			[]string{"2026-12-24T17:00:00Z", "2027-01-02T04:59:59Z"},
			[]string{"2026-12-24T16:59:59Z", "2027-01-02T05:00:00Z"},
		},
		{
			"in summer the offset differs", `{"from":"2026-07-01T00:00","until":"2026-07-02T00:00",` + berlin + `}`,
			[]string{"2026-06-30T22:00:00Z"},
			[]string{"2026-07-01T22:00:00Z"},
		},
		// On 25 October 2026 the clocks of Berlin go from 03:00 CEST back to 02:00 CET.
		{
			"the hour that occurs twice, to its second end",
			`{"from":"2026-10-24T00:00","until":"2026-10-25T02:30",` + berlin + `}`,
			[]string{"2026-10-25T00:30:00Z", "2026-10-25T01:29:59Z"},
			[]string{"2026-10-25T01:30:00Z"},
		},
		{
			"the hour that occurs twice, from its first",
			`{"from":"2026-10-25T02:30","until":"2026-10-26T00:00",` + berlin + `}`,
			[]string{"2026-10-25T00:30:00Z", "2026-10-25T01:10:00Z"},
			[]string{"2026-10-25T00:29:59Z"},
		},
		// On 28 March 2027 they go from 02:00 CET on to 03:00 CEST.
		{
			"the hour that is skipped", `{"from":"2027-03-28T02:30","until":"2027-03-28T04:00",` + berlin + `}`,
			[]string{"2027-03-28T01:00:00Z"},
			[]string{"2027-03-28T00:59:59Z", "2027-03-28T02:00:00Z"},
		},
		{
			"weekends", `{"days":["sat","sun"],` + berlin + `}`,
			[]string{"2026-11-20T23:00:00Z", "2026-11-22T22:59:59Z"},
			[]string{"2026-11-20T22:59:59Z", "2026-11-22T23:00:00Z"},
		},
		{
			"evenings past midnight", `{"days":["fri"],"from":"18:00","until":"06:00",` + berlin + `}`,
			[]string{"2026-11-20T17:00:00Z", "2026-11-21T04:59:59Z"},
			[]string{"2026-11-20T16:59:59Z", "2026-11-21T05:00:00Z", "2026-11-20T04:00:00Z"},
		},
		{
			"until midnight", `{"days":["fri"],"from":"18:00","until":"24:00",` + berlin + `}`,
			[]string{"2026-11-20T22:59:59Z"},
			[]string{"2026-11-20T23:00:00Z"},
		},
		{
			"far east", `{"days":["sat"],"time_zone":"Pacific/Kiritimati","reason":"r"}`,
			[]string{"2026-11-20T10:00:00Z"},
			[]string{"2026-11-20T09:59:59Z", "2026-11-21T10:00:00Z"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := policy(t, `"freeze":[`+c.window+`]`)
			m := parse(t, `{"name":"a","version":"1.0.0","type":"extension"}`)
			frozen := func(moment string) bool {
				return len(p.Admit(manifest.Case{Manifest: m, Action: "apply", Now: at(moment)})) > 0
			}
			for _, moment := range c.open {
				if !frozen(moment) {
					t.Errorf("%s is not frozen", moment)
				}
			}
			for _, moment := range c.closed {
				if frozen(moment) {
					t.Errorf("%s is frozen", moment)
				}
			}
		})
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(`{"environment":"prod","require":{"/a/0":true,"/owner":"x"},` +
		`"freeze":[{"days":["sat"],"time_zone":"Europe/Berlin","reason":"r","from":"22:00","until":"02:00"}]}`))
	f.Add([]byte(`{"environment":"prod","concurrency":{"group":"erp-{set}"},` +
		`"freeze":[{"days":["sun"],"time_zone":"America/Santiago","reason":"r","rollback":"deny"}],` +
		`"require":{"/labels":true}}`))
	f.Add([]byte("{\"environment\":\"prod\"}\f"))
	f.Add([]byte(`{"environment":"prod","object_name":"{name}","actions":{"event":[]},"secrets":["*"]}`))
	m, err := manifest.Parse([]byte(everything))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := manifest.ParsePolicy(doc, "prod")
		if err != nil {
			for _, line := range found(err) {
				if !strings.HasPrefix(line, "policy.unavailable") {
					t.Fatalf("problem %s", line)
				}
			}
			return
		}
		broken := p.Admit(manifest.Case{
			Manifest: m, Object: "a.zip", Action: "apply", Kind: "event", Now: at("2026-11-21T12:00:00Z"),
			Current: "2.0.0", Seen: "h1:x",
		})
		encodes(t, evidence.Result{
			Policy: evidence.Policy{Violations: broken}, Error: &evidence.Error{Problems: broken},
		})
		for _, v := range broken {
			if !strings.HasPrefix(v.Code, "policy.") {
				t.Fatalf("violation %+v", v)
			}
		}
	})
}
