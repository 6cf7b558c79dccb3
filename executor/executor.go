// Package executor serves requests in one environment, in the time that one invocation has: it makes runs of requests
// and of what the policy's triggers ask for, and a Sweep finishes what other invocations left. Package pipeline makes
// each single run.
//
// There is a result for every outcome. An error is returned besides it only if the invocation itself must fail so that
// its sender tries again or is told: the evidence could not be stored, or the store failed before the first step.
package executor

import "cemli-executor/internal/pipeline"

// Executor runs packages in one environment, one at a time.
type Executor struct {
	*pipeline.Engine
}

// New makes an Executor.
func New(config Config) *Executor { return &Executor{pipeline.New(config)} }
