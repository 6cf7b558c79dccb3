package executor

import (
	"fmt"

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
	note(len(m.ParameterSets) > 0, "/parameter_sets", "the key parameter_sets")
	note(len(m.Secrets) > 0, "/secrets", "the key secrets")
	note(m.Concurrency.Declared, "/concurrency", "the key concurrency")
	note(len(m.Outputs) > 0, "/outputs", "the key outputs")
	for _, name := range sortedNames(m.Parameters) {
		note(m.Parameters[name].Sensitive, "/parameters/"+name+"/sensitive", "sensitive parameters")
	}
	for i, s := range m.StepList {
		at := fmt.Sprintf("/steps/%d/", i)
		note(s.Retries > 0, at+"retries", "retries")
		note(s.ContinueOnError, at+"continue_on_error", "continue_on_error")
		note(s.DryRun, at+"dry_run", "dry runs")
	}
	return problems
}
