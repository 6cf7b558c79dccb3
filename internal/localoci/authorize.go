package localoci

import (
	"fmt"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/writelog"
	policy "cemli-executor/terraform/modules/iam"
)

// The dynamic groups of principals: the function's, and that of instances, which nothing is granted but by
// Config.Statements.
const (
	functionGroup = "cemli-function"
	instanceGroup = "cemli-instance"
)

// TopicID is the topic that the function may publish to.
const TopicID = "ocid1.onstopic.oc1.phx.cemlilocal"

// Statements are the policy statements that Terraform deploys for the function, with the
// ids of a local OCI.
func Statements(b Buckets) ([]policy.Statement, error) {
	return policy.Statements(map[string]string{
		"function_group": functionGroup, "compartment_id": Compartment, "secrets_compartment_id": Compartment,
		"packages_bucket": b.Packages, "results_bucket": b.Results, "state_bucket": b.State, "policies_bucket": b.Policies,
		"topic_id": TopicID, "function_id": FunctionID, "write_log_group_id": writelog.GroupID,
	})
}

// newPolicy reads the statements that the function's principal is held to.
func newPolicy(config Config) (iam.Policy, error) {
	texts := config.Statements
	if texts == nil {
		list, err := Statements(config.Buckets)
		if err != nil {
			return iam.Policy{}, err
		}
		for _, s := range list {
			texts = append(texts, s.Statement)
		}
	}
	p, err := iam.Parse(texts)
	if err != nil {
		return iam.Policy{}, fmt.Errorf("read the function's policy: %w", err)
	}
	return p, nil
}

// allowed lets people do everything and others what its policy allows. What is
// missing is named in the log alone.
func (s *Server) allowed(r *request, needed iam.Permission, target map[string]string) bool {
	if r.principal.user != "" {
		return true
	}
	if s.policy.Allows(iam.Request{Group: r.principal.group(), Compartment: Compartment, Permission: needed, Target: target}) {
		return true
	}
	s.config.Log.Warn("denied", "principal", r.principal.id(), "missing", string(needed), "target", fmt.Sprint(target), "method", r.Method, "uri", r.RequestURI)
	s.observe("denied", r.principal.who()+" lacks "+string(needed)+" for "+r.Method+" "+r.URL.Path, nil)
	return false
}

// authorize is for operations on buckets and objects. As on OCI a denial does not tell
// whether the bucket exists.
func (s *Server) authorize(r *request, bucket string, needed iam.Permission) error {
	target := map[string]string{}
	if bucket != "" {
		target["target.bucket.name"] = bucket
	}
	switch {
	case s.allowed(r, needed, target):
		return nil
	case bucket == "":
		return errNotAuthorizedOrNotFound
	}
	return errNoBucket(bucket)
}
