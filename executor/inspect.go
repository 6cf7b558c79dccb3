package executor

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// Inspection is what a package turned out to be.
type Inspection struct {
	Package evidence.Package // as a result names it, without ETag and version
	Plan    *manifest.Plan
	Files   []bundle.File
}

// Inspect gives the verdict that a run gives on a package's bytes before its first
// step, with the same code and the same codes. It writes the contents into root, which
// should be empty. What depends on the machine, as interpreters and free space do, is
// not looked at.
func Inspect(ctx context.Context, zip io.ReaderAt, size int64, root *os.Root, limits Limits) (Inspection, error) {
	var found Inspection
	if err := withinLimit("", size, limits.PackageBytes); err != nil {
		return found, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(zip, 0, size)); err != nil {
		return found, fmt.Errorf("read package: %w", err)
	}
	found.Package.Size, found.Package.SHA256 = size, hexSum(sum)
	archive, err := bundle.Check(zip, size, limits.Archive)
	if err != nil {
		return found, err
	}
	found.Files = archive.Files()
	found.Package.Entries = len(found.Files)
	m, err := readManifest(archive)
	if err != nil {
		return found, err
	}
	found.Package.Name, found.Package.Version, found.Package.Type = m.Name, m.Version, m.Type
	extracted, err := archive.Extract(ctx, root)
	if err != nil {
		return found, err
	}
	found.Package.DirHash = extracted.DirHash
	found.Plan = m.Plan(digests(extracted))
	return found, nil
}

// withinLimit refuses a zip for its size alone.
func withinLimit(name string, size, limit int64) error {
	if size <= limit {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "archive.package_too_large", Where: name,
		Message: fmt.Sprintf("the package has %d bytes; at most %d are allowed", size, limit),
		Hint:    "leave out what the scripts can fetch themselves, or raise CEMLI_LIMIT_PACKAGE_BYTES",
	}, nil)
}

// readManifest reads and checks the manifest of a checked archive.
func readManifest(archive *bundle.Archive) (*manifest.Manifest, error) {
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

// digests maps the files that were written to their SHA-256.
func digests(e bundle.Extracted) map[string]string {
	byName := make(map[string]string, len(e.Files))
	for _, f := range e.Files {
		byName[f.Name] = f.SHA256
	}
	return byName
}
