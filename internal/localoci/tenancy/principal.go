package tenancy

import "cmp"

// Principal is who signed a request.
type Principal struct {
	user        string // OCID; empty for functions and instances
	function    string
	instance    string
	tenancy     string // OCID of the principal's tenancy
	compartment string // OCID; for a person it is the tenancy
}

// ID is the principal's OCID.
func (p Principal) ID() string { return cmp.Or(p.user, p.function, p.instance) }

// Person reports whether the principal is the one person, who may do everything.
func (p Principal) Person() bool { return p.user != "" }

// Kind is how the principal is authenticated, in OCI's words.
func (p Principal) Kind() string {
	switch {
	case p.function != "":
		return "resource"
	case p.instance != "":
		return "instance"
	}
	return "user"
}

// Group is the dynamic group that the principal is in.
func (p Principal) Group() string {
	if p.instance != "" {
		return InstanceGroup
	}
	return FunctionGroup
}

// String is the principal's name for people who watch.
func (p Principal) String() string {
	switch {
	case p.user != "":
		return "the person"
	case p.instance != "":
		return "the instance"
	}
	return "the function"
}

// Subject is how a function learns who invoked it: by headers that clients cannot send themselves.
func (p Principal) Subject() map[string]string {
	return map[string]string{
		"Oci-Subject-Id": p.ID(), "Oci-Subject-Type": p.Kind(),
		"Oci-Subject-Tenancy-Id": p.tenancy, "Oci-Subject-Compartment-Id": p.compartment,
	}
}
