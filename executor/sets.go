package executor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"cemli-executor/internal/evidence"
	"cemli-executor/manifest"
)

// severalSets says that a package has parameter sets and the request names none: each is a
// run of its own.
type severalSets struct{ names []string }

func (e *severalSets) Error() string {
	return fmt.Sprintf("the package has %d parameter sets", len(e.names))
}

// setStopped says that a set was not run because one before it did not succeed.
type setStopped struct{ set, runID string }

func (e *setStopped) Error() string {
	return fmt.Sprintf("nothing was executed: the parameter set %s, before this one, did not succeed in run %s", e.set, e.runID)
}

// chooseSet ends a run of a package whose sets are to be run one after the other.
func (r *run) chooseSet(m *manifest.Manifest) error {
	if r.request.ParameterSet != "" || len(m.ParameterSets) == 0 {
		return nil
	}
	return &severalSets{slices.Sorted(maps.Keys(m.ParameterSets))}
}

// runSets runs the sets in the byte order of their names. After the first that does not succeed
// the others are recorded as skipped.
func (e *Executor) runSets(ctx context.Context, request Request, names []string) ([]evidence.Result, error) {
	var results []evidence.Result
	var failed []error
	var stopped *setStopped
	for _, name := range names {
		request.ParameterSet = name
		var result evidence.Result
		var err error
		if stopped != nil {
			result, err = e.recordSkipped(ctx, request, results[len(results)-1], stopped)
		} else {
			result, err = e.run(ctx, request)
			request.ETag, request.VersionID = result.Package.ETag, result.Package.VersionID // all sets are of the same bytes
		}
		if result.Status != evidence.StatusSuccess && result.Status != evidence.StatusSkipped {
			stopped = &setStopped{name, result.RunID}
		}
		results, failed = append(results, result), append(failed, err)
	}
	return results, errors.Join(failed...)
}

// recordSkipped leaves the evidence of a set that is not run. What the package is, is known from
// the set before it.
func (e *Executor) recordSkipped(ctx context.Context, request Request, before evidence.Result, why *setStopped) (evidence.Result, error) {
	r := e.begin(request)
	r.name = before.Package.Name
	r.result.Package, r.result.Manifest, r.result.Policy = before.Package, before.Manifest, before.Policy
	r.result.Trigger, r.result.Reason, r.result.Reference = before.Trigger, before.Reason, before.Reference
	if namespace, err := r.Namespace(ctx); err == nil {
		r.request.Namespace = namespace
	}
	return r.record(ctx, why)
}
