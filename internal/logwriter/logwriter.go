// Package logwriter writes the function's log.
package logwriter

import (
	"io"
	"sync"

	"cemli-executor/internal/evidence"
)

// Writer is a writer for logs in JSON whose records, each of one Write, can be held back for a
// moment and written together: a script may print a million lines. Characters that make a record
// look different from what it says are written as escapes.
type Writer struct {
	w    io.Writer
	mu   sync.Mutex
	buffering bool
	buf  []byte
}

// New makes a Writer that writes to w.
func New(w io.Writer) *Writer { return &Writer{w: w} }

// maxBuffered is how much is held back at most.
const maxBuffered = 32 << 10

// Write writes p at once, or with what is held back.
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

// Together holds back what is written until f has returned.
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

func (l *Writer) flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	_, err := l.w.Write(l.buf)
	l.buf = l.buf[:0]
	return err
}
