// Package admission decides whether a package may run: by its form, its manifest, what is asked of it, what is
// applied already, and the environment's policy. It runs nothing and writes nothing but the contents. A run and
// Inspect take a package through the same functions.
package admission

import (
	"cmp"
	"context"

	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// Policy is where the environment's admission policy comes from.
type Policy struct {
	// Source is what results call it: "bucket/object", "inline", a file's name.
	Source string
	// Read returns the document, at most a little more than manifest.MaxBytes of it.
	Read func(context.Context) ([]byte, error)
}

// Parse reads the policy for an environment. It returns the document too, if that could be read.
func (p Policy) Parse(ctx context.Context, environment string) (*manifest.Policy, []byte, error) {
	doc, err := p.Read(ctx)
	if err != nil {
		return nil, nil, UnreadPolicy(p.Source, err)
	}
	policy, err := manifest.ParsePolicy(doc, environment)
	return policy, doc, err
}

// UnreadPolicy returns the error for a policy that is configured and cannot be read.
func UnreadPolicy(source string, cause error) error {
	return problem.New(problem.Problem{
		Code: "policy.unavailable", Where: source, Message: "the policy cannot be read, so nothing runs",
		Hint: "check that the object named in CEMLI_POLICY exists and that the function may read it",
	}, cause)
}

// InlinePolicy makes a policy of a document that is given as text or read from a file; source names it in results.
func InlinePolicy(source string, doc []byte) *Policy {
	return &Policy{Source: source, Read: func(context.Context) ([]byte, error) { return doc, nil }}
}

// GroupOf returns the concurrency group for a parameter set: the policy's, the package's own, or the package's name.
func GroupOf(m *manifest.Manifest, policy *manifest.Policy, set string) string {
	own := cmp.Or(m.Concurrency.Group, m.Name)
	if policy == nil {
		return own
	}
	return cmp.Or(policy.GroupFor(set), own)
}
