package document

import (
	"cmp"

	"github.com/go-json-experiment/json/jsontext"

	"cemli-executor/internal/problem"
)

// Checker collects the problems of one document.
type Checker struct {
	// Code, if not empty, stands for the codes of all problems.
	Code string
	// Open reports whether a key of the document's own object is the author's and is not checked; nil: none is.
	Open func(key string) bool

	problems     []problem.Problem // the first of them
	more         int               // how many others there are
	instructions int               // of all expressions
}

// Root returns the value of a document that strictjson has checked.
func (c *Checker) Root(doc []byte) Node { return Node{c: c, value: jsontext.Value(doc)} }

// Add notes a problem at a place of the document.
func (c *Checker) Add(code, where, message, hint string) {
	if c.full() {
		c.more++
		return
	}
	if c.Code != "" {
		code = c.Code
	}
	c.problems = append(c.problems, problem.Problem{Code: code, Where: where, Message: message, Hint: hint})
}

// full reports whether further problems are only counted.
func (c *Checker) full() bool { return len(c.problems) >= problem.Most }

// nearest is problem.Nearest for the first problems: a hostile document has tens of thousands.
func (c *Checker) nearest(word string, candidates []string) string {
	if len(c.problems) >= problem.Suggested {
		return ""
	}
	return problem.Nearest(word, candidates)
}

// Refused returns a *problem.Error with all problems; nil if there are none.
func (c *Checker) Refused() error {
	if c.more > 0 {
		c.problems = append(c.problems, problem.More(cmp.Or(c.Code, "manifest.more"), c.more))
	}
	return problem.Join(c.problems)
}
