// Package verdict is why a run ends early without a failure.
package verdict

import (
	"errors"
	"fmt"
	"strings"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
)

// Verdict ends a run early without a failure. Stages return it as their error, so that the stages after them do not
// run.
type Verdict struct {
	Kind Kind
	Why  string // one sentence for people

	Claim     claim.Claim // Duplicate: the claim of the other run
	Sets      *claim.Held // Split: the claim of all sets
	KeepGoing bool        // Split: a set that does not succeed does not stop those after it
	RunID     string      // Skipped: the run that makes this one needless, or is in its way
	HandOff   string      // Later: the pending request, if another invocation is to serve it at once
}

// Kind is what becomes of the run; zero: there is no verdict.
type Kind int

const (
	// Duplicate says that another run serves the request, or has served it.
	Duplicate Kind = iota + 1
	// HasResult says that the run id has a result already, which another invocation has stored.
	HasResult
	// Split says that the request stands for one run for each parameter set of the package.
	Split
	// Later says that the request is accepted, and another invocation serves it.
	Later
	// Skipped says that nothing is executed, and the result says so.
	Skipped
)

// Error is the sentence for people.
func (v *Verdict) Error() string { return v.Why }

// Of returns the verdict that a stage returned, and an empty one for a failure or none.
func Of(err error) Verdict {
	var v *Verdict
	if errors.As(err, &v) {
		return *v
	}
	return Verdict{}
}

// OfAllSets reports whether the request turned out to stand for all sets of a package, so that there was no run.
func (v Verdict) OfAllSets() bool {
	return v.Kind == Split || v.Kind == Duplicate && v.Claim.Sets != nil
}

// DuplicateOf returns the verdict for a request whose run key another run has claimed.
func DuplicateOf(c claim.Claim) *Verdict {
	v := &Verdict{Kind: Duplicate, Claim: c}
	switch {
	case c.State != claim.Done:
		v.Why = "the same request is being done by run " + c.RunID
	case c.Sets != nil:
		v.Why = fmt.Sprintf("the same request was run for the parameter sets %s, and ended with %s",
			strings.Join(c.Sets, ", "), c.Status)
	default:
		v.Why = fmt.Sprintf("the same request was run %s, which ended with %s", c.RunID, c.Status)
	}
	return v
}

// LostRace returns the verdict for a run whose claim another invocation has changed first; nil if ok says that none
// has.
func LostRace(ok bool, claimed *claim.Held) error {
	if ok {
		return nil
	}
	return DuplicateOf(claimed.Claim)
}

// SplitUp returns the verdict for a request that stands for all parameter sets of the package.
func SplitUp(claimed *claim.Held, keepGoing bool) *Verdict {
	return &Verdict{
		Kind: Split, Sets: claimed, KeepGoing: keepGoing,
		Why: fmt.Sprintf("the package has %d parameter sets", len(claimed.Sets)),
	}
}

// PutOff returns the verdict for a run that is served later: at once by another invocation, if the pending request is
// handed off to it.
func PutOff(why, handOff string) *Verdict { return &Verdict{Kind: Later, Why: why, HandOff: handOff} }

// Needless returns the verdict for a run of which nothing is executed, because of another run.
func Needless(why, runID string) *Verdict { return &Verdict{Kind: Skipped, Why: why, RunID: runID} }

// AfterFailedSet returns the verdict for a parameter set that does not run because one before it did not succeed.
func AfterFailedSet(failed evidence.Result) *Verdict {
	why := fmt.Sprintf("nothing was executed: the parameter set %s, before this one, did not succeed in run %s",
		failed.ParameterSet, failed.RunID)
	return Needless(why, failed.RunID)
}

// ErrHasResult is the verdict for a run id that has a result already.
var ErrHasResult = &Verdict{Kind: HasResult, Why: "the run has a result already"}
