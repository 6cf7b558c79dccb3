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

type setup struct{}

// Dispatch returns at once: this platform has no children to dispatch.
func Dispatch() {}

// Probe reports that the kernel offers nothing.
func Probe() Support { return Support{} }

// User returns ok false: only Linux has users for commands.
func User(Level) (id int, ok bool) { return 0, false }

// MayRun allows every program: only Linux restricts them.
func MayRun(string) bool { return true }

// Exposed reports false: nothing runs.
func Exposed(Level) bool { return false }
