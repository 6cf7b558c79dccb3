package redact

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// slow finds secrets with all views awake, byte by byte: like scanner, without its shortcuts.
func slow(finders []*finder, text string) []span {
	found := newSearch(finders, 0)
	for _, s := range found.scanners {
		for i := range s.views {
			s.views[i].awake = true
			s.views[i].lane.reset()
			s.views[i].encoded.reset()
		}
		for i := range len(text) {
			t := token{rune(text[i]), i, i + 1}
			for i := range s.views {
				s.views[i].push(t)
			}
			s.lane.push(s.finder, t, s.spot)
			s.encoded.push(s.finder, t, s.spot)
		}
		s.end()
	}
	return found.spans
}

func fast(finders []*finder, text string) []span {
	found := newSearch(finders, 0)
	found.write([]byte(text))
	found.end()
	return found.spans
}

var scanned = []string{
	"hunter2", "p@ss w/rd'\"\\<&>é😀!",
	"-----BEGIN KEY-----\nMIIEowIBAAKCAQEAn1/x+abc\n\nlast-line-of-it==\n-----END KEY-----\n",
	"aaaaaa", `'"quoted\"'`, `\n\x41%41&lt;\\n`, "one+two three", `""""""''`, "abcabcabcabd", "bcabcx", "new\\tab\nüx",
	"%%%25%%",
	"0123456789abcdef", "aHVudGVyMg==", strings.Repeat("0123456789abcdefghij", 300),
}

// compose makes a text of pieces of secrets and of their spellings.
func compose(r *rand.Rand) string {
	var text strings.Builder
	for range 1 + r.IntN(12) {
		s := scanned[r.IntN(len(scanned)-min(1, r.IntN(10)))]
		s = s[:min(len(s), 5000)]
		for range r.IntN(3) {
			switch r.IntN(8) {
			case 0:
				s = url.QueryEscape(s)
			case 1:
				doc, _ := json.Marshal(s)
				s = string(doc)
			case 2:
				s = base64.StdEncoding.EncodeToString([]byte("xyz"[:r.IntN(3)] + s))
			case 3:
				s = hex.EncodeToString([]byte(s))
			case 4:
				s = strings.NewReplacer("&", "&amp;", "<", "&lt;", "'", "&#39;", "e", "&#x65;").Replace(s)
			case 5:
				s = strings.NewReplacer("/", `\/`, "n", `\u006e`, "é", `\xe9`, "a", `\141`, "t", "%74").Replace(s)
			case 6:
				s = strings.ReplaceAll(s, "'", `'\''`)
			case 7:
				if len(s) > 30 {
					at := 8 + r.IntN(22)
					s = s[:at] + []string{"\n", "\r\n", `\n`, "%0A"}[r.IntN(4)] + s[at:]
				}
			}
		}
		if r.IntN(3) == 0 {
			from := r.IntN(len(s) + 1)
			s = s[from : from+r.IntN(len(s)-from+1)]
		}
		text.WriteString(s)
		for range r.IntN(4) {
			text.WriteString([]string{
				"\\", "%", "&", "'", "\"", "\n", "n", "2", "amp;", "#", "x", "u00", " ", "+", "/", "a", "ab", "=",
				"\x00", "\\u", "d83d", "é", "AAAA", "hunt",
			}[r.IntN(24)])
		}
	}
	return text.String()
}

// The shortcuts do not change what is found.
func TestFastIsSlow(t *testing.T) {
	t.Parallel()
	finders := *newFinders(scanned)
	r := rand.New(rand.NewPCG(14, 1))
	for range 5_000 {
		same(t, finders, compose(r))
	}
}

func same(t *testing.T, finders []*finder, text string) {
	t.Helper()
	got, want := fast(finders, text), slow(finders, text)
	for len(got) > 0 && len(want) > 0 && got[0] == want[0] {
		got, want = got[1:], want[1:]
	}
	if !slices.Equal(got, want) {
		at := len(text)
		for _, spans := range [][]span{got, want} {
			if len(spans) > 0 {
				at = max(0, min(at, spans[0].from-60))
			}
		}
		t.Fatalf("from %d on %.200q (%q): found %v; want %v", at, text[at:],
			text[max(0, at+60-8):min(len(text), at+60+40)], got[:min(len(got), 3)], want[:min(len(want), 3)])
	}
}

func FuzzFastIsSlow(f *testing.F) {
	f.Add(`{"a":"hunter2\u0026","b":"p%40ss+w\/rd"}`)
	r := rand.New(rand.NewPCG(14, 2))
	for range 30 {
		f.Add(compose(r))
	}
	finders := *newFinders(scanned)
	f.Fuzz(func(t *testing.T, text string) { same(t, finders, text) })
}

// The output does not depend on how a text is cut into pieces.
func TestPiecesOfEscapes(t *testing.T) {
	t.Parallel()
	m := New(scanned)
	r := rand.New(rand.NewPCG(14, 3))
	for range 2_000 {
		text := compose(r)
		want := m.String(text)
		var out strings.Builder
		w := m.Writer(&out)
		for rest := text; rest != ""; {
			n := min(len(rest), 1+r.IntN(1+r.IntN(40)))
			_, _ = w.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		_ = w.Close()
		if out.String() != want {
			at := 0
			for at < min(out.Len(), len(want)) && out.String()[at] == want[at] {
				at++
			}
			t.Fatalf("from %d on %.100q: in pieces %.100q; whole %.100q", at, want[max(0, at-40):], out.String()[at:],
				want[at:])
		}
	}
}
