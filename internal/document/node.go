// Package document reads a JSON document against a contract: each value as what the contract says that
// it is, with every problem noted at once, by its JSON pointer (RFC 6901), a code and a sentence.
//
// A Checker collects the problems of one document. A Node is a value in it; its methods return the
// value as text, a choice, a duration, a list and so on, or note a problem and return the zero value.
// Nothing is ever ignored: keys that the contract does not have are problems.
//
// Documents are hostile: lists are bounded, problems beyond the first are only counted, and expressions
// are measured before they are compiled.
package document

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"cemli-executor/internal/strictjson"
)

// The bounds of values, in characters, and of lists and objects, in members.
const (
	MaxLine    = 255
	maxMembers = 1000
)

var (
	lineRule = regexp.MustCompile(`^[^\x00-\x1f\x7f]*$`)
	textRule = regexp.MustCompile(`^[^\x00]*$`)
)

// IsLine reports whether a text is one of one line: it has no control characters.
func IsLine(text string) bool { return lineRule.MatchString(text) }

// Node is one value of a document. Its methods return the value as what it should be, or note a problem
// and return the zero value.
type Node struct {
	c     *Checker
	at    jsontext.Pointer
	value jsontext.Value
}

// Value returns the value as it is written.
func (n Node) Value() jsontext.Value { return n.value }

// Bad notes a problem with the value.
func (n Node) Bad(code, message, hint string) { n.c.Add(code, string(n.at), message, hint) }

// Label returns how messages call the value: by its key, or its list's key.
func (n Node) Label() string {
	if n.at == "" {
		return "the document"
	}
	if _, err := strconv.Atoi(n.at.LastToken()); err == nil {
		return "each of " + Printable(n.at.Parent().LastToken())
	}
	return Printable(n.at.LastToken())
}

// WrongType notes that the value does not have the type that is wanted.
func (n Node) WrongType(wanted, hint string) {
	n.Bad("manifest.type", n.Label()+" must be "+wanted, hint)
}

// Nearest returns the candidate that a word most likely stands for; "" if none is near, or the document has many
// problems already.
func (n Node) Nearest(word string, candidates []string) string { return n.c.nearest(word, candidates) }

// Line returns a text of one line of at most so many characters.
func (n Node) Line(most int) string { return n.text(lineRule, most) }

// Text returns a text of at most so many characters.
func (n Node) Text(most int) string { return n.text(textRule, most) }

func (n Node) text(rule *regexp.Regexp, most int) string {
	text, ok := strictjson.Text(n.value)
	switch {
	case !ok:
		n.WrongType("text", "put the value in quotes")
	case utf8.RuneCountInString(text) > most:
		n.Bad("manifest.text", fmt.Sprintf("%s has more than %d characters", n.Label(), most), "shorten it")
	case !rule.MatchString(text):
		n.Bad("manifest.text", n.Label()+" has a control character", "write it on one line, without control characters")
	default:
		return text
	}
	return ""
}

// Word returns a text that has the form of a rule; what says which.
func (n Node) Word(code string, rule *regexp.Regexp, what string) string {
	text, ok := strictjson.Text(n.value)
	if !ok {
		n.WrongType("text", "put the value in quotes")
		return ""
	}
	if !rule.MatchString(text) || utf8.RuneCountInString(text) > MaxLine {
		n.Bad(code, fmt.Sprintf("%q is not %s", Printable(text), what), "")
		return ""
	}
	return text
}

// Choice returns one of a few words.
func (n Node) Choice(code string, allowed ...string) string {
	text, ok := strictjson.Text(n.value)
	if !ok {
		n.WrongType("text", "write one of "+strings.Join(allowed, ", "))
		return ""
	}
	for _, word := range allowed {
		if text == word {
			return text
		}
	}
	hint := ""
	if near := cmp.Or(n.c.nearest(text, allowed), longer(text, allowed)); near != "" {
		hint = "did you mean " + near + "?"
	}
	n.Bad(code, fmt.Sprintf("%q is none of %s", Printable(text), strings.Join(allowed, ", ")), hint)
	return ""
}

// Boolean returns true or false.
func (n Node) Boolean() bool {
	switch n.value.Kind() {
	case 't':
		return true
	case 'f':
	default:
		n.WrongType("true or false", "write it without quotes")
	}
	return false
}

// Count returns a whole number from 0 to most, which is at most 2^52.
func (n Node) Count(most int64) int64 { return n.Whole(0, most) }

// Whole returns a whole number from least to most, both at most 2^52 from 0.
func (n Node) Whole(least, most int64) int64 {
	number, err := strconv.ParseFloat(string(n.value), 64)
	whole := n.value.Kind() == '0' && len(n.value) <= MaxLine && err == nil && number == math.Trunc(number)
	if !whole || number < float64(least) || number > float64(most) {
		n.Bad("manifest.number", fmt.Sprintf("%s must be a whole number from %d to %d", n.Label(), least, most), "")
		return 0
	}
	return int64(number)
}

var durationRule = regexp.MustCompile(`^(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+$`)

// maxDuration is longer than any function runs.
const maxDuration = 24 * time.Hour

// Duration returns a Go duration, more than zero and at most a day.
func (n Node) Duration() time.Duration {
	const form = "a duration such as 90s or 1h30m"
	text, ok := strictjson.Text(n.value)
	switch {
	case !ok && n.value.Kind() == '0':
		n.WrongType("text", fmt.Sprintf("write it in quotes, with its unit: \"%ss\"", n.value))
		return 0
	case ok && !durationRule.MatchString(text):
		n.Bad("manifest.duration", fmt.Sprintf("%q is not %s", Printable(text), form), durationHint(text))
		return 0
	}
	if text = n.Word("manifest.duration", durationRule, form); text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxDuration {
		message := fmt.Sprintf("%s is not more than 0 and at most %s", Printable(text), maxDuration)
		n.Bad("manifest.duration_range", message, "")
		return 0
	}
	return d
}

// OrText notes that there is a text instead of an object, and shows an object. It does not quote the text, which may be
// a secret.
func (n Node) OrText(example string) bool {
	_, isText := strictjson.Text(n.value)
	if isText {
		n.WrongType("an object", "write it like "+example)
	}
	return isText
}

// List returns the elements of a list.
func (n Node) List() []Node { return n.ListOf(maxMembers) }

// ListOf returns the elements of a list that has at most so many.
func (n Node) ListOf(most int) []Node {
	values, ok := strictjson.FirstElements(n.value, most+1)
	if !ok {
		n.WrongType("a list", "write it in [ ]")
		return nil
	}
	if len(values) > most {
		n.Bad("manifest.too_many", fmt.Sprintf("%s has more than %d members", n.Label(), most), "")
		return nil
	}
	nodes := make([]Node, len(values))
	for i, value := range values {
		nodes[i] = Node{n.c, n.at.AppendToken(fmt.Sprint(i)), value}
	}
	return nodes
}

// Words returns a list of texts of one form, each at most once.
func (n Node) Words(code string, rule *regexp.Regexp, what string) []string {
	words := []string{}
	seen := map[string]bool{}
	for _, e := range n.List() {
		word := e.Word(code, rule, what)
		if word != "" && seen[word] {
			e.Bad("manifest.repeated", Printable(word)+" is there twice", "keep one")
		}
		seen[word] = true
		words = append(words, word)
	}
	return words
}

// Members returns the members of an object whose keys are the author's.
func (n Node) Members() map[string]Node {
	found, ok := strictjson.Members(n.value)
	if !ok {
		n.WrongType("an object", "write it in { }")
		return nil
	}
	if len(found) > maxMembers {
		n.Bad("manifest.too_many", fmt.Sprintf("%s has more than %d members", n.Label(), maxMembers), "")
		return nil
	}
	nodes := make(map[string]Node, len(found))
	for key, value := range found {
		nodes[key] = Node{n.c, n.at.AppendToken(key), value}
	}
	return nodes
}

// Keyed returns the members of an object whose keys have a form; others are noted.
func (n Node) Keyed(code string, rule *regexp.Regexp, what string) map[string]Node {
	members := n.Members()
	for _, key := range slices.Sorted(maps.Keys(members)) {
		if !rule.MatchString(key) {
			members[key].Bad(code, fmt.Sprintf("the key %q is not %s", Printable(key), what), "")
			delete(members, key)
		}
	}
	return members
}

// longer returns the word that a text abbreviates, such as integer for int.
func longer(text string, words []string) string {
	for _, word := range words {
		if len(text) > 2 && strings.HasPrefix(word, strings.ToLower(text)) {
			return word
		}
	}
	return ""
}

// durationHint returns how to write a number and a unit's name, such as 5 min.
func durationHint(text string) string {
	number, unit, ok := strings.Cut(strings.TrimSpace(text), " ")
	if letter := strings.TrimLeft(unit, " "); ok && letter != "" && strings.Contains("smh", letter[:1]) {
		if short := number + letter[:1]; durationRule.MatchString(short) {
			return `write "` + short + `"`
		}
	}
	return ""
}

// Printable quotes what a document says for a message, cut to a length people read.
func Printable(text string) string {
	const most = 80
	if len(text) > most {
		text = text[:most] + "…"
	}
	quoted := strconv.QuoteToGraphic(text)
	return quoted[1 : len(quoted)-1]
}
