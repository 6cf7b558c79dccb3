package redact

import "slices"

// search finds secrets in one stream, in all forms.
type search struct {
	finders  []*finder
	scanners []*scanner
	spans    []span // what was found: in order, and not overlapping or adjacent
}

// newSearch starts a search at a position.
func newSearch(finders []*finder, pos int) *search {
	s := &search{finders: finders}
	for _, f := range finders {
		s.scanners = append(s.scanners, f.scanner(pos, s.found))
	}
	return s
}

func (s *search) write(p []byte) {
	for _, scanner := range s.scanners {
		scanner.write(p)
	}
}

func (s *search) end() {
	for _, scanner := range s.scanners {
		scanner.end()
	}
}

// keeps is the position from which on what was read may still become part of a secret; now is where it ends.
func (s *search) keeps(now int) int {
	for _, scanner := range s.scanners {
		now = min(now, scanner.keeps())
	}
	return now
}

func (s *search) done() {
	for _, scanner := range s.scanners {
		scanner.done()
	}
}

// found notes a secret. Adjacent ones become one.
func (s *search) found(found span) {
	from, _ := slices.BinarySearchFunc(s.spans, found.from, func(s span, at int) int { return s.to - at })
	to := from
	for ; to < len(s.spans) && s.spans[to].from <= found.to; to++ {
		found = span{min(found.from, s.spans[to].from), max(found.to, s.spans[to].to)}
	}
	s.spans = slices.Replace(s.spans, from, to, found)
}
