package executor

import (
	"cemli-executor/internal/admission"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/pipeline"
	"cemli-executor/internal/secrets"
	"cemli-executor/internal/uploader"
)

// The types of requests and of the configuration; see their packages.
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
	Runner = admission.Runner

	Config       = pipeline.Config
	Children     = pipeline.Children
	OutputMode   = pipeline.OutputMode
	Secret       = secrets.Secret
	SecretSource = secrets.Source
	LoggedWrite  = uploader.LoggedWrite
	WriteLog     = uploader.WriteLog
)

// The actions of the contract, the kinds of trigger, and which part of the scripts' output is logged.
const (
	ActionApply    = intake.ActionApply
	ActionDryRun   = intake.ActionDryRun
	ActionCheck    = intake.ActionCheck
	ActionRollback = intake.ActionRollback
	ActionSweep    = intake.ActionSweep
	ActionProbe    = intake.ActionProbe
	ActionCancel   = intake.ActionCancel

	TriggerEvent      = intake.TriggerEvent
	TriggerCloudEvent = intake.TriggerCloudEvent
	TriggerRequest    = intake.TriggerRequest
	TriggerCLI        = intake.TriggerCLI
	TriggerSweep      = intake.TriggerSweep

	KindFunction = admission.KindFunction

	OutputAll  = pipeline.OutputAll
	OutputTail = pipeline.OutputTail
	OutputNone = pipeline.OutputNone
)

// InlinePolicy makes a policy of a document that is given as text or read from a file; source names it in results.
func InlinePolicy(source string, doc []byte) *Policy { return admission.InlinePolicy(source, doc) }

// DefaultLimits returns the limits that apply unless others are configured.
func DefaultLimits() Limits { return admission.DefaultLimits() }
