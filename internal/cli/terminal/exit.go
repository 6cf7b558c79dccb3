package terminal

import (
	"strings"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// EndedError ends the program with a code after everything has been printed.
type EndedError struct{ Code int }

// Error says no more than that.
func (e *EndedError) Error() string { return "ended" }

// StatusCode is the exit code of a run's status.
func StatusCode(status evidence.Status) int { return codes.Exit(string(status)) }

// ExitCode is the exit code of an error that no result stands for.
func ExitCode(err error) int {
	code := problem.CodeOf(err)
	if code == "usage" || code == "" && isCobraUsage(err) {
		return codes.ExitUsage
	}
	return codes.Of(code).Exit()
}

// isCobraUsage recognises what cobra itself says of unknown commands.
func isCobraUsage(err error) bool { return strings.HasPrefix(err.Error(), "unknown command") }
