package redact

// views are the ways in which a stream may be written, besides as it is.
var views = [...]decoder{
	{kinds: backslashes, strict: true},
	{kinds: percents, strict: true},
	{kinds: entities, strict: true},
	{kinds: everyKind},
	{kinds: everyKind, latin: true},
}

// view reads the stream as it is without escapes. It sleeps while that is the stream as it is: at an
// escape that a secret may have in it, it goes on from what has been read so.
type view struct {
	decoder
	lane    lane
	encoded encoded // where all kinds of escapes are undone
	awake   bool
	same    int // bytes of the form that were as they are, since the last one that was not
	past    int // where the last escape ended that it slept through
}

// apart is how many such bytes it takes to be where the stream itself is: as many as are remembered.
const apart = max(2*gram, wrapped)

// scanner finds secrets in one stream, which comes in pieces.
type scanner struct {
	*finder
	spot    func(span) // is told what is found
	lane    lane
	encoded encoded
	views   [len(views)]view
	awake   bool  // one of them is
	pos     int   // of the next byte
	reach   int   // how much is skimmed next
	long    []int // where characters of base64 are in a row, as encoded wants to know
}

// scanner gives one that begins at a position.
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

// done gives the scanner back.
func (s *scanner) done() {
	s.spot = nil
	s.spare.Put(s)
}

// write takes the next piece.
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

// calm reports whether nothing may be in a secret of which more than the first bytes were read.
func (s *scanner) calm() bool {
	return !s.awake && s.lane.state == 0 && s.lane.trailing < 0 && s.encoded.idle()
}

// How much is skimmed at once: more each time, until a secret may have been met in an encoding, as what
// follows that has been looked at in vain.
const (
	leastReach = 256
	mostReach  = 32 << 10
)

// skim takes bytes that end nothing and begin no escape that matters, and returns how many these are.
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
			s.views[i].past = past[i] // of what has not come yet, nothing is known
		}
		s.plain(p, n)
	}
	s.lane.catchUp(s.finder, p[:n], s.pos)
	return n
}

// plain is how many bytes, up to n, neither end the first ones of a secret nor begin an escape that matters.
// On the way it notes where characters of base64 are in a row.
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

// look takes one byte in all views. What follows it tells whether an escape matters.
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

// rest lets views sleep that are where the stream itself is.
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

// end says that nothing more comes.
func (s *scanner) end() {
	for i := range s.views {
		if s.views[i].awake {
			s.views[i].flush()
		}
	}
}

// keeps is from where on what was read may still become a part of a secret.
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
