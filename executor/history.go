package executor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

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

func keyOf(plan *manifest.Plan, dirHash, set string, form func(manifest.Value) manifest.Value) string {
	values := map[string]manifest.Value{}
	for _, a := range plan.Arguments() {
		values[a.Name] = form(a.Value)
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

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
