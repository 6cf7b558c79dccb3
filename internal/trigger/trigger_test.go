package trigger_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
	"cemli-executor/internal/trigger"
)

var buckets = trigger.Buckets{Packages: "packages", Results: "results", State: "state"}

// ociEvent is an event as Object Storage sends it; edits change its JSON text.
func ociEvent(edits ...string) string {
	doc := `{"eventType":"com.oraclecloud.objectstorage.createobject","cloudEventsVersion":"0.1","eventTypeVersion":"2.0",
"source":"ObjectStorage","eventTime":"2020-09-27T17:02:30Z","contentType":"application/json",
"data":{"compartmentId":"ocid1.compartment.oc1..a","compartmentName":"c","resourceName":"in/a.zip","resourceId":"/n/ns/b/packages/o/in/a.zip",
"availabilityDomain":"PHX-AD-1","freeformTags":{},"definedTags":{},
"additionalDetails":{"bucketName":"packages","versionId":"v1","archivalState":"Available","namespace":"ns","bucketId":"ocid1.bucket.oc1..b","eTag":"e1"}},
"eventID":"id-1","extensions":{"compartmentId":"ocid1.compartment.oc1..a"}}`
	return strings.NewReplacer(edits...).Replace(doc)
}

// message is a message of a stream, as Connector Hub delivers it.
func message(value string) string {
	return `{"stream":"uploads","partition":"0","key":null,"value":"` +
		base64.StdEncoding.EncodeToString([]byte(value)) + `","offset":52,"timestamp":1601226150000}`
}

const ceData = `{"resourceName":"in/a.zip","resourceId":"/n/ns/b/packages/o/in/a.zip",` +
	`"additionalDetails":{"bucketName":"packages","versionId":"v1","namespace":"ns","eTag":"e1"}}`

const structuredEvent = `{"specversion":"1.0","id":"id-1","source":"ObjectStorage",` +
	`"type":"com.oraclecloud.objectstorage.updateobject","time":"2020-09-27T17:02:30.123Z",` +
	`"datacontenttype":"application/json","data":` + ceData + `}`

// summary is an item in one line: the code, "ignored", or the object.
func summary(i trigger.Item) string {
	switch {
	case i.Err != nil:
		return problem.CodeOf(i.Err)
	case i.Ignored != "":
		return "ignored"
	}
	q := i.Request
	return fmt.Sprintf("%s %s/%s/%s @%s #%s", q.Trigger.Kind, q.Namespace, q.Bucket, q.Object, q.ETag, q.VersionID)
}

// An event that is not about an upload is recognised by its type, and says in every form what it is about.
func TestEventsAboutSomethingElse(t *testing.T) {
	t.Parallel()
	const secret = `{"resourceName":"erp-db","resourceId":"ocid1.vaultsecret.oc1.x","additionalDetails":7}`
	const oci = `{"cloudEventsVersion":"0.1","eventID":"id-1","source":"VaultSecret",` +
		`"eventType":"com.oraclecloud.vaultsecret.createsecretversion","eventTime":"2026-01-02T03:04:05Z","data":` +
		secret + `}`
	const structured = `{"specversion":"1.0","id":"id-1","source":"s",` +
		`"type":"com.oraclecloud.vaultsecret.createsecretversion","subject":"erp","data":` + secret + `}`
	binary := http.Header{
		"Ce-Specversion": {"1.0"}, "Ce-Id": {"id-1"}, "Ce-Source": {"s"},
		"Ce-Type": {"com.oraclecloud.vaultsecret.createsecretversion"}, "Content-Type": {"application/json"},
	}
	broken := binary.Clone()
	broken.Set("Ce-Time", "yesterday")
	for _, c := range []struct {
		name, body string
		header     http.Header
		names      string
		invalid    string // code
	}{
		{"OCI event", oci, nil, "erp-db ocid1.vaultsecret.oc1.x ocid1.vaultsecret.oc1.x", ""},
		{"CloudEvent", structured, nil, "erp-db ocid1.vaultsecret.oc1.x erp", ""},
		{"in binary mode", secret, binary, "erp-db ocid1.vaultsecret.oc1.x", ""},
		{"from a stream", message(oci), nil, "erp-db ocid1.vaultsecret.oc1.x ocid1.vaultsecret.oc1.x", ""},
		{"without data", strings.Replace(structured, `,"data":`+secret, "", 1), nil, "erp", ""},
		{"about nothing that has a name", strings.Replace(oci, secret, `{"resourceName":null}`, 1), nil, "", ""},
		{"without id", strings.Replace(oci, `"eventID":"id-1",`, "", 1), nil, "", "trigger.event"},
		{"without source", strings.Replace(oci, `"source":"VaultSecret",`, "", 1), nil, "", "trigger.event"},
		{"with another time", strings.Replace(oci, "2026-01-02", "yesterday", 1), nil, "", "trigger.event"},
		{"in binary mode, with another time", secret, broken, "", "trigger.event"},
		{"of a long name", strings.Replace(oci, "erp-db", strings.Repeat("x", 1025), 1), nil, "", "trigger.value"},
		{"of a name that is no text", strings.Replace(oci, `"erp-db"`, "[]", 1), nil, "", "trigger.event"},
	} {
		call, err := trigger.Decode([]byte(c.body), c.header, buckets)
		if err != nil || len(call.Items) != 1 || call.Items[0].Event == nil || call.Items[0].Ignored == "" ||
			call.Items[0].Err != nil {
			t.Errorf("%s: %+v, %v", c.name, call, err)
			continue
		}
		item := call.Items[0]
		if e := item.Event; e.Type != "com.oraclecloud.vaultsecret.createsecretversion" ||
			problem.CodeOf(e.Invalid) != c.invalid || c.invalid == "" && strings.Join(e.Names, " ") != c.names {
			t.Errorf("%s: %+v", c.name, e)
		}
		q := item.Request
		if c.invalid == "" && (q.Trigger.EventID != "id-1" || q.Trigger.Raw == nil || q.Object != "") {
			t.Errorf("%s: request %+v", c.name, q)
		}
	}
	for _, body := range []string{ociEvent(), structuredEvent, `{"object":"a.zip"}`, ociEvent("a.zip", "a.txt")} {
		if call, err := trigger.Decode([]byte(body), nil, buckets); err != nil || call.Items[0].Event != nil {
			t.Errorf("%s: %+v, %v", body, call, err)
		}
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	const fromOCI = "event ns/packages/in/a.zip @e1 #v1"
	for _, c := range []struct{ name, body, want string }{
		{"OCI event", ociEvent(), fromOCI},
		{"update", ociEvent("createobject", "updateobject"), fromOCI},
		{
			"lower-case source, version 1.0",
			ociEvent(`"ObjectStorage"`, `"objectstorage"`, `"2.0"`, `"1.0","schemaURL":null`), fromOCI,
		},
		{"freeFormTags", ociEvent("freeformTags", "freeFormTags"), fromOCI},
		{"milliseconds", ociEvent("17:02:30Z", "17:02:30.123Z"), fromOCI},
		{"no time", ociEvent(`"eventTime":"2020-09-27T17:02:30Z",`, ""), fromOCI},
		{"empty resource id", ociEvent("/n/ns/b/packages/o/in/a.zip", ""), fromOCI},
		{"no version", ociEvent(`"versionId":"v1",`, ""), "event ns/packages/in/a.zip @e1 #"},
		{
			"older shape",
			ociEvent(`"resourceName":"in/a.zip","resourceId":"/n/ns/b/packages/o/in/a.zip"`, `"bucketName":"packages"`,
				`"bucketName":"packages","versionId"`, `"objectName":"in/a.zip","versionId"`), fromOCI,
		},
		{"name as it is", ociEvent("in/a.zip", "a%2Fb +/o/c/b/d.zip"), "event ns/packages/a%2Fb +/o/c/b/d.zip @e1 #v1"},
		{
			"resource id encoded", ociEvent(`Name":"in/a.zip"`, `Name":"in a.zip"`, "/o/in/a.zip", "/o/in%20a.zip"),
			"event ns/packages/in a.zip @e1 #v1",
		},
		{"upper-case suffix", ociEvent("a.zip", "A.ZIP"), "event ns/packages/in/A.ZIP @e1 #v1"},
		{"not a zip", ociEvent("a.zip", "a.txt"), "ignored"},
		{"delete", ociEvent("createobject", "deleteobject"), "ignored"},
		{"another service", ociEvent("objectstorage.createobject", "computeapi.launchinstance"), "ignored"},
		{"results bucket", ociEvent("packages", "results"), "trigger.bucket"},
		{"state bucket", ociEvent("packages", "state"), "trigger.bucket"},
		{"another bucket", ociEvent("packages", "other"), "trigger.bucket"},
		{"details and resource id disagree", ociEvent("/o/in/a.zip", "/o/in/b.zip"), "trigger.ambiguous"},
		{
			"no bucket", ociEvent(`"bucketName":"packages",`, "", "/n/ns/b/packages/o/in/a.zip", ""),
			"trigger.incomplete",
		},
		{
			"no object", ociEvent(`"resourceName":"in/a.zip","resourceId":"/n/ns/b/packages/o/in/a.zip",`, ""),
			"trigger.incomplete",
		},
		{
			"no data",
			`{"cloudEventsVersion":"0.1","eventType":"com.oraclecloud.objectstorage.createobject","eventID":"i",` +
				`"source":"s"}`, "trigger.incomplete",
		},
		{"no id", ociEvent(`"eventID":"id-1",`, ""), "trigger.event"},
		{"bad time", ociEvent("2020-09-27T17:02:30Z", "yesterday"), "trigger.event"},
		{"data of another type", ociEvent(`"resourceName":"in/a.zip"`, `"resourceName":7`), "trigger.event"},
		{"odd resource id", ociEvent("/n/ns/b/packages/o/in/a.zip", "/n/ns"), "trigger.event"},
		{"another version", ociEvent(`"0.1"`, `"0.2"`), "trigger.event_version"},
		// An object that is there is not passed over in silence: the executor refuses it with a result.
		{"climbing name", ociEvent("in/a.zip", "../a.zip"), "event ns/packages/../a.zip @e1 #v1"},
		{"empty segment", ociEvent("in/a.zip", "in//a.zip"), "event ns/packages/in//a.zip @e1 #v1"},
		{"leading slash", ociEvent("in/a.zip", "/a.zip"), "event ns/packages//a.zip @e1 #v1"},
		{"control character", ociEvent("in/a.zip", `in\t\u0000.zip`), "event ns/packages/in\t\x00.zip @e1 #v1"},
		{"right-to-left mark", ociEvent("in/a.zip", `in\u200f.zip`), "event ns/packages/in\u200f.zip @e1 #v1"},
		{"name that no object can have", ociEvent("in/a.zip", strings.Repeat("x", 1025)+".zip"), "trigger.object"},
		{"climbing name by hand", `{"object":"../a.zip"}`, "trigger.object"},
		{"right-to-left mark by hand", `{"object":"a\u200f.zip"}`, "trigger.value"},
		{"climbing name of no package", ociEvent("in/a.zip", "../a.txt"), "ignored"},

		{"ETag in quotes", ociEvent(`"e1"`, `"\"e1\""`), fromOCI},
		{"ETag with one quote", ociEvent(`"e1"`, `"\"e1"`), "trigger.value"},
		{"weak ETag", ociEvent(`"e1"`, `"W/\"e1\""`), "trigger.value"},
		{"time in small letters", ociEvent("2020-09-27T17:02:30Z", "2020-09-27t17:02:30z"), fromOCI},
		{"time with an offset", ociEvent("17:02:30Z", "17:02:30+02:00"), fromOCI},
		{
			"about something else, without id and time",
			`{"cloudEventsVersion":"0.1","eventType":"com.oraclecloud.vaultsecret.rotate","eventTime":"?"}`, "ignored",
		},
		{"about nothing", ociEvent(`"eventType":"com.oraclecloud.objectstorage.createobject",`, ""), "trigger.event"},
		{"CloudEvent about something else, without id", `{"specversion":"1.0","type":"com.example.thing"}`, "ignored"},
		{"OCI event that says no version", ociEvent(`"cloudEventsVersion":"0.1",`, ""), "trigger.event_version"},
		{
			"CloudEvent that says no version", strings.Replace(structuredEvent, `"specversion":"1.0",`, "", 1),
			"trigger.event_version",
		},

		{"event from a stream", message(ociEvent()), fromOCI},
		{"CloudEvent from a stream", message(structuredEvent), "cloud_event ns/packages/in/a.zip @e1 #v1"},
		{"request from a stream", message(`{"object":"a.zip"}`), "request /packages/a.zip @ #"},
		{"something else from a stream", message(`{"hello":"world"}`), "trigger.unknown_form"},
		{"an array from a stream", message(`[` + ociEvent() + `]`), "trigger.unknown_form"},
		{"a stream from a stream", message(message(ociEvent())), "trigger.unknown_form"},
		{
			"what only the function asks, from a stream", message(`{"continue":"` + strings.Repeat("0", 64) + `-1"}`),
			"trigger.unknown_form",
		},
		{"text from a stream", message(`hello`), "trigger.not_json"},
		{"no text from a stream", `{"partition":"0","offset":1,"value":{}}`, "trigger.value"},
		{
			"not base64 from a stream",
			`{"stream":"s","partition":"0","key":null,"value":"{}","offset":1,"timestamp":1}`, "trigger.value",
		},
		{
			"not a message of a stream", `{"partition":"0","offset":1,"value":"e30=","topic":"x"}`,
			"trigger.unknown_form",
		},

		{"CloudEvent", structuredEvent, "cloud_event ns/packages/in/a.zip @e1 #v1"},
		{"CloudEvent without id", strings.Replace(structuredEvent, `"id":"id-1",`, "", 1), "trigger.event"},
		{
			"CloudEvent of a later version", strings.Replace(structuredEvent, `"1.0"`, `"9.0"`, 1),
			"trigger.event_version",
		},
		{
			"CloudEvent that only has a subject",
			`{"specversion":"1.0","id":"i","source":"s","type":"com.oraclecloud.objectstorage.createobject",` +
				`"subject":"/n/ns/b/packages/o/a.zip","data":{}}`, "cloud_event ns/packages/a.zip @ #",
		},

		{"request", `{"object":"a.zip"}`, "request /packages/a.zip @ #"},
		{
			"whole request",
			`{"bucket":"packages","object":"a","etag":"e","version_id":"v","action":"check","reason":"r",` +
				`"reference":"INC1"}`, "request /packages/a @e #v",
		},
		{"request for another bucket", `{"bucket":"results","object":"a.zip"}`, "trigger.bucket"},
		{"unknown key", `{"object":"a.zip","actoin":"check"}`, "trigger.unknown_key"},
		{"unknown action", `{"object":"a.zip","action":"destroy"}`, "trigger.action"},
		{"wrong type", `{"object":["a.zip"]}`, "trigger.value"},
		{"no object in request", `{"bucket":"packages"}`, "trigger.incomplete"},
		{"bad run id", `{"object":"a.zip","rerun_of":"../x"}`, "trigger.value"},
		{"bad slot", `{"object":"a.zip","once_per":"-1h"}`, "trigger.value"},
		{"bad parameters", `{"object":"a.zip","parameters":{"A":[1]}}`, "trigger.value"},
		{"long reason", `{"object":"a.zip","reason":"` + strings.Repeat("x", 2000) + `"}`, "trigger.value"},
		{"invisible reason", `{"object":"a.zip","reason":" \u200b"}`, "trigger.value"},
		{"invisible reference", `{"object":"a.zip","reference":"\u00a0"}`, "trigger.value"},
		{"empty reason", `{"object":"a.zip","reason":""}`, "request /packages/a.zip @ #"},
		{
			"force without a reason", `{"object":"a.zip","force":true,"rollback_of":"20260101T000000Z-a-000000000000"}`,
			"trigger.value",
		},
		{"force as text", `{"object":"a.zip","force":"true"}`, "trigger.value"},
		{"long request id", `{"object":"a.zip","request_id":"` + strings.Repeat("x", 257) + `"}`, "trigger.value"},
		{"action of a later version", `{"object":"a.zip","action":"mark"}`, "trigger.unsupported"},
		{"newline in reason", `{"object":"a.zip","reason":"a\nb"}`, "trigger.value"},
		{"sweep with object", `{"action":"sweep","object":"a.zip"}`, "trigger.value"},
		{"sweep with a verdict", `{"action":"sweep","verdict":true}`, "trigger.value"},
		{"probe with object", `{"action":"probe","object":"a.zip"}`, "trigger.value"},
		{"verdict as text", `{"action":"probe","verdict":"true"}`, "trigger.value"},
		{"verdict on a package", `{"object":"a.zip","verdict":true}`, "trigger.value"},

		{"cancel without a run", `{"action":"cancel","reason":"r"}`, "trigger.value"},
		{"cancel of no run", `{"action":"cancel","run_id":"x","reason":"r"}`, "trigger.value"},
		{"cancel without a reason", `{"action":"cancel","run_id":"` + aRun + `"}`, "trigger.value"},
		{"cancel for an invisible reason", `{"action":"cancel","run_id":"` + aRun + `","reason":" "}`, "trigger.value"},
		{
			"cancel of another scope", `{"action":"cancel","run_id":"` + aRun + `","reason":"r","scope":"all"}`,
			"trigger.value",
		},
		{
			"cancel with an object", `{"action":"cancel","run_id":"` + aRun + `","reason":"r","object":"a.zip"}`,
			"trigger.value",
		},
		{"a run to cancel with a package", `{"object":"a.zip","run_id":"` + aRun + `"}`, "trigger.value"},
		{"a scope with a package", `{"object":"a.zip","scope":"set"}`, "trigger.value"},
		{"a scope with a sweep", `{"action":"sweep","scope":"set"}`, "trigger.value"},

		{"no known form", `{"hello":"world"}`, "trigger.unknown_form"},
		{"a number", `7`, "trigger.unknown_form"},
	} {
		t.Run(c.name, func(t *testing.T) {
			call, err := trigger.Decode([]byte(c.body), http.Header{}, buckets)
			if err != nil {
				t.Fatal(err)
			}
			if len(call.Items) != 1 || call.Batch {
				t.Fatalf("%d items, batch %v", len(call.Items), call.Batch)
			}
			if got := summary(call.Items[0]); got != c.want {
				t.Errorf("got %s; want %s (%v)", got, c.want, call.Items[0].Err)
			}
		})
	}
}

func TestDecodeRefusesTheWhole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, want string }{
		{"nothing", "", "trigger.empty"},
		{"white space", " \n", "trigger.empty"},
		{"not JSON", "object=a.zip", "trigger.not_json"},
		{"cut off", `{"object":"a.zip"`, "trigger.not_json"},
		{"two values", `{"object":"a.zip"}{"object":"b.zip"}`, "trigger.not_json"},
		{"duplicate key", `{"object":"a.zip","object":"b.zip"}`, "trigger.duplicate_key"},
		{"not UTF-8", "{\"object\":\"\xff.zip\"}", "trigger.not_json"},
		{"too deep", strings.Repeat("[", 1_000_000), "trigger.not_json"},
		{"too large", `"` + strings.Repeat("x", trigger.MaxBody) + `"`, "trigger.too_large"},
		{"a form feed after it", "{\"object\":\"a.zip\"}\f", "trigger.not_json"},
		{"a blank of Unicode after it", "{\"object\":\"a.zip\"}\u00a0", "trigger.not_json"},
		{"empty batch", `[]`, "trigger.batch"},
		{"long batch", "[" + strings.Repeat("1,", trigger.MaxItems) + "1]", "trigger.batch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := trigger.Decode([]byte(c.body), http.Header{}, buckets)
			var e *problem.Error
			if !errors.As(err, &e) || e.Code() != c.want {
				t.Fatalf("error %v; want %s", err, c.want)
			}
			if e.Problems[0].Hint == "" {
				t.Error("no hint says what to do")
			}
		})
	}
}

// A message's value is read by the same rules.
func TestAMessageHasNoOtherWhiteSpace(t *testing.T) {
	t.Parallel()
	for _, after := range []string{"\f", "\v", "\x00", "\u00a0", "\u3000"} {
		call, err := trigger.Decode([]byte(message(`{"object":"a.zip"}`+after)), nil, buckets)
		if err != nil || problem.CodeOf(call.Items[0].Err) != "trigger.not_json" {
			t.Errorf("%q after the value: %+v, %v", after, call.Items, err)
		}
	}
}

func TestBatchItemsAreIndependent(t *testing.T) {
	t.Parallel()
	body := "[" + ociEvent() + `,{"bad":1},` + structuredEvent + `,{"object":"b.zip"},[{"object":"nested.zip"}],` +
		message(ociEvent()) + `,` + message("?") + `]`
	call, err := trigger.Decode([]byte(body), nil, buckets)
	if err != nil || !call.Batch {
		t.Fatalf("batch %v, %v", call.Batch, err)
	}
	var got []string
	for _, i := range call.Items {
		got = append(got, summary(i))
	}
	want := []string{
		"event ns/packages/in/a.zip @e1 #v1", "trigger.unknown_form", "cloud_event ns/packages/in/a.zip @e1 #v1",
		"request /packages/b.zip @ #", "trigger.unknown_form",
		"event ns/packages/in/a.zip @e1 #v1", "trigger.not_json",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
}

func TestBinaryMode(t *testing.T) {
	t.Parallel()
	header := http.Header{}
	for key, value := range map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": "id-1", "Ce-Source": "ObjectStorage",
		"Ce-Type": "com.oraclecloud.objectstorage.createobject",
		"Ce-Time": "2020-09-27T17:02:30Z", "Content-Type": "application/json",
	} {
		header.Set(key, value)
	}
	call, err := trigger.Decode([]byte(ceData), header, buckets)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := summary(call.Items[0]), "cloud_event ns/packages/in/a.zip @e1 #v1"; got != want {
		t.Errorf("got %s; want %s (%v)", got, want, call.Items[0].Err)
	}
	header.Set("Ce-Time", "2020-09-27t17:02:30z")
	call, err = trigger.Decode([]byte(ceData), header, buckets)
	if err != nil || !call.Items[0].Request.Trigger.EventTime.Equal(time.Date(2020, 9, 27, 17, 2, 30, 0, time.UTC)) {
		t.Errorf("with a time in small letters: %+v, %v", call.Items, err)
	}
	if got := header.Get("Ce-Time"); got != "2020-09-27t17:02:30z" {
		t.Errorf("the caller's header has now %q", got)
	}
	header.Del("Ce-Id")
	call, err = trigger.Decode([]byte(ceData), header, buckets)
	if err != nil || summary(call.Items[0]) != "trigger.event" {
		t.Errorf("without an id: %v, %v", summary(call.Items[0]), err)
	}
}

func TestWhatTheEvidenceIsTold(t *testing.T) {
	t.Parallel()
	call, err := trigger.Decode([]byte(ociEvent()), nil, buckets)
	if err != nil {
		t.Fatal(err)
	}
	got := call.Items[0].Request.Trigger
	want := intake.Trigger{
		Kind: intake.TriggerEvent, EventID: "id-1", EventType: "com.oraclecloud.objectstorage.createobject",
		EventTime: time.Date(2020, 9, 27, 17, 2, 30, 0, time.UTC),
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(intake.Trigger{}, "Raw")); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	if !json.Valid(got.Raw) || strings.Contains(string(got.Raw), "\n") ||
		!strings.Contains(string(got.Raw), `"eventTypeVersion":"2.0"`) {
		t.Errorf("raw %s", got.Raw)
	}
	call, err = trigger.Decode(
		[]byte(ociEvent(`"freeformTags":{}`, `"freeformTags":{"a":"`+strings.Repeat("x", 70_000)+`"}`)), nil, buckets)
	if err != nil || call.Items[0].Err != nil || call.Items[0].Request.Trigger.Raw != nil {
		t.Errorf("an event over 64 KB: quoted, or refused: %v, %v", err, call.Items[0].Err)
	}
}

func TestRequestReportsEverything(t *testing.T) {
	t.Parallel()
	call, err := trigger.Decode([]byte(`{"object":7,"action":"x","oncce_per":"1h"}`), nil, buckets)
	if err != nil {
		t.Fatal(err)
	}
	var e *problem.Error
	if !errors.As(call.Items[0].Err, &e) || len(e.Problems) != 3 {
		t.Fatalf("error %v; want three problems", call.Items[0].Err)
	}
	if e.Problems[0].Hint != "write once_per" {
		t.Errorf("hint %q", e.Problems[0].Hint)
	}
}

func TestProbeNamesNoObject(t *testing.T) {
	t.Parallel()
	for body, verdict := range map[string]bool{
		`{"action":"probe"}`: false, `{"action":"probe","verdict":false}`: false,
		`{"action":"probe","verdict":true,"reason":"deployment"}`: true,
	} {
		call, err := trigger.Decode([]byte(body), nil, buckets)
		if err != nil || call.Items[0].Err != nil || call.Items[0].Request.Action != intake.ActionProbe ||
			call.Items[0].Request.Verdict != verdict {
			t.Errorf("%s: %+v, %v", body, call.Items, err)
		}
	}
}

const aRun = "20260101T000000Z-a-000000000000"

func TestCancelNamesARun(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]intake.Cancel{
		`{"action":"cancel","run_id":"` + aRun + `","reason":"r"}`:                                  {RunID: aRun},
		`{"action":"cancel","run_id":"` + aRun + `","reason":"r","scope":"set","reference":"INC1"}`: {RunID: aRun},
		`{"scope":"request","action":"cancel","run_id":"` + aRun + `","reason":"r"}`: {
			RunID: aRun, WholeRequest: true,
		},
	} {
		call, err := trigger.Decode([]byte(body), nil, buckets)
		if err != nil || call.Items[0].Err != nil {
			t.Fatalf("%s: %+v, %v", body, call.Items, err)
		}
		if q := call.Items[0].Request; q.Action != intake.ActionCancel || q.Cancel != want || q.Reason != "r" {
			t.Errorf("%s: %+v", body, q)
		}
	}
}

func TestSweepNamesNoObject(t *testing.T) {
	t.Parallel()
	call, err := trigger.Decode([]byte(`{"action":"sweep"}`), nil, buckets)
	if err != nil || call.Items[0].Err != nil || call.Items[0].Request.Action != intake.ActionSweep {
		t.Errorf("%+v, %v", call.Items, err)
	}
}

// Every word of the contract is known: what this version does not support is refused with that reason.
func TestLaterKeysAreNoMistakes(t *testing.T) {
	t.Parallel()
	for _, key := range []string{
		"not_before", "emergency", "package", "version", "dirhash", "state",
	} {
		call, err := trigger.Decode([]byte(`{"object":"a.zip","`+key+`":"x"}`), nil, buckets)
		if err != nil {
			t.Fatal(err)
		}
		err = call.Items[0].Err
		if problem.CodeOf(err) != "trigger.unsupported" ||
			!strings.Contains(err.Error(), "this version does not support the key "+key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	for _, action := range []string{"mark"} {
		call, err := trigger.Decode([]byte(`{"action":"`+action+`"}`), nil, buckets)
		if err != nil {
			t.Fatal(err)
		}
		err = call.Items[0].Err
		if !strings.Contains(fmt.Sprint(err), "this version does not support the action "+action) {
			t.Errorf("%s: %v", action, err)
		}
	}
}

// A request by hand applies by default: the object's metadata is the uploader's choice. A request that goes back to a
// run takes the action from that run.
func TestTheActionOfARequestByHand(t *testing.T) {
	t.Parallel()
	const run = "20260101T000000Z-a-000000000000"
	for body, want := range map[string]intake.Action{
		`{"object":"a.zip"}`:                                                              intake.ActionApply,
		`{"object":"a.zip","once_per":"1h"}`:                                              intake.ActionApply,
		`{"object":"a.zip","action":"check"}`:                                             intake.ActionCheck,
		`{"object":"a.zip","rerun_of":"` + run + `","reason":"r"}`:                        "",
		`{"object":"a.zip","resume_from":"` + run + `"}`:                                  "",
		`{"object":"a.zip","rollback_of":"` + run + `","reason":"r"}`:                     "",
		`{"object":"a.zip","rollback_of":"` + run + `","reason":"r","action":"rollback"}`: intake.ActionRollback,
		ociEvent(): "",
	} {
		call, err := trigger.Decode([]byte(body), nil, buckets)
		if err != nil || call.Items[0].Err != nil {
			t.Fatal(body, err, call)
		}
		if got := call.Items[0].Request.Action; got != want {
			t.Errorf("%s: action %q; want %q", body, got, want)
		}
	}
}

// A request is stored as accepted: the pending request has all of it.
func TestARequestSurvivesStorage(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"object":"a.zip","request_id":"3f2a","force":true,"reason":"r","reference":"INC1","parameters":{"A":1.0}}`,
		ociEvent("in/a.zip", `/in\t\u202e\u0000.zip`),
	} {
		call, err := trigger.Decode([]byte(body), nil, buckets)
		if err != nil || call.Items[0].Err != nil {
			t.Fatal(err, call)
		}
		want := call.Items[0].Request
		var got intake.Request
		if err := json.Unmarshal(pending(want), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(intake.Request{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	call, err := trigger.Decode([]byte(`{"object":"a.zip","request_id":"3f2a","force":true,"reason":"r"}`), nil,
		buckets)
	if q := call.Items[0].Request; err != nil || q.RequestID != "3f2a" || !q.Force {
		t.Errorf("%+v, %v", q, err)
	}
}

// pending is the document that is stored of a request until it is done.
func pending(q intake.Request) []byte {
	doc, err := json.Marshal(q)
	if err != nil {
		panic(err)
	}
	return doc
}

// The evidence quotes the contents of a stream's message, not their base64.
func TestTheEvidenceQuotesTheValueOfAMessage(t *testing.T) {
	t.Parallel()
	call, err := trigger.Decode([]byte(message(ociEvent())), nil, buckets)
	if err != nil {
		t.Fatal(err)
	}
	if raw := string(call.Items[0].Request.Trigger.Raw); !strings.Contains(raw, `"eventID":"id-1"`) {
		t.Errorf("raw %s", raw)
	}
}

// What is missing is named.
func TestEnvelopesWithoutAVersion(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		ociEvent(`"cloudEventsVersion":"0.1",`, ""):                     "cloudEventsVersion",
		strings.Replace(structuredEvent, `"specversion":"1.0",`, "", 1): "specversion",
	} {
		call, err := trigger.Decode([]byte(body), nil, buckets)
		if err != nil {
			t.Fatal(err)
		}
		if err := call.Items[0].Err; !strings.Contains(fmt.Sprint(err), "has no "+want) {
			t.Errorf("%v; want it to miss %s", err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		message(ociEvent()), message(`{"object":"a.zip","force":true,"request_id":"x"}`), message(message("{}")),
		"[" + message(structuredEvent) + "]",
		ociEvent("in/a.zip", `/a\u200f.zip`), ociEvent(`"e1"`, `"\"e1\""`),
		`{"object":"a.zip","rerun_of":"20260101T000000Z-a-000000000000","reason":"\u200b"}`,
		ociEvent(), ociEvent("createobject", "deleteobject"), structuredEvent, ceData,
		`{"object":"a.zip","action":"check","parameters":{"A":1}}`,
		"[" + ociEvent() + `,{"object":"b.zip"}]`, `[[]]`, `{"object":"../a.zip"}`, "{\"a\":\"\xff\"}",
		"{\"object\":\"a.zip\"}\f", ceData + "\u00a0", "[{\"object\":\"a.zip\"}\v]",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, binaryMode bool) {
		header := http.Header{}
		if binaryMode {
			header = http.Header{
				"Ce-Specversion": {"1.0"}, "Ce-Id": {"i"}, "Ce-Source": {"s"},
				"Ce-Type": {"com.oraclecloud.objectstorage.createobject"}, "Content-Type": {"application/json"},
			}
		}
		call, err := trigger.Decode(body, header, buckets)
		if err != nil {
			if problem.Family(problem.CodeOf(err)) != "trigger" {
				t.Fatalf("error without a trigger code: %v", err)
			}
			return
		}
		if len(call.Items) == 0 || !call.Batch && len(call.Items) != 1 {
			t.Fatalf("%d items, batch %v", len(call.Items), call.Batch)
		}
		for _, i := range call.Items {
			q := i.Request
			if raw := q.Trigger.Raw; raw != nil {
				doc, err := evidence.Result{Trigger: evidence.Trigger{Raw: raw}}.Encode()
				back, decodeErr := evidence.Decode(doc)
				if err != nil || decodeErr != nil || !utf8.Valid(raw) || back.Trigger.Raw == nil {
					t.Fatalf("the result that quotes %q cannot be stored: %v, %v", raw, err, decodeErr)
				}
			}
			switch {
			case i.Err != nil:
				if problem.Family(problem.CodeOf(i.Err)) != "trigger" {
					t.Fatalf("error without a trigger code: %v", i.Err)
				}
			case i.Event != nil && i.Event.Invalid == nil && (q.Trigger.EventID == "" || len(i.Event.Names) > 3):
				t.Fatalf("triggers would start something by %+v", q)
			case i.Ignored != "" || q.Action == intake.ActionSweep:
			case q.Bucket != buckets.Packages || len(q.Object) > 1024 || !json.Valid(pending(q)):
				t.Fatalf("let through: %+v", q)
			case q.Trigger.Kind == intake.TriggerRequest && q.Continue == "" && store.CheckName(q.Object) != nil:
				t.Fatalf("let through: %+v", q)
			}
		}
	})
}
