package progress

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// TailBytes is how much of the end of the output a document has.
const TailBytes = 16 << 10

// tail keeps the end of what scripts print, in the order in which it comes.
type tail struct {
	mu    sync.Mutex
	buf   []byte
	given bool // somebody else keeps it
}

// set replaces what is kept, now and from now on.
func (t *tail) set(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf, t.given = []byte(text), true
}

// add adds lines. It keeps more than is shown, so that a value that is to be hidden only since it was printed is not
// cut in two.
func (t *tail) add(lines []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.given {
		return
	}
	for _, line := range lines {
		t.buf = append(append(t.buf, line...), '\n')
	}
	if len(t.buf) > 8*TailBytes {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-2*TailBytes:]...)
	}
}

// text returns the end of the output, without what mask hides.
func (t *tail) text(mask func(string) string) string {
	t.mu.Lock()
	kept := string(t.buf[max(0, len(t.buf)-2*TailBytes):])
	t.mu.Unlock()
	text := mask(strings.ToValidUTF8(kept, "\uFFFD"))
	text = text[max(0, len(text)-TailBytes):]
	for text != "" && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}
