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

// Dispatch returns at once: there are no children of this program's here.
func Dispatch() {}

// Probe asks the kernel; here it offers nothing.
func Probe() Support { return Support{} }

// User is for Linux: ok is false.
func User(Level) (id int, ok bool) { return 0, false }

// MayRun is for Linux: every program may be named.
func MayRun(string) bool { return true }
