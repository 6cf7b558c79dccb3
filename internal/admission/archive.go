package admission

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// WithinLimit refuses a zip for its size alone.
func WithinLimit(name string, size, limit int64) error {
	if size <= limit {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "archive.package_too_large", Where: name,
		Message: fmt.Sprintf("the package has %d bytes; at most %d are allowed", size, limit),
		Hint:    "leave out what the scripts can fetch themselves, or raise CEMLI_LIMIT_PACKAGE_BYTES",
	}, nil)
}

// Open reads the archive's directory, and refuses the archive if anything in it is malformed or beyond the limits. It
// extracts nothing. The name is that of the object, for problems.
func Open(name string, zip io.ReaderAt, size int64, limits Limits) (*bundle.Archive, error) {
	if err := WithinLimit(name, size, limits.PackageBytes); err != nil {
		return nil, err
	}
	return bundle.Check(zip, size, limits.Archive)
}

// ReadManifest reads and checks the manifest of a checked archive.
func ReadManifest(archive *bundle.Archive) (*manifest.Manifest, error) {
	file, ok := archive.Stat(manifest.Name)
	switch {
	case !ok:
		return nil, manifest.Missing()
	case file.Size > manifest.MaxBytes:
		return nil, manifest.TooLarge(file.Size)
	}
	doc, err := archive.ReadFile(manifest.Name, manifest.MaxBytes)
	if err != nil {
		return nil, err
	}
	return manifest.Parse(doc)
}

// MayUndo reports whether a run with an action may have undo scripts to run, judging by the manifest and the files'
// names.
func MayUndo(m *manifest.Manifest, archive *bundle.Archive, action string) bool {
	named := slices.ContainsFunc(m.StepList, func(s manifest.StepSpec) bool { return s.Rollback != "" })
	found := slices.ContainsFunc(archive.Files(), func(f bundle.File) bool {
		return strings.HasPrefix(f.Name, "rollback/")
	})
	return (named || found) && (action == string(intake.ActionRollback) || m.OnFailure != manifest.OnFailureStop)
}
