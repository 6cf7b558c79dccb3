package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// readRecord reads a package's record, and sorts what an earlier version has noted in it.
func (e *Executor) readRecord(ctx context.Context, name string) (*claim.Package, error) {
	record, err := e.book.Package(ctx, name)
	if err != nil {
		return nil, err
	}
	unsorted := record.Unsorted()
	if len(unsorted) == 0 {
		return record, nil
	}
	results := make([]*claim.Sorted, len(unsorted))
	var all errgroup.Group
	all.SetLimit(8)
	for i, d := range unsorted {
		all.Go(func() error {
			result, digest, err := e.readResult(ctx, d.RunID)
			switch {
			case errors.Is(err, store.ErrNotFound) || problem.CodeOf(err) == "state.result":
				return nil
			case err != nil:
				return err
			}
			of := entry(result, claim.Entry{Key: d.Key, Declares: declaredSets(result.Manifest), Result: digest})
			of.Standing = claim.Applied // else that version would have taken it out
			results[i] = &claim.Sorted{Set: result.ParameterSet, Entry: of}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return nil, fmt.Errorf("read the runs of %s: %w", name, err)
	}
	entries := map[string]claim.Sorted{}
	for i, d := range unsorted {
		if results[i] != nil {
			entries[d.RunID] = *results[i]
		}
	}
	record.Sort(entries)
	return record, nil
}

// declaredSets are the parameter sets of a manifest that a result quotes.
func declaredSets(doc []byte) []string {
	var m struct {
		Sets map[string]json.RawMessage `json:"parameter_sets"`
	}
	if json.Unmarshal(doc, &m) != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(m.Sets))
}

// resultOf is the SHA-256 of the result that a claim knows; "" if it knows none, as those of earlier
// versions.
func resultOf(held *claim.Held) string {
	if change := held.Change(); held.Result == "" && change != nil {
		return change.Result
	}
	return held.Result
}

// altered is the error for a result that is not the one that was stored.
func (e *Executor) altered(code, runID string) error {
	return problem.New(problem.Problem{
		Code: code, Where: e.Results.Name() + "/" + evidence.ResultObject(runID), Message: "the result is not the one that the executor has stored",
		Hint: "find out who changed the results bucket, and go on by hand",
	}, nil)
}

// vouched refuses a result of an earlier run that is not the one that its claim knows; one that no claim
// or only that of an earlier version knows passes.
func (e *Executor) vouched(ctx context.Context, runID, digest string) error {
	held, err := e.book.OfRun(ctx, runID)
	if err != nil || held == nil {
		return err
	}
	if known := resultOf(held); known != "" && known != digest {
		return e.altered("request.altered", runID)
	}
	return nil
}
