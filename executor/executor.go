// Package executor makes runs in one environment: of what requests and the policy's triggers ask for, in the time that
// one invocation has, and of what other invocations left (Sweep). One run is made by package pipeline.
//
// A result is made for every outcome. An error is returned besides it only when the invocation itself must fail so
// that its sender tries again or is told: the evidence could not be stored, or the store failed before the first
// step.
package executor

import "cemli-executor/internal/pipeline"

// Executor runs packages in one environment, one at a time.
type Executor struct {
	*pipeline.Engine
}

// New makes an Executor.
func New(config Config) *Executor { return &Executor{pipeline.New(config)} }
