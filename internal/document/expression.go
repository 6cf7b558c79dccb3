package document

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Bounds of the computation that an author can cause. Expressions are measured in the instructions of the programs
// that they are compiled to: a few letters and a repeat can make millions.
const (
	maxInstructions    = 10_000  // of an expression
	maxAllInstructions = 100_000 // of the expressions of a document
	// MaxMatching bounds the work of comparing values with expressions: instructions times bytes.
	MaxMatching = 50_000_000
)

const smaller = "repeat less: {1,1000} makes a program of that many times what is repeated"

// Expression is a regular expression with the size of its program, in instructions. The zero value has no
// rule.
type Expression struct {
	Rule *regexp.Regexp
	Size int
}

// Work returns an upper bound for the cost of comparing a text with the expression: see MaxMatching.
func (e Expression) Work(text string) int { return e.Size * (len(text) + 1) }

// Expression compiles the RE2 expression that the value has, if it is not too large to be compiled and
// used, or notes a problem.
func (n Node) Expression(text string) Expression {
	if !n.affords(len(text), len(text)+classes(text)) {
		return Expression{}
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		reason := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		n.Bad("manifest.pattern", n.Label()+" is no RE2 expression: "+reason,
			"see https://github.com/google/re2/wiki/Syntax")
		return Expression{}
	}
	size := instructions(parsed)
	if !n.affords(size, size) {
		return Expression{}
	}
	return Expression{regexp.MustCompile(text), size}
}

// affords notes a problem if an expression is too large, alone or together with those before it.
func (n Node) affords(size, cost int) bool {
	const larger = "%s would be compiled to more than %d instructions"
	if size > maxInstructions {
		n.Bad("manifest.pattern", fmt.Sprintf(larger, n.Label(), maxInstructions), smaller)
		return false
	}
	before := n.c.instructions
	n.c.instructions += cost
	if before <= maxAllInstructions && n.c.instructions > maxAllInstructions {
		message := fmt.Sprintf(larger, n.Label()+", with the expressions before it,", maxAllInstructions)
		n.Bad("manifest.pattern", message, smaller)
	}
	return n.c.instructions <= maxAllInstructions
}

// classes estimates what it costs to read the Unicode classes in an expression: each is a list of hundreds of ranges.
func classes(text string) int { return 150 * (strings.Count(text, `\p`) + strings.Count(text, `\P`)) }

// instructions estimates the number of instructions that an expression is compiled to, without compiling it and without
// writing out repeats. The estimate is at most a little too low.
func instructions(re *syntax.Regexp) int {
	n := 0
	for _, sub := range re.Sub {
		n += instructions(sub)
	}
	switch re.Op {
	case syntax.OpRepeat:
		if re.Max < 0 {
			return max(re.Min, 1)*n + 1
		}
		return max(re.Min*n+(re.Max-re.Min)*(n+1), 1) // each time after the least may be left out
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass:
		return 1 + len(re.Rune)/8 // its ranges are kept beside the instruction
	case syntax.OpConcat:
		return n
	case syntax.OpAlternate:
		return n + len(re.Sub)
	case syntax.OpCapture:
		return n + 2
	}
	return n + 1
}
