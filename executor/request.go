package executor

import (
	"encoding/json"
	"time"

	"cemli-executor/internal/evidence"
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
)

// Request is one thing asked of the executor, whatever form it arrived in.
type Request struct {
	// Namespace is the Object Storage namespace the trigger named; empty when it
	// named none, which means the executor's own.
	Namespace string
	Bucket    string
	Object    string // verbatim, never URL-decoded
	ETag      string // run only this version; empty: pin the newest one
	VersionID string

	Action       Action // empty: not said, so object metadata may choose; else apply
	Parameters   map[string]json.RawMessage
	ParameterSet string
	RerunOf      string // run ids
	ResumeFrom   string
	RollbackOf   string
	OncePer      time.Duration
	Reason       string
	Reference    string

	Trigger Trigger
	// CallID and RequestedBy are what the platform says of the call; not verified.
	CallID      string
	RequestedBy []evidence.Requester
}

// TriggerKind tells how a request arrived.
type TriggerKind string

// The kinds of trigger.
const (
	TriggerEvent      TriggerKind = "event"       // OCI Events envelope
	TriggerCloudEvent TriggerKind = "cloud_event" // CloudEvents 1.0
	TriggerRequest    TriggerKind = "request"     // by hand
	TriggerCLI        TriggerKind = "cli"         // cemli run
)

// Trigger is how a request arrived, for the evidence. Nothing in it is verified.
type Trigger struct {
	Kind      TriggerKind
	EventID   string
	EventType string
	EventTime time.Time       // zero when not said
	Raw       json.RawMessage // the request as received; nil when over 64 KB
}
