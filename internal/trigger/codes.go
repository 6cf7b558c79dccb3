package trigger

import (
	"cemli-executor/internal/codes"
	"cemli-executor/internal/problem"
)

// described is the problem of a code, with what to do about it.
func described(code, where, message string) problem.Problem {
	return problem.Problem{Code: code, Where: where, Message: message, Hint: codes.Of(code).Cure}
}

func refuse(code, where, message string) error {
	return problem.New(described(code, where, message), nil)
}

func refuseFor(cause error, code, where, message string) error {
	return problem.New(described(code, where, message), cause)
}

// clip shortens a place for display: a stranger's key may be part of it.
func clip[T ~string](where T) string {
	if runes := []rune(string(where)); len(runes) > 200 {
		return string(runes[:200]) + "…"
	}
	return string(where)
}
