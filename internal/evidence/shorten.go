package evidence

import (
	"slices"
	"strings"

	"cemli-executor/internal/problem"
)

// MaxDocument bounds result.json, which is read back whole.
const MaxDocument = 8 << 20

// EncodeShort gives the result's bytes. Where they would be more than MaxDocument, the ends of the steps' output are
// shortened, of which the logs have all, and lists of problems, which say how many were left out.
func (r *Result) EncodeShort() ([]byte, error) {
	for _, tail := range []int{2000, 200, 0} {
		doc, err := r.Encode()
		if err != nil || len(doc) <= MaxDocument {
			return doc, err
		}
		shorten := func(steps []Step) {
			for i := range steps {
				steps[i].StdoutTail, steps[i].StderrTail = Ending(steps[i].StdoutTail, tail),
					Ending(steps[i].StderrTail, tail)
			}
		}
		shorten(r.Steps)
		if r.Rollback != nil {
			shorten(r.Rollback.Steps)
		}
		r.Execution.Note = "the ends of the steps' output are shortened here; their logs have it"
	}
	r.shortenProblems()
	return r.Encode()
}

// shortenProblems leaves a few of the problems, and of what each of them says.
func (r *Result) shortenProblems() {
	few := func(problems []problem.Problem) []problem.Problem {
		problems = problem.Limit(problems, 10, "request.more")
		for i := range problems {
			p := &problems[i]
			p.Where, p.Message, p.Hint = beginning(p.Where), beginning(p.Message), beginning(p.Hint)
		}
		return problems
	}
	if e := r.Error; e != nil {
		short := *e
		short.Message, short.Hint, short.Problems = beginning(e.Message), beginning(e.Hint),
			few(slices.Clone(e.Problems))
		r.Error = &short
	}
	r.Message, r.Policy.Violations = beginning(r.Message), few(slices.Clone(r.Policy.Violations))
}

// beginning cuts a text to what people read of a message.
func beginning(text string) string {
	const most = 2000
	if len(text) <= most {
		return text
	}
	return Cut(text, most) + "…"
}

// Cut shortens a text to at most n bytes of whole characters.
func Cut(text string, n int) string { return strings.ToValidUTF8(text[:min(len(text), n)], "") }

// Ending shortens a text to at most its last n bytes, of whole characters.
func Ending(text string, n int) string {
	return strings.ToValidUTF8(text[max(0, len(text)-n):], "")
}
