// Package tenancy is the one tenancy of a local OCI: the ids of what is in it, the principals, and their keys.
package tenancy

// The ids of the tenancy and of what exists only once in it.
const (
	Namespace   = "localns"
	Region      = "us-phoenix-1"
	ID          = "ocid1.tenancy.oc1..cemlilocal"
	Compartment = "ocid1.compartment.oc1..cemlilocal"
	User        = "ocid1.user.oc1..cemlilocal"
	FunctionID  = "ocid1.fnfunc.oc1.phx.cemlilocal"
	InstanceID  = "ocid1.instance.oc1.phx.cemlilocal"
	AppID       = "ocid1.fnapp.oc1.phx.cemlilocal"
)

// The dynamic groups of principals. Only statements that the user gives grant anything to that of instances.
const (
	FunctionGroup = "cemli-function"
	InstanceGroup = "cemli-instance"
)
