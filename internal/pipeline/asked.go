package pipeline

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/goback"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/sandbox"
	"cemli-executor/manifest"
)

// recall takes over everything from the run that the request goes back to.
func (r *earlier) recall(ctx context.Context) (err error) {
	r.result.PreviousRunID = r.request.PreviousRun()
	if r.back, err = goback.Recall(ctx, r.exec.Follower, r.request); err != nil {
		return err
	}
	r.request = r.back.Request
	q := r.request
	r.name = cmp.Or(r.back.Previous.Package.Name, intake.PackageName(q.Object))
	r.result.Action, r.result.SourceObject, r.result.ParameterSet = string(q.Action), q.Object, q.ParameterSet
	r.result.Package.ETag, r.result.Package.VersionID = q.ETag, q.VersionID
	r.hides = hiding.Of(q.Parameters, nil)
	return nil
}

// supported refuses requests that are not for this executor, and requests that this version cannot serve.
func (r *report) supported(ctx context.Context) error {
	return r.request.For(ctx, r.exec.Packages.Name(), r.exec.Namespace)
}

// readPolicy reads the policy and tightens the run's limits by it; it returns nil if none is configured. If a policy is
// configured and cannot be read, nothing runs.
func (r *decided) readPolicy(ctx context.Context) (*manifest.Policy, error) {
	if r.exec.Policy == nil {
		r.result.Policy = evidence.Policy{Source: "none"}
		return nil, nil //nolint:nilnil // no policy is no error
	}
	r.result.Policy = evidence.Policy{Source: r.exec.Policy.Source}
	policy, doc, err := r.exec.Policy.Parse(ctx, r.exec.Environment)
	if doc != nil {
		r.result.Policy.Digest = "sha256:" + fmt.Sprintf("%x", sha256.Sum256(doc))
		r.policy = doc
	}
	if err != nil {
		return nil, err
	}
	r.limits = r.limits.Within(policy)
	level := sandbox.Level(policy.Sandbox)
	r.lowLevelAccepted = level != ""
	if r.lowLevelAccepted && level.Reaches(r.level) {
		r.level = level
	}
	return policy, nil
}
