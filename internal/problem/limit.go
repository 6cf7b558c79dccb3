package problem

import (
	"fmt"
	"strings"
)

// Limits of what is reported about one input, whose sender decides how much is wrong with it.
const (
	// Most is how many problems are listed; others are counted.
	Most = 100
	// Suggested is how many of them get a suggestion, which costs more than the rest.
	Suggested = 20
)

// More is the problem that stands for n others, which are not listed.
func More(code string, n int) Problem {
	return Problem{
		Code: code, Message: fmt.Sprintf("there are %d more problems, which are not listed", n),
		Hint: "mend those that are listed first",
	}
}

// Limit returns the first problems, at most so many, and one that says how many more there are.
func Limit(problems []Problem, most int, code string) []Problem {
	if len(problems) <= most {
		return problems
	}
	return append(problems[:most:most], More(code, len(problems)-most))
}

// Names lists names for a hint: the first ten, and how many more there are.
func Names(names []string) string {
	const most = 10
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

// Masked are copies of problems without what hide takes out of a text.
func Masked(problems []Problem, hide func(string) string) []Problem {
	var masked []Problem
	for _, p := range problems {
		p.Where, p.Message, p.Hint = hide(p.Where), hide(p.Message), hide(p.Hint)
		masked = append(masked, p)
	}
	return masked
}
