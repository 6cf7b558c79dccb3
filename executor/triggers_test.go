package executor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"cemli-executor/executor"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

const rotated = "com.oraclecloud.vaultsecret.createsecretversion"

// rotation is the event of a new version of a secret.
func rotation(id string) (executor.Event, executor.Request) {
	raw := fmt.Sprintf(`{"eventType":%q,"cloudEventsVersion":"0.1","eventID":%q,"data":{"resourceName":"erp-db",`+
		`"resourceId":"ocid1.vaultsecret.x"}}`, rotated, id)
	return executor.Event{Type: rotated, Names: []string{"erp-db", "ocid1.vaultsecret.x"}},
		executor.Request{
			Trigger: executor.Trigger{
				Kind: executor.TriggerCloudEvent, EventID: id, EventType: rotated, Raw: []byte(raw),
			},
		}
}

// triggering is a policy with triggers of the rotation, and other members.
func triggering(members string, packages ...string) *executor.Policy {
	var entries []string
	for _, p := range packages {
		object, parameters, _ := strings.Cut(p, " ")
		if parameters != "" {
			parameters = `,"parameters":` + parameters
		}
		entries = append(entries,
			fmt.Sprintf(`{"event_type":%q,"resource":"erp-*","object":%q%s}`, rotated, object, parameters))
	}
	return executor.InlinePolicy("inline",
		[]byte(`{"environment":"test","triggers":[`+strings.Join(entries, ",")+`]`+members+`}`))
}

// triggered takes an event to the results of what it starts.
func (b *bench) triggered(event executor.Event, arrived executor.Request) []evidence.Result {
	b.t.Helper()
	results, err := b.tried(event, arrived)
	if err != nil {
		b.t.Fatal(err)
	}
	return results
}

func (b *bench) tried(event executor.Event, arrived executor.Request) (results []evidence.Result, err error) {
	b.t.Helper()
	e := executor.New(b.config)
	requests, err := e.Triggered(b.t.Context(), event, arrived)
	for _, q := range requests {
		var list []evidence.Result
		list, err = e.RunTriggered(b.t.Context(), q)
		results = append(results, list...)
	}
	return results, err
}

// rotated delivers the event of a rotation.
func (b *bench) rotated(id string) []evidence.Result {
	b.t.Helper()
	return b.triggered(rotation(id))
}

// rotates is a package that may run again, with a parameter.
func rotates(script string) files {
	return files{
		"manifest.json": manifestWith(`"idempotent":true,"parameters":{"WHO":{"type":"string","default":"nobody"}}`),
		"steps/run.sh":  script,
	}
}

// nothingOpen fails if anything is left of what was accepted.
func (b *bench) nothingOpen() {
	b.t.Helper()
	if marks := b.stateNames("open/"); len(marks) > 0 {
		b.t.Errorf("left open: %v", marks)
	}
}

// A rotation starts one run however often its event is delivered, and the next rotation another.
func TestAnEventStartsOneRun(t *testing.T) {
	b := newBench(t)
	b.config.Policy = triggering("", `sample-1.0.0.zip {"WHO":"rotation"}`)
	b.upload("sample-1.0.0.zip", pack(t, rotates("echo $CEMLI_PARAM_WHO")), store.PutOptions{
		Metadata: map[string]string{"cemli-action": "check"},
	})
	first := b.rotated("event-1")[0]
	r := b.stored(first.RunID)
	if r.Status != evidence.StatusSuccess || r.Execution.Stdout != "rotation\n" || r.Action != "apply" ||
		first.Duplicate {
		t.Fatalf("status %s, %s, action %s, stdout %q", r.Status, r.Message, r.Action, r.Execution.Stdout)
	}
	if tr := r.Trigger; tr.Kind != "event" || tr.EventID != "event-1" || tr.EventType != rotated ||
		!strings.Contains(string(tr.Raw), `"erp-db"`) {
		t.Errorf("trigger %+v", tr)
	}
	for range 2 {
		if again := b.rotated("event-1")[0]; again.RunID != first.RunID || !again.Duplicate ||
			again.Status != evidence.StatusSuccess {
			t.Errorf("delivered again: run %s, %s, duplicate %t", again.RunID, again.Status, again.Duplicate)
		}
	}
	if second := b.rotated("event-2")[0]; second.RunID == first.RunID || second.Status != evidence.StatusSuccess {
		t.Errorf("the next rotation: run %s, %s", second.RunID, second.Status)
	}
	if n := b.resultsStored(); n != 2 {
		t.Errorf("%d results", n)
	}
	b.nothingOpen()
}

// Also where the package has been replaced, or deleted, between two deliveries.
func TestAnEventStartsOneRunWhateverBecomesOfThePackage(t *testing.T) {
	b := newBench(t)
	b.config.Policy = triggering("", "sample-1.0.0.zip")
	b.upload("sample-1.0.0.zip", pack(t, rotates("echo first")), store.PutOptions{})
	first := b.rotated("event-1")[0]
	b.upload("sample-1.0.0.zip", pack(t, rotates("echo second")), store.PutOptions{})
	if again := b.rotated("event-1")[0]; again.RunID != first.RunID || !again.Duplicate {
		t.Errorf("after it was replaced: run %s, %s, duplicate %t", again.RunID, again.Status, again.Duplicate)
	}
	if n := b.resultsStored(); n != 1 {
		t.Errorf("%d results", n)
	}

	b.remove("sample-1.0.0.zip")
	absent := b.rotated("event-2")[0]
	if r := b.stored(absent.RunID); code(r) != "trigger.absent" || r.Status != evidence.StatusRejected {
		t.Errorf("without the package: %s, %+v", r.Status, r.Error)
	}
	if again := b.rotated("event-2")[0]; again.RunID != absent.RunID || !again.Duplicate {
		t.Errorf("once more: run %s, duplicate %t", again.RunID, again.Duplicate)
	}
	b.upload("sample-1.0.0.zip", pack(t, rotates("echo third")), store.PutOptions{})
	if again := b.rotated("event-2")[0]; again.RunID != absent.RunID || !again.Duplicate {
		t.Errorf("once it is there: run %s, duplicate %t", again.RunID, again.Duplicate)
	}
	b.nothingOpen()
}

// Where the executor has died on the first delivery, the next goes on with its bytes, if it had begun, and with what is
// there now, if it had not.
func TestAnEventGoesOnAfterADeath(t *testing.T) {
	here(t, "the mailbox has all of what the steps did")
	for state, want := range map[claim.State]string{claim.Running: "first\n", claim.Claimed: "second\n"} {
		b := newBench(t)
		b.record()
		b.config.Policy = triggering("", "sample-1.0.0.zip")
		b.upload("sample-1.0.0.zip", pack(t, rotates("echo first")), store.PutOptions{})
		first := b.rotated("event-1")[0]
		b.leave(first, state)
		b.upload("sample-1.0.0.zip", pack(t, rotates("echo second")), store.PutOptions{})
		again := b.rotated("event-1")[0]
		r := b.stored(again.RunID)
		if r.Status != evidence.StatusSuccess || again.Duplicate || r.Execution.Stdout != want ||
			(state == claim.Running) != (r.Attempt == 2 && r.PreviousRunID == first.RunID) {
			t.Errorf("%s: status %s, %s, attempt %d, stdout %q", state, r.Status, r.Message, r.Attempt,
				r.Execution.Stdout)
		}
		if third := b.rotated("event-1")[0]; third.RunID != again.RunID || !third.Duplicate {
			t.Errorf("%s: delivered once more: run %s, duplicate %t", state, third.RunID, third.Duplicate)
		}
	}
}

// With parameter sets too: a second delivery is answered with what came of each.
func TestAnEventStartsEverySet(t *testing.T) {
	b := newBench(t)
	b.config.Policy = triggering("", "sample-1.0.0.zip")
	contents := func(script string) []byte {
		return pack(t, files{
			"manifest.json": manifestWith(`"idempotent":true,"parameters":{"WHO":{"type":"string"}},` +
				`"parameter_sets":{"DE":{"WHO":"de"},"FR":{"WHO":"fr"}}`), "steps/run.sh": script,
		})
	}
	b.upload("sample-1.0.0.zip", contents("echo one"), store.PutOptions{})
	first := b.rotated("event-1")
	b.upload("sample-1.0.0.zip", contents("echo two"), store.PutOptions{})
	again := b.rotated("event-1")
	if len(first) != 2 || len(again) != 2 {
		t.Fatalf("%d results, then %d", len(first), len(again))
	}
	for i := range first {
		if first[i].Status != evidence.StatusSuccess || again[i].RunID != first[i].RunID || !again[i].Duplicate {
			t.Errorf("set %s: %s, then run %s instead of %s", first[i].ParameterSet, first[i].Status, again[i].RunID,
				first[i].RunID)
		}
	}
	if n := b.resultsStored(); n != 2 {
		t.Errorf("%d results", n)
	}
}

// An event starts every entry that names it, each as a request of its own.
func TestAnEventStartsEveryEntryThatNamesIt(t *testing.T) {
	b := newBench(t)
	b.config.Policy = triggering("", `sample-1.0.0.zip {"WHO":"one"}`, `other-1.0.0.zip`,
		`sample-1.0.0.zip {"WHO":"two"}`)
	b.upload("sample-1.0.0.zip", pack(t, rotates("echo $CEMLI_PARAM_WHO")), store.PutOptions{})
	b.upload("other-1.0.0.zip", pack(t, files{
		"manifest.json": strings.Replace(manifestJSON, "sample", "other", 1), "steps/run.sh": "echo other",
	}), store.PutOptions{})
	var printed []string
	for _, r := range b.rotated("event-1") {
		printed = append(printed, strings.TrimSpace(r.Execution.Stdout))
	}
	if strings.Join(printed, " ") != "one other two" {
		t.Errorf("printed %q", printed)
	}
	for _, r := range b.rotated("event-1") {
		if !r.Duplicate {
			t.Errorf("%s ran twice", r.SourceObject)
		}
	}
}

// What no trigger names starts nothing, whatever it lacks; what one names has to be whole.
func TestEventsThatStartNothing(t *testing.T) {
	invalid := problem.New(problem.Problem{Code: "trigger.event", Message: "it has no id"}, nil)
	named, arrived := rotation("event-1")
	other, broken, brokenOther := named, named, executor.Event{
		Type: "com.oraclecloud.computeapi.launchinstance", Invalid: invalid,
	}
	other.Names, broken.Invalid = []string{"bank"}, invalid
	for _, c := range []struct {
		name   string
		policy *executor.Policy
		event  executor.Event
		want   error
	}{
		{"no policy", nil, named, nil},
		{"no triggers", executor.InlinePolicy("inline", []byte(`{"environment":"test"}`)), named, nil},
		{"another resource", triggering("", "sample-1.0.0.zip"), other, nil},
		{"broken, of another type", triggering("", "sample-1.0.0.zip"), brokenOther, nil},
		{"broken", triggering("", "sample-1.0.0.zip"), broken, invalid},
	} {
		b := newBench(t)
		b.config.Policy = c.policy
		b.upload("sample-1.0.0.zip", pack(t, rotates("echo ran")), store.PutOptions{})
		results, err := b.tried(c.event, arrived)
		if !errors.Is(err, c.want) || len(results) != 0 || b.resultsStored() != 0 {
			t.Errorf("%s: %d results, %v", c.name, len(results), err)
		}
		b.nothingOpen()
	}
}

// Without a policy that can be understood nobody knows whether an event is to start something: it has to come again.
func TestAnEventUnderAPolicyThatIsUnavailable(t *testing.T) {
	for name, policy := range map[string]*executor.Policy{
		"unreadable": {Source: "policies/p.json", Read: func(context.Context) ([]byte, error) {
			return nil, store.Error(store.ErrUnavailable, "read", "policies", "p.json", nil)
		}},
		"missing": {Source: "policies/p.json", Read: func(context.Context) ([]byte, error) {
			return nil, store.Error(store.ErrNotFound, "read", "policies", "p.json", nil)
		}},
		"invalid":   executor.InlinePolicy("inline", []byte(`{"environment":"test","triggers":[{}]}`)),
		"another's": executor.InlinePolicy("inline", []byte(`{"environment":"prod"}`)),
	} {
		b := newBench(t)
		b.upload("sample-1.0.0.zip", pack(t, rotates("echo ran")), store.PutOptions{})
		b.config.Policy = policy
		event, arrived := rotation("event-1")
		results, err := b.tried(event, arrived)
		if problem.CodeOf(err) != "policy.unavailable" || len(results) != 0 || b.resultsStored() != 0 {
			t.Errorf("%s: %d results, %v", name, len(results), err)
		}
		b.config.Policy = triggering("", "sample-1.0.0.zip")
		if r := b.rotated("event-1")[0]; r.Status != evidence.StatusSuccess || r.Duplicate {
			t.Errorf("%s: once it is mended: %s", name, r.Status)
		}
	}
}

// The policy is asked as for an upload: a freeze holds, and what a form of request may ask for.
func TestThePolicyHoldsForWhatAnEventStarts(t *testing.T) {
	for members, want := range map[string]string{
		`,"freeze":[{"days":["mon","tue","wed","thu","fri","sat","sun"],` +
			`"time_zone":"UTC","reason":"closed"}]`: "policy.freeze",
		`,"actions":{"request":["apply"]}`:              "policy.action",
		`,"actions":{"event":["check"]}`:                "policy.action",
		`,"actions":{"event":["apply"]}`:                "",
		`,"actions":{"cloud_event":["apply"]}`:          "policy.action", // it is of the kind event, however it came
		`,"types":["localization"]`:                     "policy.type",
		`,"require":{"/change_ticket":"^CHG[0-9]{7}$"}`: "policy.require",
	} {
		b := newBench(t)
		b.config.Policy = triggering(members, "sample-1.0.0.zip")
		b.upload("sample-1.0.0.zip", pack(t, rotates("echo ran")), store.PutOptions{})
		first := b.rotated("event-1")[0]
		r := b.stored(first.RunID)
		if code(r) != want || r.Execution.Ran != (want == "") {
			t.Errorf("%s: %s, %+v", members, r.Status, r.Error)
		}
		if again := b.rotated("event-1")[0]; again.RunID != first.RunID || b.resultsStored() != 1 {
			t.Errorf("%s: delivered again: run %s, %d results", members, again.RunID, b.resultsStored())
		}
	}
}

// A package that may not run again is skipped by the next event, and the answer says what it wants.
func TestWhatEventsStartWantsRepeats(t *testing.T) {
	b := newBench(t)
	b.config.Policy = triggering("", "sample-1.0.0.zip")
	b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
	first := b.rotated("event-1")[0]
	second := b.rotated("event-2")[0]
	if second.Status != evidence.StatusSkipped || second.PreviousRunID != first.RunID ||
		!strings.Contains(second.Message, `"idempotent": true`) || !strings.Contains(second.Message, "allows repeat") {
		t.Errorf("status %s, %s", second.Status, second.Message)
	}
	b.config.Policy = triggering(`,"version":{"repeat":"allow"}`, "sample-1.0.0.zip")
	if third := b.rotated("event-3")[0]; third.Status != evidence.StatusSuccess {
		t.Errorf("with repeat: %s, %s", third.Status, third.Message)
	}
}

// What was accepted is not lost when the invocation dies before it has looked at the package, or the store fails: a
// sweep goes on with it, and a later delivery finds that.
func TestAnEventThatWasAcceptedIsNotLost(t *testing.T) {
	b := newBench(t)
	b.config.Policy = triggering("", "sample-1.0.0.zip")
	b.upload("sample-1.0.0.zip", pack(t, rotates("echo ran")), store.PutOptions{})
	event, arrived := rotation("event-1")
	if _, err := executor.New(b.config).Triggered(t.Context(), event, arrived); err != nil {
		t.Fatal(err)
	}
	swept := b.sweep()
	var ran []executor.SweptRun
	for _, r := range swept.Runs {
		if r.Object == "sample-1.0.0.zip" && b.stored(r.RunID).Trigger.EventID == "event-1" {
			ran = append(ran, r)
		}
	}
	if len(ran) != 1 || ran[0].Status != evidence.StatusSuccess {
		t.Fatalf("swept %+v", swept)
	}
	if again := b.triggered(event, arrived)[0]; again.RunID != ran[0].RunID || !again.Duplicate {
		t.Errorf("delivered again: run %s, duplicate %t", again.RunID, again.Duplicate)
	}
	b.nothingOpen()

	good := b.config.Packages
	b.config.Packages = &unread{Bucket: good}
	event, arrived = rotation("event-2")
	if _, err := b.tried(event, arrived); problem.CodeOf(err) != "store.unavailable" {
		t.Errorf("with a store that fails: %v", err)
	}
	b.config.Packages = good
	if swept := b.sweep(); len(swept.Runs) != 1 || swept.Runs[0].Status != evidence.StatusSuccess {
		t.Errorf("swept %+v", swept)
	}
	b.nothingOpen()
}

// Also where it fails once the request is claimed: under both of its marks the sweep finds one run.
func TestAnEventWhoseRunIsPutOffIsNotLost(t *testing.T) {
	b := newBench(t)
	b.config.Policy = triggering("", "sample-1.0.0.zip")
	b.upload("sample-1.0.0.zip", pack(t, rotates("echo ran")), store.PutOptions{})
	b.sweep() // the upload's own run
	state := b.config.State
	b.config.State = faulty{Bucket: state, put: func(name string) error {
		if strings.HasPrefix(name, "groups/") {
			return store.Error(store.ErrUnavailable, "put", "state", name, nil)
		}
		return nil
	}}
	if _, err := b.tried(rotation("event-1")); problem.CodeOf(err) != "store.unavailable" {
		t.Errorf("with a store that fails: %v", err)
	}
	b.config.State = state
	before := b.resultsStored()
	b.sweep()
	if n := b.resultsStored() - before; n != 1 {
		t.Errorf("%d results", n)
	}
	if again := b.rotated("event-1")[0]; !again.Duplicate || again.Status != evidence.StatusSuccess {
		t.Errorf("delivered again: %s, duplicate %t", again.Status, again.Duplicate)
	}
	b.nothingOpen()
}

// unread is a bucket whose objects cannot be read for now.
type unread struct{ store.Bucket }

func (u *unread) Get(_ context.Context, name string, _ store.GetOptions) (io.ReadCloser, store.Info, error) {
	return nil, store.Info{}, store.Error(store.ErrUnavailable, "read", u.Name(), name, nil)
}

// An uploader's event and the one of a trigger are requests of their own.
func TestUploadAndTriggerAreTwoRequests(t *testing.T) {
	b := newBench(t)
	b.config.Policy = triggering("", "sample-1.0.0.zip")
	info := b.upload("sample-1.0.0.zip", pack(t, rotates("echo ran")), store.PutOptions{})
	uploaded := b.again(event(info.Name, info.ETag))
	if r := b.rotated("event-1")[0]; r.RunID == uploaded.RunID || r.Duplicate || r.Status != evidence.StatusSuccess {
		t.Errorf("run %s, %s", r.RunID, r.Status)
	}
	if again := b.again(event(info.Name, info.ETag)); again.RunID != uploaded.RunID {
		t.Errorf("the upload ran again, as %s", again.RunID)
	}
}

// What an event starts costs three requests to the state bucket more than an upload.
func TestRequestsOfWhatAnEventStarts(t *testing.T) {
	b := newBench(t)
	b.config.Policy = triggering("", "sample-1.0.0.zip")
	b.sweep() // it begins the watch
	b.upload("sample-1.0.0.zip", pack(t, files{"steps/1.sh": "true", "steps/2.sh": "true"}), store.PutOptions{})
	var requests []string
	b.config.State = counter{b.state, &requests}
	if r := b.rotated("event-1")[0]; r.Status != evidence.StatusSuccess || len(requests) > 11+2+3 {
		t.Errorf("status %s; %d requests:\n%s", r.Status, len(requests), strings.Join(requests, "\n"))
	}
}

// The set that an uploader chooses by metadata is none of the event's: two deliveries would be two requests.
func TestAnEventStartsOneRunWhateverSetTheMetadataNames(t *testing.T) {
	b := newBench(t)
	b.config.Policy = triggering("", "sample-1.0.0.zip")
	zip := pack(t, files{
		"manifest.json": manifestWith(`"idempotent":true,"parameter_sets":{"DE":{},"FR":{}}`), "steps/run.sh": "true",
	})
	ran := map[string]bool{}
	for _, set := range []string{"DE", "FR"} {
		b.upload("sample-1.0.0.zip", zip, store.PutOptions{Metadata: map[string]string{"cemli-parameter-set": set}})
		for _, r := range b.rotated("event-1") {
			if r.Duplicate != (set == "FR") {
				t.Errorf("%s, duplicate %t", r.RunID, r.Duplicate)
			}
			ran[r.RunID] = true
		}
	}
	if len(ran) != 2 || b.resultsStored() != 2 {
		t.Errorf("%d runs of two sets", len(ran))
	}
}
