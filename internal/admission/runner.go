package admission

import (
	"fmt"

	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// Runner is where steps run apart from the executor: something that runs jobs and is granted nothing.
type Runner struct {
	Label string // what packages and the policy call it
	Kind  string // KindFunction
	ID    string // the function's OCID
}

// KindFunction is the kind of a runner that is another function.
const KindFunction = "function"

// RunnerFor is the runner among those of the environment, the default first, that a package's scripts run on: the one
// that it names, else the default. It is the zero Runner if the environment has none, as scripts run in the executor
// then. A package that names one that is not there is refused: it may not meet the others.
//
// Whether packages may name it is the policy's to say, as of everything that they want.
func RunnerFor(runners []Runner, m *manifest.Manifest) (Runner, error) {
	if m.RunsOn == "" {
		if len(runners) == 0 {
			return Runner{}, nil
		}
		return runners[0], nil
	}
	labels := make([]string, len(runners))
	for i, r := range runners {
		if labels[i] = r.Label; r.Label == m.RunsOn {
			return r, nil
		}
	}
	unknown := problem.Problem{
		Code: "runner.unknown", Where: "/runs_on",
		Message: fmt.Sprintf("the package is to run on the runner %s, which is not there", m.RunsOn),
		Hint:    "there are: " + problem.Names(labels) + "; name one of them, or none to run on the first",
	}
	if len(runners) == 0 {
		unknown.Message = fmt.Sprintf("the package is to run on the runner %s, and here are none", m.RunsOn)
		unknown.Hint = "take runs_on out of the manifest to run in the executor, or name the runner in its CEMLI_RUNNER"
	}
	return Runner{}, problem.New(unknown, nil)
}
