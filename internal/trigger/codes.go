package trigger

import (
	"cemli-executor/internal/codes"
	"cemli-executor/internal/problem"
)

// described makes the problem of a code, with what to do about it.
func described(code, where, message string) problem.Problem {
	return problem.Problem{Code: code, Where: where, Message: message, Hint: codes.Of(code).Cure}
}

func refuse(code, where, message string) error {
	return problem.New(described(code, where, message), nil)
}

func refuseFor(cause error, code, where, message string) error {
	return problem.New(described(code, where, message), cause)
}

// clip keeps a place that a stranger's key is part of short enough to show.
func clip[T ~string](where T) string {
	if runes := []rune(string(where)); len(runes) > 200 {
		return string(runes[:200]) + "…"
	}
	return string(where)
}
