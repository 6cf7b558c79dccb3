package redact

import "unicode/utf8"

// everything undoes all kinds of escapes.
var everything = decoder{kinds: everyKind}

// peek is an escape that was read ahead.
type peek struct {
	r      rune
	size   int
	length int  // 0: it is no escape
	run    int  // how many backslashes it begins with
	unsure bool // what it stands for takes more bytes than there are, or depends on the view
}

// peekAt reads the escape that an opener begins, and, to this depth, escapes in it, which views treat differently.
func peekAt(opener byte, p []byte, deep int) peek {
	if len(p) > 0 {
		if !goesOn(opener, p[0]) {
			return peek{}
		}
		if r, ok := short(opener, rune(p[0])); ok {
			return peek{r: r, size: 1, length: 2, run: 1}
		}
	}
	var e [maxEscape / 2]token
	e[0].r = rune(opener)
	n, run := 1, 1
	for i, b := range p {
		r := rune(b)
		if r == '\\' && n == 1 && opener == '\\' {
			run++ // a run counts as one
			continue
		}
		if everything.opens(r) && (deep == 0 || peekAt(b, p[i+1:], deep-1).length > 0) {
			return peek{length: i + 1, run: run, unsure: true}
		}
		if n == len(e) {
			return peek{length: i + 1, run: run, unsure: true}
		}
		e[n].r = r
		n++
		switch r, size, verdict := everything.read(e[:n]); {
		case verdict == dead:
			return peek{}
		case verdict == complete:
			half, differs := r >= 0xd800 && r < 0xe000, opener == '\\' && size == 1 && r > 0x7f
			return peek{r, size, i + 2, run, half || differs}
		}
	}
	return peek{length: len(p) + 1, run: run, unsure: true}
}

// short reads an escape of two bytes.
func short(opener byte, letter rune) (rune, bool) {
	switch {
	case opener != '\\':
		return 0, false
	case letter == '/':
		return '/', true
	}
	r := control(letter)
	return r, r != 0
}

// goesOn rules out most of what is no escape.
func goesOn(opener, b byte) bool {
	switch opener {
	case '%':
		return digitOf(rune(b)) >= 0 || everything.opens(rune(b))
	case '&':
		return b == '#' || b >= 'a' && b <= 'q' || everything.opens(rune(b))
	}
	return b > '\'' || everything.opens(rune(b))
}

// depth is how deep nested escapes are looked into.
const depth = 3

// first is the first byte of what the escape stands for.
func (k peek) first() byte {
	if k.size == 1 || k.r < utf8.RuneSelf {
		return byte(k.r) // #nosec G115 -- a byte, if it is to be one
	}
	var b [utf8.UTFMax]byte
	utf8.EncodeRune(b[:], k.r)
	return b[0]
}

// crosses reports whether a secret may contain the character that the escape at p[i] stands for; before is the
// previous byte of the form. It returns true if it cannot tell. If it returns false, no secret goes on there in a
// view that undoes the escape.
func (s *scanner) crosses(p []byte, i int, before byte) bool {
	if p[i] == '\\' && s.folding['\\'] != gone {
		return true
	}
	if p[i] == '\\' && (i > 0 && p[i-1] == '\\' || i == 0 && s.lane.slash >= 0) {
		return false // the first backslash of the run was looked at
	}
	k := peekAt(p[i], p[i+1:], depth)
	if k.length == 0 {
		return false
	}
	if k.unsure || i+k.length >= len(p) || s.within(k, p, i, before) {
		return true
	}
	for v := range s.views {
		// Undone once, two backslashes are one.
		if d := &s.views[v].decoder; d.opens(rune(p[i])) && !(d.strict && k.run%2 == 0) {
			s.views[v].past = s.pos + i + k.length
		}
	}
	return false
}

func (s *scanner) within(k peek, p []byte, i int, before byte) bool {
	rest := p[i+k.length:]
	b := k.first()
	c := s.class[b]
	switch {
	case c&isOpener != 0 && peekAt(b, rest, depth).length > 0, s.edges && isQuote(b), s.inBase64(b, p[:i], rest):
		return true
	case c&isGone == 0 && !s.opening[b] && !s.follows(before, byte(c)): // #nosec G115 -- the form
		return false
	}
	next, ok := s.following(rest)
	if c&isGone != 0 {
		return !ok || s.follows(before, next)
	}
	return !ok || k.r >= utf8.RuneSelf || s.closing[b] || s.follows(byte(c), next) // #nosec G115 -- the form
}

// following is the next byte of the form, apart from escapes; ok is false if that is unknown.
func (s *scanner) following(p []byte) (next byte, ok bool) {
	for i := 0; i < min(len(p), maxEscape); i++ {
		b := p[i]
		if s.class[b]&isOpener != 0 {
			if k := peekAt(b, p[i+1:], depth); k.length > 0 {
				b, i = k.first(), i+k.length-1
				if k.unsure || s.class[b]&isOpener != 0 {
					return 0, false
				}
			}
		}
		if c := s.class[b]; c&isGone == 0 {
			return byte(c), true // #nosec G115 -- the form
		}
	}
	return 0, false
}

// inBase64 reports whether a secret in base64 may contain an escaped character or line end here.
func (s *scanner) inBase64(b byte, before, after []byte) bool {
	c := s.class[b]
	if c&isBase64 == 0 && !isBreak(b) {
		return false
	}
	n, i := 0, len(before)
	for ; n < wrapped && i > 0 && s.class[before[i-1]]&isBase64 != 0; i-- {
		n++
	}
	if i == 0 {
		n += s.encoded.chars
	}
	if isBreak(b) {
		return n >= wrapped
	}
	if n == 0 {
		return false
	}
	for _, b := range after {
		if n++; n >= least || s.class[b]&isOpener != 0 {
			return true
		}
		if s.class[b]&isBase64 == 0 {
			return false
		}
	}
	return true
}
