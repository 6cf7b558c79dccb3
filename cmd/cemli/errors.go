package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// exitInterrupted is the exit code of a command that was interrupted, whatever it would have ended with.
const exitInterrupted = 130

// endedError ends the program with a code after everything has been said.
type endedError struct{ code int }

func (e *endedError) Error() string { return "ended" }

// statusCode is the exit code of a run's status.
func statusCode(status evidence.Status) int { return codes.Exit(string(status)) }

// exitCode is the exit code of an error that no result stands for.
func exitCode(err error) int {
	code := problem.CodeOf(err)
	if code == "usage" || code == "" && isCobraUsage(err) {
		return codes.ExitUsage
	}
	return codes.Of(code).Exit()
}

// isCobraUsage recognises what cobra itself says of unknown commands.
func isCobraUsage(err error) bool { return strings.HasPrefix(err.Error(), "unknown command") }

// usageError is a wrong call of a command.
func usageError(cmd *cobra.Command, err error) error {
	return problem.New(problem.Problem{
		Code: "usage", Message: err.Error(), Hint: "see " + cmd.CommandPath() + " --help",
	}, nil)
}

// showError says what happened, to what, and what to do next.
func (t *terminal) showError(err error) {
	var e *problem.Error
	if !errors.As(err, &e) {
		t.errorf("%s", err)
		if isCobraUsage(err) {
			t.hintf("see cemli --help")
		}
		return
	}
	for _, p := range e.Problems {
		t.showProblem(p)
	}
	if e.Cause != nil {
		t.notef("cause: %s", e.Cause)
	}
}

// cureHere is what to do on this machine, where the hint is for the operators of a function.
func (t *terminal) cureHere(p problem.Problem) string {
	switch {
	case p.Code == "policy.unavailable" && strings.Contains(p.Message, "; this is "):
		_, environment, _ := strings.Cut(p.Message, "; this is ")
		return "leave --env out, or name the policy of " + environment
	case p.Code == "manifest.environment":
		return p.Hint + "; choose with --env"
	case p.Code == "step.tool" && !t.local:
		return "install it here, and add it to the function's image"
	case p.Code == "secret.unavailable" && t.local:
		return "give it with --secret NAME=FILE, and its value in the file"
	}
	return p.Hint
}

func (t *terminal) showProblem(p problem.Problem) {
	p.Hint = t.cureHere(p)
	text := p.Message
	if p.Where != "" {
		text = p.Where + ": " + text
	}
	if p.Code != "usage" {
		text += " (" + p.Code + ")"
	}
	t.errorf("%s", text)
	if p.Hint != "" {
		t.hintf("%s", p.Hint)
	}
}
