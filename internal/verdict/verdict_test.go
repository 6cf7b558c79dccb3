package verdict_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/verdict"
)

// A duplicate names the run that serves the request, or the sets that did.
func TestDuplicateOf(t *testing.T) {
	t.Parallel()
	running := claim.Claim{RunID: "run-1", State: claim.Running}
	done := claim.Claim{RunID: "run-1", State: claim.Done, Outcome: claim.Outcome{Status: "failed"}}
	sets := done
	sets.RunID, sets.Sets = "", []string{"DE", "FR"}
	for _, c := range []struct {
		claim claim.Claim
		says  string
		sets  bool
	}{
		{running, "is being done by run run-1", false},
		{done, "was run run-1, which ended with failed", false},
		{sets, "parameter sets DE, FR, and ended with failed", true},
	} {
		v := verdict.Of(fmt.Errorf("accept: %w", verdict.DuplicateOf(c.claim)))
		if v.Kind != verdict.Duplicate || !strings.Contains(v.Why, c.says) || v.OfAllSets() != c.sets {
			t.Errorf("%d, %q, of all sets %t; want %q, %t", v.Kind, v.Why, v.OfAllSets(), c.says, c.sets)
		}
	}
}

// A failure is no verdict, and neither is a claim that nobody else has changed.
func TestNoVerdict(t *testing.T) {
	t.Parallel()
	held := &claim.Held{}
	for _, err := range []error{nil, errors.New("failed"), verdict.LostRace(true, held)} {
		if v := verdict.Of(err); v.Kind != 0 {
			t.Errorf("%v is %+v", err, v)
		}
	}
	if v := verdict.Of(verdict.LostRace(false, held)); v.Kind != verdict.Duplicate {
		t.Errorf("a lost race is %+v", v)
	}
}
