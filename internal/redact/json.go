package redact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Document says what the caller knows of a JSON document.
type Document struct {
	// Fixed reports whether a text is a word of the document's own language, such as a key. It is never masked. Nil:
	// there are none.
	Fixed func(word string) bool
	// Hide reports whether the value at a pointer (RFC 6901) is masked entirely. Nil: none is.
	Hide func(pointer string) bool
}

// JSON masks a document value by value: the secrets in texts and in names of members, and whole numbers entirely.
// White space stays. The result is always JSON: a document that is not becomes a text.
func (m *Masker) JSON(doc []byte, about Document) []byte {
	dec := jsontext.NewDecoder(bytes.NewBuffer(doc), jsontext.AllowDuplicateNames(true),
		jsontext.AllowInvalidUTF8(true))
	w := &documentMasker{Masker: m, Document: about, doc: doc, dec: dec}
	if err := w.values(); err != nil {
		text, _ := json.Marshal(m.String(string(doc))) // a text can be encoded
		return text
	}
	return append(w.out, doc[w.at:]...)
}

// documentMasker copies a document and masks it while copying.
type documentMasker struct {
	*Masker
	Document
	doc  []byte
	dec  *jsontext.Decoder
	out  []byte
	at   int              // how much of the document has been copied
	seen []map[string]int // masked names, by the depth of their objects
	own  map[string]bool  // all names in the document; nil: not collected yet
}

// values copies the document's value.
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

// next copies a text, a number or any other token.
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

// name copies the name of a member, and its value if that is to be hidden.
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

// once makes a masked name unique among those of its object.
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

// memberNames are the names of all members in a document; no masked name may equal one of them.
func memberNames(doc []byte) map[string]bool {
	all := map[string]bool{}
	dec := jsontext.NewDecoder(bytes.NewBuffer(doc), jsontext.AllowDuplicateNames(true),
		jsontext.AllowInvalidUTF8(true))
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

// another makes a masked name unique: different from those it returned before, which seen counts, and from those
// taken.
func another(name string, seen map[string]int, taken func(name string) bool) string {
	for n := seen[name] + 1; ; n++ {
		numbered := WithNumber(name, n)
		if seen[numbered] == 0 && !taken(numbered) {
			seen[numbered], seen[name] = 1, n
			return numbered
		}
	}
}

// WithNumber is the name for the n-th of several names that masking made equal: the first keeps the name.
func WithNumber(name string, n int) string {
	if n == 1 {
		return name
	}
	return fmt.Sprintf("%s (%d)", name, n)
}

// replace replaces what was read last by a text.
func (w *documentMasker) replace(length int, text string) {
	end := int(w.dec.InputOffset())
	w.out = append(w.out, w.doc[w.at:end-length]...)
	w.out, _ = jsontext.AppendQuote(w.out, text) // invalid UTF-8 in it is replaced
	w.at = end
}

// scalar masks a text or a number; it returns false if there is no secret in it.
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

// text masks a text; it returns false if there is no secret in it.
func (w *documentMasker) text(value jsontext.Value) (string, bool) {
	plain, _ := jsontext.AppendUnquote(nil, value) // invalid UTF-8 is replaced
	text := string(plain)
	if w.Fixed != nil && w.Fixed(text) {
		return text, false
	}
	masked := w.String(text)
	return masked, masked != text
}

// whole is the usual notation of a whole number.
func whole(number string) string {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return number
	}
	return strconv.FormatInt(int64(f), 10)
}
