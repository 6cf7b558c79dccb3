package iam

import (
	"fmt"
	"regexp"
	"strings"
)

// condition is a comparison, or several conditions of which all or any must hold. The zero
// condition holds.
type condition struct {
	any     bool
	parts   []condition
	compare *comparison
}

type comparison struct {
	variable, value string
	pattern         *regexp.Regexp // instead of value
	not             bool
}

// knowledge of a variable: its value, that the request does not have it, or that it may have any value.
type knowledge int

const (
	absent knowledge = iota
	known
	open
)

var (
	group      = regexp.MustCompile(`^(?i:(all|any))\s*\{`)
	comparable = regexp.MustCompile(`^([a-z]+(?:\.[a-z-]+)+)\s*(!?=)\s*(?:'([^']*)'|/([^/]+)/)`)
)

func parseCondition(text string) (condition, error) {
	c, rest, err := nextCondition(text)
	if err == nil && rest != "" {
		err = fmt.Errorf("after the condition stands %q, which is not known here", rest)
	}
	return c, err
}

// nextCondition reads the condition at the beginning of a text, and returns what follows it.
func nextCondition(text string) (condition, string, error) {
	text = strings.TrimSpace(text)
	match := group.FindStringSubmatch(text)
	if match == nil {
		return nextComparison(text)
	}
	c := condition{any: strings.EqualFold(match[1], "any")}
	rest := text[len(match[0]):]
	for {
		part, after, err := nextCondition(rest)
		if err != nil {
			return c, "", err
		}
		c.parts = append(c.parts, part)
		switch {
		case strings.HasPrefix(after, ","):
			rest = after[1:]
		case strings.HasPrefix(after, "}"):
			return c, strings.TrimSpace(after[1:]), nil
		default:
			return c, "", fmt.Errorf("in the condition %q a comma or } is missing", text)
		}
	}
}

func nextComparison(text string) (condition, string, error) {
	match := comparable.FindStringSubmatch(text)
	if match == nil {
		return condition{}, "", fmt.Errorf("the condition %q is not known here", text)
	}
	c := &comparison{variable: match[1], value: match[3], not: match[2] == "!="}
	if match[4] != "" {
		c.pattern = regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(match[4]), `\*`, ".*") + "$")
	}
	return condition{compare: c}, strings.TrimSpace(text[len(match[0]):]), nil
}

// holds reports whether the condition holds, given what is known about its variables.
func (c condition) holds(variable func(string) (string, knowledge)) bool {
	if c.compare != nil {
		return c.compare.holds(variable)
	}
	for _, part := range c.parts {
		if part.holds(variable) == c.any {
			return c.any
		}
	}
	return !c.any || c.parts == nil
}

// holds: as on OCI, a comparison with a variable that the request does not have is false, for = and for !=.
func (c comparison) holds(variable func(string) (string, knowledge)) bool {
	value, how := variable(c.variable)
	switch {
	case how == absent:
		return false
	case how == open:
		return true
	case c.pattern != nil:
		return c.pattern.MatchString(value) != c.not
	}
	return (value == c.value) != c.not
}
