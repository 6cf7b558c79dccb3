package steps

import (
	"strings"

	"cemli-executor/internal/evidence"
)

// Limits of the lists of files that steps changed.
const (
	maxNamed      = 1000     // files named for a step
	maxNamedBytes = 64 << 10 // bytes of all names in a run
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
		if len(record.ChangedFiles) == maxNamed || r.named+len(name) > maxNamedBytes {
			record.MoreChanged++
			continue
		}
		r.named += len(name)
		record.ChangedFiles = append(record.ChangedFiles, name)
	}
}

// printable is a file's name as valid UTF-8.
func printable(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }
