package main

import (
	"slices"

	"cemli-executor/executor"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
)

// The roles of a function, by CEMLI_ROLE.
const (
	roleExecutor = "executor"
	roleRunner   = "runner" // it does jobs, and nothing else
)

// runner is the configuration of a runner, which needs little: it decides nothing and is granted nothing. What an
// executor is told and a runner has not is refused: whoever set it meant the other function.
func (e *env) runner() (Config, []problem.Problem) {
	c := Config{
		Apart:   ApartConfig{IsRunner: true},
		Sandbox: sandbox.Level(e.choice("CEMLI_SANDBOX", defaultSandbox(false), "full", "isolated", "basic", "none")),
		Limits:  executor.DefaultLimits(),
	}
	e.common(&c)
	e.archive(&c.Limits)
	e.notARunners()
	e.unknown()
	return c, e.problems
}

// notARunners refuses variables that only an executor has.
func (e *env) notARunners() {
	other := &env{values: e.values}
	_, _ = other.executor() // which knows them
	for _, key := range other.known {
		if slices.Contains(e.known, key) || e.values[key] == "" {
			continue
		}
		e.known = append(e.known, key)
		e.wrong(key, "it is an executor's, and this function is a runner",
			"unset it here, and set it on the executor; or unset CEMLI_ROLE, if this is the executor")
	}
}
