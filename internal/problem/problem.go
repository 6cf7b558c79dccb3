// Package problem is how every part of the executor says what is wrong.
//
// A Problem has a stable code that scripts may test, the place it was found, a
// sentence for a person and, where something helps, a hint that says what to do
// next. An Error carries one or more of them through Go's error chains together
// with the cause, which goes to the log and never to the answer.
//
// A code is a family and words joined by underscores: "archive.not_a_zip". The
// families are archive, manifest, policy, signature, trigger, config, store,
// sandbox, step, secret and state.
package problem

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with an input or that went wrong in a run.
type Problem struct {
	// Code is the stable name of the problem, family first.
	Code string `json:"code"`
	// Where names the place: a JSON pointer, an archive entry, an object, a key.
	Where string `json:"where,omitempty"`
	// Message is one sentence without a full stop, in lower case, for a person.
	Message string `json:"message"`
	// Hint says what to do next; empty where the message already does.
	Hint string `json:"hint,omitempty"`
}

// String gives the problem on one line: where, message and code.
func (p Problem) String() string {
	if p.Where == "" {
		return fmt.Sprintf("%s (%s)", p.Message, p.Code)
	}
	return fmt.Sprintf("%s: %s (%s)", p.Where, p.Message, p.Code)
}

// Family returns the part of a code before its first dot.
func Family(code string) string {
	family, _, _ := strings.Cut(code, ".")
	return family
}

// Error is a list of problems, never empty, with the cause if there is one.
type Error struct {
	Problems []Problem
	Cause    error
}

// New makes an error of one problem. A cause may be given; it is logged, not shown.
func New(p Problem, cause error) *Error {
	return &Error{Problems: []Problem{p}, Cause: cause}
}

// Join makes an error of all problems, or nil when there are none.
func Join(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &Error{Problems: problems}
}

// Error lists every problem, in the order they were found, and the cause.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	text := strings.Join(lines, "; ")
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Code returns the code of the first problem.
func (e *Error) Code() string { return e.Problems[0].Code }

// Message returns what may be shown to anyone: the first problem, and how many
// more there are.
func (e *Error) Message() string {
	first := e.Problems[0]
	text := first.Message
	if first.Where != "" {
		text = first.Where + ": " + text
	}
	if more := len(e.Problems) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// CodeOf returns the code of the first *Error in err's chain, or "".
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return ""
}

// Of returns the first *Error in err's chain. An error that has none is wrapped
// as fallback, so that every failure reaches people with a code. A fallback
// without a message takes the error's own text.
func Of(err error, fallback Problem) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if fallback.Message == "" {
		fallback.Message = err.Error()
	}
	return New(fallback, err)
}
