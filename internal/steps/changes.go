package steps

import (
	"strings"

	"cemli-executor/internal/evidence"
)

// Limits of what is said of files that steps have changed.
const (
	maxNamed      = 1000     // files named of a step
	maxNamedBytes = 64 << 10 // names of a run, all together
)

// nameChanged names, in the record of a step, the files of the package's folder that are not as they were
// before it, as far as there is room for them.
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

// printable is the name of a file as it can be shown.
func printable(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }
