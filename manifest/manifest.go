// Package manifest is the package contract: what manifest.json may say, the admission
// policy that an environment sets for it, and the plan that follows from it and from
// the package's files.
//
// Both documents are strict JSON: UTF-8, one object, no duplicate keys, nothing after
// it, at most MaxBytes long and MaxDepth deep. Unknown keys are errors, except those of
// the manifest that begin with "x-": nothing is ever ignored. Every problem is reported
// at once, with a JSON pointer (RFC 6901), a code and a sentence. manifest/schema.json
// gives the same verdict on a manifest, except for SchemaBlind codes.
//
// The package is pure: no files, no network, no clock.
package manifest

import (
	"cmp"
	"time"
)

// Name is the manifest's name in a package, at its root.
const Name = "manifest.json"

// Bounds of a manifest document.
const (
	MaxBytes = 1 << 20
	MaxDepth = 32
)

// Manifest is a valid manifest. Only Parse makes one; it must not be changed.
type Manifest struct {
	// Name of the package: lower-case letters, digits, dot, underscore, hyphen; 1 to 63.
	Name string
	// Version is a SemVer 2.0.0 version.
	Version string
	// Type is one of Types.
	Type string

	About

	// Environments names where the package may run; nil: anywhere.
	Environments []string
	Needs
	Concurrency Concurrency
	// Timeout bounds the run without undo, RollbackTimeout the undo; 0: not said.
	Timeout, RollbackTimeout time.Duration
	OnFailure                OnFailure
	// OnSetFailure is never empty.
	OnSetFailure OnSetFailure
	Idempotent   bool
	// StepList is the explicit list of steps; nil: the conventions make the plan.
	StepList []StepSpec
	// Outputs are globs of files to keep, besides those in the artifacts folder.
	Outputs []string

	// Raw is the document as it was read, without the white space around its values.
	Raw []byte
}

// About is what the package tells people about itself.
type About struct {
	Description, Owner, ChangeTicket string
	Labels                           map[string]string
}

// Needs is what the package's scripts get, and what has to exist for them.
type Needs struct {
	// Parameters are declared by name; the values of environments and sets are of their
	// parameter's type.
	Parameters            map[string]Parameter
	EnvironmentParameters map[string]map[string]Value
	ParameterSets         map[string]map[string]Value
	// Secrets maps a variable's name to a Vault secret's name or OCID.
	Secrets map[string]string
	Tools   []string
	// Network is whether scripts may use more than AF_UNIX sockets; NetworkDeclared is
	// whether the manifest says so itself.
	Network, NetworkDeclared bool
	// RunsOn is the label of the runner that the scripts run on; empty: the environment's default.
	RunsOn string
	// Requires maps packages to the ranges of versions that must have succeeded.
	Requires map[string]string
}

// Types are the kinds of change, in the order of the acronym.
var Types = []string{"configuration", "extension", "modification", "localization", "integration"}

// OnFailure says what happens after a step has failed.
type OnFailure string

// What may happen after a failure.
const (
	OnFailureDefault  OnFailure = "" // rollback if any step has an undo
	OnFailureRollback OnFailure = "rollback"
	OnFailureStop     OnFailure = "stop"
)

// OnSetFailure says what happens to the other parameter sets after one did not succeed.
type OnSetFailure string

// What may happen after a set that did not succeed.
const (
	OnSetFailureStop     OnSetFailure = "stop" // the default: later sets do not run
	OnSetFailureContinue OnSetFailure = "continue"
)

// Concurrency keeps runs of one group from overlapping.
type Concurrency struct {
	Declared bool
	Group    string // default: the package's name
	Reject   bool   // do not wait when the group is busy
}

// StepSpec is one entry of the manifest's steps, with the defaults filled in.
type StepSpec struct {
	Name            string // default: the script's file name without ".sh"
	Phase           Phase  // default: PhaseRun
	Run             string
	Args            []string
	Env             map[string]string
	Secrets         []string // nil: all
	Timeout         time.Duration
	Retries         int
	RetryDelay      time.Duration
	ContinueOnError bool
	DryRun          bool
	Rollback        string // the undo script; empty: none
	// NoUndo is the author's statement that the step needs no undo; then Rollback is empty.
	NoUndo bool
}

// MaxUndoTime bounds the time for undo if the manifest does not.
const MaxUndoTime = 5 * time.Minute

// UndoTime is how long the package's undo may take.
func (m *Manifest) UndoTime() time.Duration { return cmp.Or(m.RollbackTimeout, MaxUndoTime) }
