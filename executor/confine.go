package executor

import (
	"fmt"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/manifest"
)

// confined refuses to run below the sandbox level that is demanded.
func confined(level sandbox.Level) error {
	has := sandbox.Probe()
	if has.Strongest().Reaches(level) {
		return nil
	}
	return problem.New(problem.Problem{
		Code:    "sandbox.unavailable",
		Message: fmt.Sprintf("the sandbox level %s is required, and this kernel has only %s: %s", level, has.Strongest(), has.Lacks(level)),
		Hint:    "use a kernel that has it, or set CEMLI_SANDBOX=basic, and no higher level in the policy, to accept that scripts can reach the function's credentials",
	}, nil)
}

// networked refuses a package without network where nothing can keep it from one.
func (r *decided) networked(m *manifest.Manifest) error {
	if m.Network || r.level != sandbox.LevelNone {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "sandbox.network", Where: "/network", Message: "the package runs without network, and with CEMLI_SANDBOX=none nothing can hold it to that",
		Hint: "set CEMLI_SANDBOX to basic or more",
	}, nil)
}

// planned are the layers that scripts will be in, before there is one.
func (r *decided) planned() sandbox.Layers {
	if r.level == sandbox.LevelNone {
		return sandbox.Layers{}
	}
	has := sandbox.Probe()
	user, own := sandbox.User(r.level)
	return sandbox.Layers{NoNewPrivileges: has.Seccomp, Seccomp: has.Seccomp, Landlock: has.Landlock, User: user, Watched: !own, Offline: !r.job.Network}
}

// describeSandbox says in the result what is in force.
func (r *decided) describeSandbox(l sandbox.Layers) {
	r.result.Sandbox = evidence.Sandbox{
		Level: string(l.Level()), CredentialsReachable: !l.Level().Reaches(sandbox.LevelIsolated),
		Network: r.job.Network, NoNewPrivileges: l.NoNewPrivileges, Seccomp: l.Seccomp, Landlock: l.Landlock, User: l.User, Gaps: l.Gaps(),
	}
	if l.Landlock == 0 && r.level != sandbox.LevelNone {
		r.result.Sandbox.NoLandlock = string(sandbox.Probe().NoLandlock)
	}
	if l.Limits != (sandbox.Limits{}) {
		limits := evidence.SandboxLimits(l.Limits)
		r.result.Sandbox.Limits = &limits
	}
}
