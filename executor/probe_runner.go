package executor

import (
	"context"

	"cemli-executor/internal/confinement"
)

// ProbeMachine is the part of a probe that is about the machine alone, as a runner has it, and more checks. No service
// is asked for it.
func (e *Executor) ProbeMachine(ctx context.Context, more Probing) Probe {
	p := Probe{Action: ActionProbe, Environment: e.Environment, Version: e.Identity.ExecutorVersion, OK: true}
	p.Lines = configured(more.Problems)
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	p.Lines = append(p.Lines, probing{e}.machine(ctx, e.Sandbox, more.Credentials)...)
	for _, check := range more.Checks {
		p.Lines = append(p.Lines, check.line(ctx, probing{e}))
	}
	for _, line := range p.Lines {
		p.OK = p.OK && line.OK
	}
	return p
}

// Confinement is the level at which scripts run here, and what that leaves open.
func (e *Executor) Confinement() (level string, gaps []string) {
	planned := confinement.Planned(e.Sandbox, true)
	return string(planned.Level()), append([]string{}, planned.Gaps()...)
}
