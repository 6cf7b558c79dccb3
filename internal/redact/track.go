package redact

// hold bounds how much of a stream is held back: a text's bytes at 16 characters each, with quotes, backslashes and
// line ends between them. Anything spread wider is not a secret.
const hold = 16*maxText + 4<<10

// span is a part of the stream.
type span struct{ from, to int }

// start is where a byte of a text begins in the stream.
type start struct {
	from int // including the backslashes before it
	lead int // including the quotes and backslashes before it, if these may belong to the secret
}

// track is the state of the automaton in one view, for the part of the stream in which a secret may have begun.
type track struct {
	state  int32
	starts []start // of the bytes of the state; the last ones count
}

// step reads a byte of the form, and returns what it completes.
func (t *track) step(a *automaton, b byte, at start, to int) (found span, of traits, ok bool) {
	if t.state == 0 && a.first[b] == 0 {
		return span{}, 0, false
	}
	t.state = a.after(t.state, b)
	t.starts = append(t.starts, at)
	t.bound(a, to)
	n := &a.nodes[t.state]
	if t.state == 0 || n.match == 0 {
		return span{}, 0, false
	}
	begin := t.starts[len(t.starts)-int(n.match)]
	if n.traits&leads != 0 {
		begin.from = begin.lead
	}
	for t.state != 0 && a.nodes[t.state].traits&parent == 0 {
		t.state = a.nodes[t.state].fail // no text continues this one, so it need not be held back
	}
	return span{begin.from, to}, n.traits, true
}

// bound drops what began too long ago.
func (t *track) bound(a *automaton, now int) {
	for t.state != 0 && now-t.oldest(a) > hold {
		t.state = a.nodes[t.state].fail
	}
	if t.state == 0 {
		t.starts = t.starts[:0]
		return
	}
	if depth := int(a.nodes[t.state].depth); len(t.starts) > 2*depth+64 {
		t.starts = append(t.starts[:0], t.starts[len(t.starts)-depth:]...)
	}
}

// oldest is where the oldest beginning of a possible text is.
func (t *track) oldest(a *automaton) int {
	return t.starts[len(t.starts)-int(a.nodes[t.state].depth)].lead
}

func (t *track) clear() { t.state, t.starts = 0, t.starts[:0] }

// follow copies the state of another track, except for what began before a position.
func (t *track) follow(a *automaton, other *track, after int) {
	t.clear()
	for t.state = other.state; t.state != 0; t.state = a.nodes[t.state].fail {
		if starts := other.starts[len(other.starts)-int(a.nodes[t.state].depth):]; starts[0].from >= after {
			t.starts = append(t.starts, starts...)
			return
		}
	}
}

// lane reads the bytes of one view. It only remembers the last ones until a secret may have begun.
type lane struct {
	track
	recent
}

type recent struct {
	bytes uint64   // the last ones of the form
	n     int      // how many there were
	at    [8]start // where the last ones began, the n-th one at n%8
	// where the backslashes, and the quotes and backslashes, directly before began; -1: there are none
	slash, quote int
	trailing     int // where a secret began that ends with such and was directly before; -1: there was none
}

func (l *lane) reset() {
	l.clear()
	l.recent = recent{slash: -1, quote: -1, trailing: -1}
}

func (l *lane) follow(a *automaton, other *lane, after int) {
	l.track.follow(a, &other.track, after)
	if l.recent = other.recent; l.trailing < after {
		l.trailing = -1
	}
	for l.n = min(l.n, len(l.at)); l.n > 0 && other.at[(other.n-l.n)%len(l.at)].from < after; l.n-- {
	}
	for i := range l.n {
		l.at[i] = other.at[(other.n-l.n+i)%len(l.at)]
	}
}

// push reads the next byte.
func (l *lane) push(f *finder, t token, spot func(span)) {
	b := byte(t.r) // #nosec G115 -- views have bytes
	c := f.class[b]
	if c&isGone != 0 {
		l.skip(b, t, spot)
		l.bound(f.automaton, t.to)
		return
	}
	l.note(byte(c), t, f.edges) // #nosec G115 -- the form
	found, of, ok := l.advance(f, c, t.to)
	if ok {
		spot(found)
	}
	l.trailing = -1
	if ok && of&trails != 0 {
		l.trailing = found.from
	}
}

// note remembers a byte of the form.
func (l *lane) note(form byte, t token, edges bool) {
	at := start{t.from, t.from}
	if l.slash >= 0 {
		at.from = max(l.slash, t.from-maxRun)
	}
	if at.lead = at.from; l.quote >= 0 && edges {
		at.lead = max(l.quote, t.from-maxRun)
	}
	l.bytes, l.at[l.n%len(l.at)] = l.bytes<<8|uint64(form), at
	l.n++
	l.slash, l.quote = -1, -1
}

// advance feeds the last byte to the automaton.
func (l *lane) advance(f *finder, c class, to int) (found span, of traits, ok bool) {
	bytes := 1
	if l.state == 0 {
		if c&endsGram == 0 || l.n < gram || !f.begins(l.bytes) {
			return span{}, 0, false
		}
		bytes = gram
	}
	for ; bytes > 0; bytes-- {
		found, of, ok = l.step(f.automaton, byte(l.bytes>>(8*(bytes-1))), l.at[(l.n-bytes)%len(l.at)],
			to) // #nosec G115 -- one byte
	}
	return found, of, ok
}

// skip skips a byte that the form omits.
func (l *lane) skip(b byte, t token, spot func(span)) {
	if !isQuote(b) {
		l.trailing = -1
	} else if l.trailing >= 0 {
		spot(span{t.from, t.to})
	}
	switch {
	case !isQuote(b):
		l.slash, l.quote = -1, -1
		return
	case b != '\\':
		l.slash = -1
	case l.slash < 0:
		l.slash = t.from
	}
	if l.quote < 0 {
		l.quote = t.from
	}
}

// catchUp remembers the last bytes of a part of the stream that was skimmed.
func (l *lane) catchUp(f *finder, p []byte, pos int) {
	from, left := len(p), gram
	for ; from > 0; from-- {
		if f.class[p[from-1]]&isGone != 0 {
			continue
		}
		if left--; left < 0 {
			l.recent = recent{slash: -1, quote: -1, trailing: -1, n: len(l.at)}
			break
		}
	}
	for i, b := range p[from:] {
		t := token{rune(b), pos + from + i, pos + from + i + 1}
		if c := f.class[b]; c&isGone != 0 {
			l.skip(b, t, nil)
		} else {
			l.note(byte(c), t, f.edges) // #nosec G115 -- the form
		}
	}
}

// keeps is the position from which on what was read may still be part of a secret.
func (l *lane) keeps(f *finder, now int) int {
	keep := now
	switch {
	case l.quote >= 0 && f.edges:
		keep = max(l.quote, now-maxRun)
	case l.slash >= 0:
		keep = max(l.slash, now-maxRun)
	}
	if l.state != 0 {
		return min(keep, l.oldest(f.automaton))
	}
	state := int32(0)
	for n := min(l.n, gram-1); n > 0; n-- {
		state = f.after(state, byte(l.bytes>>(8*(n-1)))) // #nosec G115 -- one byte
	}
	return min(keep, f.begun(state, now, func(depth int) int { return l.at[(l.n-depth)%len(l.at)].lead }))
}

// begun is where a state that no track follows yet began, if that is not too long ago; where gives the positions of
// its last bytes.
func (a *automaton) begun(state int32, now int, where func(depth int) int) int {
	for ; state != 0; state = a.nodes[state].fail {
		if at := where(int(a.nodes[state].depth)); now-at <= hold {
			return at
		}
	}
	return now
}
