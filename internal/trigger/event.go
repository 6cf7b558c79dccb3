package trigger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/strictjson"
)

// The types of events that mean new contents of an object.
const (
	createObject = "com.oraclecloud.objectstorage.createobject"
	updateObject = "com.oraclecloud.objectstorage.updateobject"
)

// attributes are the attributes of an event that are read.
type attributes struct {
	id, source, kind, subject, time string
}

// ociEvent has the fields of an OCI event that are read. Oracle adds fields and has used several forms, so unknown
// fields are no error.
type ociEvent struct {
	Version string         `json:"cloudEventsVersion"`
	ID      string         `json:"eventID"`
	Type    string         `json:"eventType"`
	Source  string         `json:"source"`
	Time    string         `json:"eventTime"`
	Data    jsontext.Value `json:"data"`
}

// fromOCI converts an OCI event into a CloudEvents 1.0 event and reads that.
func (d decoder) fromOCI(doc []byte) Item {
	var e ociEvent
	if err := json.Unmarshal(doc, &e); err != nil {
		return Item{Err: unreadable("", err)}
	}
	if e.Version != "0.1" {
		return Item{Err: refuse("trigger.event_version", "/cloudEventsVersion",
			fmt.Sprintf("%.40q is not 0.1, the version of OCI events", e.Version))}
	}
	return d.assemble(intake.TriggerEvent, attributes{e.ID, e.Source, e.Type, resourceID(e.Data), e.Time}, e.Data)
}

// resourceID is what an OCI event is about; "" if that is missing or not text.
func resourceID(data []byte) string {
	members, _ := strictjson.Members(data)
	id, _ := strictjson.Text(members["resourceId"])
	return id
}

// structuredEvent has the fields of a CloudEvents 1.0 event in JSON that are read.
type structuredEvent struct {
	Version    string         `json:"specversion"`
	ID         string         `json:"id"`
	Source     string         `json:"source"`
	Type       string         `json:"type"`
	Subject    string         `json:"subject"`
	Time       string         `json:"time"`
	Data       jsontext.Value `json:"data"`
	DataBase64 []byte         `json:"data_base64"`
}

// structured reads a CloudEvents 1.0 event in structured mode. It does not use the SDK's JSON reader, which panics if
// data_base64 is not text, and silently stops at an attribute without a name.
func (d decoder) structured(doc []byte) Item {
	var e structuredEvent
	if err := json.Unmarshal(doc, &e); err != nil {
		return Item{Err: unreadable("", err)}
	}
	if e.Version != event.CloudEventsVersionV1 {
		return Item{Err: otherVersion(e.Version)}
	}
	data := []byte(e.Data)
	if e.DataBase64 != nil {
		if data != nil {
			return Item{Err: refuse("trigger.ambiguous", "/data_base64", "the event has data and data_base64")}
		}
		data = e.DataBase64
	}
	return d.assemble(intake.TriggerCloudEvent, attributes{e.ID, e.Source, e.Type, e.Subject, e.Time}, data)
}

func otherVersion(version string) error {
	return refuse("trigger.event_version", "/specversion",
		fmt.Sprintf("%.40q is not 1.0, the version of CloudEvents that is read", version))
}

// assemble builds a CloudEvents 1.0 event and reads it.
func (d decoder) assemble(kind intake.TriggerKind, from attributes, data []byte) Item {
	e, err := newEvent(from, data)
	switch {
	case isOther(from.kind):
		return aboutOther(kind, from.kind, e, err)
	case err != nil:
		return Item{Err: err}
	}
	return d.fromEvent(e, kind)
}

func newEvent(from attributes, data []byte) (event.Event, error) {
	e := event.New(event.CloudEventsVersionV1)
	e.SetID(from.id)
	e.SetSource(from.source)
	e.SetType(from.kind)
	e.SetSubject(from.subject)
	if from.time != "" {
		at, err := time.Parse(time.RFC3339, strings.ToUpper(from.time)) // its letters may be lower-case
		if err != nil {
			return e,
				refuseFor(err, "trigger.event", "", fmt.Sprintf("the event's time %.60q is not in RFC 3339", from.time))
		}
		e.SetTime(at)
	}
	if err := e.SetData(event.ApplicationJSON, data); err != nil {
		return e, unreadable("/data", err)
	}
	return e, nil
}

// binary reads a CloudEvents 1.0 event in binary mode, with attributes in headers and data in the body. The evidence
// quotes it in structured mode, so that nothing is lost.
func (d decoder) binary(body []byte, header http.Header) Item {
	if version := header.Get("Ce-Specversion"); version != event.CloudEventsVersionV1 {
		return Item{Err: otherVersion(version)}
	}
	for name, values := range header {
		if strings.HasPrefix(name, "Ce-") && len(values) != 1 {
			return Item{Err: refuse("trigger.event", clip(name),
				fmt.Sprintf("the header has %d values instead of one", len(values)))}
		}
	}
	header = header.Clone()
	if at := header.Get("Ce-Time"); at != "" {
		header.Set("Ce-Time", strings.ToUpper(at)) // as above
	}
	e, err := binding.ToEvent(context.Background(), cehttp.NewMessage(header, io.NopCloser(bytes.NewReader(body))))
	if err != nil {
		e, err = &event.Event{}, unreadable("", err)
	}
	var decoded Item
	switch kind := header.Get("Ce-Type"); {
	case isOther(kind):
		decoded = aboutOther(intake.TriggerCloudEvent, kind, *e, err)
	case err != nil:
		return Item{Err: err}
	default:
		decoded = d.fromEvent(*e, intake.TriggerCloudEvent)
	}
	if whole, err := e.MarshalJSON(); err == nil {
		decoded.Request.Trigger.Raw = quote(whole)
	}
	return decoded
}

// isOther reports whether events of this type are not about a new object.
func isOther(eventType string) bool {
	return eventType != "" && eventType != createObject && eventType != updateObject
}

// aboutOther handles an event that is not about a new object. It is ignored unless the policy's triggers name it; err
// is what is wrong with it.
func aboutOther(kind intake.TriggerKind, eventType string, e event.Event, err error) Item {
	item := Item{
		Ignored: fmt.Sprintf("events of type %.100q do not run packages", eventType),
		Event:   &intake.Event{Type: eventType},
	}
	item.Request.Trigger.Kind = kind
	if err == nil {
		err = valid(e)
	}
	if err == nil {
		item.Event.Names, err = named(e)
	}
	if item.Event.Invalid = err; err == nil {
		item.Request.Trigger = arrived(e, kind)
	}
	return item
}

// resource is the part of an event's data that says what the event is about.
type resource struct {
	Name string `json:"resourceName"`
	ID   string `json:"resourceId"`
}

// named returns what an event is about: its resource's name and id, and its subject.
func named(e event.Event) ([]string, error) {
	var about resource
	if data := e.Data(); len(bytes.Trim(data, strictjson.Space)) > 0 {
		if err := check(data); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, &about); err != nil {
			return nil, unreadable("/data", err)
		}
	}
	var names []string
	var problems []problem.Problem
	for _, part := range []struct{ where, text string }{
		{"/data/resourceName", about.Name}, {"/data/resourceId", about.ID}, {"/subject", e.Subject()},
	} {
		if part.text != "" {
			names = append(names, part.text)
			problems = append(problems, checkText(part.where, part.text, maxText)...)
		}
	}
	return names, problem.Join(problems)
}

// unreadable says which value of an event is invalid, if that is known.
func unreadable(within string, err error) error {
	message := "the event cannot be read"
	var wrong *json.SemanticError
	if errors.As(err, &wrong) {
		within += string(wrong.JSONPointer)
		message = fmt.Sprintf("a value of the event is of the wrong type: %v", wrong.JSONKind)
	}
	return refuseFor(err, "trigger.event", clip(within), message)
}

// fromEvent reads a CloudEvents 1.0 event of any origin. It accepts objects whose names are invalid for a package:
// such an object exists, and the executor refuses it with a result.
func (d decoder) fromEvent(e event.Event, kind intake.TriggerKind) Item {
	decoded := Item{}
	decoded.Request.Trigger.Kind = kind
	if decoded.Err = valid(e); decoded.Err != nil {
		return decoded
	}
	decoded.Request.Trigger = arrived(e, kind)
	about, err := readData(e.Data())
	if err == nil {
		decoded.Request, err = about.object(e.Subject())
	}
	decoded.Request.Trigger = arrived(e, kind)
	if err == nil {
		err = problem.Join(d.buckets.admit(decoded.Request))
	}
	if err == nil && !intake.IsPackage(decoded.Request.Object) {
		decoded.Ignored = "objects whose names do not end in .zip are not packages"
		return decoded
	}
	if err == nil && len(decoded.Request.Object) > maxText {
		err = problem.Join(checkObject(decoded.Request.Object)) // no such object can exist
	}
	decoded.Err = err
	return decoded
}

// arrived is what the evidence says about an event.
func arrived(e event.Event, kind intake.TriggerKind) intake.Trigger {
	return intake.Trigger{Kind: kind, EventID: e.ID(), EventType: e.Type(), EventTime: e.Time().UTC()}
}

// valid checks an event against the CloudEvents specification and the limits of evidence.
func valid(e event.Event) error {
	if err := e.Validate(); err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
		return refuseFor(err, "trigger.event", "",
			fmt.Sprintf("the event is not a valid CloudEvents 1.0 event: %.200s", line))
	}
	if year := e.Time().UTC().Year(); year < 1 || year > 9999 {
		return refuse("trigger.event", "", "the event's time is out of range in UTC")
	}
	var problems []problem.Problem
	problems = append(problems, checkText("id", e.ID(), maxText)...)
	problems = append(problems, checkText("type", e.Type(), maxName)...)
	problems = append(problems, checkText("source", e.Source(), maxText)...)
	return problem.Join(problems)
}
