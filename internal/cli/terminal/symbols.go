package terminal

import (
	"cmp"
	"strings"
)

// symbols are how each status looks beside its word.
type symbols struct{ unicode bool }

// symbolsOf are those that the locale of an environment can show, by POSIX's order of its variables.
func symbolsOf(getenv func(string) string) symbols {
	locale := strings.ToLower(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG")))
	return symbols{strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")}
}

// of is the symbol of a status of a run or a step.
func (s symbols) of(status string) string {
	pair, ok := map[string][2]string{
		"success":     {"✓", "+"},
		"failed":      {"✗", "x"},
		"timed_out":   {"✗", "x"},
		"error":       {"✗", "x"},
		"rejected":    {"✗", "x"},
		"interrupted": {"!", "!"},
		"cancelled":   {"!", "!"},
		"rolled_back": {"↩", "<"},
		"in_progress": {"●", "*"},
		"skipped":     {"–", "-"},
		"not_run":     {"–", "-"},
	}[status]
	switch {
	case !ok:
		return "?"
	case s.unicode:
		return pair[0]
	}
	return pair[1]
}
