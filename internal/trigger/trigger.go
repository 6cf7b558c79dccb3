// Package trigger turns what arrives at the function into requests to the executor.
//
// Four forms are told apart by their content: an OCI Events envelope, a CloudEvents
// 1.0 event (structured or binary mode), a request by hand, and a JSON array of
// these. Both kinds of event become a CloudEvents 1.0 event of the CloudEvents SDK,
// pass its validation, and take one way from there.
//
// Events about anything but the creation or update of a .zip object are ignored with
// a reason. Only objects of the packages bucket become requests; the results and the
// state bucket are refused always, so that what a run writes can never start another.
// Nothing in a trigger is trusted: it can only name an object that the executor then
// reads under its own rules.
package trigger

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/strictjson"
)

// Bounds of what is read.
const (
	// MaxBody is the platform's own limit of a request, 6 MB.
	MaxBody = 6 << 20
	// MaxItems bounds a batch.
	MaxItems = 100
	// maxDepth bounds nesting; events need five levels.
	maxDepth = 64
	// maxText bounds each text that goes into the evidence.
	maxText = 1024
)

// Buckets are the names of the executor's buckets.
type Buckets struct{ Packages, Results, State string }

// Call is one decoded invocation: at least one item, exactly one unless Batch.
type Call struct {
	Items []Item
	Batch bool // the answer is an array
}

// Item is one request, or why there is none: exactly one of Ignored and Err is set if
// Request is not to be run.
type Item struct {
	Request executor.Request
	Ignored string // why nothing is to be done
	Err     error  // a *problem.Error of the family "trigger"
}

// Decode reads an invocation. The header is the platform's, with the ce-… headers of a
// binary-mode event. An error is a *problem.Error: nothing of the body can be used.
func Decode(body []byte, header http.Header, buckets Buckets) (Call, error) {
	if len(body) > MaxBody {
		return Call{}, refuse("trigger.too_large", "", fmt.Sprintf("the request has more than %d bytes", MaxBody), "send fewer items at once")
	}
	if fault := strictjson.Check(body, maxDepth); fault != nil {
		return Call{}, syntax(fault)
	}
	if header.Get("Ce-Specversion") != "" {
		return Call{Items: []Item{binary(body, header, buckets)}}, nil
	}
	elements, batch := strictjson.Elements(body)
	if !batch {
		return Call{Items: []Item{item(body, buckets)}}, nil
	}
	if len(elements) == 0 || len(elements) > MaxItems {
		return Call{}, refuse("trigger.batch", "", fmt.Sprintf("a batch has 1 to %d items, this one %d", MaxItems, len(elements)), "send it in parts")
	}
	call := Call{Batch: true}
	for _, element := range elements {
		call.Items = append(call.Items, item(element, buckets))
	}
	return call, nil
}

func refuse(code, where, message, hint string) error {
	return problem.New(problem.Problem{Code: code, Where: where, Message: message, Hint: hint}, nil)
}

func syntax(fault *strictjson.Fault) error {
	if fault.Kind == strictjson.Empty {
		return refuse("trigger.empty", "", "the request is empty", `send an event, or {"object":"NAME.zip"}`)
	}
	return refuse("trigger.not_json", fault.Pointer, "the request is not valid JSON: "+fault.Error(), "check the text that was sent; a shell may have taken its quotes")
}

// item decodes one JSON value that is not a batch.
func item(doc []byte, buckets Buckets) Item {
	members, ok := strictjson.Members(doc)
	var decoded Item
	switch {
	case !ok:
		decoded.Err = unknownForm()
	case members["cloudEventsVersion"] != nil:
		decoded = fromOCI(doc)
	case members["specversion"] != nil:
		decoded = structured(doc)
	case manual(members):
		decoded = fromRequest(members, buckets)
	default:
		decoded.Err = unknownForm()
	}
	return finish(decoded, doc, buckets)
}

func unknownForm() error {
	return refuse("trigger.unknown_form", "", "the request is none of: an OCI event, a CloudEvents 1.0 event, a request that names an object, a list of these",
		`by hand, send {"object":"NAME.zip"}`)
}

// finish holds every form to the same rules and notes how the request arrived.
func finish(decoded Item, doc []byte, buckets Buckets) Item {
	if decoded.Err == nil && decoded.Ignored == "" && decoded.Request.Action != executor.ActionSweep {
		decoded.Err = buckets.admit(decoded.Request)
	}
	raw := jsontext.Value(doc).Clone()
	if raw.Compact() == nil && len(raw) <= evidence.MaxTrigger {
		decoded.Request.Trigger.Raw = []byte(raw)
	}
	return decoded
}

// admit lets only the packages bucket through.
func (b Buckets) admit(q executor.Request) error {
	if q.Bucket == b.Packages && q.Bucket != b.Results && q.Bucket != b.State {
		return nil
	}
	message := "packages are taken only from the bucket " + b.Packages
	if q.Bucket == b.Results || q.Bucket == b.State {
		message = "nothing is ever run from the executor's own buckets"
	}
	return refuse("trigger.bucket", q.Bucket, message, "upload the package to "+b.Packages+"; check the rule that sends these events")
}

// text checks a text that goes into the evidence or names something.
func text(where, value string, most int) error {
	switch {
	case len(value) > most:
		return refuse("trigger.value", where, fmt.Sprintf("it has %d bytes; at most %d are allowed", len(value), most), "shorten it")
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return refuse("trigger.value", where, "it has a control character", "remove it")
	}
	return nil
}
