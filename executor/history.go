package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/redact"
	"cemli-executor/manifest"
)

// repeated says that the very same thing has succeeded already, in that run.
type repeated struct{ runID string }

func (e *repeated) Error() string {
	return "the same content and parameters succeeded already as run " + e.runID
}

// repeats reports whether doing the same again is to be left out.
func (r *run) repeats(m *manifest.Manifest, policy *manifest.Policy) bool {
	return r.does(ActionApply) && r.request.RerunOf == "" && !m.Idempotent && (policy == nil || !policy.AllowsRepeat())
}

// contentKey identifies what a plan does: contents, parameter set and parameters.
func contentKey(plan *manifest.Plan, dirHash, set string) string {
	values := map[string]manifest.Value{}
	for _, a := range plan.Arguments() {
		values[a.Name] = a.Value
	}
	doc, err := json.Marshal([]any{dirHash, set, values})
	if err != nil {
		panic(err) // values are valid JSON
	}
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:])
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

// noteBegin records, before the first step, that the version is run with these contents.
func (r *run) noteBegin(ctx context.Context) error {
	p := r.result.Package
	return claim.UpdatePackage(ctx, r.State, r.Environment, p.Name, func(record *claim.Package) error {
		record.Began(claim.Version{Version: p.Version, DirHash: p.DirHash, RunID: r.runID(), Start: r.result.Start})
		return nil
	})
}

// noteSuccess records a success after its evidence is stored. A failure is logged and
// does not change the run, whose evidence stands: at worst the same content is not
// recognised when it comes again.
func (r *run) noteSuccess(ctx context.Context) {
	if r.doing == "" {
		return
	}
	p := r.result.Package
	err := claim.UpdatePackage(ctx, r.State, r.Environment, p.Name, func(record *claim.Package) error {
		record.Ended(claim.Success{Key: r.doing, RunID: r.runID(), Version: p.Version, End: time.Now().UTC()})
		return nil
	})
	if err != nil {
		r.log.Error("the package's record could not be updated", "error", err.Error())
	}
}

// noteUndone forgets, after a rollback, that the run which was undone had succeeded: the version
// before it is the current one again.
func (r *run) noteUndone(ctx context.Context) {
	undo := r.result.Rollback
	if !r.does(ActionRollback) || undo == nil || undo.WithoutUndo != nil {
		return // something of it is still in effect
	}
	err := claim.UpdatePackage(ctx, r.State, r.Environment, r.result.Package.Name, func(record *claim.Package) error {
		record.Undone(r.request.RollbackOf)
		return nil
	})
	if err != nil {
		r.log.Error("the package's record could not be updated", "error", err.Error())
	}
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
