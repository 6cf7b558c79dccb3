package localcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/scratch"
)

const functionName = "cemli-executor"

// findFunction returns the path of the function's binary: the one that was named, the
// one beside this program, or one built from the sources around the working folder.
// The second value removes what was built.
func findFunction(ctx context.Context, t *terminal.Terminal, named string) (string, func(), error) {
	keep := func() {}
	if named != "" {
		return named, keep, executable(named)
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), functionName)
		if executable(beside) == nil {
			return beside, keep, nil
		}
	}
	if root := moduleRoot(); root != "" {
		return buildFunction(ctx, t, root)
	}
	return "", nil, problem.New(problem.Problem{
		Code: "config.function", Message: "the function's binary " + functionName + " was not found",
		Hint: "put it beside cemli, name it with --function, or work in the sources with Go installed",
	}, nil)
}

func executable(path string) error {
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Mode()&0o111 == 0) {
		err = fs.ErrPermission
	}
	if err == nil {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "config.function", Where: path, Message: "it is no program that can be run",
		Hint: "name the function's binary with --function",
	}, err)
}

// moduleRoot is the folder of this module's go.mod at or above the working folder.
func moduleRoot() string {
	dir, err := os.Getwd()
	for err == nil {
		text, readErr := os.ReadFile(filepath.Join(dir, "go.mod"))
		if readErr == nil && bytes.HasPrefix(text, []byte("module "+functionName+"\n")) {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return ""
}

// buildFunction builds the binary as it is deployed: static and stripped.
func buildFunction(ctx context.Context, t *terminal.Terminal, root string) (string, func(), error) {
	dir, remove, err := scratch.Dir("cemli-function-")
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for the function: %w", err)
	}
	done := func() { _ = remove() }
	path := filepath.Join(dir, functionName)
	if !t.JSON() {
		t.Line(t.Paint(terminal.Faint, "building the function"))
	}
	args := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", path, "."}
	cmd := exec.CommandContext(ctx, "go", args...) // #nosec G204 -- a path of our own
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=", "GOARCH=")
	if output, err := cmd.CombinedOutput(); err != nil {
		done()
		return "", nil, problem.New(problem.Problem{
			Code: "config.function", Where: root, Message: "the function could not be built",
			Hint: "run go build in that folder and mend what it says",
		}, errors.Join(err, errors.New(string(bytes.TrimSpace(output)))))
	}
	return path, done, nil
}
