package gateway

import (
	"fmt"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/tenancy"
)

// Allows reports whether the request's principal may do something with a target: people may do everything, and others
// what the policy allows. Only the log names a missing permission.
func (r *Request) Allows(needed iam.Permission, target map[string]string) bool {
	if r.Principal.Person() {
		return true
	}
	g := r.gateway
	asked := iam.Request{
		Group: r.Principal.Group(), Compartment: tenancy.Compartment, Permission: needed, Target: target,
	}
	if g.Policy.Allows(asked) {
		return true
	}
	g.Log.Warn("denied", "principal", r.Principal.ID(), "missing", string(needed),
		"target", fmt.Sprint(target), "method", r.Method, "uri", r.RequestURI)
	g.Denied(r.Principal.String() + " lacks " + string(needed) + " for " + r.Method + " " + r.URL.Path)
	return false
}
