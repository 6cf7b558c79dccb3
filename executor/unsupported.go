package executor

import (
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// unsupported lists what a plan asks for and this version cannot do: nothing of a
// manifest is ever ignored.
func unsupported(plan *manifest.Plan) []problem.Problem {
	var problems []problem.Problem
	note := func(used bool, where, what string) {
		if used {
			problems = append(problems, problem.Problem{
				Code: "manifest.unsupported_key", Where: where, Message: "this version does not support " + what,
				Hint: "remove it, or use an executor that supports it",
			})
		}
	}
	m := plan.Manifest()
	note(m.Concurrency.Declared, "/concurrency", "the key concurrency")
	return problems
}
