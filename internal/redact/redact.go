// Package redact masks secrets in what scripts print and leave.
//
// A secret is found as it is, each of its lines by itself, and in the ways in which programs usually write it: with
// the escapes of URLs, of JSON, also nested, and of XML; in the quotes of SQL, bash, dash and Python; in base64
// (standard and URL alphabet, at each alignment, in lines of at least 16 characters), in hexadecimal, and, if it is
// ASCII, in UTF-16. Every occurrence becomes Mask, even if it arrives in pieces. Masking prevents accidents. It does
// not stop a script that wants to give a secret away: there are endless encodings.
//
// The stream is read in several views at once, each of which undoes one kind of escapes, and one automaton looks for
// all secrets in the normal form of each view. The time depends on the length of the stream, and the memory on that
// of the secrets, but neither depends on their contents.
package redact

import (
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Mask replaces a secret.
const Mask = "***"

// MinBytes is the least length of a secret, and of a line of one to be masked by itself: shorter ones occur everywhere.
const MinBytes = 6

// Masker masks secrets. It is safe for use by several goroutines. A nil Masker masks nothing.
type Masker struct {
	now atomic.Pointer[[]*finder] // one for each form

	mu      sync.Mutex
	secrets []string // sorted
}

// New makes a Masker for secrets; it leaves out those under MinBytes.
func New(secrets []string) *Masker {
	m := &Masker{}
	m.Add(secrets...)
	return m
}

// Add adds secrets, except those under MinBytes. They are masked from now on, also in streams that have begun, in
// what those have not passed on yet.
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

// Knows reports whether the Masker already has a secret.
func (m *Masker) Knows(secret string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := slices.BinarySearch(m.secrets, secret)
	return ok
}

// Size is the total size of the secrets.
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

// finders are the current finders; none if there are no secrets.
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

// Found reports whether a stream has a secret in it. It stops at the first.
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
		case err == io.EOF: //nolint:errorlint // as above
			return false, nil
		case err != nil:
			return false, err
		}
	}
}

// Values masks names and values. Names that masking makes equal are numbered.
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
