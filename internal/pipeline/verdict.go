package pipeline

import (
	"errors"
	"fmt"
	"strings"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
)

// verdict ends a run early without a failure. Stages return it as their error, so that the stages after them do not
// run; end is the one function that acts on it.
type verdict struct {
	kind verdictKind
	why  string // one sentence for people

	claim     claim.Claim // duplicate: the claim of the other run
	sets      *claim.Held // split: the claim of all sets
	keepGoing bool        // split: a set that does not succeed does not stop those after it
	runID     string      // skipped: the run that makes this one needless, or is in its way
	handOff   string      // later: the pending request, if another invocation is to serve it at once
}

type verdictKind int

const (
	// duplicate: another run serves the request, or has served it.
	duplicate verdictKind = iota + 1
	// hasResult: the run id has a result already, which another invocation has stored.
	hasResult
	// split: the request stands for one run for each parameter set of the package.
	split
	// later: the request is accepted, and another invocation serves it.
	later
	// skipped: nothing is executed, and the result says so.
	skipped
)

func (v *verdict) Error() string { return v.why }

// verdictOf returns the verdict that a stage returned, and an empty one for a failure or none.
func verdictOf(err error) verdict {
	var v *verdict
	if errors.As(err, &v) {
		return *v
	}
	return verdict{}
}

// ofAllSets reports whether the request turned out to stand for all sets of a package, so that there was no run.
func (v verdict) ofAllSets() bool {
	return v.kind == split || v.kind == duplicate && v.claim.Sets != nil
}

// duplicateOf returns the verdict for a request whose run key another run has claimed.
func duplicateOf(c claim.Claim) *verdict {
	v := &verdict{kind: duplicate, claim: c}
	switch {
	case c.State != claim.Done:
		v.why = "the same request is being done by run " + c.RunID
	case c.Sets != nil:
		v.why = fmt.Sprintf("the same request was run for the parameter sets %s, and ended with %s",
			strings.Join(c.Sets, ", "), c.Status)
	default:
		v.why = fmt.Sprintf("the same request was run %s, which ended with %s", c.RunID, c.Status)
	}
	return v
}

// splitUp returns the verdict for a request that stands for all parameter sets of the package.
func splitUp(claimed *claim.Held, keepGoing bool) *verdict {
	return &verdict{
		kind: split, sets: claimed, keepGoing: keepGoing,
		why: fmt.Sprintf("the package has %d parameter sets", len(claimed.Sets)),
	}
}

// afterFailedSet returns the verdict for a parameter set that does not run because one before it did not succeed.
func afterFailedSet(failed evidence.Result) *verdict {
	return &verdict{
		kind: skipped, runID: failed.RunID,
		why: fmt.Sprintf("nothing was executed: the parameter set %s, before this one, did not succeed in run %s",
			failed.ParameterSet, failed.RunID),
	}
}

// errHasResult is the verdict for a run id that has a result already.
var errHasResult = &verdict{kind: hasResult, why: "the run has a result already"}
