package executor

import (
	"strings"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
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
	res.Outputs = r.masker.Values(res.Outputs)
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
	res.Policy.Violations = problem.Masked(res.Policy.Violations, r.masker.String)
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
			steps[i].Outputs = r.masker.Values(steps[i].Outputs)
		}
	}
}

func (r *run) maskError(e *evidence.Error) {
	if e != nil {
		e.Mask(r.masker.String)
	}
}

// hides reports whether a text has a secret in it.
func (r *run) hides(text string) bool {
	found, err := r.masker.Found(strings.NewReader(text))
	return found || err != nil
}
