package redact

import "strings"

// The normal form of a text has no quotes, backslashes, line ends and NULs, and a blank for each plus. Quoting a
// secret, wrapping it, or writing it in UTF-16 adds only such characters; so a secret is found if its normal form is
// part of the stream's.
//
// A secret of which too little would be left is its own form, and is found only where it is not quoted.

// folding maps each byte to its byte in a form.
type folding [256]int16

// gone stands for a byte that a form omits.
const gone = -1

var (
	normal = newFolding(map[byte]int16{'\'': gone, '"': gone, '\\': gone, '\n': gone, '\r': gone, 0: gone, '+': ' '})
	exact  = newFolding(nil)
)

func newFolding(changes map[byte]int16) *folding {
	var f folding
	for b := range f {
		f[b] = int16(b) // #nosec G115 -- a byte
	}
	for b, to := range changes {
		f[b] = to
	}
	return &f
}

// of is a text's form.
func (f *folding) of(value string) string {
	var out strings.Builder
	out.Grow(len(value))
	for i := range len(value) {
		if to := f[value[i]]; to != gone {
			out.WriteByte(byte(to)) // #nosec G115 -- a byte
		}
	}
	return out.String()
}

func isBreak(b byte) bool { return b == '\n' || b == '\r' }
func isQuote(b byte) bool { return b == '\'' || b == '"' || b == '\\' }

// maxText is the longest text to look for. A longer secret becomes several texts, each overlapping the one before;
// this bounds how much of a stream is held back.
const maxText = 4 << 10

// gram is how many bytes of a text suffice to suspect it.
const gram = MinBytes

// wanted is what to look for in one form to find the secrets.
type wanted struct {
	*folding
	texts []text
	raw   [][gram]byte // the first bytes of secrets as they are, after what the form omits
}

// add adds a value, or a line of one.
func (w *wanted) add(value string) {
	var of traits
	if isQuote(value[0]) && w.folding[value[0]] == gone {
		of |= leads
	}
	if last := value[len(value)-1]; isQuote(last) && w.folding[last] == gone {
		of |= trails
	}
	w.cut(w.of(value), of)
	rest := strings.TrimLeftFunc(value, func(r rune) bool { return r < 0x80 && w.folding[r] == gone })
	w.raw = append(w.raw, [gram]byte([]byte(rest[:gram])))
}

// cut splits a form into texts.
func (w *wanted) cut(form string, of traits) {
	for len(form) > maxText {
		w.texts = append(w.texts, text{form[:maxText], of &^ trails})
		form, of = form[maxText-gram:], of&^leads
	}
	w.texts = append(w.texts, text{form, of})
}

// want is what to look for to find the secrets: in the normal form, and as they are.
func want(secrets []string) [2]wanted {
	most := 0
	for _, secret := range secrets {
		most += 1 + strings.Count(secret, "\n") + strings.Count(secret, "\r") + len(secret)/(maxText/2)
	}
	w := [2]wanted{{folding: normal, texts: make([]text, 0, most), raw: make([][gram]byte, 0, most)}, {folding: exact}}
	for _, secret := range secrets {
		if trimmed := strings.TrimRight(secret, "\r\n"); len(trimmed) >= MinBytes {
			secret = trimmed
		}
		if len(normal.of(secret)) < MinBytes {
			w[1].add(secret)
			continue
		}
		w[0].add(secret)
		// What looks like an escape in the secret itself is treated as one in the stream.
		if nested := normal.of(unescaped(secret)); len(nested) >= MinBytes {
			w[0].cut(nested, 0)
		}
		if !strings.ContainsAny(secret, "\r\n") {
			continue
		}
		for line := range strings.FieldsFuncSeq(secret, func(r rune) bool { return r == '\n' || r == '\r' }) {
			if says(normal.of(line)) {
				w[0].add(line)
			}
		}
	}
	return w
}

// says reports whether a line of a secret is worth masking by itself: a brace after six blanks is not.
func says(form string) bool {
	return len(form)-strings.Count(form, " ")-strings.Count(form, "\t") >= MinBytes
}

// unescaped is a text without its escapes, nested ones included; "" if it has none.
func unescaped(value string) string {
	if !strings.ContainsAny(value, `\%&`) {
		return ""
	}
	var out strings.Builder
	out.Grow(len(value))
	d := decoder{
		kinds: everyKind, emit: func(t token) { out.WriteByte(byte(t.r)) },
	} // #nosec G115 -- emitted ones are bytes
	for i := range len(value) {
		d.push(token{rune(value[i]), i, i + 1})
	}
	d.flush()
	return out.String()
}
