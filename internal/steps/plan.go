package steps

import (
	"cemli-executor/internal/jobs"
	"cemli-executor/manifest"
)

// JobOf is a plan as a job, still without a level, limits, and what is secret in it.
func JobOf(plan *manifest.Plan, w World) Job {
	m := plan.Manifest()
	j := Job{
		World: w, Undo: undoWhen(m, w.Action), Tools: m.Tools, Network: m.Network, Keep: m.Outputs,
		Times: Times{Steps: m.Timeout, Undo: m.UndoTime()},
	}
	for _, a := range plan.Arguments() {
		j.Arguments = append(j.Arguments, Variable{Name: a.Name, Value: a.Value.Text()})
	}
	for _, s := range plan.Steps() {
		j.Plan = append(j.Plan, stepOf(s, w))
	}
	return j
}

// undoWhen says when the steps of a run are undone.
func undoWhen(m *manifest.Manifest, action string) Undo {
	switch {
	case action == jobs.ActionRollback:
		return UndoOnly
	case action == jobs.ActionApply && m.OnFailure != manifest.OnFailureStop:
		return UndoOnFailure
	}
	return UndoNever
}

// stepOf is a step of a plan. A dry run leaves out each step that does not promise to change nothing.
func stepOf(s manifest.Step, w World) Step {
	step := Step{
		Name: s.Name, Phase: s.Phase, Run: s.Run, SHA256: s.SHA256, Args: s.Args, Env: s.Env, Secrets: s.Secrets,
		Timeout: s.Timeout, Retries: s.Retries, RetryDelay: s.RetryDelay, ContinueOnError: s.ContinueOnError,
		Undo: s.Rollback, UndoSHA256: s.RollbackSHA256, NoUndo: s.NoUndo,
	}
	if w.Action == jobs.ActionApply || w.DryRun && (s.Phase == manifest.PhasePreCheck || s.DryRun) {
		step.Do = Run
	}
	return step
}
