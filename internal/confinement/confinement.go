// Package confinement decides, before anything runs, whether scripts are confined as the operator, the policy and the
// package demand, and describes the confinement in a result.
package confinement

import (
	"fmt"
	"slices"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
)

// Available refuses to run if the kernel cannot confine scripts at the level that is demanded.
func Available(level sandbox.Level) error {
	has := sandbox.Probe()
	if has.Strongest().Reaches(level) {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "sandbox.unavailable",
		Message: fmt.Sprintf("the sandbox level %s is required, and this kernel has only %s: %s", level,
			has.Strongest(), has.Lacks(level)),
		Hint: "use a kernel that has it, or set CEMLI_SANDBOX=basic, and no higher level in the policy, " +
			"to accept that scripts can reach the function's credentials",
	}, nil)
}

// ForNetwork refuses a package that declares no network at a level that cannot keep it off the network.
func ForNetwork(level sandbox.Level, network bool) error {
	if network || level != sandbox.LevelNone {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "sandbox.network", Where: "/network",
		Message: "the package runs without network, and with CEMLI_SANDBOX=none nothing can hold it to that",
		Hint:    "set CEMLI_SANDBOX to basic or more",
	}, nil)
}

// Planned returns the layers that will confine scripts at a level.
func Planned(level sandbox.Level, network bool) sandbox.Layers {
	if level == sandbox.LevelNone {
		return sandbox.Layers{}
	}
	has := sandbox.Probe()
	user, own := sandbox.User(level)
	return sandbox.Layers{
		NoNewPrivileges: has.Seccomp, Seccomp: has.Seccomp, Landlock: has.Landlock, User: user, Watched: !own,
		Offline: !network, Init: sandbox.Exposed(level),
	}
}

// ForSecrets refuses secrets to scripts whose layers leave open that they also take the function's identity, or that a
// script before them, which has made another process of the user its own, reads them.
func ForSecrets(l sandbox.Layers) error {
	level, isolated := l.Level(), l.Level().Reaches(sandbox.LevelIsolated)
	exposed := slices.Contains(l.Gaps(), sandbox.GapInit)
	if isolated && !exposed {
		return nil
	}
	cause := sandbox.Probe().Lacks(sandbox.LevelIsolated)
	if cause == "" {
		cause = "CEMLI_SANDBOX is none"
	}
	below := fmt.Sprintf("confined at level %s, below isolated: %s", level, cause)
	const reach = "able to write the memory of another process of their user, as the container's init (gap init)"
	switch {
	case isolated:
		below = reach
	case exposed:
		below += "; and " + reach
	}
	return problem.New(problem.Problem{
		Code: "secret.sandbox", Where: "/secrets",
		Message: "the package uses secrets, and scripts are " + below,
		Hint:    "use a kernel with Landlock, or name the level that is accepted as sandbox in the policy",
	}, nil)
}

// ForSecretsApart refuses secrets to scripts that are granted nothing, and could take only what the next job brings: to
// those that can make another process of their user their own, which outlives them.
func ForSecretsApart(l sandbox.Layers) error {
	if l.Level() != sandbox.LevelNone && !slices.Contains(l.Gaps(), sandbox.GapInit) {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "secret.sandbox", Where: "/secrets",
		Message: "the package uses secrets, and scripts of the runner are able to write the memory of another " +
			"process of their user, as the container's init (gap init), or nothing keeps them from it (level none)",
		Hint: "use another kernel or container engine for the runner, or name the level that is accepted as sandbox " +
			"in the policy",
	}, nil)
}

// Describe describes for a result the layers in force; level is the lowest that may run.
func Describe(level sandbox.Level, network bool, l sandbox.Layers) evidence.Sandbox {
	s := of(network, l)
	s.Level, s.Gaps, s.Credentials = string(l.Level()), l.Gaps(), CredentialsNone
	if !l.Level().Reaches(sandbox.LevelIsolated) {
		s.CredentialsReachable, s.Credentials = true, CredentialsExecutor
	}
	if l.Landlock == 0 && level != sandbox.LevelNone {
		s.NoLandlock = string(sandbox.Probe().NoLandlock)
	}
	return s
}

// The credentials that scripts could have used.
const (
	CredentialsNone     = "none"     // there were none, or they were out of reach
	CredentialsExecutor = "executor" // the executor's own
)

// Apart describes for a result the layers that a runner says were in force, with what it found of its own credentials
// when it was last probed (as jobs.Probed has it); empty: it was never probed.
func Apart(network bool, l sandbox.Layers, credentials string, probed time.Time) evidence.Sandbox {
	s := of(network, l)
	if credentials != "" {
		at := probed.UTC()
		s.Credentials, s.Probed = credentials, &at
	}
	return s
}

// of describes layers.
func of(network bool, l sandbox.Layers) evidence.Sandbox {
	s := evidence.Sandbox{
		Level: string(sandbox.LevelNone), Network: network, NoNewPrivileges: l.NoNewPrivileges, Seccomp: l.Seccomp,
		Landlock: l.Landlock, User: l.User,
	}
	if l != (sandbox.Layers{}) {
		s.Level, s.Gaps = string(l.Level()), l.Gaps()
	}
	if l.Limits != (sandbox.Limits{}) {
		limits := evidence.SandboxLimits(l.Limits)
		s.Limits = &limits
	}
	return s
}
