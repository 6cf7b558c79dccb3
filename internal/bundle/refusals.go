package bundle

import (
	"cemli-executor/internal/codes"
	"cemli-executor/internal/problem"
)

// refusal is the problem of a code about an entry; "" is the whole archive.
func refusal(code, name, message string) problem.Problem {
	return problem.Problem{Code: code, Where: printable(name), Message: message, Hint: codes.Of(code).Cure}
}
