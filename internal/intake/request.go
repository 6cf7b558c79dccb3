// Package intake is the request, in whatever form it arrived: what it asks for, its idempotency key, what an uploader
// may choose by metadata, and what a request must not contain.
package intake

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// Action is what a request wants to be done with a package.
type Action string

// The actions of the contract.
const (
	ActionApply    Action = "apply"    // run it: the default
	ActionDryRun   Action = "dry_run"  // run only what promises to change nothing
	ActionCheck    Action = "check"    // validate and admit, run nothing
	ActionRollback Action = "rollback" // undo an earlier run
	ActionSweep    Action = "sweep"    // finish what other invocations left; names no object
	ActionProbe    Action = "probe"    // say what this deployment can do; names no object
	ActionCancel   Action = "cancel"   // end a run that has not ended; names it, and no object
)

// Request is one request to the executor, in whatever form it arrived. Its JSON is what the state bucket keeps of a
// request until it is done.
type Request struct {
	// Namespace is the Object Storage namespace that the trigger named; empty if it named none, which means the
	// executor's own.
	Namespace string `json:"namespace,omitempty"`
	Bucket    string `json:"bucket"`
	Object    string `json:"object"`         // verbatim, never URL-decoded
	ETag      string `json:"etag,omitempty"` // run only this version; empty: pin the newest one
	VersionID string `json:"version_id,omitempty"`

	// Action may be empty: an upload's metadata may choose it, else it is apply; a request that goes back takes
	// that of the run.
	Action       Action                     `json:"action,omitempty"`
	Parameters   map[string]json.RawMessage `json:"parameters,omitempty"`
	ParameterSet string                     `json:"parameter_set,omitempty"`
	Back
	OncePer time.Duration `json:"once_per,omitempty"`
	// RequestID is the same for repetitions of one request by hand; it may be empty.
	RequestID string `json:"request_id,omitempty"`
	// OnEvent says that the policy's triggers made the request of the event that Trigger describes. There is one
	// request for each event, whatever version of the object exists by then.
	OnEvent   bool   `json:"on_event,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Reference string `json:"reference,omitempty"`

	Trigger Trigger `json:"trigger"`
	Caller

	// Verdict makes a probe answer true or false, and nothing else.
	Verdict bool `json:"-"`

	// Cancel says what the action cancel ends.
	Cancel Cancel `json:"-"`

	// Continue names a pending request instead of all that; only the function itself uses it.
	Continue string `json:"-"`

	Fixed
	Progress `json:"-"`
}

// Cancel names a run that is to end.
type Cancel struct {
	RunID string
	// WholeRequest says that the other parameter sets of the run's request end, too.
	WholeRequest bool
}

// Back names the run that a request goes back to, by its id.
type Back struct {
	RerunOf    string `json:"rerun_of,omitempty"`
	ResumeFrom string `json:"resume_from,omitempty"`
	RollbackOf string `json:"rollback_of,omitempty"`
	Force      bool   `json:"force,omitempty"` // go back although a later run would be underneath
}

// Caller is what the platform says of the call; it is not verified.
type Caller struct {
	CallID      string               `json:"-"`
	RequestedBy []evidence.Requester `json:"requested_by,omitempty"`
}

// Fixed is what is fixed when a request arrives, and does not change whenever it is served.
type Fixed struct {
	// Slot is the slot of OncePer, once it is fixed: a request that is served later is still for the slot in which it
	// arrived.
	Slot string `json:"slot,omitempty"`
	// Created is when the object was written, according to a listing; zero if there was no listing.
	Created time.Time `json:"created,omitzero"`
	// VersionNamed says that a person named VersionID, so that an older version of the object may run.
	VersionNamed bool `json:"version_named,omitempty"`
	// Parent is the pending request for all sets, of which this request is one. An invocation that serves the set
	// serves all of them, as the sets before it have to have succeeded.
	Parent string `json:"parent,omitempty"`
}

// Progress is what this invocation knows of how far a request has come.
type Progress struct {
	// Pinned is the SHA-256 of the zip that the request has begun with or goes back to, whatever the packages bucket
	// has by now; "" if it has not begun.
	Pinned    string
	ForSet    bool // it stands for all sets, and was found through the pending request of one
	Continued bool // it was handed off to this invocation, which should have the time for it
	// Hopeless says why no invocation can have enough time for the request; nil if one may.
	Hopeless error
}

// TriggerKind is how a request arrived.
type TriggerKind string

// The kinds of trigger.
const (
	TriggerEvent      TriggerKind = "event"       // OCI Events envelope, or whatever the policy's triggers name
	TriggerCloudEvent TriggerKind = "cloud_event" // CloudEvents 1.0
	TriggerRequest    TriggerKind = "request"     // by hand
	TriggerCLI        TriggerKind = "cli"         // cemli run
	TriggerSweep      TriggerKind = "sweep"       // found by a sweep: its event never came
)

// Trigger is how a request arrived, for the evidence. Nothing in it is verified.
type Trigger struct {
	Kind      TriggerKind     `json:"kind"`
	EventID   string          `json:"event_id,omitempty"`
	EventType string          `json:"event_type,omitempty"`
	EventTime time.Time       `json:"event_time,omitzero"` // zero when not said
	Raw       json.RawMessage `json:"raw,omitempty"`       // the request as received; nil when over 64 KB
}

// ByHand reports whether a person sent the request.
func (q Request) ByHand() bool {
	return q.Trigger.Kind == TriggerRequest || q.Trigger.Kind == TriggerCLI
}

// RepeatsHint says what a request that is repeated regularly needs of its package; "" for other requests.
func (q Request) RepeatsHint() string {
	what := ""
	switch {
	case q.OncePer > 0:
		what = "what is to run regularly"
	case q.OnEvent:
		what = "what is to run by every such event"
	default:
		return ""
	}
	return "; " + what + ` wants an idempotent package ("idempotent": true in the manifest), ` +
		`or a policy that allows repeat ("version": {"repeat": "allow"})`
}

func setDefault[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

// Encode encodes the request as the state bucket keeps it.
func (q Request) Encode() ([]byte, error) {
	doc, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return doc, nil
}

// ActionAfter returns the action of a request that goes back to a run.
func (q Request) ActionAfter(previous evidence.Result) Action {
	if q.RerunOf != "" {
		return Action(previous.Action)
	}
	return cmp.Or(q.Action, ActionApply)
}

// PolicyKind returns the kind of trigger as policies name it: an upload that a sweep found counts as an event.
func PolicyKind(kind TriggerKind) string {
	if kind == TriggerSweep {
		return string(TriggerEvent)
	}
	return string(kind)
}

// Describe describes the trigger for results.
func (t Trigger) Describe() evidence.Trigger {
	described := evidence.Trigger{Kind: string(t.Kind), EventID: t.EventID, EventType: t.EventType, Raw: t.Raw}
	if len(t.Raw) > evidence.MaxTrigger {
		described.Raw = nil
	}
	if !t.EventTime.IsZero() {
		at := t.EventTime.UTC()
		described.EventTime = &at
	}
	return described
}

// Inputs returns what the request adds to the manifest.
func (q Request) Inputs(environment string) (manifest.Inputs, error) {
	in := manifest.Inputs{Environment: environment, Set: q.ParameterSet, Parameters: map[string]manifest.Value{}}
	var problems []problem.Problem
	for _, name := range slices.Sorted(maps.Keys(q.Parameters)) {
		value, err := manifest.ParseValue(q.Parameters[name])
		if err != nil {
			problems = append(problems, problem.Problem{
				Code: "trigger.parameter", Where: name, Message: err.Error(), Hint: "see the package's manifest",
			})
		}
		in.Parameters[name] = value
	}
	return in, problem.Join(problems)
}

// FinishUndo returns the request that completes an undo.
func (q Request) FinishUndo(of evidence.Result) *evidence.UndoRequest {
	run := of.RunID
	reason := "finish the undo of " + run
	if of.Action == string(ActionRollback) {
		run = q.RollbackOf
		// With the reason of this run it would be a duplicate.
		reason = "finish the undo of " + run + ", which " + of.RunID + " did not"
	}
	return &evidence.UndoRequest{
		Action: string(ActionRollback), Object: q.Object, VersionID: of.Package.VersionID,
		ParameterSet: q.ParameterSet, RollbackOf: run, Reason: reason,
	}
}
