package followup

import (
	"slices"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/manifest"
)

// hasUndone reports whether a run is a rollback that has begun to undo, or had nothing to undo.
func hasUndone(result evidence.Result) bool {
	if result.Action != string(intake.ActionRollback) || result.Rollback == nil {
		return false
	}
	return result.Status == evidence.StatusSuccess || UndoBegan(result)
}

// UndoBegan reports whether an undo script of a run was started.
func UndoBegan(result evidence.Result) bool {
	return result.Rollback != nil && slices.ContainsFunc(result.Rollback.Steps,
		func(s evidence.Step) bool { return s.Attempts > 0 })
}

// Began reports whether the first step of the run phase was started, in the run or in the one that it resumed: a run
// that ended before has changed nothing.
func Began(result evidence.Result) bool {
	return slices.ContainsFunc(result.Steps, func(s evidence.Step) bool {
		return s.Phase == string(manifest.PhaseRun) && (s.Attempts > 0 || s.Status == evidence.StepSkipped)
	})
}

// RanAny reports whether any step was started, in the run or in the one that it resumed.
func RanAny(result evidence.Result) bool {
	return slices.ContainsFunc(result.Steps, func(s evidence.Step) bool {
		return s.Attempts > 0 || s.Status == evidence.StepSkipped
	})
}
