package trigger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"cemli-executor/executor"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// The event types that mean new bytes under a name.
const (
	createObject = "com.oraclecloud.objectstorage.createobject"
	updateObject = "com.oraclecloud.objectstorage.updateobject"
)

// envelope is an OCI event as far as it is read. Oracle adds fields and has used
// several shapes; unknown ones are no error.
type envelope struct {
	EventType   string          `json:"eventType"`
	Version     string          `json:"cloudEventsVersion"`
	Source      string          `json:"source"`
	EventID     string          `json:"eventID"`
	EventTime   string          `json:"eventTime"`
	ContentType string          `json:"contentType"`
	Data        json.RawMessage `json:"data"`
}

// fromOCI converts an OCI event into a CloudEvents 1.0 event and reads that.
func fromOCI(doc []byte) Item {
	var e envelope
	if err := json.Unmarshal(doc, &e); err != nil {
		return Item{Err: malformed(err)}
	}
	if e.Version != "0.1" {
		return Item{Err: refuse("trigger.event_version", "/cloudEventsVersion", fmt.Sprintf("%.40q is not 0.1, the version of OCI events", e.Version), "send the event as OCI does, or as CloudEvents 1.0 with a specversion")}
	}
	var d data
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return Item{Err: malformed(err)}
	}
	converted := event.New(event.CloudEventsVersionV1)
	converted.SetID(e.EventID)
	converted.SetType(e.EventType)
	converted.SetSource(e.Source)
	converted.SetSubject(d.ResourceID)
	if e.EventTime != "" {
		at, err := time.Parse(time.RFC3339, e.EventTime)
		if err != nil {
			return Item{Err: problem.New(problem.Problem{Code: "trigger.event", Where: "/eventTime", Message: fmt.Sprintf("%.60q is not an RFC 3339 time", e.EventTime), Hint: "send the event as OCI does"}, err)}
		}
		converted.SetTime(at)
	}
	if err := converted.SetData(event.ApplicationJSON, []byte(e.Data)); err != nil {
		return Item{Err: malformed(err)}
	}
	return fromEvent(converted, executor.TriggerEvent)
}

func malformed(err error) error {
	return problem.New(problem.Problem{
		Code: "trigger.event", Message: "the event cannot be read", Hint: "compare it with an event of Object Storage",
	}, err)
}

// structured reads a CloudEvents 1.0 event in structured mode.
func structured(doc []byte) Item {
	var e event.Event
	if err := json.Unmarshal(doc, &e); err != nil {
		return Item{Err: malformed(err)}
	}
	return fromEvent(e, executor.TriggerCloudEvent)
}

// binary reads a CloudEvents 1.0 event in binary mode: attributes in headers, data in
// the body.
func binary(body []byte, header http.Header, buckets Buckets) Item {
	message := cehttp.NewMessage(header, io.NopCloser(bytes.NewReader(body)))
	e, err := binding.ToEvent(context.Background(), message)
	if err != nil {
		return Item{Err: malformed(err)}
	}
	return finish(fromEvent(*e, executor.TriggerCloudEvent), body, buckets)
}

// data is an event's data as far as it is read.
type data struct {
	ResourceName string  `json:"resourceName"`
	ResourceID   string  `json:"resourceId"`
	BucketName   string  `json:"bucketName"` // older shape
	Details      details `json:"additionalDetails"`
}

type details struct {
	BucketName string `json:"bucketName"`
	ObjectName string `json:"objectName"` // older shape
	Namespace  string `json:"namespace"`
	ETag       string `json:"eTag"`
	VersionID  string `json:"versionId"`
}

// fromEvent reads a CloudEvents 1.0 event, whatever it was before.
func fromEvent(e event.Event, kind executor.TriggerKind) Item {
	if err := e.Validate(); err != nil {
		return Item{Err: problem.New(problem.Problem{
			Code: "trigger.event", Message: "the event is not a valid CloudEvents 1.0 event: " + firstLine(err), Hint: "it needs an id, a source and a type",
		}, err)}
	}
	decoded := Item{}
	decoded.Request.Trigger = executor.Trigger{Kind: kind, EventID: e.ID(), EventType: e.Type(), EventTime: e.Time()}
	if e.Type() != createObject && e.Type() != updateObject {
		decoded.Ignored = fmt.Sprintf("events of type %.100s do not run packages", e.Type())
		return decoded
	}
	var d data
	if err := json.Unmarshal(e.Data(), &d); err != nil {
		decoded.Err = malformed(err)
		return decoded
	}
	q, err := d.object(e.Subject())
	if err != nil {
		decoded.Err = err
		return decoded
	}
	q.Trigger = decoded.Request.Trigger
	decoded.Request = q
	if !strings.HasSuffix(strings.ToLower(q.Object), ".zip") {
		decoded.Ignored = "objects whose names do not end in .zip are not packages"
	}
	return decoded
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	return fmt.Sprintf("%.200s", line)
}

// object finds the object that an event is about, and refuses one that says two things.
func (d data) object(subject string) (executor.Request, error) {
	q := executor.Request{
		Namespace: d.Details.Namespace, Bucket: first(d.Details.BucketName, d.BucketName),
		Object: first(d.ResourceName, d.Details.ObjectName), ETag: d.Details.ETag, VersionID: d.Details.VersionID,
	}
	fromID, err := parseResource(first(d.ResourceID, subject))
	if err != nil {
		return q, err
	}
	for _, part := range []struct {
		to    *string
		value string
		what  string
	}{{&q.Namespace, fromID.Namespace, "namespace"}, {&q.Bucket, fromID.Bucket, "bucket"}, {&q.Object, fromID.Object, "object"}} {
		if *part.to == "" {
			*part.to = part.value
		}
		if part.value != "" && *part.to != part.value && unescaped(part.value) != *part.to {
			return q, refuse("trigger.ambiguous", "/data/resourceId", "it names another "+part.what+" than the event's details", "send the event as OCI does")
		}
	}
	return q, checkObject(q)
}

// unescaped undoes percent-encoding, which only resource ids may have.
func unescaped(value string) string {
	plain, err := url.PathUnescape(value)
	if err != nil {
		return value
	}
	return plain
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// parseResource reads /n/NAMESPACE/b/BUCKET/o/OBJECT; the object's name may hold
// anything. Any other text that is not empty says nothing about an object.
func parseResource(id string) (executor.Request, error) {
	rest, ok := strings.CutPrefix(id, "/n/")
	if !ok {
		return executor.Request{}, nil
	}
	namespace, rest, okBucket := strings.Cut(rest, "/b/")
	bucket, object, okObject := strings.Cut(rest, "/o/")
	if !okBucket || !okObject {
		return executor.Request{}, refuse("trigger.event", "/data/resourceId", fmt.Sprintf("%.200q is no object's resource id", id), "send the event as OCI does")
	}
	return executor.Request{Namespace: namespace, Bucket: bucket, Object: object}, nil
}

// checkObject checks what names an object, whatever form named it.
func checkObject(q executor.Request) error {
	var missing []string
	if q.Bucket == "" {
		missing = append(missing, "bucket")
	}
	if q.Object == "" {
		missing = append(missing, "object")
	}
	if missing != nil {
		return refuse("trigger.incomplete", "", "the "+strings.Join(missing, " and the ")+" are not named", "name the object to run")
	}
	if err := store.CheckName(q.Object); err != nil {
		return problem.New(problem.Problem{
			Code: "trigger.object", Where: fmt.Sprintf("%.200q", q.Object), Message: "it cannot be an object's name: " + err.Error(), Hint: "use the object's name as it is in the bucket",
		}, err)
	}
	return errors.Join(text("bucket", q.Bucket, 256), text("etag", q.ETag, 256), text("version_id", q.VersionID, 256), text("namespace", q.Namespace, 256))
}
