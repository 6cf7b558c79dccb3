package manifest

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/strictjson"
)

// checker collects the problems of one document.
type checker struct {
	problems []problem.Problem
	// code, if not empty, stands for the codes of all problems.
	code string
	// open tells a key of the caller's own, which is not looked at.
	open func(key string) bool
	// sensitive is how many bytes the values of sensitive parameters have so far.
	sensitive int
}

func (c *checker) add(code, where, message, hint string) {
	if c.code != "" {
		code = c.code
	}
	c.problems = append(c.problems, problem.Problem{Code: code, Where: where, Message: message, Hint: hint})
}

// node is one value of a document that strictjson has checked. Its methods return the
// value as what it should be, or note a problem and return the zero value.
type node struct {
	c     *checker
	at    jsontext.Pointer
	value jsontext.Value
}

func (n node) bad(code, message, hint string) { n.c.add(code, string(n.at), message, hint) }

// label is what messages call the value: its key, or its list's.
func (n node) label() string {
	if n.at == "" {
		return "the document"
	}
	if _, err := strconv.Atoi(n.at.LastToken()); err == nil {
		return "each of " + printable(n.at.Parent().LastToken())
	}
	return printable(n.at.LastToken())
}

// wrongType notes that the value is none of what is wanted.
func (n node) wrongType(wanted, hint string) {
	n.bad("manifest.type", n.label()+" must be "+wanted, hint)
}

// text returns a text of at most so many characters that matches a rule.
func (n node) text(rule *regexp.Regexp, most int) string {
	text, ok := strictjson.Text(n.value)
	switch {
	case !ok:
		n.wrongType("text", "put the value in quotes")
	case utf8.RuneCountInString(text) > most:
		n.bad("manifest.text", fmt.Sprintf("%s has more than %d characters", n.label(), most), "shorten it")
	case !rule.MatchString(text):
		n.bad("manifest.text", n.label()+" has a control character", "write it on one line, without control characters")
	default:
		return text
	}
	return ""
}

// word returns a text that has the form of a rule; what says which.
func (n node) word(code string, rule *regexp.Regexp, what string) string {
	text, ok := strictjson.Text(n.value)
	if !ok {
		n.wrongType("text", "put the value in quotes")
		return ""
	}
	if !rule.MatchString(text) || utf8.RuneCountInString(text) > maxLine {
		n.bad(code, fmt.Sprintf("%q is not %s", printable(text), what), "")
		return ""
	}
	return text
}

// choice returns one of a few words.
func (n node) choice(code string, allowed ...string) string {
	text, ok := strictjson.Text(n.value)
	if !ok {
		n.wrongType("text", "write one of "+strings.Join(allowed, ", "))
		return ""
	}
	for _, word := range allowed {
		if text == word {
			return text
		}
	}
	hint := ""
	if near := cmp.Or(problem.Nearest(text, allowed), longer(text, allowed)); near != "" {
		hint = "did you mean " + near + "?"
	}
	n.bad(code, fmt.Sprintf("%q is none of %s", printable(text), strings.Join(allowed, ", ")), hint)
	return ""
}

func (n node) boolean() bool {
	switch n.value.Kind() {
	case 't':
		return true
	case 'f':
	default:
		n.wrongType("true or false", "write it without quotes")
	}
	return false
}

// count returns a whole number from 0 to most.
func (n node) count(most int64) int64 {
	value, err := parseValue(n.value)
	if err != nil || !value.fits(TypeInteger) || value.whole() < 0 || value.whole() > most {
		n.bad("manifest.number", fmt.Sprintf("%s must be a whole number from 0 to %d", n.label(), most), "")
		return 0
	}
	return value.whole()
}

// maxDuration is longer than any function runs.
const maxDuration = 24 * time.Hour

// duration returns a Go duration that is more than nothing and at most a day.
func (n node) duration() time.Duration {
	const form = "a duration such as 90s or 1h30m"
	text, ok := strictjson.Text(n.value)
	switch {
	case !ok && n.value.Kind() == '0':
		n.wrongType("text", fmt.Sprintf("write it in quotes, with its unit: \"%ss\"", n.value))
		return 0
	case ok && !durationRule.MatchString(text):
		n.bad("manifest.duration", fmt.Sprintf("%q is not %s", printable(text), form), durationHint(text))
		return 0
	}
	if text = n.word("manifest.duration", durationRule, form); text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxDuration {
		n.bad("manifest.duration_range", fmt.Sprintf("%s is not more than 0 and at most %s", printable(text), maxDuration), "")
		return 0
	}
	return d
}

// orText reports that a text stands where an object is wanted, and shows one. The text is not quoted: it may be a secret.
func (n node) orText(example string) bool {
	_, isText := strictjson.Text(n.value)
	if isText {
		n.wrongType("an object", "write it like "+example)
	}
	return isText
}

// list returns the elements of a list.
func (n node) list() []node {
	values, ok := strictjson.Elements(n.value)
	if !ok {
		n.wrongType("a list", "write it in [ ]")
		return nil
	}
	if len(values) > maxMembers {
		n.bad("manifest.too_many", fmt.Sprintf("%s has more than %d members", n.label(), maxMembers), "")
		return nil
	}
	nodes := make([]node, len(values))
	for i, value := range values {
		nodes[i] = node{n.c, n.at.AppendToken(fmt.Sprint(i)), value}
	}
	return nodes
}

// words returns a list of texts of one form, each at most once.
func (n node) words(code string, rule *regexp.Regexp, what string) []string {
	words := []string{}
	seen := map[string]bool{}
	for _, e := range n.list() {
		word := e.word(code, rule, what)
		if word != "" && seen[word] {
			e.bad("manifest.repeated", printable(word)+" is there twice", "keep one")
		}
		seen[word] = true
		words = append(words, word)
	}
	return words
}

// members returns the members of an object whose keys are the author's.
func (n node) members() map[string]node {
	found, ok := strictjson.Members(n.value)
	if !ok {
		n.wrongType("an object", "write it in { }")
		return nil
	}
	if len(found) > maxMembers {
		n.bad("manifest.too_many", fmt.Sprintf("%s has more than %d members", n.label(), maxMembers), "")
		return nil
	}
	nodes := make(map[string]node, len(found))
	for key, value := range found {
		nodes[key] = node{n.c, n.at.AppendToken(key), value}
	}
	return nodes
}

// keyed returns the members of an object whose keys have a form; others are noted.
func (n node) keyed(code string, rule *regexp.Regexp, what string) map[string]node {
	members := n.members()
	for _, key := range sortedKeys(members) {
		if !rule.MatchString(key) {
			members[key].bad(code, fmt.Sprintf("the key %q is not %s", printable(key), what), "")
			delete(members, key)
		}
	}
	return members
}

// fields reads an object whose keys the contract fixes, in their order.
func (n node) fields(table []field) {
	members := n.members()
	if members == nil {
		return
	}
	known := make([]string, len(table))
	for i, f := range table {
		known[i] = f.key
		if member, ok := members[f.key]; ok {
			f.read(member)
			delete(members, f.key)
		} else if f.required {
			n.bad("manifest.required", "the key "+f.key+" is missing", "add "+f.key)
		}
	}
	for _, key := range sortedKeys(members) {
		if n.c.open == nil || n.at != "" || !n.c.open(key) {
			members[key].unknown(key, known)
		}
	}
}

// field is one key of the contract.
type field struct {
	key      string
	required bool
	read     func(node)
}

// later are keys of the contract whose features this version does not have: they are refused, as
// whoever writes them relies on them.
func later(code string, keys ...string) []field {
	var table []field
	for _, key := range keys {
		table = append(table, field{key, false, func(n node) {
			n.bad(code, "this version does not support the key "+key, "remove it, or use an executor that supports it")
		}})
	}
	return table
}

func (n node) unknown(key string, known []string) {
	message, hint := "unknown key "+printable(key), "the keys here are "+strings.Join(known, ", ")
	if near := problem.Nearest(key, known); near != "" {
		message += "; did you mean " + near + "?"
		hint = "rename it to " + near
	}
	n.bad("manifest.unknown_key", message, hint)
}
