package intake_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
)

// What the state bucket keeps of a request means the same execution when it is read back.
func TestARequestIsReadBack(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	q := intake.Request{
		Namespace: "n", Bucket: "packages", Object: "in/ä b.zip", ETag: "e", VersionID: "v", Action: intake.ActionCheck,
		Parameters: map[string]json.RawMessage{"LEDGER": json.RawMessage(`1.0`)}, ParameterSet: "FR",
		OncePer: time.Hour, RequestID: "id", OnEvent: true, Reason: "because", Reference: "CHG1",
		Back: intake.Back{RollbackOf: "run-1", Force: true},
		Trigger: intake.Trigger{
			Kind: intake.TriggerEvent, EventID: "id", EventTime: at, Raw: json.RawMessage(`{"a":1}`),
		},
		Caller: intake.Caller{RequestedBy: []evidence.Requester{{Subject: "alice", Source: "token"}}},
		Fixed:  intake.Fixed{Slot: "slot", Created: at, VersionNamed: true, Parent: "key-1"},
	}
	doc, err := q.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var got intake.Request
	if err := json.Unmarshal(doc, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(q, got); diff != "" || q.Key("test") != got.Key("test") {
		t.Errorf("keys %s and %s; (-want +got):\n%s", q.Key("test"), got.Key("test"), diff)
	}
}

// What one invocation knows of a request, and how the function asks itself, is not kept.
func TestWhatIsNotKept(t *testing.T) {
	t.Parallel()
	q := intake.Request{Bucket: "b", Object: "o", Verdict: true, Continue: "key-1"}
	q.CallID, q.Progress = "call", intake.Progress{Pinned: "sha", ForSet: true, Continued: true}
	doc, err := q.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"bucket":"b","object":"o","trigger":{"kind":""}}`, string(doc)); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
}

// What is asked for again on purpose is told apart; deliveries of one event, and runs within one slot, are not.
func TestOccurrence(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 40, 7, 0, time.FixedZone("CET", 3600))
	back := func(q intake.Request) intake.Request { q.RerunOf = "run-1"; return q }
	for name, c := range map[string]struct {
		request intake.Request
		want    string
	}{
		"an upload":            {intake.Request{Reason: "r"}, ""},
		"a request id":         {intake.Request{RequestID: "a"}, `["request_id","a"]`},
		"an hour":              {intake.Request{OncePer: time.Hour}, "once_per 2026-03-01T11:00:00Z"},
		"a slot that is fixed": {intake.Request{OncePer: time.Hour, Fixed: intake.Fixed{Slot: "before"}}, "before"},
		"an event": {
			intake.Request{OnEvent: true, RequestID: "a", Trigger: intake.Trigger{EventID: "e"}}, `["event","e"]`,
		},
		"back":       {back(intake.Request{Reason: "r"}), `["rerun_of","run-1","reason","r"]`},
		"back by id": {back(intake.Request{Reason: "r", RequestID: "a"}), `["rerun_of","run-1","request_id","a"]`},
		"back, force": {
			back(intake.Request{Reason: "r", Back: intake.Back{Force: true}}),
			`["rerun_of","run-1","reason","r","force"]`,
		},
	} {
		if got := c.request.Occurrence(at); got != c.want {
			t.Errorf("%s: %q; want %q", name, got, c.want)
		}
	}
	if a, b := intake.Occasion("a", "b"), intake.Occasion(`a","b`); a == b {
		t.Errorf("two lists of words look alike: %s", a)
	}
}

// A request goes back in one of three ways, and names the run with it.
func TestTheWayBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		back     intake.Back
		way, run string
	}{
		{intake.Back{RerunOf: "a"}, "rerun_of", "a"},
		{intake.Back{ResumeFrom: "b"}, "resume_from", "b"},
		{intake.Back{RollbackOf: "c"}, "rollback_of", "c"},
	} {
		q := intake.Request{Back: c.back}
		if q.WayBack() != c.way || q.PreviousRun() != c.run || !q.GoesBack() {
			t.Errorf("%+v: %s %s, %t", c.back, q.WayBack(), q.PreviousRun(), q.GoesBack())
		}
	}
	if (intake.Request{}).GoesBack() {
		t.Error("a request that names no run goes back")
	}
}

// An event starts one run whatever version of the object is there; anybody else's request is of one version.
func TestKeysOfWhatAnEventStarts(t *testing.T) {
	t.Parallel()
	key := func(onEvent bool, etag string) string {
		q := intake.Request{Bucket: "b", Object: "o", ETag: etag, OnEvent: onEvent, Fixed: intake.Fixed{Slot: "s"}}
		return q.Key("test")
	}
	if key(true, "e1") != key(true, "e2") || key(false, "e1") == key(false, "e2") {
		t.Errorf("of an event %s and %s, else %s and %s",
			key(true, "e1"), key(true, "e2"), key(false, "e1"), key(false, "e2"))
	}
}

// A request whose parts contradict each other is refused, with every reason.
func TestConsistent(t *testing.T) {
	t.Parallel()
	because := "because"
	for name, c := range map[string]struct {
		request intake.Request
		where   string // of all problems
	}{
		"an upload": {intake.Request{}, ""},
		"a rollback": {
			intake.Request{Action: intake.ActionRollback, Reason: because, Back: intake.Back{RollbackOf: "r"}}, "",
		},
		"a rollback of nothing": {intake.Request{Action: intake.ActionRollback}, "/rollback_of"},
		"two ways": {
			intake.Request{Reason: because, Back: intake.Back{RerunOf: "a", ResumeFrom: "b"}}, "/resume_from",
		},
		"regularly back": {
			intake.Request{OncePer: time.Hour, Reason: because, Back: intake.Back{RerunOf: "a"}}, "/once_per",
		},
		"again without a reason":  {intake.Request{Back: intake.Back{RerunOf: "a"}}, "/reason"},
		"a reason nobody can see": {intake.Request{Reason: " \u200b", Back: intake.Back{RerunOf: "a"}}, "/reason"},
		"back without a reason":   {intake.Request{Back: intake.Back{RollbackOf: "a"}}, "/reason"},
		"resumes":                 {intake.Request{Action: intake.ActionApply, Back: intake.Back{ResumeFrom: "a"}}, ""},
		"resumes a dry run": {
			intake.Request{Action: intake.ActionDryRun, Back: intake.Back{ResumeFrom: "a"}}, "/resume_from",
		},
		"undoes by a check": {
			intake.Request{Action: intake.ActionCheck, Reason: because, Back: intake.Back{RollbackOf: "a"}},
			"/rollback_of",
		},
		"force without a reason": {intake.Request{Back: intake.Back{Force: true}}, "/reason"},
		"several things are wrong": {
			intake.Request{OncePer: 1, Back: intake.Back{RerunOf: "a", RollbackOf: "b"}},
			"/resume_from /once_per /reason /reason",
		},
	} {
		var where []string
		if err := c.request.Consistent(); err != nil {
			for _, p := range problem.Of(err, problem.Problem{}).Problems {
				if p.Code != "trigger.value" || p.Hint == "" {
					t.Errorf("%s: %+v", name, p)
				}
				where = append(where, p.Where)
			}
		}
		if diff := cmp.Diff(c.where, strings.Join(where, " ")); diff != "" {
			t.Errorf("%s: places (-want +got):\n%s", name, diff)
		}
	}
}

// A name that evidence could not show as it is cannot be a package's; the refusal shows it with escapes.
func TestNamesThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]bool{
		"a.zip": false, "in/ä b.zip": false, "": true, "/x.zip": true, "a//b.zip": true, "../c.zip": true,
		"tab\t.zip": true, "a\u202epiz.zip": true, "\u0085.zip": true, strings.Repeat("x", 1025): true,
	} {
		err := intake.CheckName(name)
		if (err != nil) != refused || (intake.CheckObject(name) != nil) != refused {
			t.Errorf("%.20q: %v; refused %t", name, err, refused)
		}
		if !refused {
			continue
		}
		p := problem.Of(err, problem.Problem{}).Problems[0]
		shown := len(p.Where) < 1000 && !strings.ContainsFunc(p.Where, evidence.Deceptive)
		if p.Code != "trigger.object" || p.Hint == "" || !shown {
			t.Errorf("%.20q: %+v", name, p)
		}
	}
}

// Values are read as the manifest will compare them; each one that is none is a problem with its name.
func TestInputs(t *testing.T) {
	t.Parallel()
	q := intake.Request{ParameterSet: "FR"}
	q.Parameters = map[string]json.RawMessage{"A": []byte(`1.50`), "B": []byte(`"x"`)}
	in, err := q.Inputs("prod")
	if err != nil || in.Environment != "prod" || in.Set != "FR" {
		t.Errorf("%+v, %v", in, err)
	}
	got := map[string]string{}
	for name, value := range in.Parameters {
		got[name] = value.Text()
	}
	if diff := cmp.Diff(map[string]string{"A": "1.50", "B": "x"}, got); diff != "" {
		t.Error("values (-want +got):\n" + diff)
	}
	q.Parameters = map[string]json.RawMessage{"A": []byte(`[1]`), "B": []byte(`null`), "C": []byte(`1`)}
	_, err = q.Inputs("prod")
	var where []string
	for _, p := range problem.Of(err, problem.Problem{}).Problems {
		where = append(where, p.Code+" "+p.Where)
	}
	if diff := cmp.Diff([]string{"trigger.parameter A", "trigger.parameter B"}, where); diff != "" {
		t.Error("problems (-want +got):\n" + diff)
	}
}
