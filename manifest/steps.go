package manifest

import (
	"fmt"
	"path"
	"strings"

	"cemli-executor/internal/document"
)

// noUndo stands for the path of an undo script if the step needs none.
const noUndo = "none"

// readSteps reads the explicit list of steps; names are unique within a phase.
func readSteps(n document.Node, secrets map[string]string) []StepSpec {
	list := []StepSpec{}
	type key struct {
		phase Phase
		name  string
	}
	seen := map[key]bool{}
	for _, e := range n.List() {
		s := readStep(e, secrets)
		if k := (key{s.Phase, s.Name}); s.Run != "" && seen[k] {
			e.Bad("manifest.duplicate_step",
				fmt.Sprintf("the phase %s has a step %q already", s.Phase, document.Printable(s.Name)),
				"give it another name")
		} else {
			seen[k] = true
		}
		list = append(list, s)
	}
	return list
}

// readStep reads one step and fills in its defaults.
func readStep(n document.Node, secrets map[string]string) StepSpec {
	s := StepSpec{Phase: PhaseRun}
	if n.OrText(`{"run": "steps/run.sh"}`) {
		return s
	}
	script := func(v document.Node) string { return v.Word("manifest.path", pathRule, aPath) }
	n.Fields([]document.Field{
		document.Optional("name", func(v document.Node) {
			s.Name = v.Word("manifest.step_name", stepRule,
				"a step's name: a letter or digit, then up to 99 letters, digits, spaces, . _ -")
		}),
		document.Optional("phase", func(v document.Node) {
			s.Phase = Phase(v.Choice("manifest.choice", string(PhasePreCheck), string(PhaseRun),
				string(PhasePostCheck)))
		}),
		document.Required("run", func(v document.Node) { s.Run = script(v) }),
		document.Optional("args", func(v document.Node) { s.Args = readArgs(v) }),
		document.Optional("env", func(v document.Node) { s.Env = readVariables(v) }),
		document.Optional("secrets", func(v document.Node) {
			s.Secrets = v.Words("manifest.variable", variableRule, aVariable)
			for _, name := range s.Secrets {
				if _, ok := secrets[name]; name != "" && !ok {
					v.Bad("manifest.undeclared", "there is no secret "+name, "declare it under secrets")
				}
			}
		}),
		document.Optional("timeout", func(v document.Node) { s.Timeout = v.Duration() }),
		document.Optional("retries", func(v document.Node) {
			v.Fields([]document.Field{
				document.Required("max", func(w document.Node) { s.Retries = int(w.Count(maxRetries)) }),
				document.Optional("delay", func(w document.Node) { s.RetryDelay = w.Duration() }),
			})
		}),
		document.Optional("continue_on_error", func(v document.Node) { s.ContinueOnError = v.Boolean() }),
		document.Optional("dry_run", func(v document.Node) { s.DryRun = v.Boolean() }),
		document.Optional("rollback", func(v document.Node) {
			if s.Rollback = script(v); s.Rollback == noUndo {
				s.Rollback, s.NoUndo = "", true
			}
		}),
	})
	if s.Name == "" {
		s.Name = stepName(s.Run)
	}
	return s
}

// stepName returns the name of a step that has none: that of its script, without ".sh".
func stepName(run string) string { return strings.TrimSuffix(path.Base(run), ".sh") }

func readArgs(n document.Node) []string {
	args := []string{}
	for _, e := range n.List() {
		args = append(args, e.Text(maxValue))
	}
	return args
}

func readVariables(n document.Node) map[string]string {
	env := map[string]string{}
	members := n.Members()
	for _, name := range sortedKeys(members) {
		if isVariable(members[name], name) {
			env[name] = members[name].Text(maxValue)
		}
	}
	return env
}
