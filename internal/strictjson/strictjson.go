// Package strictjson reads JSON that has one meaning only: a single value in UTF-8,
// without duplicate keys, nested no deeper than the caller allows, and with nothing
// after it. Readers of one document that differ in any of these see different
// documents, and one of them may be the one that checks and another the one that acts.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Kind says what is wrong with a document.
type Kind int

// The kinds of fault.
const (
	Syntax    Kind = iota // not one JSON value, or not UTF-8
	Empty                 // nothing but white space
	Duplicate             // a key occurs twice in an object
	Depth                 // nested too deep
	Trailing              // something follows the value
	Mark                  // it begins with a byte order mark
	Comma                 // a comma with nothing after it
	Wide                  // an object has too many members
)

// Fault is why a document was refused.
type Fault struct {
	Kind    Kind
	Pointer string // JSON pointer (RFC 6901) of the place; may be empty
	Line    int    // from 1
	Reason  string // for a person
}

// Error gives line and reason.
func (f *Fault) Error() string { return fmt.Sprintf("line %d: %s", f.Line, f.Reason) }

// Space is the white space that JSON allows around values. Readers that accept other characters, such as a form feed
// or a Unicode blank, read documents that others refuse.
const Space = " \t\r\n"

// Check reads the document once; nil if nothing is wrong with it.
func Check(doc []byte, maxDepth int) *Fault { return CheckBounded(doc, maxDepth, math.MaxInt) }

// CheckBounded is Check for documents whose objects may have at most so many members. The names of an object are noted
// while it is read, which takes many times their size: of a large document this bounds it.
func CheckBounded(doc []byte, maxDepth, maxMembers int) *Fault {
	if len(bytes.Trim(doc, Space)) == 0 {
		return &Fault{Kind: Empty, Line: 1, Reason: "the document is empty"}
	}
	if bytes.HasPrefix(doc, []byte("\uFEFF")) {
		return &Fault{Kind: Mark, Line: 1, Reason: "it begins with a byte order mark"}
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(doc)) // of a buffer it makes no copy
	at := func(kind Kind, offset int64, reason string) *Fault {
		line := 1 + bytes.Count(doc[:min(int64(len(doc)), offset)], []byte("\n"))
		return &Fault{Kind: kind, Line: line, Reason: reason}
	}
	for {
		if _, err := dec.ReadToken(); err != nil {
			kind, offset, pointer, reason := explain(dec, err)
			if kind == Syntax && lastComma(doc, offset) {
				return at(Comma, offset, "there is a comma, and nothing after it")
			}
			fault := at(kind, offset, reason)
			fault.Pointer = pointer
			return fault
		}
		switch depth := dec.StackDepth(); {
		case depth > maxDepth:
			return at(Depth, dec.InputOffset(), fmt.Sprintf("values are nested more than %d deep", maxDepth))
		case depth > 0 && members(dec) > int64(maxMembers):
			return at(Wide, dec.InputOffset(), fmt.Sprintf("an object has more than %d members", maxMembers))
		case depth > 0:
			continue
		}
		break
	}
	if rest := bytes.Trim(doc[dec.InputOffset():], Space); len(rest) > 0 {
		return at(Trailing, dec.InputOffset(), "there is text after the JSON value")
	}
	return nil
}

// members is how many members have begun of the object that is being read; 0 if it is a list.
func members(dec *jsontext.Decoder) int64 {
	if kind, tokens := dec.StackIndex(dec.StackDepth()); kind == '{' {
		return (tokens + 1) / 2
	}
	return 0
}

// lastComma reports whether a syntax error is a comma before closing brackets.
func lastComma(doc []byte, offset int64) bool {
	rest := doc[min(int64(len(doc)), offset):]
	after, comma := bytes.CutPrefix(rest, []byte(","))
	if !comma {
		// The decoder may point to the bracket.
		comma, after = bytes.HasSuffix(bytes.TrimRight(doc[:len(doc)-len(rest)], " \t\r\n"), []byte(",")), rest
	}
	after = bytes.TrimLeft(after, " \t\r\n")
	return comma && len(after) > 0 && (after[0] == '}' || after[0] == ']')
}

// explain interprets an error of the decoder.
func explain(dec *jsontext.Decoder, err error) (kind Kind, offset int64, pointer, reason string) {
	offset, pointer, reason = dec.InputOffset(), string(dec.StackPointer()),
		strings.TrimPrefix(err.Error(), "jsontext: ")
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		offset = max(offset, syntax.ByteOffset)
		if syntax.JSONPointer != "" {
			pointer = string(syntax.JSONPointer)
		}
		if syntax.Err != nil {
			reason = syntax.Err.Error()
		}
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return Duplicate, offset, pointer, "the key occurs twice in its object"
	}
	return Syntax, offset, pointer, reason
}

// again reads a document that Check has passed. It does not check for duplicate names, which would take many times
// the document's size.
func again(doc []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(doc), jsontext.AllowDuplicateNames(true))
}

// Members returns the members of a document that Check has passed; false if it is not
// an object.
func Members(doc []byte) (map[string]jsontext.Value, bool) {
	dec := again(doc)
	if dec.PeekKind() != '{' {
		return nil, false
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, false
	}
	members := map[string]jsontext.Value{}
	for dec.PeekKind() == '"' {
		key, err := dec.ReadToken()
		if err != nil {
			return nil, false
		}
		name := key.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, false
		}
		members[name] = value.Clone()
	}
	return members, true
}

// Compact returns a document that Check has passed without the white space around its values, and otherwise
// unchanged. It does not modify its argument.
func Compact(doc []byte) []byte {
	compact := jsontext.Value(doc).Clone()
	if err := compact.Compact(); err != nil {
		panic(err) // Check has passed it
	}
	return compact
}

// Text returns a JSON string's text; false if the value is none.
func Text(value jsontext.Value) (string, bool) {
	if value.Kind() != '"' {
		return "", false
	}
	text, err := jsontext.AppendUnquote[[]byte](nil, value)
	return string(text), err == nil
}

// Elements returns the elements of a list that Check has passed; false if it is none.
func Elements(doc []byte) ([]jsontext.Value, bool) { return FirstElements(doc, math.MaxInt) }

// FirstElements returns the elements of a list that Check has passed, at most so many of them; false if it is none.
func FirstElements(doc []byte, most int) ([]jsontext.Value, bool) {
	dec := again(doc)
	if dec.PeekKind() != '[' {
		return nil, false
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, false
	}
	var elements []jsontext.Value
	for dec.PeekKind() != ']' && len(elements) < most {
		value, err := dec.ReadValue()
		if err != nil {
			return nil, false
		}
		elements = append(elements, value.Clone())
	}
	return elements, true
}
