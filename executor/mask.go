package executor

import (
	"strings"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/manifest"
)

// mask hides secrets in what the result quotes of scripts, requests and messages. What
// identifies the run and its bytes stays as it is.
func (r *run) mask() {
	res := &r.result
	for _, s := range []*string{&res.Message, &res.Reason, &res.Reference, &res.Summary, &res.Execution.Stdout, &res.Execution.Stderr, &res.Execution.Note} {
		r.maskText(s)
	}
	r.maskError(res.Error)
	r.maskSteps(res.Steps)
	if res.Rollback != nil {
		r.maskError(res.Rollback.Error)
		r.maskSteps(res.Rollback.Steps)
	}
	res.Outputs = r.maskValues(res.Outputs)
	for name, value := range res.Parameters {
		if shown, ok := value.(manifest.Value); ok && r.hides(shown.Text()) {
			res.Parameters[name] = r.masker.String(shown.Text())
		}
	}
	for i := range res.Artifacts {
		r.maskText(&res.Artifacts[i].Name)
		r.maskText(&res.Artifacts[i].Withheld)
	}
	if len(res.Trigger.Raw) > 0 {
		res.Trigger.Raw = r.masker.JSON(res.Trigger.Raw, r.about(r.hidesGiven))
	}
	if len(res.Manifest) > 0 && r.manifest != nil {
		res.Manifest = r.masker.JSON(res.Manifest, r.about(r.manifest.Hides))
	}
	res.Policy.Violations = r.maskProblems(res.Policy.Violations)
}

func (r *run) maskText(s *string) { *s = r.masker.String(*s) }

// maskSteps masks again what was masked when it came: a script may have added values since then. What names the
// script stays.
func (r *run) maskSteps(steps []evidence.Step) {
	for i := range steps {
		r.maskText(&steps[i].StdoutTail)
		r.maskText(&steps[i].StderrTail)
		r.maskError(steps[i].Error)
		for j := range steps[i].ChangedFiles {
			r.maskText(&steps[i].ChangedFiles[j])
		}
		if steps[i].Outputs != nil {
			steps[i].Outputs = r.maskValues(steps[i].Outputs)
		}
	}
}

func (r *run) maskError(e *evidence.Error) {
	if e == nil {
		return
	}
	r.maskText(&e.Message)
	r.maskText(&e.Hint)
	e.Problems = r.maskProblems(e.Problems)
}

func (r *run) maskProblems(problems []problem.Problem) []problem.Problem {
	var masked []problem.Problem
	for _, p := range problems {
		r.maskText(&p.Where)
		r.maskText(&p.Message)
		r.maskText(&p.Hint)
		masked = append(masked, p)
	}
	return masked
}

// maskValues masks names and values.
func (r *run) maskValues(values map[string]string) map[string]string {
	masked := make(map[string]string, len(values))
	seen := map[string]int{}
	taken := func(name string) bool { _, ok := values[name]; return ok }
	for _, name := range sortedNames(values) {
		shown := r.masker.String(name)
		if shown != name {
			shown = redact.Numbered(shown, seen, taken)
		}
		masked[shown] = r.masker.String(values[name])
	}
	return masked
}

// hides reports whether a text has a secret in it.
func (r *run) hides(text string) bool {
	found, err := r.masker.Found(strings.NewReader(text))
	return found || err != nil
}
