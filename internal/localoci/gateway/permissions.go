package gateway

import (
	"fmt"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/tenancy"
)

// Allows reports whether the request's principal may do something with a target, or has one of the permissions that
// are enough for it instead: people may do everything, and others what the policy allows. Only the log names a missing
// permission.
func (r *Request) Allows(needed iam.Permission, target map[string]string, instead ...iam.Permission) bool {
	return r.AllowsIn(tenancy.Compartment, needed, target, instead...)
}

// AllowsIn is Allows for a target in another compartment than most of the tenancy's.
func (r *Request) AllowsIn(
	compartment string, needed iam.Permission, target map[string]string, instead ...iam.Permission,
) bool {
	if r.Principal.Person() {
		return true
	}
	g := r.gateway
	policy := g.Policy()
	for _, permission := range append(instead, needed) {
		asked := iam.Request{
			Group: r.Principal.Group(), Compartment: compartment, Permission: permission, Target: target,
		}
		if policy.Allows(asked) {
			return true
		}
	}
	g.Log.Warn("denied", "principal", r.Principal.ID(), "missing", string(needed),
		"target", fmt.Sprint(target), "method", r.Method, "uri", loggable(r.RequestURI))
	g.Denied(r.Principal.String() + " lacks " + string(needed) + " for " + r.Method + " " + loggable(r.URL.Path))
	return false
}
