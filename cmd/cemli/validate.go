package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// verdict is the answer of cemli validate.
type verdict struct {
	Valid    bool              `json:"valid"`
	Problems []problem.Problem `json:"problems"`
	Advice   []advice          `json:"advice"`
	Package  evidence.Package  `json:"package"`
}

func newValidateCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "validate PATH",
		Short: "Say everything that the function would say against a package",
		Long: `Check a package folder or zip as the function does before the first step, and
give advice about its scripts. Nothing is run.

Problems make the package invalid: the function refuses it with the same codes.
Advice does not.`,
		Example: "  cemli validate examples/hello-cemli",
		Args:    exactPath,
		RunE: func(cmd *cobra.Command, args []string) error {
			return validate(cmd.Context(), t, args[0])
		},
	}
}

// validate inspects the package at path and prints the verdict.
func validate(ctx context.Context, t *terminal, path string) error {
	scratch, err := os.MkdirTemp("", "cemli-validate-")
	if err != nil {
		return fmt.Errorf("make a scratch folder: %w", err)
	}
	defer os.RemoveAll(scratch)
	root, err := os.OpenRoot(scratch)
	if err != nil {
		return fmt.Errorf("open the scratch folder: %w", err)
	}
	defer root.Close()
	found, err := inspect(ctx, path, root)
	v := verdict{Valid: err == nil, Problems: []problem.Problem{}, Advice: []advice{}, Package: found.Package}
	var refused *problem.Error
	switch {
	case err == nil:
		v.Advice = append(v.Advice, advise(found, root)...)
	case errors.As(err, &refused) && exitCode(err) == exitRejected:
		v.Problems = refused.Problems
	default:
		return err
	}
	if err := t.showVerdict(v); err != nil {
		return err
	}
	if !v.Valid {
		return &endedError{exitRejected}
	}
	return nil
}

// inspect opens the package as a zip and takes the executor's view of it.
func inspect(ctx context.Context, path string, root *os.Root) (executor.Inspection, error) {
	zip, _, err := openPackage(path)
	if err != nil {
		return executor.Inspection{}, err
	}
	defer zip.Close()
	size, err := zip.Seek(0, io.SeekEnd)
	if err != nil {
		return executor.Inspection{}, fmt.Errorf("read %s: %w", path, err)
	}
	return executor.Inspect(ctx, zip, size, root, executor.DefaultLimits())
}

func (t *terminal) showVerdict(v verdict) error {
	if t.format == "json" {
		return t.printJSON(v)
	}
	for _, p := range v.Problems {
		t.showProblem(p)
	}
	for _, a := range v.Advice {
		t.raw(t.paint(yellow, "advice:") + " " + visible(a.Where+": "+a.Message))
	}
	if !v.Valid {
		_, err := fmt.Fprintf(t.stdout, "not valid: %d problems\n", len(v.Problems))
		return err
	}
	_, err := fmt.Fprintf(t.stdout, "valid: %s %s, %d files, %s\n", v.Package.Name, v.Package.Version, v.Package.Entries, v.Package.DirHash)
	return err
}
