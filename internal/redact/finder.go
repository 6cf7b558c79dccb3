package redact

import "sync"

// finder is everything needed to find secrets in one form. Its tables tell with one look at most bytes that they end
// nothing.
type finder struct {
	*automaton
	*folding
	class   [256]class
	opening [256]bool            // bytes of the stream that a text may begin with
	closing [256]bool            // bytes of the stream that a text may end with
	edges   bool                 // a secret begins or ends with bytes that the form omits
	bigrams [1 << 16 / 64]uint64 // pairs of bytes that texts have
	grams   [1 << 17 / 64]uint64 // hashes of what secrets begin with, in their form and as they are
	pairs   [1 << 12]bool        // two characters of base64 that hold the last byte of such a beginning
	heads   [64]bool             // a character of base64 that holds the first bits of a secret
	halves  [16]bool             // a hexadecimal digit that holds such bits
	spare   sync.Pool            // unused scanners
}

// class is what the finder knows about a byte.
type class uint32

// The bits of a class, above the byte's form.
const (
	sextetAt   = 8  // its value as a character of base64
	digitAt    = 14 // its value as a hexadecimal digit
	isBase64At = 18
	isHexAt    = 19

	isBase64 class = 1 << isBase64At // it is a character of base64
	isHex    class = 1 << isHexAt    // it is a hexadecimal digit
	isGone   class = 1 << 20         // the form omits it
	isOpener class = 1 << 21         // it may begin an escape
	endsGram class = 1 << 22         // it is the last byte of the gram of a text
)

func (c class) sextet() uint64 { return uint64(c >> sextetAt & 63) }
func (c class) digit() uint64  { return uint64(c >> digitAt & 15) }

func newFinder(w wanted) *finder {
	f := &finder{automaton: newAutomaton(w.texts), folding: w.folding}
	for b := range f.class {
		f.class[b] = f.classOf(byte(b)) // #nosec G115 -- a byte
	}
	var first, last, end [256]bool
	for _, t := range w.texts {
		first[t.form[0]], last[t.form[gram-1]], end[t.form[len(t.form)-1]] = true, true, true
		f.setGram(t.form[:gram])
		f.closes(int(t.form[gram-1]))
		f.edges = f.edges || t.traits != 0
		for i := range len(t.form) - 1 {
			at := int(t.form[i])<<8 | int(t.form[i+1])
			f.bigrams[at>>6] |= 1 << (at & 63)
		}
	}
	for b, to := range f.folding {
		f.closing[b] = to != gone && end[to]
		if to != gone && first[to] {
			f.opens(byte(b)) // #nosec G115 -- a byte
		}
		if to != gone && last[to] {
			f.class[b] |= endsGram
		}
	}
	for _, raw := range w.raw {
		f.setGram(string(raw[:]))
		f.closes(int(raw[gram-1]))
	}
	return f
}

// closes marks a byte as the last of a secret's first bytes, as base64 encodes it.
func (f *finder) closes(b int) {
	for rest := range 64 {
		f.pairs[b<<4|rest&15] = true
		f.pairs[(rest&0x30|b>>4)<<6|b<<2&0x3c|rest&3] = true
		f.pairs[(rest&0x3c|b>>6)<<6|b&63] = true
	}
}

func (f *finder) classOf(b byte) (c class) {
	if to := f.folding[b]; to == gone {
		c |= isGone
	} else {
		c |= class(to) // #nosec G115 -- a byte
	}
	if v := sextetOf(b); v >= 0 {
		c |= isBase64 | class(v)<<sextetAt // #nosec G115 -- under 64
	}
	if v := digitOf(rune(b)); v >= 0 {
		c |= isHex | class(v)<<digitAt // #nosec G115 -- under 16
	}
	if b == '\\' || b == '%' || b == '&' {
		c |= isOpener
	}
	return c
}

// opens marks a byte that a secret may begin with, and how base64 and hexadecimal may encode it: as a whole
// character, or as its last four or two bits.
func (f *finder) opens(b byte) {
	f.opening[b] = true
	f.halves[b>>4] = true
	f.heads[b>>2] = true
	for rest := range byte(64) {
		f.heads[rest&0x30|b>>4], f.heads[rest&0x3c|b>>6] = true, true
	}
}

// follows reports whether texts have these two bytes of their form in a row.
func (f *finder) follows(b, c byte) bool {
	at := int(b)<<8 | int(c)
	return f.bigrams[at>>6]&(1<<(at&63)) != 0
}

// hash is the index of a gram.
func hash(bytes uint64) uint64 { return bytes << (64 - 8*gram) * 0x9e3779b97f4a7c15 >> (64 - 17) }

func (f *finder) setGram(bytes string) {
	var g uint64
	for i := range gram {
		g = g<<8 | uint64(bytes[i])
	}
	at := hash(g)
	f.grams[at>>6] |= 1 << (at & 63)
}

// begins reports whether a secret may begin with the last bytes read.
func (f *finder) begins(bytes uint64) bool {
	at := hash(bytes)
	return f.grams[at>>6]&(1<<(at&63)) != 0
}

// sextetOf is the value of a character of base64, in either alphabet; -1 if it is none.
func sextetOf(b byte) int {
	switch {
	case b >= 'A' && b <= 'Z':
		return int(b - 'A')
	case b >= 'a' && b <= 'z':
		return int(b-'a') + 26
	case b >= '0' && b <= '9':
		return int(b-'0') + 52
	case b == '+', b == '-':
		return 62
	case b == '/', b == '_':
		return 63
	}
	return -1
}
