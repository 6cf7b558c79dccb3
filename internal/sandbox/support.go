package sandbox

import "fmt"

// Missing is why a kernel offers no Landlock; empty if it does.
type Missing string

// The reasons, by the kernel's answer.
const (
	NotBuilt   Missing = "not_built"   // ENOSYS
	NotEnabled Missing = "not_enabled" // EOPNOTSUPP
	Forbidden  Missing = "forbidden"   // EPERM, which no kernel answers by itself
	Unknown    Missing = "unknown"
)

// String is the reason for people to read.
func (m Missing) String() string {
	switch m {
	case "":
		return ""
	case NotBuilt:
		return "the kernel has no Landlock, or a container engine hides it (ENOSYS)"
	case NotEnabled:
		return "the kernel has Landlock and does not enable it (EOPNOTSUPP): " +
			"landlock is not in its list of security modules"
	case Forbidden:
		return "a container engine's filter of system calls forbids Landlock (EPERM)"
	}
	return "the kernel does not say what Landlock it has"
}

// Support is what this machine's kernel offers.
type Support struct {
	Landlock   int     // ABI; 0 for none
	NoLandlock Missing // why there is none
	Seccomp    bool
}

// Strongest is the strictest level that the kernel can enforce.
func (s Support) Strongest() Level {
	return Layers{NoNewPrivileges: true, Seccomp: s.Seccomp, Landlock: s.Landlock}.Level()
}

// Lacks says why the kernel cannot enforce a level; empty if it can.
func (s Support) Lacks(level Level) string {
	switch {
	case s.Strongest().Reaches(level):
		return ""
	case !s.Seccomp:
		return "it cannot filter system calls"
	case s.Landlock == 0:
		return s.NoLandlock.String()
	}
	return fmt.Sprintf("its Landlock has ABI %d, and %d is needed", s.Landlock, landlockFull)
}
