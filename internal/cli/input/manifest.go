package input

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// ReadManifest reads and checks the manifest of a package's files.
func ReadManifest(files fs.FS) (*manifest.Manifest, error) {
	f, err := files.Open(manifest.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(files)
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, manifest.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return manifest.Parse(doc)
}

// missing says where the manifest is, if it is one folder down.
func missing(files fs.FS) error {
	found, err := fs.Glob(files, "*/"+manifest.Name)
	if err != nil || len(found) != 1 {
		return manifest.Missing()
	}
	inner := path.Dir(found[0])
	return problem.New(problem.Problem{
		Code: "archive.top_folder", Where: inner + "/", Message: "the package is in this folder, one further down",
		Hint: "name that folder instead: …/" + inner,
	}, nil)
}

// ManifestOf reads the manifest of a package; what is wrong with the package itself the run says.
func ManifestOf(path string, written ...string) (*manifest.Manifest, error) {
	zip, _, err := OpenPackage(path, written...)
	if err != nil {
		return nil, err
	}
	defer zip.Close()
	size, err := zip.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	archive, err := bundle.Check(zip, size, bundle.DefaultLimits())
	if err != nil {
		return nil, err
	}
	doc, err := archive.ReadFile(manifest.Name, manifest.MaxBytes)
	if err != nil {
		return nil, manifest.Missing()
	}
	return manifest.Parse(doc)
}
