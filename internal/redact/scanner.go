package redact

// views are the ways in which the stream is decoded, apart from reading it as it is.
var views = [...]decoder{
	{kinds: backslashes, strict: true},
	{kinds: percents, strict: true},
	{kinds: entities, strict: true},
	{kinds: everyKind},
	{kinds: everyKind, latin: true},
}

// view is one decoded view of the stream. It sleeps while it is the same as the stream, and wakes up, with the
// stream's state, at an escape that may be in a secret.
type view struct {
	decoder
	lane    lane
	encoded encoded // where all kinds of escapes are undone
	awake   bool
	same    int // bytes of the form since the view last differed from the stream
	past    int // where the last escape ended during its sleep
}

// apart is how many such bytes it takes until a view has the stream's state: as many as a state remembers.
const apart = max(2*gram, wrapped)

// scanner finds secrets in one stream, which comes in pieces.
type scanner struct {
	*finder
	spot    func(span) // receives what is found
	lane    lane
	encoded encoded
	views   [len(views)]view
	awake   bool  // a view is awake
	pos     int   // the position of the next byte
	reach   int   // how much to skim next
	long    []int // where characters of base64 are in a row, for encoded
}

// scanner returns a scanner that begins at a position.
func (f *finder) scanner(pos int, spot func(span)) *scanner {
	s, ok := f.spare.Get().(*scanner)
	if !ok {
		s = f.newScanner()
	}
	s.spot, s.pos, s.awake, s.reach = spot, pos, false, leastReach
	s.lane.reset()
	s.encoded.reset()
	for i := range s.views {
		s.views[i].n, s.views[i].awake, s.views[i].past = 0, false, pos
	}
	return s
}

func (f *finder) newScanner() *scanner {
	s := &scanner{finder: f}
	for i := range s.views {
		v := &s.views[i]
		v.decoder = views[i]
		v.emit = func(t token) {
			v.lane.push(f, t, s.spot)
			if v.kinds == everyKind && !v.latin {
				v.encoded.push(f, t, s.spot)
			}
			if !t.asIs() {
				v.same = 0
			} else if f.folding[t.r] != gone {
				v.same++
			}
		}
	}
	return s
}

// done returns the scanner to the pool.
func (s *scanner) done() {
	s.spot = nil
	s.spare.Put(s)
}

// write scans the next piece.
func (s *scanner) write(p []byte) {
	for len(p) > 0 {
		n := 0
		if s.calm() {
			n = s.skim(p)
		}
		if n == 0 {
			s.look(p)
			n = 1
		}
		p, s.pos = p[n:], s.pos+n
	}
}

// calm reports whether nothing that was read, beyond its first bytes, may be a secret.
func (s *scanner) calm() bool {
	return !s.awake && s.lane.state == 0 && s.lane.trailing < 0 && s.encoded.idle()
}

// How much is skimmed at once. It grows until a secret may have been met in an encoding, because then the bytes after
// it were skimmed in vain.
const (
	leastReach = 256
	mostReach  = 32 << 10
)

// skim skips bytes that end nothing and begin no escape that matters, and returns how many.
func (s *scanner) skim(p []byte) int {
	var past [len(views)]int
	for i := range past {
		past[i] = s.views[i].past
	}
	end := s.plain(p, min(len(p), s.reach))
	n := s.encoded.skim(s.finder, p[:end], s.long, s.pos)
	if s.reach = min(2*s.reach, mostReach); n < end {
		s.reach = leastReach
		for i := range past {
			s.views[i].past = past[i] // nothing is known of what has not come yet
		}
		s.plain(p, n)
	}
	s.lane.catchUp(s.finder, p[:n], s.pos)
	return n
}

// plain is how many bytes, up to n, neither end the first bytes of a secret nor begin an escape that matters. It also
// notes where characters of base64 are in a row.
func (s *scanner) plain(p []byte, n int) int {
	bytes, row := s.lane.bytes, 0
	s.long = s.long[:0]
	for i, b := range p[:n] {
		c := s.class[b]
		if row = (row + 1) & -int(c>>isBase64At&1); row == least {
			s.long = append(s.long, i+1-least)
		}
		if c&(isGone|isOpener) != 0 {
			if c&isOpener != 0 && s.crosses(p, i, byte(bytes)) { // #nosec G115 -- one byte
				return i
			}
			if c&isGone != 0 {
				continue
			}
		}
		if bytes = bytes<<8 | uint64(c&0xff); c&endsGram != 0 && s.begins(bytes) {
			return i
		}
	}
	return n
}

// look reads one byte in all views. What follows it tells whether an escape matters.
func (s *scanner) look(p []byte) {
	b := p[0]
	t := token{rune(b), s.pos, s.pos + 1}
	if opener := s.class[b]&isOpener != 0; s.awake || opener {
		wakes := opener && s.crosses(p, 0, byte(s.lane.bytes)) // #nosec G115 -- one byte
		for i := range s.views {
			s.view(&s.views[i], t, wakes)
		}
	}
	s.lane.push(s.finder, t, s.spot)
	s.encoded.push(s.finder, t, s.spot)
	if s.awake {
		s.rest()
	}
}

func (s *scanner) view(v *view, t token, wakes bool) {
	if !v.awake && wakes && v.opens(t.r) {
		s.awake, v.awake, v.same = true, true, 0
		v.lane.follow(s.automaton, &s.lane, v.past)
		v.encoded.follow(s.automaton, &s.encoded, v.past)
	}
	if v.awake {
		v.push(t)
	}
}

// rest lets views sleep that have the stream's state.
func (s *scanner) rest() {
	s.awake = false
	calm := s.lane.state == 0 && s.lane.trailing < 0 && s.encoded.idle()
	for i := range s.views {
		v := &s.views[i]
		if calm && v.same >= apart && v.n == 0 && v.lane.state == 0 && v.lane.trailing < 0 && v.encoded.idle() {
			v.awake = false
		}
		s.awake = s.awake || v.awake
	}
}

// end ends the stream.
func (s *scanner) end() {
	for i := range s.views {
		if s.views[i].awake {
			s.views[i].flush()
		}
	}
}

// keeps is the position from which on what was read may still become part of a secret.
func (s *scanner) keeps() int {
	keep := min(s.lane.keeps(s.finder, s.pos), s.encoded.keeps(s.finder, s.pos))
	for i := range s.views {
		v := &s.views[i]
		if !v.awake {
			continue
		}
		keep = min(keep, v.lane.keeps(s.finder, s.pos), v.encoded.keeps(s.finder, s.pos))
		if v.n > 0 {
			keep = min(keep, v.pending[0].from)
		}
	}
	return keep
}
