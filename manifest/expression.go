package manifest

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Bounds of what an author can have computed. Expressions are measured in the instructions of the programs that they are
// compiled to: a few letters and a repeat make millions.
const (
	maxInstructions    = 10_000  // of an expression
	maxAllInstructions = 100_000 // of the expressions of a document
	// maxMatching bounds the work of comparing values with expressions: instructions times bytes.
	maxMatching = 50_000_000
	// maxAlternatives is how many patterns without braces a pattern of files may stand for.
	maxAlternatives = 64
	// maxAllAlternatives is how many those of a document may stand for.
	maxAllAlternatives = 1000
)

const smaller = "repeat less: {1,1000} makes a program of that many times what is repeated"

// expression is a regular expression with the size of its program; the zero value fits everything.
type expression struct {
	rule *regexp.Regexp
	size int
}

// work is what it costs at most to compare a text with the expression.
func (e expression) work(text string) int { return e.size * (len(text) + 1) }

// expression compiles an RE2 expression, if it is not too large to be compiled and used, or notes a problem.
func (n node) expression(text string) expression {
	if !n.affords(len(text), len(text)+classes(text)) {
		return expression{}
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		n.bad("manifest.pattern", n.label()+" is no RE2 expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), "see https://github.com/google/re2/wiki/Syntax")
		return expression{}
	}
	size := instructions(parsed)
	if !n.affords(size, size) {
		return expression{}
	}
	return expression{regexp.MustCompile(text), size}
}

// affords notes a problem where an expression is too large, itself or with those before it.
func (n node) affords(size, cost int) bool {
	const larger = "%s would be compiled to more than %d instructions"
	if size > maxInstructions {
		n.bad("manifest.pattern", fmt.Sprintf(larger, n.label(), maxInstructions), smaller)
		return false
	}
	before := n.c.instructions
	n.c.instructions += cost
	if before <= maxAllInstructions && n.c.instructions > maxAllInstructions {
		n.bad("manifest.pattern", fmt.Sprintf(larger, n.label()+", with the expressions before it,", maxAllInstructions), smaller)
	}
	return n.c.instructions <= maxAllInstructions
}

// classes is about what it costs to read the classes of Unicode in an expression: each is a list of hundreds of ranges.
func classes(text string) int { return 150 * (strings.Count(text, `\p`) + strings.Count(text, `\P`)) }

// instructions is about how many instructions an expression is compiled to, and not many fewer. The program itself is not
// built for it, nor are repeats written out.
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

// alternatives is how many patterns without braces a pattern of files stands for, as far as that is at most maxAlternatives:
// matching tries each.
func alternatives(glob string) int {
	type level struct{ sum, product int }
	here, outer := level{0, 1}, []level{}
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; {
		case c == '[':
			i += max(0, strings.IndexByte(glob[i:], ']'))
		case c == '{':
			outer, here = append(outer, here), level{0, 1}
		case c == ',' && len(outer) > 0:
			here = level{here.sum + here.product, 1}
		case c == '}' && len(outer) > 0:
			last := outer[len(outer)-1]
			last.product = min(last.product*(here.sum+here.product), maxAlternatives+1)
			outer, here = outer[:len(outer)-1], last
		}
	}
	return here.product
}
