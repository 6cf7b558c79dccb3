package steps

import (
	"strings"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
)

// nameChanged lists, in a step's record, the files of the package's folder that the step changed, as far as there is
// room for their names.
func (r *run) nameChanged(record *evidence.Step) {
	names, whole := r.before.Changed()
	if !whole {
		record.MoreChanged++
	}
	for _, name := range names {
		name = r.here.Masker.String(printable(name))
		if len(record.ChangedFiles) == jobs.MaxChanged || r.named+len(name) > jobs.MaxChangedBytes {
			record.MoreChanged++
			continue
		}
		r.named += len(name)
		record.ChangedFiles = append(record.ChangedFiles, name)
	}
}

// printable is a file's name as valid UTF-8.
func printable(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }
