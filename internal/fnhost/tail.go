package fnhost

import (
	"strings"
	"sync"
)

// tail keeps the last lines of an output.
type tail struct {
	mu    sync.Mutex
	lines []string
}

const tailLines = 5

func (t *tail) add(line []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, string(line[:min(len(line), 500)]))
	if len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
}

// String gives the lines on one.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 0 {
		return "it printed nothing"
	}
	return strings.Join(t.lines, " / ")
}
