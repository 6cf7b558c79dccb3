// Package codes defines every error code once: how a run that fails with it ends, the exit code of a command, whether
// the same request is tried again automatically and whether that counts as a try, who has to mend it, and its cause
// and cure in words.
//
// Decisions that depend on a code are made here. A test fails if a code is not in the table, or if nothing uses one
// that is. docs/authors/error-codes.md is generated from the table.
//
// Codes are stable words after a family: "archive.crc". A code never gets another meaning; one that is replaced stays
// known as the former name of the new one.
package codes

import (
	"errors"
	"strings"

	"cemli-executor/internal/problem"
)

// Fault says who has to mend what a code reports.
type Fault string

// Those who mend.
const (
	Author   Fault = "author"   // whoever made the package
	Asker    Fault = "asker"    // whoever sent the request
	Operator Fault = "operator" // whoever runs the function: configuration, permissions, buckets
	Platform Fault = "platform" // OCI, the network or the executor itself
)

// The statuses of runs that fail.
const (
	failed      = "failed"
	timedOutRun = "timed_out"
	interrupt   = "interrupted"
	withdrawn   = "cancelled"
	rejected    = "rejected"
	failure     = "error"
)

// Exit codes of commands.
const (
	ExitSuccess        = 0
	ExitFailed         = 1
	ExitUsage          = 2
	ExitRejected       = 3
	ExitInfrastructure = 4
)

// Verdict is what follows from a code.
type Verdict struct {
	Status string // of the run
	Fault  Fault
	// Retried says that a request that fails so before its first step is tried again.
	Retried bool
	// Counted says that such a try counts. It does not if a person has to mend something first.
	Counted bool
	// Tolerated says that a step may end so if it has continue_on_error, and is repeated if it has retries.
	Tolerated bool
	// ByCause says that the request is tried again if the cause's code says so.
	ByCause bool
	// ByRecord says that the outcome depends on what is applied, which a run in progress may still change.
	ByRecord bool
}

// The verdicts, by who has to mend the cause, and when.
var (
	author         = Verdict{Status: rejected, Fault: Author}                 // the package is wrong
	asker          = Verdict{Status: rejected, Fault: Asker}                  // the request is
	authorByRecord = Verdict{Status: rejected, Fault: Author, ByRecord: true} // what is applied is in the package's way
	askerByRecord  = Verdict{Status: rejected, Fault: Asker, ByRecord: true}  // or in the request's
	script         = Verdict{Status: failed, Fault: Author, Tolerated: true}  // a step failed, and may be repeated
	scriptFinal    = Verdict{Status: failed, Fault: Author}                   // a step failed for good
	started        = Verdict{Status: failed, Fault: Platform}                 // it failed after a step began
	timedOut       = Verdict{Status: timedOutRun, Fault: Author, Tolerated: true}
	interrupted    = Verdict{Status: interrupt, Fault: Platform}
	cancelled      = Verdict{Status: withdrawn, Fault: Asker}
	byCause        = Verdict{Status: rejected, Fault: Operator, ByCause: true}               // as the cause says
	operator       = Verdict{Status: failure, Fault: Operator}                               // final until asked anew
	platform       = Verdict{Status: failure, Fault: Platform}                               // likewise
	passing        = Verdict{Status: failure, Fault: Platform, Retried: true, Counted: true} // passes by itself
	setup          = Verdict{Status: failure, Fault: Operator, Retried: true, Counted: true} // permission, name
	afresh         = Verdict{Status: failure, Fault: Platform, Retried: true}                // in a fresh container
	damaged        = Verdict{Status: failure, Fault: Operator, Retried: true}                // uncounted: it waits
)

// Meaning is all that is known about a code.
type Meaning struct {
	Code string
	Verdict
	Cause, Cure string
}

// Exit is the exit code of a command that ends with the code.
func (m Meaning) Exit() int { return Exit(m.Status) }

type row struct {
	code        string
	verdict     Verdict
	cause, cure string
}

type family struct {
	name string
	rows []row
}

// byCode has every code.
var byCode = func() map[string]Meaning {
	all := map[string]Meaning{}
	for _, m := range All() {
		all[m.Code] = m
	}
	return all
}()

// All lists every code, by family.
func All() []Meaning {
	var all []Meaning
	for _, families := range [][]family{packages, runs} {
		for _, f := range families {
			for _, r := range f.rows {
				all = append(all, Meaning{r.code, r.verdict, r.cause, r.cure})
			}
		}
	}
	return all
}

// Internal is the code of a failure that has no other.
const Internal = "request.internal"

// Of is the meaning of a code; for an unknown one, such as that of another version, it is the meaning of Internal.
func Of(code string) Meaning {
	if m, ok := byCode[code]; ok {
		return m
	}
	return byCode[Internal]
}

// OfError is the meaning of a failure's code or, if that leaves it to the cause, of the cause's code.
func OfError(failure error) Meaning {
	var e, cause *problem.Error
	if !errors.As(failure, &e) {
		return Of(Internal)
	}
	m := Of(e.Code())
	if m.ByCause && errors.As(e.Cause, &cause) {
		if of := Of(cause.Code()); of.Retried {
			return of
		}
	}
	return m
}

// Known reports whether a code is in the table.
func Known(code string) bool { _, ok := byCode[code]; return ok }

// Was is the code that an earlier version used instead; "" if it was the same, or there was none.
func Was(code string) string { return formerly[code] }

var formerly = map[string]string{
	Internal:              "sandbox.internal",
	"request.differs":     "trigger.previous_run",
	"request.gone":        "trigger.previous_run",
	"request.hidden":      "trigger.previous_run",
	"request.not_partial": "trigger.previous_run",
	"request.unknown_run": "trigger.previous_run", "rollback.of_rollback": "trigger.previous_run",
	"manifest.unsupported": "manifest.unknown_key", "trigger.unsupported": "trigger.unknown_key",
}

// Exit is the exit code of a command for a run's status.
func Exit(status string) int {
	switch status {
	case "success", "skipped":
		return ExitSuccess
	case failed, "rolled_back", timedOutRun, interrupt, withdrawn:
		return ExitFailed
	case rejected:
		return ExitRejected
	}
	return ExitInfrastructure
}

// Family is the part of a code before its dot.
func (m Meaning) Family() string {
	name, _, _ := strings.Cut(m.Code, ".")
	return name
}

// Retryable reports whether a failure before the first step may pass, so that the same request may succeed later.
func Retryable(failure error) bool { return failure != nil && OfError(failure).Retried }
