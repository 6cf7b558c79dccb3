package redact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Document says what is known of a JSON document.
type Document struct {
	// Fixed reports whether a text is a word of the document's own language, such as a key: it is
	// never masked, whatever the secrets are. Nil: there are none.
	Fixed func(word string) bool
	// Hide reports whether the value at a pointer (RFC 6901) is masked whole, whatever it is. Nil:
	// none is.
	Hide func(pointer string) bool
}

// JSON masks a document value by value: texts and names of members in their parts that are secrets, numbers
// whole. What separates them stays, and the result is JSON always: of what is none it is a text.
func (m *Masker) JSON(doc []byte, about Document) []byte {
	dec := jsontext.NewDecoder(bytes.NewBuffer(doc), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	w := &documentMasker{Masker: m, Document: about, doc: doc, dec: dec}
	if err := w.values(); err != nil {
		text, _ := json.Marshal(m.String(string(doc))) // a text can be encoded
		return text
	}
	return append(w.out, doc[w.at:]...)
}

// documentMasker copies a document and masks it on the way.
type documentMasker struct {
	*Masker
	Document
	doc  []byte
	dec  *jsontext.Decoder
	out  []byte
	at   int              // how much of the document is copied
	seen []map[string]int // masked names, by the depth of their objects
	own  map[string]bool  // names that the document has as it is; nil: not looked for yet
}

// values copies the one value of the document.
func (w *documentMasker) values() error {
	for {
		if err := w.next(); err != nil {
			return err
		}
		if w.dec.StackDepth() > 0 {
			continue
		}
		if rest := bytes.Trim(w.doc[w.dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
			return fmt.Errorf("%d bytes follow the value", len(rest))
		}
		return nil
	}
}

// next takes a text, a number or any other token.
func (w *documentMasker) next() error {
	kind, n := w.dec.StackIndex(w.dec.StackDepth())
	if kind == '{' && n%2 == 0 && w.dec.PeekKind() == '"' {
		return w.name()
	}
	switch w.dec.PeekKind() {
	case '"', '0':
		value, err := w.dec.ReadValue()
		if err != nil {
			return err
		}
		if masked, ok := w.scalar(value); ok {
			w.replace(len(value), masked)
		}
		return nil
	case '}':
		if depth := w.dec.StackDepth(); depth < len(w.seen) {
			w.seen[depth] = nil
		}
	}
	_, err := w.dec.ReadToken()
	return err
}

// name takes the name of a member, and its value if that is to be hidden.
func (w *documentMasker) name() error {
	value, err := w.dec.ReadValue()
	if err != nil {
		return err
	}
	if masked, ok := w.text(value); ok {
		w.replace(len(value), w.once(masked))
	}
	if w.Hide == nil || !w.Hide(string(w.dec.StackPointer())) {
		return nil
	}
	hidden, err := w.dec.ReadValue()
	if err == nil && hidden.Kind() != 'n' {
		w.replace(len(hidden), Mask)
	}
	return err
}

// once makes a name that was masked another one than those of its object.
func (w *documentMasker) once(name string) string {
	depth := w.dec.StackDepth()
	for len(w.seen) <= depth {
		w.seen = append(w.seen, nil)
	}
	if w.seen[depth] == nil {
		w.seen[depth] = map[string]int{}
	}
	if w.own == nil {
		w.own = memberNames(w.doc)
	}
	return another(name, w.seen[depth], func(name string) bool { return w.own[name] })
}

// memberNames are those of all members in a document, whatever their objects: no masked one has to be one of them.
func memberNames(doc []byte) map[string]bool {
	all := map[string]bool{}
	dec := jsontext.NewDecoder(bytes.NewBuffer(doc), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		kind, n := dec.StackIndex(dec.StackDepth())
		token, err := dec.ReadToken()
		if err != nil {
			return all
		}
		if kind == '{' && n%2 == 0 && token.Kind() == '"' {
			all[token.String()] = true
		}
	}
}

// another makes a name that was masked another one than those it gave before, which seen keeps, and than those
// that are taken.
func another(name string, seen map[string]int, taken func(name string) bool) string {
	for n := seen[name] + 1; ; n++ {
		numbered := WithNumber(name, n)
		if seen[numbered] == 0 && !taken(numbered) {
			seen[numbered], seen[name] = 1, n
			return numbered
		}
	}
}

// WithNumber is the nth of several names that became one when they were masked: the first is the name itself.
func WithNumber(name string, n int) string {
	if n == 1 {
		return name
	}
	return fmt.Sprintf("%s (%d)", name, n)
}

// replace puts a text in the place of what was read last.
func (w *documentMasker) replace(length int, text string) {
	end := int(w.dec.InputOffset())
	w.out = append(w.out, w.doc[w.at:end-length]...)
	w.out, _ = jsontext.AppendQuote(w.out, text) // it may have invalid UTF-8, which is replaced
	w.at = end
}

// scalar masks a text or a number; false if there is no secret in it.
func (w *documentMasker) scalar(value jsontext.Value) (string, bool) {
	if value.Kind() == '"' {
		return w.text(value)
	}
	for _, text := range []string{string(value), whole(string(value))} {
		if w.String(text) != text {
			return Mask, true
		}
	}
	return "", false
}

// text masks a text; false if there is nothing to be masked.
func (w *documentMasker) text(value jsontext.Value) (string, bool) {
	plain, _ := jsontext.AppendUnquote(nil, value) // invalid UTF-8 is replaced
	text := string(plain)
	if w.Fixed != nil && w.Fixed(text) {
		return text, false
	}
	masked := w.String(text)
	return masked, masked != text
}

// whole is a whole number as it is usually written, whatever its form.
func whole(number string) string {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return number
	}
	return strconv.FormatInt(int64(f), 10)
}
