package executor

import "cemli-executor/internal/intake"

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
