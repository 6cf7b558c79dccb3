package input

import (
	"io"
	"os"
	"path/filepath"

	"cemli-executor/executor"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/manifest"
)

// Policy reads the file of --policy as the policy of a run; nil: none was given.
func Policy(path string) (*executor.Policy, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no policy is no error
	}
	doc, err := ReadPolicy(path)
	if err != nil {
		return nil, err
	}
	return executor.InlinePolicy(filepath.Base(path), doc), nil
}

// ReadPolicy reads the file of --policy as it is; nil: none was given.
func ReadPolicy(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, noPolicy(path, "the policy cannot be read", err)
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, manifest.MaxBytes+1))
	if err != nil {
		return nil, noPolicy(path, "the policy cannot be read", err)
	}
	if _, err := manifest.Parse(doc); err == nil {
		return nil, noPolicy(path, "this is a package's manifest, and no admission policy", nil)
	}
	return doc, nil
}

func noPolicy(path, message string, cause error) error {
	return usage.WrongAt(path, message, "--policy is a file with an admission policy", cause)
}
