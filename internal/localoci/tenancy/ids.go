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

// The ids of the second function, the runner, which is in a compartment and an application of its own.
const (
	RunnerID          = "ocid1.fnfunc.oc1.phx.cemlilocalrunner"
	RunnerAppID       = "ocid1.fnapp.oc1.phx.cemlilocalrunner"
	RunnerCompartment = "ocid1.compartment.oc1..cemlilocalrunner"
)

// The dynamic groups of principals. Only statements that the user gives grant anything to that of instances. The runner
// is in none, so that no statement can grant it anything.
const (
	FunctionGroup = "cemli-function"
	InstanceGroup = "cemli-instance"
)
