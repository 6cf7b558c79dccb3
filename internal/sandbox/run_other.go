//go:build !linux

package sandbox

import (
	"context"
	"runtime"

	"cemli-executor/internal/problem"
)

// Run refuses: packages run on Linux only.
func Run(context.Context, Command) (Outcome, error) {
	return Outcome{}, problem.New(problem.Problem{
		Code: "sandbox.platform", Message: "packages cannot run on " + runtime.GOOS,
		Hint: "run them on Linux, in a Linux virtual machine or in a Linux container",
	}, nil)
}
