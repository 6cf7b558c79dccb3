package evidence

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// RecentBytes is how much of the end of the output is shown while it grows.
const RecentBytes = 16 << 10

// Recent keeps the end of what scripts print, in the order in which it comes. The zero value is ready, and may be used
// by several goroutines.
type Recent struct {
	mu    sync.Mutex
	buf   []byte
	given bool // somebody else keeps it
}

// Set replaces what is kept, now and from now on.
func (t *Recent) Set(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf, t.given = []byte(text), true
}

// Add adds lines. It keeps more than is shown, so that a value that is to be hidden only since it was printed is not
// cut in two.
func (t *Recent) Add(lines []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.given {
		return
	}
	for _, line := range lines {
		t.buf = append(append(t.buf, line...), '\n')
	}
	if len(t.buf) > 8*RecentBytes {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-2*RecentBytes:]...)
	}
}

// Text returns the end of the output, without what mask hides.
func (t *Recent) Text(mask func(string) string) string {
	t.mu.Lock()
	kept := string(t.buf[max(0, len(t.buf)-2*RecentBytes):])
	t.mu.Unlock()
	text := mask(strings.ToValidUTF8(kept, "\uFFFD"))
	text = text[max(0, len(text)-RecentBytes):]
	for text != "" && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}
