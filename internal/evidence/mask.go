package evidence

import "cemli-executor/internal/problem"

// Masker hides secrets in texts, and in names and values.
type Masker interface {
	String(text string) string
	Values(values map[string]string) map[string]string
}

// Mask hides secrets in what the result quotes from scripts, requests and messages. It leaves alone what identifies
// the run and its bytes, the documents in it, and parameters: the caller masks these, because it knows what they
// mean.
func (r *Result) Mask(m Masker) {
	for _, s := range []*string{&r.Message, &r.Reason, &r.Reference, &r.Summary} {
		*s = m.String(*s)
	}
	e := &r.Execution
	e.Stdout, e.Stderr, e.Note = m.String(e.Stdout), m.String(e.Stderr), m.String(e.Note)
	r.Error.Mask(m)
	MaskSteps(r.Steps, m)
	if r.Rollback != nil {
		r.Rollback.Error.Mask(m)
		MaskSteps(r.Rollback.Steps, m)
	}
	r.Outputs = m.Values(r.Outputs)
	for i := range r.Artifacts {
		a := &r.Artifacts[i]
		a.Name, a.Withheld = m.String(a.Name), m.String(a.Withheld)
	}
	if c := r.Cancelled; c != nil {
		masked := *c
		masked.Reason, masked.Reference = m.String(c.Reason), m.String(c.Reference)
		r.Cancelled = &masked
	}
	r.Policy.Violations = problem.Masked(r.Policy.Violations, m.String)
}

// MaskSteps masks what was masked when it arrived once more, because scripts may have added values since then. What
// names the script stays.
func MaskSteps(steps []Step, m Masker) {
	for i := range steps {
		s := &steps[i]
		s.StdoutTail, s.StderrTail = m.String(s.StdoutTail), m.String(s.StderrTail)
		s.Error.Mask(m)
		for j := range s.ChangedFiles {
			s.ChangedFiles[j] = m.String(s.ChangedFiles[j])
		}
		if s.Outputs != nil {
			s.Outputs = m.Values(s.Outputs)
		}
	}
}

// Mask hides secrets in the error; e may be nil.
func (e *Error) Mask(m Masker) {
	if e == nil {
		return
	}
	e.Message, e.Hint = m.String(e.Message), m.String(e.Hint)
	e.Problems = problem.Masked(e.Problems, m.String)
}
