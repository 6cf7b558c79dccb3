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
	"cemli-executor/internal/redact"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

// What is applied is decided here: what a run is in the package's record, what that says of a repeat
// and of requirements, and how the record of an earlier version is read.

// change is the entry of what a plan applies, as far as it is known before it runs.
func (r *found) change(plan *manifest.Plan) *claim.Entry {
	p := r.result.Package
	return &claim.Entry{
		RunID: r.result.RunID, Key: contentKey(plan, p.DirHash, r.request.ParameterSet), Version: p.Version, DirHash: p.DirHash, SHA256: p.SHA256,
		Kept: r.copies.zip, Object: r.request.Object, Uploaded: r.created, Declares: slices.Sorted(maps.Keys(plan.Manifest().ParameterSets)), Start: r.result.Start, Resumes: r.request.ResumeFrom,
	}
}

// contentKey identifies what a plan does: contents, parameter set and parameters. Numbers count by their
// value: 1.0 is 1.
func contentKey(plan *manifest.Plan, dirHash, set string) string {
	return keyOf(plan, dirHash, set, manifest.Value.Canonical)
}

// writtenKey is the content key as records have it that were made when numbers counted as they were
// written.
func writtenKey(plan *manifest.Plan, dirHash, set string) string {
	return keyOf(plan, dirHash, set, func(v manifest.Value) manifest.Value { return v })
}

// keysOf are all keys that a plan may have in a record.
func keysOf(plan *manifest.Plan, dirHash, set string) []string {
	return []string{contentKey(plan, dirHash, set), writtenKey(plan, dirHash, set)}
}

func keyOf(plan *manifest.Plan, dirHash, set string, form func(manifest.Value) manifest.Value) string {
	values := map[string]manifest.Value{}
	for _, a := range plan.Arguments() {
		values[a.Name] = form(a.Value)
	}
	doc, err := json.Marshal([]any{dirHash, set, values})
	if err != nil {
		panic(err) // values are valid JSON
	}
	return sum(doc)
}

// notAgain ends a run of what is applied already, where that is not to be done again.
func (r *found) notAgain(plan *manifest.Plan, policy *manifest.Policy) error {
	if r.result.Action != string(ActionApply) || r.request.previousRun() != "" || plan.Manifest().Idempotent || policy != nil && policy.AllowsRepeat() {
		return nil
	}
	set, dirHash := r.request.ParameterSet, r.result.Package.DirHash
	keys := keysOf(plan, dirHash, set)
	if e := r.history.Applied(set); e != nil && slices.Contains(keys, e.Key) {
		return r.alreadyApplied(e.RunID)
	}
	for _, key := range keys {
		if id := r.history.Forgotten(key); id != "" && r.history.Latest(set) == nil {
			return r.alreadyApplied(id)
		}
	}
	return nil
}

// applied is the version that is applied of a parameter set; "" where none is. A success of an earlier version
// whose set is not known any more counts for sets of which nothing else is known.
func applied(history *claim.Package, set string) string {
	if e := history.Applied(set); e != nil {
		return e.Version
	}
	if len(history.Sets[set]) == 0 {
		return history.Lost()
	}
	return ""
}

// unmet says why what is applied of a package does not meet a range of versions, for a run of a
// parameter set: in the same set where the package has it, else in all that it declares. "" if it does.
func unmet(history *claim.Package, set, wanted, environment string) string {
	newest := history.Newest()
	if newest == nil && history.Lost() == "" {
		return "nothing of it is applied in " + environment
	}
	var sets []string
	if newest != nil {
		sets = history.Declared[newest.DirHash]
	}
	switch {
	case len(sets) == 0:
		sets = []string{""}
	case slices.Contains(sets, set):
		sets = []string{set}
	}
	for _, set := range sets {
		of := ""
		if set != "" {
			of = " of its parameter set " + set
		}
		switch have := applied(history, set); {
		case have == "":
			return "nothing" + of + " is applied in " + environment
		case !manifest.Satisfies(have, wanted):
			return environment + " has " + have + of
		}
	}
	return ""
}

// began reports whether the first run-phase step of a run began, here or in the run that it resumed:
// what ended before has changed nothing.
func began(result evidence.Result) bool {
	return slices.ContainsFunc(result.Steps, func(s evidence.Step) bool {
		return s.Phase == string(manifest.PhaseRun) && (s.Attempts > 0 || s.Status == evidence.StepSkipped)
	})
}

// ranAny reports whether any step of a run began, here or in the run that it resumed.
func ranAny(result evidence.Result) bool {
	return slices.ContainsFunc(result.Steps, func(s evidence.Step) bool { return s.Attempts > 0 || s.Status == evidence.StepSkipped })
}

// standing is what became of what a run applied.
func standing(status evidence.Status) claim.Standing {
	switch status {
	case evidence.StatusSuccess:
		return claim.Applied
	case evidence.StatusRolledBack:
		return claim.Undone
	}
	return claim.Partial
}

// entry is what the record says of a run that applied something.
func entry(result evidence.Result, change claim.Entry) claim.Entry {
	p := result.Package
	change.RunID, change.Standing = result.RunID, standing(result.Status)
	change.Version, change.DirHash, change.SHA256, change.Object = p.Version, p.DirHash, p.SHA256, result.SourceObject
	change.Start, change.End = result.Start, result.End
	return change
}

// remember notes in the package's record what a run has done. The record is the one that the run has
// read; nil: it is read.
func (e *Executor) remember(ctx context.Context, result evidence.Result, change *claim.Entry, record *claim.Package) error {
	back := hasUndone(result)
	applies := change != nil && result.Action == string(ActionApply) && began(result)
	if !applies && !back {
		return nil
	}
	if record == nil {
		var err error
		if record, err = e.readRecord(ctx, result.Package.Name); err != nil {
			return err
		}
	}
	p := result.Package
	return record.Update(ctx, func(record *claim.Package) {
		if back {
			if change != nil && change.RunID == result.PreviousRunID {
				record.Insert(result.ParameterSet, *change) // an earlier version had not noted it
			}
			record.RolledBack(result.ParameterSet, result.PreviousRunID, result.RunID, undoneBy(result))
			return
		}
		record.Began(claim.Version{Version: p.Version, DirHash: p.DirHash, RunID: result.RunID, Start: result.Start})
		record.Add(result.ParameterSet, entry(result, *change))
	})
}

// noted is the entry of what a run applies with the digest of its result.
func noted(change *claim.Entry, result evidence.Result, digest string) *claim.Entry {
	if change != nil && change.Result == "" && result.Action == string(ActionApply) {
		change.Result = digest
	}
	return change
}

// hasUndone reports whether a run is a rollback that has begun to undo, or had nothing left to.
func hasUndone(result evidence.Result) bool {
	if result.Action != string(ActionRollback) || result.Rollback == nil {
		return false
	}
	return result.Status == evidence.StatusSuccess || undoBegan(result)
}

// undoBegan reports whether an undo script of a run has run.
func undoBegan(result evidence.Result) bool {
	return result.Rollback != nil && slices.ContainsFunc(result.Rollback.Steps, func(s evidence.Step) bool { return s.Attempts > 0 })
}

// undoneBy is the standing of a run after a rollback of it that began.
func undoneBy(rollback evidence.Result) claim.Standing {
	if rollback.Status == evidence.StatusSuccess {
		return claim.Undone
	}
	return claim.Partial
}

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

// askedParameters are the parameters that the request gives, for results of runs that end before all of them
// are known: whoever does the same again needs them. Those that are not known to be harmless are hidden.
func (r *asked) askedParameters(m *manifest.Manifest) map[string]any {
	if len(r.request.Parameters) == 0 {
		return nil
	}
	values := map[string]any{}
	for name, doc := range r.request.Parameters {
		values[name] = redact.Mask
		if m == nil {
			continue
		}
		declared, ok := m.Parameters[name]
		if v, err := manifest.ParseValue(doc); err == nil && ok && !declared.Sensitive {
			values[name] = v
		}
	}
	return values
}

// shown are the parameters for the result; a sensitive one is only said to be there.
func shown(arguments manifest.Arguments) map[string]any {
	if len(arguments) == 0 {
		return nil
	}
	values := map[string]any{}
	for _, a := range arguments {
		if values[a.Name] = a.Value; a.Sensitive {
			values[a.Name] = redact.Mask
		}
	}
	return values
}
