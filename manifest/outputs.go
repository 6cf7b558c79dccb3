package manifest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"cemli-executor/internal/document"
)

const (
	// maxAlternatives is how many patterns without braces a pattern of files may stand for.
	maxAlternatives = 64
	// maxAllAlternatives is how many those of a document may stand for.
	maxAllAlternatives = 1000
)

// readGlobs reads patterns of files.
func readGlobs(n document.Node) []string {
	globs := []string{}
	all := 0
	for _, e := range n.List() {
		glob := e.Word("manifest.path", pathRule, "a pattern of paths inside the package, such as reports/*.csv")
		before, count := all, alternatives(glob)
		all += count
		switch {
		case glob != "" && !doublestar.ValidatePattern(glob):
			message := document.Printable(glob) + " is not a pattern: a bracket or brace is open"
			e.Bad("manifest.glob", message, "close it, or escape it with a backslash")
		case count > maxAlternatives:
			const message = "the braces of %s stand for more than %d patterns"
			e.Bad("manifest.glob", fmt.Sprintf(message, document.Printable(glob), maxAlternatives),
				"write it with * or with fewer braces")
		case all > maxAllAlternatives && before <= maxAllAlternatives:
			const message = "with this one the patterns stand for more than %d without braces"
			e.Bad("manifest.glob", fmt.Sprintf(message, maxAllAlternatives), "write them with * or with fewer braces")
		}
		globs = append(globs, glob)
	}
	return globs
}

// alternatives counts the patterns without braces that a pattern of files stands for, up to maxAlternatives: matching
// tries each of them.
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

// Keeps reports whether a file in the package's folder matches one of the outputs, which are patterns.
func Keeps(outputs []string, name string) bool {
	return slices.ContainsFunc(outputs, func(glob string) bool {
		ok, err := doublestar.Match(glob, name)
		return ok && err == nil
	})
}
