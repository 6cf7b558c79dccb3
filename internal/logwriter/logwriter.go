// Package logwriter writes the function's log.
package logwriter

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"cemli-executor/internal/evidence"
)

// Writer is a writer for logs in JSON, of which each Write is one record. It can buffer records for a moment and write
// them together, as a script may print a million lines. It escapes characters that would make a record look different
// from what it says.
type Writer struct {
	w         io.Writer
	mu        sync.Mutex
	buffering bool
	buf       []byte
}

// New makes a Writer that writes to w.
func New(w io.Writer) *Writer { return &Writer{w: w} }

// maxBuffered bounds the buffer.
const maxBuffered = 32 << 10

// Write writes the record p at once, or buffers it while Together runs.
func (l *Writer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	record := evidence.Plain(p)
	if !l.buffering {
		_, err := l.w.Write(record)
		return len(p), err
	}
	if len(l.buf)+len(record) > maxBuffered {
		if err := l.flush(); err != nil {
			return 0, err
		}
	}
	l.buf = append(l.buf, record...)
	return len(p), nil
}

// Together buffers what is written until f has returned.
func (l *Writer) Together(f func()) {
	l.mu.Lock()
	l.buffering = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.buffering = false
		_ = l.flush() // a log that cannot be written must not stop a run
	}()
	f()
}

// Lines returns a function that logs the lines of a script's output, together. The log writes to l, which may be nil:
// then it does not buffer.
func (l *Writer) Lines(log *slog.Logger) func(lines []string) {
	return func(lines []string) {
		pass := func() {
			for _, line := range lines {
				log.LogAttrs(context.Background(), slog.LevelInfo, "output", slog.String("line", line))
			}
		}
		if l == nil {
			pass()
			return
		}
		l.Together(pass)
	}
}

func (l *Writer) flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	_, err := l.w.Write(l.buf)
	l.buf = l.buf[:0]
	return err
}
