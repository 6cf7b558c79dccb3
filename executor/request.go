package executor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// Action is what a request asks to be done with a package.
type Action string

// The actions of the contract.
const (
	ActionApply    Action = "apply"    // run it: the default
	ActionDryRun   Action = "dry_run"  // run only what promises to change nothing
	ActionCheck    Action = "check"    // validate and admit, run nothing
	ActionRollback Action = "rollback" // undo an earlier run
	ActionSweep    Action = "sweep"    // finish what other invocations left; names no object
	ActionProbe    Action = "probe"    // say what this deployment can do; names no object
)

// Request is one thing asked of the executor, whatever form it arrived in. Its JSON is what
// the state bucket keeps of a request until it is done.
type Request struct {
	// Namespace is the Object Storage namespace the trigger named; empty when it
	// named none, which means the executor's own.
	Namespace string `json:"namespace,omitempty"`
	Bucket    string `json:"bucket"`
	Object    string `json:"object"`         // verbatim, never URL-decoded
	ETag      string `json:"etag,omitempty"` // run only this version; empty: pin the newest one
	VersionID string `json:"version_id,omitempty"`

	Action       Action                     `json:"action,omitempty"` // empty: not said. For an upload its metadata may choose, else apply; for a way back, that run's
	Parameters   map[string]json.RawMessage `json:"parameters,omitempty"`
	ParameterSet string                     `json:"parameter_set,omitempty"`
	RerunOf      string                     `json:"rerun_of,omitempty"` // run ids
	ResumeFrom   string                     `json:"resume_from,omitempty"`
	RollbackOf   string                     `json:"rollback_of,omitempty"`
	OncePer      time.Duration              `json:"once_per,omitempty"`
	Force        bool                       `json:"force,omitempty"`      // go back although a later run would be underneath
	RequestID    string                     `json:"request_id,omitempty"` // makes hand-made requests the same; empty: not said
	// OnEvent says that the policy's triggers have made the request of the event that Trigger tells of: one for each
	// event, whatever the object is by then.
	OnEvent bool `json:"on_event,omitempty"`
	// Slot is the slot of OncePer, once it is fixed: a request that is gone on with later means
	// the slot in which it arrived.
	Slot      string `json:"slot,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Reference string `json:"reference,omitempty"`

	Trigger Trigger `json:"trigger"`
	// Created is when the object was written, as a listing says it; zero where none was made.
	Created time.Time `json:"created,omitzero"`
	// CallID and RequestedBy are what the platform says of the call; not verified.
	CallID      string               `json:"-"`
	RequestedBy []evidence.Requester `json:"requested_by,omitempty"`

	// Verdict: a probe answers true or false, and nothing else.
	Verdict bool `json:"-"`

	// Continue names, instead of all that, a request that an earlier invocation has accepted and
	// could not finish; only the function itself asks so.
	Continue string `json:"-"`

	// VersionNamed says that a person has named VersionID: an older version of the object may run.
	VersionNamed bool `json:"version_named,omitempty"`

	// Parent is the mark of the request for all sets that this is one set of: whoever goes on with
	// it goes on with that, as the sets before this one count.
	Parent string `json:"parent,omitempty"`

	// pinned is the SHA-256 of the zip that the request is of, whatever the packages bucket has by now:
	// it has begun with it, or goes back to it; "" where it has not begun.
	pinned string

	forSet    bool // it stands for all sets, and was looked for by the mark of one
	continued bool // this invocation is the one that was to have the time for it
	// hopeless is why no invocation can have the time for it; nil: that is not known.
	hopeless error
}

// TriggerKind tells how a request arrived.
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

// encode is the request as the state bucket keeps it.
func (q Request) encode() ([]byte, error) {
	doc, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return doc, nil
}

// previousRun is the run that the request goes back to; "" where it stands alone.
func (q Request) previousRun() string { return cmp.Or(q.ResumeFrom, q.RollbackOf, q.RerunOf) }

// GoesBack reports whether the request goes back to an earlier run, from which it takes everything that
// it does not name.
func (q Request) GoesBack() bool { return q.previousRun() != "" }

// wayBack names the key with which the request goes back.
func (q Request) wayBack() string {
	switch {
	case q.ResumeFrom != "":
		return "resume_from"
	case q.RollbackOf != "":
		return "rollback_of"
	}
	return "rerun_of"
}

// consistent refuses requests whose parts contradict each other.
func (q Request) consistent() error {
	var problems []problem.Problem
	note := func(wrong bool, where, message, hint string) {
		if wrong {
			problems = append(problems, problem.Problem{Code: "trigger.value", Where: where, Message: message, Hint: hint})
		}
	}
	note(q.Action == ActionRollback && q.RollbackOf == "", "/rollback_of", "a rollback needs the run that it undoes", "name its run id")
	given := 0
	for _, id := range []string{q.ResumeFrom, q.RollbackOf, q.RerunOf} {
		if id != "" {
			given++
		}
	}
	note(given > 1, "/resume_from", "a run goes back to an earlier one in one way only", "leave out all but one of resume_from, rollback_of and rerun_of")
	note(q.OncePer > 0 && given > 0, "/once_per", "a run that goes back to an earlier one is no regular one", "leave out once_per")
	note(q.RerunOf != "" && !manifest.Visible(q.Reason), "/reason", "doing the same again needs a reason", "say why, in a sentence")
	note(q.ResumeFrom != "" && q.Action != "" && q.Action != ActionApply, "/resume_from", "only apply goes on from an earlier run", "leave out the action")
	note(q.RollbackOf != "" && (q.Action == ActionDryRun || q.Action == ActionCheck), "/rollback_of", "nothing is undone by "+string(q.Action), "ask for rollback, or for apply")
	note(q.RollbackOf != "" && !manifest.Visible(q.Reason), "/reason", "going back needs a reason", "say why, in a sentence")
	note(q.Force && !manifest.Visible(q.Reason), "/reason", "force needs a reason", "say why, in a sentence")
	return problem.Join(problems)
}

// wantsRepeats says what a request that comes again and again wants of its package, or "".
func (q Request) wantsRepeats() string {
	what := ""
	switch {
	case q.OncePer > 0:
		what = "what is to run regularly"
	case q.OnEvent:
		what = "what is to run by every such event"
	default:
		return ""
	}
	return "; " + what + ` wants an idempotent package ("idempotent": true in the manifest), or a policy that allows repeat ("version": {"repeat": "allow"})`
}
