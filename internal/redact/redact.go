// Package redact masks secrets in what scripts print and leave.
//
// A secret is found as it is, each of its lines by itself, and in the forms that tools
// give it on the way: base64 (standard and URL alphabet, at each alignment, in lines of any
// length), hexadecimal, escaped for URLs, JSON, and shells. Every occurrence
// becomes Mask, also where it comes in pieces. Masking prevents accidents. It is no barrier
// against a script that wants to give a secret away: there are as many encodings as one
// likes.
package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

// Mask is what stands in the place of a secret.
const Mask = "***"

// MinBytes is the least length of a secret, and of a line of one that is masked by
// itself: shorter ones are found everywhere.
const MinBytes = 6

// Masker masks a fixed set of secrets. It is safe for use by several goroutines. A nil
// Masker masks nothing.
type Masker struct {
	plain *automaton
	lined *automaton // of forms that are found with line breaks in them
}

// New makes a Masker for secrets, those under MinBytes left out; nil if none is left.
func New(secrets []string) *Masker {
	var plain, lined []string
	for _, s := range secrets {
		for _, text := range textsOf(s) {
			plain = append(append(plain, text), escaped(text)...)
			lined = append(lined, encoded(text)...)
		}
	}
	if plain = distinct(plain); len(plain) == 0 {
		return nil
	}
	return &Masker{newAutomaton(plain), newAutomaton(distinct(lined))}
}

// distinct sorts forms, and leaves out what is too short.
func distinct(forms []string) []string {
	forms = slices.DeleteFunc(forms, func(form string) bool { return len(form) < MinBytes })
	slices.Sort(forms)
	return slices.Compact(forms)
}

// String masks a text.
func (m *Masker) String(text string) string {
	if m == nil {
		return text
	}
	var out strings.Builder
	w := m.Writer(&out)
	_, _ = io.WriteString(w, text) // a strings.Builder does not fail
	_ = w.Close()
	return out.String()
}

// Found reports whether a stream has a secret in it. It reads no further than the first.
func (m *Masker) Found(r io.Reader) (bool, error) {
	if m == nil {
		return false, nil
	}
	var plain, lined int32
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			plain = m.plain.after(plain, b)
			if !isBreak(b) {
				lined = m.lined.after(lined, b)
			}
			if m.plain.nodes[plain].match > 0 || m.lined.nodes[lined].match > 0 {
				return true, nil
			}
		}
		if err == io.EOF { //nolint:errorlint // as io.Reader says
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// Writer masks what is written to it and passes it on to w. It holds back what may be the
// beginning of a secret until more comes, or until Close. Errors are those of w.
func (m *Masker) Writer(w io.Writer) io.WriteCloser {
	if m == nil {
		return nopCloser{w}
	}
	return &writer{Masker: m, w: w}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func isBreak(b byte) bool { return b == '\n' || b == '\r' }

// writer keeps the bytes that may still become part of a secret. Where those before them
// are part of one, it knows which.
type writer struct {
	*Masker
	w            io.Writer
	plain, lined int32 // states
	held         []byte
	solid        []int  // the places in held that are no line breaks
	secrets      []span // in held, in order, apart from each other
	masking      bool   // the last byte that was passed on was a secret's
	out          []byte
}

// span is a part of what is held.
type span struct{ from, to int }

func (w *writer) Write(p []byte) (int, error) {
	at := len(w.held)
	w.held = append(w.held, p...)
	for ; at < len(w.held); at++ {
		w.plain = w.Masker.plain.after(w.plain, w.held[at])
		if match := w.Masker.plain.nodes[w.plain].match; match > 0 {
			w.mark(span{at + 1 - int(match), at + 1})
		}
		if isBreak(w.held[at]) {
			continue
		}
		w.solid = append(w.solid, at)
		w.lined = w.Masker.lined.after(w.lined, w.held[at])
		if match := w.Masker.lined.nodes[w.lined].match; match > 0 {
			w.mark(span{w.solid[len(w.solid)-int(match)], at + 1})
		}
	}
	keep := len(w.held) - int(w.Masker.plain.nodes[w.plain].depth)
	if depth := int(w.Masker.lined.nodes[w.lined].depth); depth > 0 {
		keep = min(keep, w.solid[len(w.solid)-depth])
	}
	if err := w.pass(keep); err != nil {
		return 0, err
	}
	return len(p), nil
}

// mark adds a secret to those that are known, and makes one of those that touch.
func (w *writer) mark(s span) {
	for n := len(w.secrets); n > 0 && w.secrets[n-1].to >= s.from; n-- {
		s.from = min(s.from, w.secrets[n-1].from)
		w.secrets = w.secrets[:n-1]
	}
	w.secrets = append(w.secrets, s)
}

// pass gives on the first n bytes that are held.
func (w *writer) pass(n int) error {
	w.out = w.out[:0]
	at, left := 0, w.secrets[:0]
	plain := func(to int) {
		if to > at {
			w.out, at, w.masking = append(w.out, w.held[at:to]...), to, false
		}
	}
	for _, s := range w.secrets {
		if s.from >= n {
			left = append(left, span{s.from - n, s.to - n})
			continue
		}
		plain(s.from)
		if !w.masking {
			w.out = append(w.out, Mask...)
		}
		at, w.masking = min(s.to, n), true
		if s.to > n {
			left = append(left, span{0, s.to - n})
		}
	}
	plain(n)
	w.secrets = left
	w.held = append(w.held[:0], w.held[n:]...)
	gone, _ := slices.BinarySearch(w.solid, n)
	w.solid = append(w.solid[:0], w.solid[gone:]...)
	for i := range w.solid {
		w.solid[i] -= n
	}
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.w.Write(w.out)
	return err
}

// Close passes on what was held back.
func (w *writer) Close() error {
	w.plain, w.lined = 0, 0
	return w.pass(len(w.held))
}

// textsOf are a secret, each of its lines, and all of them without the last line's end.
func textsOf(secret string) []string {
	lines := strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' || r == '\r' })
	return distinct(append(lines, secret, strings.TrimRight(secret, "\r\n")))
}

// encoded are the forms in other alphabets.
func encoded(text string) []string {
	forms := []string{hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text)))}
	for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			whole := alphabet.EncodeToString(append(make([]byte, before), text...))
			// What depends on the bytes before and after is not the secret's alone.
			first, last := (before*8+5)/6, (before+len(text))*8/6
			forms = append(forms, whole[first:last])
		}
	}
	return forms
}

// escaped are the forms with some characters written otherwise.
func escaped(text string) []string {
	forms := []string{
		url.QueryEscape(text), url.PathEscape(text), strings.ReplaceAll(url.QueryEscape(text), "+", "%20"), percent(text, "%02X"), percent(text, "%02x"),
		strings.ReplaceAll(text, "'", `'\''`), strings.ReplaceAll(text, `\`, `\\`),
	}
	for _, html := range []bool{true, false} {
		var doc bytes.Buffer
		enc := json.NewEncoder(&doc)
		enc.SetEscapeHTML(html)
		if enc.Encode(text) == nil {
			quoted := strings.TrimSpace(doc.String())
			inner := quoted[1 : len(quoted)-1]
			forms = append(forms, inner, strings.ReplaceAll(inner, "/", `\/`))
		}
	}
	return append(forms, ascii(text))
}

// percent escapes everything but what URLs never have to escape.
func percent(text, format string) string {
	var out strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.~", c) >= 0:
			out.WriteByte(c)
		default:
			fmt.Fprintf(&out, "%%"+format, c)
		}
	}
	return out.String()
}

// ascii is JSON text in which everything beyond ASCII is escaped, in UTF-16.
func ascii(text string) string {
	doc, err := json.Marshal(text)
	if err != nil {
		return text
	}
	var out strings.Builder
	for _, r := range string(doc[1 : len(doc)-1]) {
		switch {
		case r < 0x80:
			out.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		}
	}
	return out.String()
}
