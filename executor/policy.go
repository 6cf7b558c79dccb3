package executor

import (
	"context"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/manifest"
)

// Policy is where the environment's admission policy comes from.
type Policy struct {
	// Source is what results call it: "bucket/object", "inline", a file's name.
	Source string
	// Read returns the document, at most a little more than manifest.MaxBytes of it.
	Read func(context.Context) ([]byte, error)
}

// readPolicy reads the policy and makes its limits those of the run; nil where none is
// set. A policy that is set and cannot be had stops everything.
func (r *decided) readPolicy(ctx context.Context) (*manifest.Policy, error) {
	if r.exec.Policy == nil {
		r.result.Policy = evidence.Policy{Source: "none"}
		return nil, nil //nolint:nilnil // no policy is no error
	}
	r.result.Policy = evidence.Policy{Source: r.exec.Policy.Source}
	policy, doc, err := r.exec.Policy.parse(ctx, r.exec.Environment)
	if doc != nil {
		r.result.Policy.Digest = "sha256:" + sum(doc)
		r.policy = doc
	}
	if err != nil {
		return nil, err
	}
	r.limits = r.limits.within(policy)
	level := sandbox.Level(policy.Sandbox)
	r.accepted = level != ""
	if r.accepted && level.Reaches(r.level) {
		r.level = level
	}
	return policy, nil
}

// parse reads the policy, which is for an environment, and its document, if that could be read.
func (p Policy) parse(ctx context.Context, environment string) (*manifest.Policy, []byte, error) {
	doc, err := p.Read(ctx)
	if err != nil {
		return nil, nil, unreadPolicy(p.Source, err)
	}
	policy, err := manifest.ParsePolicy(doc, environment)
	return policy, doc, err
}

func unreadPolicy(source string, cause error) error {
	return problem.New(problem.Problem{
		Code: "policy.unavailable", Where: source, Message: "the policy cannot be read, so nothing runs",
		Hint: "check that the object named in CEMLI_POLICY exists and that the function may read it",
	}, cause)
}

// within lowers the limits to those of a policy.
func (l Limits) within(p *manifest.Policy) Limits {
	lower := func(name string, limit *int64) {
		if value, ok := p.Limits[name]; ok {
			*limit = min(*limit, value)
		}
	}
	lowerInt := func(name string, limit *int) {
		if value, ok := p.Limits[name]; ok {
			*limit = int(min(int64(*limit), value))
		}
	}
	lower("package_bytes", &l.PackageBytes)
	lowerInt("entries", &l.Archive.Entries)
	lower("file_bytes", &l.Archive.FileBytes)
	lower("total_bytes", &l.Archive.TotalBytes)
	lower("ratio", &l.Archive.Ratio)
	lower("log_bytes", &l.LogBytes)
	lowerInt("artifacts", &l.Artifacts)
	lower("artifact_bytes", &l.ArtifactBytes)
	if value, ok := p.Limits["run_time"]; ok {
		l.RunTime = min(l.RunTime, time.Duration(value))
	}
	return l
}

// InlinePolicy is a policy that is given as text, or that a file holds.
func InlinePolicy(source string, doc []byte) *Policy {
	return &Policy{Source: source, Read: func(context.Context) ([]byte, error) { return doc, nil }}
}
