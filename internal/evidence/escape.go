package evidence

import (
	"bytes"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Deceptive reports whether a character changes how the text around it looks, so that it must not be shown as itself.
func Deceptive(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// Plain is an equivalent JSON document that has escapes in place of deceptive characters, so that readers see them.
// White space between values stays.
func Plain(doc []byte) []byte {
	hidden := func(r rune) bool { return r >= utf8.RuneSelf-1 && Deceptive(r) } // JSON itself escapes those below
	next := bytes.IndexFunc(doc, hidden)
	if next < 0 {
		return doc
	}
	var plain bytes.Buffer
	for ; next >= 0; next = bytes.IndexFunc(doc, hidden) {
		r, size := utf8.DecodeRune(doc[next:])
		plain.Write(doc[:next])
		fmt.Fprintf(&plain, `\u%04x`, r)
		doc = doc[next+size:]
	}
	plain.Write(doc)
	return plain.Bytes()
}
