package redact

import "unicode/utf8"

// token is one byte of a view, with the bytes of the stream that it stands for. While escapes are read, it may also
// be half of a surrogate pair.
type token struct {
	r        rune
	from, to int
}

// asIs reports whether the token is a byte of the stream that stands for itself.
func (t token) asIs() bool { return t.to-t.from == 1 }

func (t token) isHigh() bool { return t.r >= 0xd800 && t.r < 0xdc00 }
func (t token) isLow() bool  { return t.r >= 0xdc00 && t.r < 0xe000 }

// kinds are kinds of escapes, as bits.
type kinds uint8

const (
	backslashes kinds = 1 << iota // of C, JSON, shells, Python: \n \" \x2b \u002b \053
	percents                      // of URLs: %2b
	entities                      // of XML: &amp; &#43; &#x2b;

	everyKind = backslashes | percents | entities
)

const (
	maxEscape = 24      // the longest escape that becomes one character
	maxRun    = 4 << 10 // the longest run of backslashes that is treated as one
)

// decoder undoes escapes. A strict one undoes each once and exactly. Any other decodes the result again, and treats
// backslashes in a row as one: it undoes escapes of escapes, of all kinds, and maps a text and its escaped form to
// the same bytes.
type decoder struct {
	kinds  kinds
	strict bool
	latin  bool // \xe9 is a character, as in Python, and not a byte
	emit   func(token)

	pending [maxEscape]token // what may become an escape
	n       int
}

// opens reports whether an escape may begin with this.
func (d *decoder) opens(r rune) bool {
	switch r {
	case '\\':
		return d.kinds&backslashes != 0
	case '%':
		return d.kinds&percents != 0
	case '&':
		return d.kinds&entities != 0
	}
	return r > 0xff // half of a surrogate pair
}

// push decodes the next token.
func (d *decoder) push(t token) {
	if d.n == 0 && !d.opens(t.r) {
		d.emit(t)
		return
	}
	if d.n > 0 && d.lengthens(t) {
		return
	}
	d.pending[d.n] = t
	d.n++
	at := d.innermost()
	switch r, size, verdict := d.read(d.pending[at:d.n]); {
	case verdict == complete:
		d.replace(at, r, size)
	case verdict == dead || d.n == maxEscape:
		d.giveUp(at)
	}
}

// lengthens reports whether a token continues a run of backslashes, and adds it to that.
func (d *decoder) lengthens(t token) bool {
	last := &d.pending[d.n-1]
	if d.strict || t.r != '\\' || last.r != '\\' || t.to-last.from > maxRun {
		return false
	}
	last.to = t.to
	return true
}

// innermost is where the escape that is being read begins, which may be inside another one.
func (d *decoder) innermost() int {
	if d.strict {
		if d.n > 1 && d.pending[0].isHigh() && d.pending[1].r <= 0xff && d.opens(d.pending[1].r) {
			return 1
		}
		return 0
	}
	at := d.n - 1
	for at > 0 && (!d.opens(d.pending[at].r) || d.pending[at].isLow()) {
		at--
	}
	return at
}

// replace replaces the escape at the end by its character.
func (d *decoder) replace(at int, r rune, size int) {
	made := token{r, d.pending[at].from, d.pending[d.n-1].to}
	d.n = at
	if r >= 0xd800 && r < 0xe000 {
		d.push(made)
		return
	}
	var encoded [utf8.UTFMax]byte
	bytes := append(encoded[:0], byte(r)) // #nosec G115 -- a byte, if it is to be one
	if size > 1 {
		bytes = utf8.AppendRune(encoded[:0], r)
	}
	if d.strict {
		d.flush()
	}
	for _, b := range bytes {
		if made.r = rune(b); d.strict {
			d.emit(made)
		} else {
			d.push(made)
		}
	}
}

// giveUp passes on what is pending, up to the beginning of the innermost escape, and reads the rest again.
func (d *decoder) giveUp(at int) {
	var was [maxEscape]token
	n := copy(was[:], d.pending[:d.n])
	d.n = 0
	for _, t := range was[:at+1] {
		d.literal(t)
	}
	for _, t := range was[at+1 : n] {
		d.push(t)
	}
}

// literal passes on a token that belongs to no escape.
func (d *decoder) literal(t token) {
	if t.r <= 0xff {
		d.emit(t)
		return
	}
	for _, b := range []byte("\uFFFD") {
		d.emit(token{rune(b), t.from, t.to})
	}
}

// flush passes on what is pending at the end of the stream.
func (d *decoder) flush() {
	n := d.n
	d.n = 0
	for _, t := range d.pending[:n] {
		d.literal(t)
	}
}

// verdict says whether tokens are an escape.
type verdict int

const (
	dead     verdict = iota // not an escape
	viable                  // the beginning of one
	complete                // a whole one
)

// read reads one escape. The size is 1 if it stands for a byte, and larger for a character.
func (d *decoder) read(e []token) (r rune, size int, v verdict) {
	switch {
	case e[0].isHigh():
		return pair(e)
	case len(e) == 1 && d.opens(e[0].r) && !e[0].isLow():
		return 0, 0, viable
	case len(e) == 1:
		return 0, 0, dead
	}
	switch e[0].r {
	case '\\':
		return d.backslash(e[1:])
	case '%':
		return number(e[1:], 16, 2, 1)
	case '&':
		return entity(e[1:])
	}
	return 0, 0, dead
}

// pair reads the two halves of a surrogate pair.
func pair(e []token) (rune, int, verdict) {
	switch {
	case len(e) == 1:
		return 0, 0, viable
	case e[1].isLow():
		return 0x10000 + (e[0].r-0xd800)<<10 + e[1].r - 0xdc00, 4, complete
	}
	return 0, 0, dead
}

// control is the control character that a letter stands for; 0 for none.
func control(letter rune) rune {
	switch letter {
	case 'a':
		return 7
	case 'b':
		return 8
	case 't':
		return 9
	case 'n':
		return 10
	case 'v':
		return 11
	case 'f':
		return 12
	case 'r':
		return 13
	case 'e', 'E':
		return 27
	}
	return 0
}

func (d *decoder) backslash(e []token) (rune, int, verdict) {
	switch c := e[0].r; {
	case c == 'x' && d.latin:
		return number(e[1:], 16, 2, 2)
	case c == 'x':
		return number(e[1:], 16, 2, 1)
	case c == 'u':
		return number(e[1:], 16, 4, 2)
	case c == 'U':
		return number(e[1:], 16, 8, 2)
	case c >= '0' && c <= '3':
		return number(e, 8, 3, 1)
	case control(c) != 0:
		return control(c), 1, complete
	case c == '/' || d.strict && (c == '\\' || c == '"' || c == '\''):
		return c, 1, complete
	}
	return 0, 0, dead
}

// number reads a number with this many digits.
func number(e []token, base rune, digits, size int) (r rune, _ int, _ verdict) {
	for _, t := range e {
		digit := digitOf(t.r)
		if digit < 0 || digit >= base {
			return 0, 0, dead
		}
		r = r*base + digit
	}
	switch {
	case len(e) < digits:
		return 0, 0, viable
	case r > utf8.MaxRune || r < 0:
		return 0, 0, dead
	}
	return r, size, complete
}

// digitOf is the value of a digit; -1 if it is none.
func digitOf(r rune) rune {
	switch {
	case r >= '0' && r <= '9':
		return r - '0'
	case r >= 'a' && r <= 'f':
		return r - 'a' + 10
	case r >= 'A' && r <= 'F':
		return r - 'A' + 10
	}
	return -1
}

// names are the entities that XML defines.
var names = map[string]rune{"amp": '&', "lt": '<', "gt": '>', "quot": '"', "apos": '\''}

const maxDigits = 8 // of an entity

// entity reads what follows an ampersand.
func entity(e []token) (rune, int, verdict) {
	if e[0].r == '#' {
		return numbered(e[1:])
	}
	var name [4]byte
	for i, t := range e {
		switch {
		case t.r == ';':
			if r := names[string(name[:i])]; r != 0 {
				return r, 1, complete
			}
			return 0, 0, dead
		case i == len(name) || t.r < 'a' || t.r > 'z':
			return 0, 0, dead
		}
		name[i] = byte(t.r) // #nosec G115 -- a letter
	}
	return 0, 0, viable
}

func numbered(e []token) (rune, int, verdict) {
	base := rune(10)
	if len(e) > 0 && (e[0].r == 'x' || e[0].r == 'X') {
		base, e = 16, e[1:]
	}
	if len(e) > 1 && e[len(e)-1].r == ';' {
		return number(e[:len(e)-1], base, len(e)-1, 2)
	}
	if _, _, v := number(e, base, maxDigits+1, 2); v == dead || len(e) > maxDigits {
		return 0, 0, dead
	}
	return 0, 0, viable
}
