package redact

const (
	// wrapped is how many characters of an encoding a line must have to go on in the next line. Tools wrap longer
	// lines than that by themselves, and most words at the ends of lines, which would be held back until the next
	// line comes, are shorter.
	wrapped = 16
	// least is how many characters it takes to encode the first bytes of a secret.
	least = (8*gram + 5) / 6
)

// encoded finds secrets that are encoded in one view. Base64 may begin at each of four characters in a row, and
// hexadecimal, whose digits are also characters of base64, at each of two.
type encoded struct {
	tracks [6]track // four of base64, by where it began, and two of hexadecimal
	run
}

const hexTracks = 4 // where the tracks of hexadecimal begin

// run is the state of a run of characters. Line ends do not count.
type run struct {
	live     uint8   // the tracks that may be in a secret
	trailing uint8   // the tracks that had a secret directly before
	secrets  [6]int  // where these secrets began
	padding  bool    // there was a secret in base64 directly before
	chars    int     // characters of base64
	past     int     // how many of these do not count
	bits     uint64  // the last ones
	at       [16]int // where they are, the n-th one at n%16
	digits   int     // digits of hexadecimal
	halves   uint64  // the last ones
	line     int     // characters in this line
	broken   bool    // the line has ended
}

func (e *encoded) reset() {
	for i := range e.tracks {
		e.tracks[i].clear()
	}
	e.run = run{}
}

func (e *encoded) idle() bool { return e.live|e.trailing == 0 && !e.padding }

// follow copies the state of another one, except for what began before a position.
func (e *encoded) follow(a *automaton, other *encoded, after int) {
	for i := range e.tracks {
		if (e.live|other.live)&(1<<i) != 0 {
			e.tracks[i].follow(a, &other.tracks[i], after)
		}
	}
	e.run = other.run
	for i := range e.tracks {
		e.mark(i, e.trailing&(1<<i) != 0 && e.secrets[i] >= after)
	}
	for e.past < e.chars && (e.chars-e.past > len(e.at) || e.at[e.past%len(e.at)] < after) {
		e.past++
	}
	e.line = min(e.line, e.chars-e.past)
}

// push reads the next byte of the view. An escape alone begins nothing.
func (e *encoded) push(f *finder, t token, spot func(span)) {
	b := byte(t.r) // #nosec G115 -- views have bytes
	switch c := f.class[b]; {
	case c&isBase64 != 0 && (e.chars > e.past || t.asIs()):
		e.note(c, t.from)
		e.read(f, c, t.to, spot)
	case isBreak(b) && e.goesOn():
		e.wrap(f.automaton, t.to)
	default:
		if e.padding = e.padding && b == '=' && t.asIs(); e.padding {
			spot(span{t.from, t.to})
		}
		e.end()
	}
}

// note adds a character to the run.
func (e *encoded) note(c class, at int) {
	e.broken = false
	e.at[e.chars%len(e.at)] = at
	e.chars++
	e.line++
	e.bits = e.bits<<6 | c.sextet()
	if c&isHex != 0 {
		e.digits++
		e.halves = e.halves<<4 | c.digit()
	}
}

// goesOn reports whether the run may go on after a line end.
func (e *encoded) goesOn() bool { return e.broken || e.line >= wrapped }

func (e *encoded) wrap(a *automaton, now int) {
	e.broken, e.line = true, 0
	for i := range e.tracks {
		if e.live&(1<<i) != 0 {
			e.tracks[i].bound(a, now)
			e.mark(i, e.trailing&(1<<i) != 0)
		}
	}
}

// end ends the run.
func (e *encoded) end() {
	e.chars, e.past, e.line, e.broken = 0, 0, 0, false
	e.clear(0, hexTracks)
	e.endHex()
}

func (e *encoded) endHex() {
	e.digits = 0
	e.clear(hexTracks, len(e.tracks))
}

func (e *encoded) clear(from, to int) {
	for i := from; i < to && e.live|e.trailing != 0; i++ {
		e.tracks[i].clear()
		e.mark(i, false)
	}
}

// mark notes the state of a track.
func (e *encoded) mark(i int, trailing bool) {
	e.live, e.trailing = e.live&^(1<<i), e.trailing&^(1<<i)
	if e.tracks[i].state != 0 {
		e.live |= 1 << i
	}
	if trailing {
		e.trailing |= 1 << i
	}
}

// read decodes the bytes that end with the last character.
func (e *encoded) read(f *finder, c class, to int, spot func(span)) {
	e.padding = false
	for k := 1; k < min(4, e.chars-e.past); k++ {
		if e.take(f, (e.chars-k)&3, e.base64(6-2*k), to, spot) {
			e.padding = true
		}
	}
	if c&isHex == 0 {
		e.endHex()
	} else if min(e.digits, e.chars-e.past) > 1 {
		e.take(f, hexTracks+e.digits&1, e.hex(0), to, spot)
	}
}

// tail is the end of the bytes that characters stand for.
type tail struct {
	bytes  uint64 // the last bytes
	bits   int    // the number of bits, including those before
	beyond int    // bits of the characters that follow
	each   int    // bits of one character
}

func (e *encoded) base64(beyond int) tail {
	return tail{e.bits >> beyond, (e.chars-e.past)*6 - beyond, beyond, 6}
}

func (e *encoded) hex(beyond int) tail {
	return tail{e.halves >> beyond, min(e.digits, e.chars-e.past)*4 - beyond, beyond, 4}
}

// byteAt is the n-th byte from the end.
func (t tail) byteAt(n int) byte { return byte(t.bytes >> (8 * (n - 1))) } // #nosec G115 -- one byte

// from is where the first bits of a byte are.
func (e *encoded) from(t tail, n int) int {
	return e.at[(e.chars-1-(8*n-1+t.beyond)/t.each)%len(e.at)]
}

// take reads the last byte of a track. Bytes that the form omits belong to the secret before them.
func (e *encoded) take(f *finder, i int, t tail, to int, spot func(span)) (spotted bool) {
	n := 1
	trailing := e.trailing&(1<<i) != 0
	if e.live&(1<<i) == 0 && !trailing {
		if t.bits < 8*gram || !f.begins(t.bytes) {
			return false
		}
		n = gram
	}
	for ; n > 0; n-- {
		found, form := span{e.from(t, n), to}, f.folding[t.byteAt(n)]
		if form == gone {
			e.tracks[i].bound(f.automaton, to)
			spotted = trailing
		} else {
			found, _, spotted = e.tracks[i].step(f.automaton, byte(form), start{found.from, found.from},
				to) // #nosec G115 -- a byte
		}
		if spotted {
			spot(found)
		}
		if spotted && form != gone {
			e.secrets[i] = found.from
		}
	}
	e.mark(i, spotted)
	return spotted
}

// skim skips bytes of the stream that end nothing, and returns how many. Long lists the places with enough characters
// of base64 in a row.
func (e *encoded) skim(f *finder, p []byte, long []int, pos int) int {
	i, passes := 0, true
	if e.chars > 0 {
		if i, passes = e.row(f, p, 0, pos); !passes || i == len(p) {
			return i
		}
	}
	for len(long) > 0 && long[0] < len(p) {
		from := long[0]
		if long = long[1:]; from < i {
			continue
		}
		if i, passes = e.row(f, p, from, pos); !passes || i == len(p) {
			return i
		}
	}
	from := len(p)
	for from > i && f.class[p[from-1]]&isBase64 != 0 {
		from--
	}
	to, _ := e.row(f, p, from, pos)
	return to
}

// row reads a run of characters, over line ends as well, and keeps it unless other bytes follow. It returns how far
// they end nothing; passes is false if the next one may end the first bytes of a secret.
func (e *encoded) row(f *finder, p []byte, from, pos int) (to int, passes bool) {
	chars, line, broken, bits, digits, halves := e.chars, e.line, e.broken, e.bits, e.digits, e.halves
	for to, passes = from, true; to < len(p); to++ {
		c := f.class[p[to]]
		if c&isBase64 == 0 {
			if !isBreak(p[to]) || !broken && line < wrapped {
				if e.chars > 0 {
					e.end()
				}
				return to, true
			}
			broken, line = true, 0
			continue
		}
		next, half := bits<<6|c.sextet(), halves<<4|c.digit()
		hexes := (digits + 1) & -int(c>>isHexAt&1)
		if f.pairs[next&(1<<12-1)] && chars+1 >= least && (f.begins(next) || f.begins(next>>2) || f.begins(next>>4)) ||
			hexes >= 2*gram && f.begins(half) {
			passes = false
			break
		}
		chars, line, broken, bits, digits, halves = chars+1, line+1, false, next, hexes, half
	}
	e.chars, e.line, e.broken, e.bits, e.digits, e.halves = chars, line, broken, bits, digits, halves
	for i, n := to, 0; i > from && n < len(e.at); i-- {
		if f.class[p[i-1]]&isBase64 != 0 {
			n++
			e.at[(chars-n)%len(e.at)] = pos + i - 1
		}
	}
	return to, passes
}

// keeps is the position from which on what was read may still be part of a secret.
func (e *encoded) keeps(f *finder, now int) int {
	keep := now
	if last := e.at[(e.chars+len(e.at)-1)%len(e.at)]; e.chars > e.past && now-last <= hold {
		if f.heads[e.bits&63] || e.digits > 0 && f.halves[e.halves&15] {
			keep = last
		}
	}
	for beyond := 0; beyond <= 6; beyond += 2 {
		keep = min(keep, e.begun(f, e.base64(beyond), now))
	}
	for beyond := 0; beyond <= 4; beyond += 4 {
		keep = min(keep, e.begun(f, e.hex(beyond), now))
	}
	for i := range e.tracks {
		if e.live&(1<<i) != 0 {
			keep = min(keep, e.tracks[i].oldest(f.automaton))
		}
	}
	return keep
}

// begun is where the first bytes of a secret began, if the last bytes may be that.
func (e *encoded) begun(f *finder, t tail, now int) int {
	state, n := int32(0), 0
	var from [gram]int // where the bytes of the form are
	for i := min(t.bits/8, gram-1); i > 0; i-- {
		if form := f.folding[t.byteAt(i)]; form != gone {
			state = f.after(state, byte(form)) // #nosec G115 -- a byte
			from[n] = e.from(t, i)
			n++
		}
	}
	return f.begun(state, now, func(depth int) int { return from[n-depth] })
}
