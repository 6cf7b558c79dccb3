package executor

import (
	"cemli-executor/internal/admission"
	"cemli-executor/internal/intake"
)

// What callers ask with; see there.
type (
	Event       = intake.Event
	Request     = intake.Request
	Action      = intake.Action
	Back        = intake.Back
	Caller      = intake.Caller
	Fixed       = intake.Fixed
	Trigger     = intake.Trigger
	TriggerKind = intake.TriggerKind

	Limits = admission.Limits
	Policy = admission.Policy
)

// The actions of the contract, and the kinds of trigger.
const (
	ActionApply    = intake.ActionApply
	ActionDryRun   = intake.ActionDryRun
	ActionCheck    = intake.ActionCheck
	ActionRollback = intake.ActionRollback
	ActionSweep    = intake.ActionSweep
	ActionProbe    = intake.ActionProbe

	TriggerEvent      = intake.TriggerEvent
	TriggerCloudEvent = intake.TriggerCloudEvent
	TriggerRequest    = intake.TriggerRequest
	TriggerCLI        = intake.TriggerCLI
	TriggerSweep      = intake.TriggerSweep
)

// InlinePolicy is a policy that is given as text, or that a file holds.
func InlinePolicy(source string, doc []byte) *Policy { return admission.InlinePolicy(source, doc) }

// DefaultLimits are the limits where nothing else is configured.
func DefaultLimits() Limits { return admission.DefaultLimits() }
