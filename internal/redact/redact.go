// Package redact masks secrets in what scripts print and leave.
//
// A secret is found as it is, each of its lines by itself, and however programs write it on the way: with
// the escapes of URLs, of JSON, JSON in JSON and so on, and of XML; in the quotes of SQL and of bash, dash
// and Python; in base64 (standard and URL alphabet, at each alignment, in lines of at least 16 characters),
// in hexadecimal, and, if it is ASCII, in UTF-16. Every occurrence becomes Mask, also where it comes in
// pieces. Masking prevents accidents. It is no barrier against a script that wants to give a secret away:
// there are as many encodings as one likes.
//
// The stream is read in several views at once, each without one sort of escapes, and one automaton looks
// for all secrets in the normal form of each view: that takes time by the length of the stream and memory
// by that of the secrets, whatever they are.
package redact

import (
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Mask is what stands in the place of a secret.
const Mask = "***"

// MinBytes is the least length of a secret, and of a line of one that is masked by
// itself: shorter ones are found everywhere.
const MinBytes = 6

// Masker masks secrets. It is safe for use by several goroutines. A nil Masker masks nothing.
type Masker struct {
	now atomic.Pointer[[]*finder] // one for each form

	mu      sync.Mutex
	secrets []string // sorted
}

// New makes a Masker for secrets, those under MinBytes left out.
func New(secrets []string) *Masker {
	m := &Masker{}
	m.Add(secrets...)
	return m
}

// Add masks more secrets from now on, those under MinBytes left out: also in streams that have begun, in
// what they have not passed on yet.
func (m *Masker) Add(secrets ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Concat(m.secrets, secrets)
	all = slices.DeleteFunc(all, func(s string) bool { return len(s) < MinBytes })
	slices.Sort(all)
	if all = slices.Compact(all); len(all) > len(m.secrets) {
		m.secrets = all
		m.now.Store(newFinders(all))
	}
}

// Knows reports whether a secret is masked already.
func (m *Masker) Knows(secret string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := slices.BinarySearch(m.secrets, secret)
	return ok
}

// Size is how many bytes the secrets have together.
func (m *Masker) Size() int {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	size := 0
	for _, s := range m.secrets {
		size += len(s)
	}
	return size
}

func newFinders(secrets []string) *[]*finder {
	var finders []*finder
	for _, w := range want(secrets) {
		if len(w.texts) > 0 {
			finders = append(finders, newFinder(w))
		}
	}
	return &finders
}

// finders are what the secrets are found with now; none where there are none.
func (m *Masker) finders() []*finder {
	if m == nil {
		return nil
	}
	if now := m.now.Load(); now != nil {
		return *now
	}
	return nil
}

// String masks a text.
func (m *Masker) String(text string) string {
	finders := m.finders()
	if len(finders) == 0 || len(text) < MinBytes {
		return text
	}
	s := newSearch(finders, 0)
	defer s.done()
	s.write([]byte(text))
	s.end()
	if len(s.spans) == 0 {
		return text
	}
	var out strings.Builder
	at := 0
	for _, found := range s.spans {
		out.WriteString(text[at:found.from])
		out.WriteString(Mask)
		at = found.to
	}
	out.WriteString(text[at:])
	return out.String()
}

// Found reports whether a stream has a secret in it. It reads no further than the first.
func (m *Masker) Found(r io.Reader) (bool, error) {
	finders := m.finders()
	if len(finders) == 0 {
		return false, nil
	}
	s := newSearch(finders, 0)
	defer s.done()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		s.write(buf[:n])
		if err == io.EOF { //nolint:errorlint // as io.Reader says
			s.end()
		}
		switch {
		case len(s.spans) > 0:
			return true, nil
		case err == io.EOF: //nolint:errorlint // likewise
			return false, nil
		case err != nil:
			return false, err
		}
	}
}

// Values masks names and values. Names that become one when they are masked are numbered.
func (m *Masker) Values(values map[string]string) map[string]string {
	masked := make(map[string]string, len(values))
	seen := map[string]int{}
	taken := func(name string) bool { _, ok := values[name]; return ok }
	for _, name := range slices.Sorted(maps.Keys(values)) {
		shown := m.String(name)
		if shown != name {
			shown = another(shown, seen, taken)
		}
		masked[shown] = m.String(values[name])
	}
	return masked
}
