package jobs

import "cemli-executor/internal/evidence"

// Follows refuses progress that is not the job's, with the code runner.mailbox: of another job, or with a step that the
// plan does not have, or has no undo script for.
func Follows(j Job, p Progress) error {
	if p.Job != j.Job {
		return progress.wrong("/job", "it is of another job")
	}
	seen := map[[2]string]bool{}
	for _, s := range p.Steps {
		key := [2]string{s.Name, s.Phase}
		if seen[key] || !j.has(s) {
			return progress.wrong("/steps", "it has a step that the plan does not have, or has it twice")
		}
		seen[key] = true
	}
	return nil
}

// has reports whether a record is that of a step of the plan, or of its undo script.
func (j Job) has(s evidence.Step) bool {
	for _, planned := range j.Plan {
		if planned.Name != s.Name {
			continue
		}
		if s.Phase == PhaseRollback {
			return planned.Undoable() && s.Run == planned.Rollback && s.SHA256 == planned.RollbackSHA256
		}
		return s.Phase == planned.Phase && s.Run == planned.Run && s.SHA256 == planned.SHA256
	}
	return false
}
