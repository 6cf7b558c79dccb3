package jobs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"

	"cemli-executor/internal/document"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/strictjson"
)

// kind is a kind of documents.
type kind struct {
	code string // of everything that is wrong with one
	name string
	most int // bytes
	hint string
}

// wrong is what is wrong with a document.
func (k kind) wrong(where, message string) error {
	return problem.New(problem.Problem{
		Code: k.code, Where: where, Message: "the " + k.name + ": " + message, Hint: k.hint,
	}, nil)
}

// read reads a document; the error has everything that is wrong with it.
func (k kind) read(doc []byte, into func(document.Node)) error {
	if len(doc) > k.most {
		return k.wrong("", fmt.Sprintf("it has %d bytes; at most %d are read", len(doc), k.most))
	}
	if fault := strictjson.CheckBounded(doc, maxDepth, maxMembers); fault != nil {
		return k.wrong(fault.Pointer, fault.Error())
	}
	c := document.Checker{Code: k.code}
	into(c.Root(doc))
	return c.Refused()
}

// encode encodes a document, and reads it back: what would be refused is not sent.
func encode[T any](v T, decode func([]byte) (T, error)) ([]byte, error) {
	var doc bytes.Buffer
	enc := json.NewEncoder(&doc)
	enc.SetEscapeHTML(false) // of what scripts print it would make up to six times as much
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	text := bytes.TrimSuffix(doc.Bytes(), []byte("\n"))
	if _, err := decode(text); err != nil {
		return nil, err
	}
	return text, nil
}

// version reads the version of a document.
func version(n document.Node) int { return int(n.Whole(Version, Version)) }

// id reads 32 hexadecimal digits.
func id(n document.Node) string { return n.Word("", idRule, "32 hexadecimal digits") }

// digest reads a SHA-256.
func digest(n document.Node) string {
	return n.Word("", digestRule, "a SHA-256 in 64 hexadecimal digits")
}

// instant reads a time in UTC.
func instant(n document.Node) time.Time {
	const form = "a time such as 2006-01-02T15:04:05Z"
	text := n.Word("", timeRule, form)
	at, err := time.Parse(time.RFC3339Nano, text)
	if text != "" && err != nil {
		n.Bad("", fmt.Sprintf("%q is not %s", text, form), "")
	}
	return at
}

// anyText reads a text of at most so many characters, of any kind.
func anyText(n document.Node, most int) string {
	text, ok := strictjson.Text(n.Value())
	switch {
	case !ok:
		n.WrongType("text", "")
	case utf8.RuneCountInString(text) > most:
		n.Bad("", fmt.Sprintf("%s has more than %d characters", n.Label(), most), "")
	default:
		return text
	}
	return ""
}

// texts reads an object of texts whose keys have a form, at most so many of at most so many characters.
func texts(n document.Node, rule *regexp.Regexp, members, characters int) map[string]string {
	found := n.Members()
	if len(found) > members {
		n.Bad("", fmt.Sprintf("%s has more than %d members", n.Label(), members), "")
		return nil
	}
	values := make(map[string]string, len(found))
	for key, value := range found {
		if !rule.MatchString(key) {
			n.Bad("", fmt.Sprintf("a key of %s is not %s", n.Label(), rule), "")
			return nil
		}
		values[key] = value.Text(characters)
	}
	return unless(len(values) == 0, values)
}

// list reads a list of at most so many values; none is nil.
func list[T any](n document.Node, most int, read func(document.Node) T) []T {
	var all []T
	for _, e := range n.ListOf(most) {
		all = append(all, read(e))
	}
	return all
}

// unless is the value, or nothing under a condition: nothing has one form only once it was read.
func unless[T any](none bool, value T) T {
	if none {
		var zero T
		return zero
	}
	return value
}
