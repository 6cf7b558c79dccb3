package jobs

import (
	"time"

	"cemli-executor/internal/document"
	"cemli-executor/internal/evidence"
)

// Names in a mailbox; logs, artifacts and restored artifacts are numbered.
const (
	MailPackage   = "package.zip"
	MailRestored  = "in/"
	MailBegun     = "begun.json"
	MailProgress  = "progress.json"
	MailControl   = "control.json"
	MailLogs      = "logs/"
	MailTimes     = ".times" // after the name of a log: when its lines came
	MailArtifacts = "artifacts/"
	MailOutcome   = "outcome.json"
	MailClock     = "clock.json" // written by the executor to read the store's clock; nobody reads it
)

// Who may create begun.json.
const (
	ByRunner   = "runner"
	ByExecutor = "executor"
)

// Begun is begun.json. Whoever creates it has decided whether the job begins.
type Begun struct {
	Job       string    `json:"job"`
	By        string    `json:"by"`
	Nonce     string    `json:"nonce"` // by which its writer knows it again
	At        time.Time `json:"at"`
	Withdrawn bool      `json:"withdrawn"` // the executor's: the job must not begin
}

// Progress is progress.json: how far a job is that has not ended.
type Progress struct {
	Job     string          `json:"job"`
	Seq     int             `json:"seq"`     // counts up
	Steps   []evidence.Step `json:"steps"`   // that have ended, undo included, without what they printed
	Step    string          `json:"step"`    // the name of the one that runs; empty: none does
	Elapsed int64           `json:"elapsed"` // milliseconds since the first script began
	Tail    string          `json:"tail"`    // the end of what it has printed so far, masked
}

// Control is control.json, by which an executor ends a job.
type Control struct {
	Cancel bool   `json:"cancel"`
	Reason string `json:"reason"`
}

// mail are the documents that decide something, progress the one that only tells.
var (
	mail     = kind{code: "runner.mailbox", name: "document of the mailbox", most: MaxMail, hint: whoElse}
	progress = kind{code: "runner.mailbox", name: "progress of the job", most: MaxOutcome, hint: whoElse}
)

const whoElse = "see who else may write to the jobs bucket"

// Encode is the document's bytes.
func (b Begun) Encode() ([]byte, error) {
	b.At = b.At.UTC()
	return encode(b, DecodeBegun)
}

// DecodeBegun reads begun.json.
func DecodeBegun(doc []byte) (b Begun, err error) {
	err = mail.read(doc, func(n document.Node) {
		n.Fields([]document.Field{
			document.Required("job", func(v document.Node) { b.Job = id(v) }),
			document.Required("by", func(v document.Node) { b.By = v.Choice("", ByRunner, ByExecutor) }),
			document.Required("nonce", func(v document.Node) { b.Nonce = id(v) }),
			document.Required("at", func(v document.Node) { b.At = instant(v) }),
			document.Required("withdrawn", func(v document.Node) { b.Withdrawn = v.Boolean() }),
		})
		if b.Withdrawn && b.By == ByRunner {
			n.Bad("", "only the executor withdraws a job", "")
		}
	})
	return b, err
}

// Encode is the document's bytes.
func (p Progress) Encode() ([]byte, error) {
	p.Steps = append([]evidence.Step{}, p.Steps...)
	return encode(p, DecodeProgress)
}

// DecodeProgress reads progress.json.
func DecodeProgress(doc []byte) (p Progress, err error) {
	err = progress.read(doc, func(n document.Node) {
		n.Fields([]document.Field{
			document.Required("job", func(v document.Node) { p.Job = id(v) }),
			document.Required("seq", func(v document.Node) { p.Seq = int(v.Whole(1, maxSeq)) }),
			document.Required("steps", func(v document.Node) { p.Steps = records(v, 2*maxSteps) }),
			document.Required("step", func(v document.Node) { p.Step = v.Line(maxName) }),
			document.Required("elapsed", func(v document.Node) { p.Elapsed = v.Count(maxMS) }),
			document.Required("tail", func(v document.Node) { p.Tail = anyText(v, MaxTail) }),
		})
	})
	return p, err
}

// Encode is the document's bytes.
func (c Control) Encode() ([]byte, error) { return encode(c, DecodeControl) }

// DecodeControl reads control.json.
func DecodeControl(doc []byte) (c Control, err error) {
	err = mail.read(doc, func(n document.Node) {
		n.Fields([]document.Field{
			document.Required("cancel", func(v document.Node) { c.Cancel = v.Boolean() }),
			document.Required("reason", func(v document.Node) { c.Reason = v.Text(maxReason) }),
		})
	})
	return c, err
}
