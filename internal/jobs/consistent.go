package jobs

import (
	"fmt"
	"io/fs"
	"slices"

	"cemli-executor/internal/document"
	"cemli-executor/internal/redact"
)

// consistent refuses a job whose parts contradict each other, or are more together than any run may have.
func (j Job) consistent() error {
	for i, s := range j.Plan {
		if why := j.unfit(s, i+1); why != "" {
			return job.wrong(fmt.Sprintf("/plan/%d", i), why)
		}
	}
	for i, r := range j.Restore {
		if r.N != i+1 || !isPath(r.Name) {
			return job.wrong(fmt.Sprintf("/restore/%d", i), "it has another number or no path")
		}
	}
	switch {
	case j.Times.StopAt.After(j.Times.KillAt):
		return job.wrong("/times", "the scripts would run longer than the job")
	case bytesOf(j.Outputs) > MaxOutputBytes:
		return job.wrong("/outputs", fmt.Sprintf("they have more than %d bytes", MaxOutputBytes))
	}
	return j.hidden()
}

// unfit says why a step cannot be the plan's at a place; "" if it can.
func (j Job) unfit(s Step, place int) string {
	undoes := s.Do == DoRevert || s.Do == DoUndone
	switch {
	case s.N != place:
		return fmt.Sprintf("it has the number %d", s.N)
	case s.Do != DoNot && undoes != (j.Action == ActionRollback):
		return "what is done with it is nothing for the action " + j.Action
	case s.Undoable() != (s.RollbackSHA256 != ""):
		return "an undo script and its digest go together"
	case s.Outputs != nil && s.Do != DoSkip:
		return "only a step that is skipped has outputs"
	case bytesOf(s.Outputs) > MaxOutputBytes:
		return fmt.Sprintf("its outputs have more than %d bytes", MaxOutputBytes)
	case !isPath(s.Run) || s.Undoable() && !isPath(s.Rollback):
		return "its script has no path in a package"
	}
	for _, name := range s.Secrets {
		if _, ok := j.Secrets[name]; !ok {
			return "it sees a secret that the job does not have"
		}
	}
	return ""
}

// hidden refuses a job with a secret that would not be masked.
func (j Job) hidden() error {
	if bytesOf(j.Secrets) > 2*maxSecret { // with their names
		return job.wrong("/secrets", fmt.Sprintf("they have more than %d bytes", 2*maxSecret))
	}
	size := 0
	for _, value := range j.Mask {
		if size += len(value); len(value) < redact.MinBytes || size > MaxMasked {
			const form = "values have fewer than %d bytes, or more than %d together"
			return job.wrong("/mask", fmt.Sprintf(form, redact.MinBytes, MaxMasked))
		}
	}
	masked := slices.Sorted(slices.Values(j.Mask))
	for name, value := range j.Secrets {
		if _, ok := slices.BinarySearch(masked, value); !ok {
			return job.wrong("/secrets/"+name, "it is not among what is masked")
		}
	}
	return nil
}

// bytesOf is the size of all keys and values.
func bytesOf(values map[string]string) int {
	size := 0
	for key, value := range values {
		size += len(key) + len(value)
	}
	return size
}

// isPath reports whether a name is one that a file in a folder can be kept under: a relative path of one line.
func isPath(name string) bool {
	return len(name) <= maxPath && name != "." && fs.ValidPath(name) && document.IsLine(name)
}
