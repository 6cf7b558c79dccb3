package manifest

import (
	"fmt"
	"path"
	"strings"
)

// noUndo stands for the path of an undo script where the step needs none.
const noUndo = "none"

// steps reads the explicit list of steps; names are unique within a phase.
func (n node) steps(secrets map[string]string) []StepSpec {
	list := []StepSpec{}
	type key struct {
		phase Phase
		name  string
	}
	seen := map[key]bool{}
	for _, e := range n.list() {
		s := e.step(secrets)
		if k := (key{s.Phase, s.Name}); s.Run != "" && seen[k] {
			e.bad("manifest.duplicate_step", fmt.Sprintf("the phase %s has a step %q already", s.Phase, printable(s.Name)), "give it another name")
		} else {
			seen[k] = true
		}
		list = append(list, s)
	}
	return list
}

// step reads one step and fills in its defaults.
func (n node) step(secrets map[string]string) StepSpec {
	s := StepSpec{Phase: PhaseRun}
	if n.orText(`{"run": "steps/run.sh"}`) {
		return s
	}
	script := func(v node) string { return v.word("manifest.path", pathRule, aPath) }
	n.fields([]field{
		{"name", false, func(v node) {
			s.Name = v.word("manifest.step_name", stepRule, "a step's name: a letter or digit, then up to 99 letters, digits, spaces, . _ -")
		}},
		{"phase", false, func(v node) {
			s.Phase = Phase(v.choice("manifest.choice", string(PhasePreCheck), string(PhaseRun), string(PhasePostCheck)))
		}},
		{"run", true, func(v node) { s.Run = script(v) }},
		{"args", false, func(v node) { s.Args = v.args() }},
		{"env", false, func(v node) { s.Env = v.variables() }},
		{"secrets", false, func(v node) {
			s.Secrets = v.words("manifest.variable", variableRule, aVariable)
			for _, name := range s.Secrets {
				if _, ok := secrets[name]; name != "" && !ok {
					v.bad("manifest.undeclared", "there is no secret "+name, "declare it under secrets")
				}
			}
		}},
		{"timeout", false, func(v node) { s.Timeout = v.duration() }},
		{"retries", false, func(v node) {
			v.fields([]field{
				{"max", true, func(w node) { s.Retries = int(w.count(maxRetries)) }},
				{"delay", false, func(w node) { s.RetryDelay = w.duration() }},
			})
		}},
		{"continue_on_error", false, func(v node) { s.ContinueOnError = v.boolean() }},
		{"dry_run", false, func(v node) { s.DryRun = v.boolean() }},
		{"rollback", false, func(v node) {
			if s.Rollback = script(v); s.Rollback == noUndo {
				s.Rollback, s.NoUndo = "", true
			}
		}},
	})
	if s.Name == "" {
		s.Name = stepName(s.Run)
	}
	return s
}

// stepName is the name of a step that has none: its script's without ".sh".
func stepName(run string) string { return strings.TrimSuffix(path.Base(run), ".sh") }

func (n node) args() []string {
	args := []string{}
	for _, e := range n.list() {
		args = append(args, e.text(textRule, maxValue))
	}
	return args
}

func (n node) variables() map[string]string {
	env := map[string]string{}
	members := n.members()
	for _, name := range sortedKeys(members) {
		if members[name].variable(name) {
			env[name] = members[name].text(textRule, maxValue)
		}
	}
	return env
}
