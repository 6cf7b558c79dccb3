// Package announce tells people and machines that a run has finished: one CloudEvents 1.0 event
// of the type Type, as JSON, with a title that a person can read.
//
// The event's id is the run's, its subject the package, and its time the run's end. Its data says how the run ended
// and where the result is. It contains no output of scripts.
package announce

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"cemli-executor/internal/evidence"
)

// Type is the type of the event.
const Type = "dev.cemli.run.finished"

// Limits of what is sent: Notifications takes 64 KB in all, and e-mail a short subject.
const (
	maxTitle = 100
	maxText  = 8 << 10
)

// Data is the event's data.
type Data struct {
	RunID        string          `json:"run_id"`
	Status       evidence.Status `json:"status"`
	Message      string          `json:"message"`
	Code         string          `json:"code,omitempty"` // of the error
	Hint         string          `json:"hint,omitempty"`
	Action       string          `json:"action"`
	Environment  string          `json:"environment"`
	ParameterSet string          `json:"parameter_set,omitempty"`
	Package      Package         `json:"package"`
	Reason       string          `json:"reason,omitempty"`
	Reference    string          `json:"reference,omitempty"`
	Start        time.Time       `json:"start"`
	End          time.Time       `json:"end"`
	Result       Location        `json:"result"`
}

// Package names what ran.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	DirHash string `json:"dirhash,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
}

// Location is where the result is.
type Location struct {
	Bucket string `json:"bucket"`
	Object string `json:"object"`
}

// Failure reports whether somebody has to look at a run.
func Failure(r evidence.Result) bool {
	return r.Status != evidence.StatusSuccess && r.Status != evidence.StatusSkipped
}

// Message is the title and the event of a run whose result is in a bucket.
func Message(r evidence.Result, bucket string) (title, body string, err error) {
	data := Data{
		RunID: r.RunID, Status: r.Status, Message: clip(r.Message), Action: r.Action, Environment: r.Environment,
		ParameterSet: r.ParameterSet,
		Package:      Package{r.Package.Name, r.Package.Version, r.Package.DirHash, r.Package.SHA256},
		Reason:       clip(r.Reason), Reference: clip(r.Reference), Start: r.Start, End: r.End,
		Result: Location{bucket, evidence.ResultObject(r.RunID)},
	}
	if r.Error != nil {
		data.Code, data.Hint = r.Error.Code, clip(r.Error.Hint)
	}
	event := cloudevents.NewEvent()
	event.SetID(r.RunID)
	event.SetType(Type)
	event.SetSource("urn:cemli:environment:" + r.Environment)
	event.SetSubject(name(r))
	event.SetTime(r.End)
	if err := event.SetData(cloudevents.ApplicationJSON, data); err != nil {
		return "", "", fmt.Errorf("make event: %w", err)
	}
	if err := event.Validate(); err != nil {
		return "", "", fmt.Errorf("make event: %w", err)
	}
	doc, err := json.Marshal(event)
	if err != nil {
		return "", "", fmt.Errorf("encode event: %w", err)
	}
	return titleOf(r), string(evidence.Plain(doc)), nil
}

// name is the package as people refer to it.
func name(r evidence.Result) string {
	if r.Package.Name == "" { // it was not even read
		return visible(r.SourceObject)
	}
	return strings.TrimSpace(r.Package.Name + " " + r.Package.Version + " " + r.ParameterSet)
}

// visible is an object's name, quoted if it could be mistaken for another.
func visible(object string) string {
	if strings.ContainsFunc(object, evidence.Deceptive) {
		return strconv.Quote(object)
	}
	return object
}

// titleOf is one line: where, what, how it ended, and why.
func titleOf(r evidence.Result) string {
	what := strings.ReplaceAll(string(r.Status), "_", " ")
	if r.Action != "apply" {
		what = strings.ReplaceAll(r.Action, "_", " ") + " " + what
	}
	title := fmt.Sprintf("[%s] %s: %s", r.Environment, name(r), what)
	if Failure(r) {
		title += " - " + r.Message
	}
	title = strings.Join(strings.Fields(title), " ")
	if runes := []rune(title); len(runes) > maxTitle {
		title = string(runes[:maxTitle-1]) + "…"
	}
	return title
}

// clip shortens a text to at most maxText bytes in the message, where some characters become escapes.
func clip(text string) string {
	text = strings.ToValidUTF8(text, "")
	size := 0
	for i, r := range text {
		size += utf8.RuneLen(r)
		if evidence.Deceptive(r) || strings.ContainsRune("\"\\<>&\u2028\u2029", r) {
			size += len(`\u0000`)
		}
		if size > maxText {
			return text[:i]
		}
	}
	return text
}
