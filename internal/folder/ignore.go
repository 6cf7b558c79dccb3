package folder

import (
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"cemli-executor/internal/problem"
)

// ignored are the rules of an ignore file, in order. The last one that matches decides.
type ignored []rule

type rule struct {
	pattern string // a pattern of doublestar, for the path from the package's root
	keep    bool   // "!": keeps what an earlier rule leaves out
	folders bool   // the rule ends in a slash: it applies to folders only
}

// dialect translates gitignore's language into doublestar's: braces are literal, and classes of characters are
// spelled out.
var dialect = strings.NewReplacer(
	`\{`, `\{`, `\}`, `\}`, "{", `\{`, "}", `\}`,
	"[:alnum:]", "0-9A-Za-z", "[:alpha:]", "A-Za-z", "[:digit:]", "0-9", "[:lower:]", "a-z",
	"[:space:]", " \t", "[:upper:]", "A-Z", "[:xdigit:]", "0-9A-Fa-f",
)

// parseIgnore reads an ignore file. It refuses a line that it cannot understand, because what that line should
// exclude would be packed.
func parseIgnore(text string) (ignored, error) {
	var rules ignored
	var problems []problem.Problem
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\uFEFF")) {
		number++
		line = trimBlanks(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"))
		if line == "" || line[0] == '#' {
			continue
		}
		r := parseRule(line)
		if !doublestar.ValidatePattern(r.pattern) {
			problems = append(problems, problem.Problem{
				Code: "archive.ignore", Where: IgnoreFile,
				Message: fmt.Sprintf("line %d is no pattern: %.100q", number, line),
				Hint:    `close the brackets, and put a \ before a [, ] or \ that means itself`,
			})
			continue
		}
		rules = append(rules, r)
	}
	return rules, problem.Join(problems)
}

// trimBlanks removes blanks at the end, which count only after a backslash.
func trimBlanks(line string) string {
	trimmed := strings.TrimRight(line, " ")
	if trimmed != line && strings.HasSuffix(trimmed, `\`) {
		trimmed += " "
	}
	return trimmed
}

// parseRule reads one line. A pattern without a slash inside applies to names in any folder.
func parseRule(line string) rule {
	var r rule
	line, r.keep = strings.CutPrefix(line, "!")
	line, r.folders = strings.CutSuffix(line, "/")
	if !strings.Contains(line, "/") {
		line = "**/" + line
	}
	line = strings.TrimPrefix(line, "/")
	if dir, ok := strings.CutSuffix(line, "/**"); ok {
		line = dir + "/**/*" // what is in the folder, not the folder itself
	}
	r.pattern = dialect.Replace(line)
	return r
}

// leaveOut reports whether the rules exclude a path. What is in an excluded folder need not be asked for.
func (rules ignored) leaveOut(path string, folder bool) bool {
	for i := len(rules) - 1; i >= 0; i-- {
		if r := rules[i]; (folder || !r.folders) && doublestar.MatchUnvalidated(r.pattern, path) {
			return !r.keep
		}
	}
	return false
}
