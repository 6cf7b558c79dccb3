package followup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"

	"golang.org/x/sync/errgroup"
)

// Record reads a package's record, and sorts into it what an earlier version noted unsorted.
func (f Follower) Record(ctx context.Context, name string) (*claim.Package, error) {
	record, err := f.Book.Package(ctx, name)
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
			result, digest, err := f.ReadResult(ctx, d.RunID)
			switch {
			case errors.Is(err, store.ErrNotFound) || problem.CodeOf(err) == "state.result":
				return nil
			case err != nil:
				return err
			}
			of := Entry(result, claim.Entry{Key: d.Key, Declares: declaredSets(result.Manifest), Result: digest})
			of.Standing = claim.Applied // otherwise that version would have removed it
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

// declaredSets returns the parameter sets of the manifest in a result.
func declaredSets(doc []byte) []string {
	var m struct {
		Sets map[string]json.RawMessage `json:"parameter_sets"`
	}
	if json.Unmarshal(doc, &m) != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(m.Sets))
}

// remember notes in the package's record what a run has done. The history is the record as the run has read it; nil: it
// is read.
func (f Follower) remember(
	ctx context.Context, result evidence.Result, change *claim.Entry, history *claim.Package,
) error {
	back := hasUndone(result)
	applies := change != nil && result.Action == string(intake.ActionApply) && Began(result)
	if !applies && !back {
		return nil
	}
	if history == nil {
		var err error
		if history, err = f.Record(ctx, result.Package.Name); err != nil {
			return err
		}
	}
	p := result.Package
	return history.Update(ctx, func(record *claim.Package) {
		if back {
			if change != nil && change.RunID == result.PreviousRunID {
				record.Insert(result.ParameterSet, *change) // which an earlier version did not record
			}
			record.RolledBack(result.ParameterSet, result.PreviousRunID, result.RunID, undoneBy(result))
			return
		}
		record.Began(claim.Version{Version: p.Version, DirHash: p.DirHash, RunID: result.RunID, Start: result.Start})
		record.Add(result.ParameterSet, Entry(result, *change))
	})
}

// undoneBy returns the standing of a run after a rollback of it has begun.
func undoneBy(rollback evidence.Result) claim.Standing {
	if rollback.Status == evidence.StatusSuccess {
		return claim.Undone
	}
	return claim.Partial
}

// Entry returns the record entry of a run that applied something.
func Entry(result evidence.Result, change claim.Entry) claim.Entry {
	p := result.Package
	change.RunID, change.Standing = result.RunID, standing(result)
	change.Version, change.DirHash, change.SHA256, change.Object = p.Version, p.DirHash, p.SHA256, result.SourceObject
	change.Start, change.End = result.Start, result.End
	return change
}

// standing returns what became of what a run applied.
func standing(result evidence.Result) claim.Standing {
	undo := result.Rollback
	switch {
	case result.Status == evidence.StatusSuccess:
		return claim.Applied
	case result.Status == evidence.StatusRolledBack,
		result.Status == evidence.StatusCancelled && undo != nil && undo.Status == evidence.StepSuccess:
		return claim.Undone
	}
	return claim.Partial
}
