// Package codes is what every error code means, said once: how a run ends that fails with it, the
// exit code of a command, whether the same request is tried again by itself and whether that counts
// against its tries, whose it is to mend, and what leads to it and what to do, in words.
//
// Whoever decides something by a code asks here. A code that is not in the table fails a test, and so
// does one in the table that nothing gives. docs/authors/error-codes.md is made from it.
//
// Codes are stable words after a family: "archive.crc". They are never given another meaning; one that
// is replaced by another stays known as what that one was.
package codes

import (
	"errors"
	"strings"

	"cemli-executor/internal/problem"
)

// Fault is whose it is to mend what a code says.
type Fault string

// Who mends.
const (
	Author   Fault = "author"   // whoever made the package
	Asker    Fault = "asker"    // whoever sent the request
	Operator Fault = "operator" // whoever runs the function: configuration, permissions, buckets
	Platform Fault = "platform" // OCI, the network or the executor itself
)

// The statuses of a run that an error leads to.
const (
	failed      = "failed"
	timedOutRun = "timed_out"
	interrupt   = "interrupted"
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
	// Retried says that, before the first step, the request is not at its end: it is tried again.
	Retried bool
	// Counted says that a try counts which ended so. What a person has to mend first does not count.
	Counted bool
	// Tolerated says that a step may end so where it says continue_on_error, and is repeated where
	// it says retries.
	Tolerated bool
	// ByCause says that the request is tried again where the cause's code says so.
	ByCause bool
	// ByRecord says that what is applied decides, which a run that has not ended may change yet.
	ByRecord bool
}

// The verdicts that there are.
var (
	author      = Verdict{Status: rejected, Fault: Author}
	asker       = Verdict{Status: rejected, Fault: Asker}
	authorNow   = Verdict{Status: rejected, Fault: Author, ByRecord: true}
	askerNow    = Verdict{Status: rejected, Fault: Asker, ByRecord: true}
	script      = Verdict{Status: failed, Fault: Author, Tolerated: true}
	scriptFinal = Verdict{Status: failed, Fault: Author}
	started     = Verdict{Status: failed, Fault: Platform}
	timedOut    = Verdict{Status: timedOutRun, Fault: Author, Tolerated: true}
	interrupted = Verdict{Status: interrupt, Fault: Platform}
	byCause     = Verdict{Status: rejected, Fault: Operator, ByCause: true}
	operator    = Verdict{Status: failure, Fault: Operator}
	platform    = Verdict{Status: failure, Fault: Platform}
	passing     = Verdict{Status: failure, Fault: Platform, Retried: true, Counted: true}
	setup       = Verdict{Status: failure, Fault: Operator, Retried: true, Counted: true}
	afresh      = Verdict{Status: failure, Fault: Platform, Retried: true}
	damaged     = Verdict{Status: failure, Fault: Operator, Retried: true}
)

// Meaning is all that is to be known of a code.
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

// Of is the meaning of a code; of one that is not known, such as that of another version, it is that
// of Internal.
func Of(code string) Meaning {
	if m, ok := byCode[code]; ok {
		return m
	}
	return byCode[Internal]
}

// OfError is what a failure means: by its code or, where that leaves it to the cause, by that one's.
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

// Was is the code that an earlier version gave for the same; "" if it was this one, or none.
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
	case failed, "rolled_back", timedOutRun, interrupt, "cancelled":
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
