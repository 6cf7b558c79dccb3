package tenancy

import "cmp"

// Principal is who signed a request, or made what a request is made with.
type Principal struct {
	User        string `json:"user,omitempty"` // OCID; empty for functions and instances
	Function    string `json:"function,omitempty"`
	Instance    string `json:"instance,omitempty"`
	Tenancy     string `json:"tenancy"`     // OCID of the principal's tenancy
	Compartment string `json:"compartment"` // OCID; a person's is the tenancy
}

// ID is the principal's OCID.
func (p Principal) ID() string { return cmp.Or(p.User, p.Function, p.Instance) }

// Person reports whether the principal is the one person, who may do everything.
func (p Principal) Person() bool { return p.User != "" }

// Kind is how the principal is authenticated, in OCI's words.
func (p Principal) Kind() string {
	switch {
	case p.Function != "":
		return "resource"
	case p.Instance != "":
		return "instance"
	}
	return "user"
}

// Group is the dynamic group that the principal is in; empty: none.
func (p Principal) Group() string {
	switch {
	case p.Instance != "":
		return InstanceGroup
	case p.Function == FunctionID: // no other function matches, whatever compartment it is in
		return FunctionGroup
	}
	return ""
}

// String is the principal's name for people who watch.
func (p Principal) String() string {
	switch {
	case p.User != "":
		return "the person"
	case p.Instance != "":
		return "the instance"
	case p.Function == RunnerID:
		return "the runner"
	}
	return "the function"
}

// Subject is how a function learns who invoked it: by headers that clients cannot send themselves.
func (p Principal) Subject() map[string]string {
	return map[string]string{
		"Oci-Subject-Id": p.ID(), "Oci-Subject-Type": p.Kind(),
		"Oci-Subject-Tenancy-Id": p.Tenancy, "Oci-Subject-Compartment-Id": p.Compartment,
	}
}
