// Package trigger turns what arrives at the function into requests to the intake.
//
// Content distinguishes four forms: an OCI Events envelope, a CloudEvents 1.0 event (structured or binary mode), a
// request by hand, and a JSON array of these, whose items are decoded one by one so that a bad one does not spoil the
// others. Each of the first three may also be the value of a stream's message, which Connector Hub delivers in
// arrays. Both kinds of event become a CloudEvents 1.0 event of the CloudEvents SDK, pass its validation, and are
// then read in the same way.
//
// The creation or update of an object whose name ends in .zip, in any case of letters, becomes a request; other names
// are ignored with a reason. So are other types of event, except those that the policy's triggers name, which only
// the executor knows. Only objects of the packages bucket become requests; objects of the results and the state
// bucket are always refused, so that what a run writes can never start another. Names are taken as they are written,
// never URL-decoded, and if two parts of an event name different objects nothing is run.
//
// Nothing in a trigger is trusted: it can only name an object that the executor then reads under its own rules. Texts
// are bounded and free of control characters, because all of them go into evidence that people read. Only the name of
// an uploaded object may have control characters: the object exists, and the executor refuses it with a result.
package trigger

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/strictjson"
)

// Limits of what is read.
const (
	// MaxBody is the platform's own limit of a request, 6 MB.
	MaxBody = 6 << 20
	// MaxItems bounds a batch.
	MaxItems = 100
	// maxDepth bounds the nesting of one item; events need five levels.
	maxDepth = 64
)

// Buckets are the names against which a request is checked.
type Buckets struct {
	// Namespace is the Object Storage namespace of all three; "" if it is unknown, and then any namespace is
	// accepted.
	Namespace string
	// Packages is the only bucket whose objects are run.
	Packages string
	// Results and State are refused even if Packages names them too.
	Results, State string
}

// Call is one decoded invocation: at least one item, exactly one unless Batch.
type Call struct {
	Items []Item // in the order they were sent
	Batch bool   // a JSON array was sent, so the answer is one too
}

// Item is one request, or the reason why there is none. The request is to be run only if Ignored and Err are both
// unset; at most one of them is set. In any case Request.Trigger holds what is known of how it arrived.
type Item struct {
	Request intake.Request
	Ignored string // why nothing is to be done
	Err     error  // a *problem.Error of the family "trigger"
	// Event is the event if it is not about an upload: it is ignored unless the policy's triggers name it.
	Event *intake.Event
}

// Decode reads an invocation. The header is the platform's, with Content-Type and the ce-… headers of a binary-mode
// event; nil is an empty one. An error is a *problem.Error of the family "trigger" and means that nothing in the body
// can be used; a problem with one form or item is in that item. The same input gives the same call.
func Decode(body []byte, header http.Header, buckets Buckets) (Call, error) {
	if len(body) > MaxBody {
		return Call{}, refuse("trigger.too_large", "", fmt.Sprintf("the request has more than %d bytes", MaxBody))
	}
	d := decoder{buckets: buckets, declared: declaresCloudEvent(header)}
	content := bytes.Trim(body, strictjson.Space)
	switch {
	case header.Get("Ce-Specversion") != "" && !d.declared:
		return Call{Items: []Item{d.binary(body, header)}}, nil
	case len(content) == 0:
		return Call{}, refuse("trigger.empty", "", "the request is empty")
	case content[0] == '[':
		return d.batch(content)
	}
	if err := check(content); err != nil {
		return Call{}, err
	}
	return Call{Items: []Item{d.item(content)}}, nil
}

// declaresCloudEvent reports whether the content type says that the body is an event
// in structured mode or a batch of them.
func declaresCloudEvent(header http.Header) bool {
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && strings.HasPrefix(kind, "application/cloudevents")
}

// check checks one JSON value against the rules of strict JSON.
func check(doc []byte) error {
	fault := strictjson.Check(doc, maxDepth)
	if fault == nil {
		return nil
	}
	switch fault.Kind {
	case strictjson.Duplicate:
		return refuse("trigger.duplicate_key", clip(fault.Pointer),
			"a key occurs twice in one object, so that two readers may see two requests")
	case strictjson.Depth:
		return refuse("trigger.too_deep", "", fault.Reason)
	}
	return refuse("trigger.not_json", clip(fault.Pointer), "the request is not valid JSON: "+fault.Error())
}

// decoder is what the decoding of every form needs.
type decoder struct {
	buckets  Buckets
	declared bool // the content type says CloudEvents
}

// batch decodes the elements of an array one by one.
func (d decoder) batch(content []byte) (Call, error) {
	elements, err := split(content)
	if err != nil {
		return Call{}, err
	}
	call := Call{Batch: true}
	for _, element := range elements {
		if err := check(element); err != nil {
			call.Items = append(call.Items, Item{Err: err})
			continue
		}
		call.Items = append(call.Items, d.item(element))
	}
	return call, nil
}

// split cuts an array into its elements. It only finds where they begin and end; errors within an element are found
// when it is decoded.
func split(content []byte) ([]jsontext.Value, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(content), jsontext.AllowDuplicateNames(true),
		jsontext.AllowInvalidUTF8(true))
	_, err := dec.ReadToken()
	var elements []jsontext.Value
	for err == nil && dec.PeekKind() != ']' {
		if len(elements) == MaxItems {
			return nil, refuse("trigger.batch", "", fmt.Sprintf("the batch has more than %d items", MaxItems))
		}
		var element jsontext.Value
		element, err = dec.ReadValue()
		elements = append(elements, element.Clone())
	}
	if err == nil {
		_, err = dec.ReadToken()
	}
	switch {
	case err != nil:
		return nil,
			refuse("trigger.not_json", "",
				"the request is not valid JSON: "+strings.TrimPrefix(err.Error(), "jsontext: "))
	case int(dec.InputOffset()) != len(content):
		return nil, refuse("trigger.not_json", "", "the request is not valid JSON: there is text after the array")
	case len(elements) == 0:
		return nil, refuse("trigger.batch", "", "the batch has no items")
	}
	return elements, nil
}

// item decodes one JSON value that is not a batch and has passed check.
func (d decoder) item(doc []byte) Item {
	members, ok := strictjson.Members(doc)
	var decoded Item
	switch {
	case ok && members["cloudEventsVersion"] != nil:
		decoded = d.fromOCI(doc)
	case ok && (d.declared || members["specversion"] != nil):
		decoded = d.structured(doc)
	case ok && isMessage(members):
		return d.fromStream(members)
	case ok && members["eventType"] != nil && members["data"] != nil:
		return Item{Err: refuse("trigger.event_version", "/cloudEventsVersion",
			"it looks like an event of OCI, and has no cloudEventsVersion")}
	case ok && members["type"] != nil && members["source"] != nil && members["data"] != nil:
		return Item{Err: refuse("trigger.event_version", "/specversion",
			"it looks like a CloudEvent, and has no specversion")}
	case ok && members[continueKey] != nil:
		decoded = d.fromItself(members)
	case ok && byHand(members):
		decoded = d.fromRequest(members)
	default:
		return Item{Err: refuse("trigger.unknown_form", "",
			"the request is none of: an OCI event (cloudEventsVersion), a CloudEvents 1.0 event (specversion), "+
				"a request by hand (object), an array of these")}
	}
	decoded.Request.Trigger.Raw = quote(doc)
	return decoded
}

// quote returns what arrived, without white space, for the evidence; nil if that is too large or if it is a
// binary-mode event whose data is not JSON.
func quote(doc []byte) []byte {
	if check(doc) != nil {
		return nil
	}
	raw := strictjson.Compact(doc)
	if len(raw) > evidence.MaxTrigger {
		return nil
	}
	return raw
}
