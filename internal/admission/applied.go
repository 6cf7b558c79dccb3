package admission

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"cemli-executor/internal/claim"
	"cemli-executor/manifest"
)

// Applied returns the version that is applied of a parameter set; "" if none is. A success that an earlier version
// recorded without its set counts for sets of which nothing else is known.
func Applied(history *claim.Package, set string) string {
	if e := history.Applied(set); e != nil {
		return e.Version
	}
	if len(history.Sets[set]) == 0 {
		return history.Lost()
	}
	return ""
}

// unmet says why what is applied of a package does not meet a range of versions, for a run of a parameter set: in the
// same set if the package has it, otherwise in all that it declares. It returns "" if the range is met.
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
		switch have := Applied(history, set); {
		case have == "":
			return "nothing" + of + " is applied in " + environment
		case !manifest.Satisfies(have, wanted):
			return environment + " has " + have + of
		}
	}
	return ""
}

// AppliedBy returns the run that has applied exactly what a plan does, to its parameter set; "" if none has.
func AppliedBy(history *claim.Package, plan *manifest.Plan, dirHash, set string) string {
	keys := KeysOf(plan, dirHash, set)
	if e := history.Applied(set); e != nil && slices.Contains(keys, e.Key) {
		return e.RunID
	}
	for _, key := range keys {
		if id := history.Forgotten(key); id != "" && history.Latest(set) == nil {
			return id
		}
	}
	return ""
}

// KeysOf returns all keys that a plan may have in a record.
func KeysOf(plan *manifest.Plan, dirHash, set string) []string {
	return []string{ContentKey(plan, dirHash, set), writtenKey(plan, dirHash, set)}
}

// ContentKey identifies what a plan does: contents, parameter set and parameters. Numbers count by their value: 1.0 is
// 1.
func ContentKey(plan *manifest.Plan, dirHash, set string) string {
	return keyOf(plan, dirHash, set, manifest.Value.Canonical)
}

// writtenKey returns the content key of records that compared numbers as they were written.
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
	return fmt.Sprintf("%x", sha256.Sum256(doc))
}
