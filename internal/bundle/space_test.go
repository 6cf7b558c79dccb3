package bundle

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"cemli-executor/internal/problem"
)

func TestFullDiskHasACode(t *testing.T) {
	t.Parallel()
	full := fmt.Errorf("write a: %w", &os.PathError{Op: "write", Path: "a", Err: syscall.ENOSPC})
	if err := writeError("a", full); problem.CodeOf(err) != "archive.no_space" || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
	if other := errors.New("other"); writeError("a", other) != other { //nolint:errorlint // the same one
		t.Error("another error was changed")
	}
}
