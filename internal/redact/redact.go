// Package redact masks secrets in what scripts print and leave.
//
// A secret is found as it is, each of its lines by itself, and in the forms that tools
// give it on the way: base64 (standard and URL alphabet, at each alignment, in lines of 64
// or 76 characters), hexadecimal, escaped for URLs, JSON, and shells. Every occurrence
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
type Masker struct{ automaton *automaton }

// New makes a Masker for secrets, those under MinBytes left out; nil if none is left.
func New(secrets []string) *Masker {
	var forms []string
	for _, s := range secrets {
		forms = append(forms, formsOf(s)...)
	}
	slices.Sort(forms)
	if forms = slices.Compact(forms); len(forms) == 0 {
		return nil
	}
	return &Masker{newAutomaton(forms)}
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
	state, buf := int32(0), make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			if state = m.automaton.next(state, b); m.automaton.nodes[state].match > 0 {
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
	return &writer{automaton: m.automaton, w: w}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// writer keeps the bytes that may still become part of a secret. Where those before them
// are part of one, it knows which.
type writer struct {
	*automaton
	w       io.Writer
	state   int32
	held    []byte
	secrets []span // in held, in order, apart from each other
	masking bool   // the last byte that was passed on was a secret's
	out     []byte
}

// span is a part of what is held.
type span struct{ from, to int }

func (w *writer) Write(p []byte) (int, error) {
	at := len(w.held)
	w.held = append(w.held, p...)
	for ; at < len(w.held); at++ {
		w.state = w.next(w.state, w.held[at])
		if match := w.nodes[w.state].match; match > 0 {
			w.mark(span{at + 1 - int(match), at + 1})
		}
	}
	if err := w.pass(len(w.held) - int(w.nodes[w.state].depth)); err != nil {
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
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.w.Write(w.out)
	return err
}

// Close passes on what was held back.
func (w *writer) Close() error {
	w.state = 0
	return w.pass(len(w.held))
}

// formsOf are the texts that mean a secret.
func formsOf(secret string) []string {
	var forms []string
	lines := strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' || r == '\r' })
	for _, text := range append(lines, secret, strings.TrimRight(secret, "\r\n")) {
		if len(text) >= MinBytes {
			forms = append(forms, text)
			forms = append(forms, encoded(text)...)
			forms = append(forms, escaped(text)...)
		}
	}
	return slices.DeleteFunc(forms, func(form string) bool { return len(form) < MinBytes })
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
			if before == 0 {
				forms = append(forms, pieces(whole[:last], 64)...)
				forms = append(forms, pieces(whole[:last], 76)...)
			}
		}
	}
	return forms
}

// pieces are the lines of a long text that is broken after each n characters. A short end
// is left out: it says little, and would be found elsewhere.
func pieces(text string, n int) []string {
	if len(text) <= n {
		return nil
	}
	var lines []string
	for line := range slices.Chunk([]byte(text), n) {
		if len(line) >= 2*MinBytes {
			lines = append(lines, string(line))
		}
	}
	return lines
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
