package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// maxLine bounds a line that is passed on live; a longer one is passed on in pieces.
const maxLine = 8 << 10

// Stream is one of a step's two output streams.
type Stream string

// The streams.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// Log takes a step's output: it writes all of it, up to a limit, into one file in order of arrival, keeps the end of
// each stream in memory, and passes each line on to a live listener. Its writers never fail, block on nothing but the
// file, and may be used concurrently.
type Log struct {
	mu      sync.Mutex
	file    io.Writer
	fileErr error
	limit   int64 // how many bytes the file and the listener may get
	written int64 // bytes the script wrote
	sum     hash.Hash
	live    func(Stream, []string)
	streams map[Stream]*stream
	times   timeline
	last    Stream // the stream that had output last; empty after a line end
}

type stream struct {
	tail  []byte
	line  []byte   // the beginning of a line
	lines []string // the lines to pass on
}

// NewLog makes a Log that writes the first limit bytes to file, and passes their lines, without line ends, to live;
// nil: nobody listens. Lines that came at once are passed together, in a slice that is reused.
func NewLog(file io.Writer, limit int64, live func(stream Stream, lines []string)) *Log {
	return &Log{
		file: file, limit: limit, sum: sha256.New(), live: live,
		streams: map[Stream]*stream{Stdout: {}, Stderr: {}}, times: newTimeline(),
	}
}

// Writer returns the writer for one stream.
func (l *Log) Writer(s Stream) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.write(s, p)
		return len(p), nil
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (l *Log) write(s Stream, p []byte) {
	before := l.written
	l.written += int64(len(p))
	if len(p) > 0 {
		l.last = s
		if p[len(p)-1] == '\n' {
			l.last = ""
		}
	}
	into := l.streams[s]
	into.tail = keepTail(into.tail, p)
	kept := p[:min(int64(len(p)), max(0, l.limit-before))]
	if len(kept) > 0 && l.fileErr == nil {
		l.times.note(before, s)
		n, err := l.file.Write(kept)
		l.sum.Write(kept[:n])
		l.fileErr = err
	}
	if l.live == nil {
		return
	}
	into.split(kept)
	if before <= l.limit && l.written > l.limit {
		into.lines = append(into.lines, "… more output is not shown; the log ends here")
	}
	l.passOn(s)
}

// passOn passes the complete lines on to the listener.
func (l *Log) passOn(s Stream) {
	if into := l.streams[s]; len(into.lines) > 0 {
		l.live(s, into.lines)
		into.lines = into.lines[:0]
	}
}

// split splits off the complete lines of what has come, and keeps the rest.
func (s *stream) split(p []byte) {
	pending := append(s.line, p...)
	for {
		end := bytes.IndexByte(pending, '\n')
		switch {
		case end >= 0 && end <= maxLine:
			s.lines = append(s.lines, printable(bytes.TrimSuffix(pending[:end], []byte("\r"))))
			pending = pending[end+1:]
		case len(pending) > maxLine:
			s.lines = append(s.lines, printable(pending[:maxLine]))
			pending = pending[maxLine:]
		default:
			s.line = append(s.line[:0], pending...) // it begins where pending does, or before
			return
		}
	}
}

// Note writes a line of the executor's own, beginning on a new line.
func (l *Log) Note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last != "" {
		l.write(l.last, []byte("\n"))
	}
	l.write(Stderr, []byte("[cemli] "+text+"\n"))
}

// Close passes on lines without a line end. The writers must not be used after it.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range []Stream{Stdout, Stderr} {
		into := l.streams[s]
		if len(into.line) > 0 {
			into.lines = append(into.lines, printable(into.line))
			into.line = nil
		}
		l.passOn(s)
	}
}

// Record copies what the log knows into the step. The error is that of the file.
func (l *Log) Record(step *Step) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	step.OutputSize = l.written
	step.LogSHA256 = hex.EncodeToString(l.sum.Sum(nil))
	step.Truncated = l.written > l.limit || l.fileErr != nil
	step.StdoutTail = Tail(string(l.streams[Stdout].tail))
	step.StderrTail = Tail(string(l.streams[Stderr].tail))
	return l.fileErr
}

// Times says when what is in the file arrived. The writers must not be used any more.
func (l *Log) Times() Times {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.times.times()
}

// keepTail appends p to tail and keeps the end; it moves bytes only now and then.
func keepTail(tail, p []byte) []byte {
	tail = append(tail, p[max(0, len(p)-TailBytes):]...)
	if len(tail) > 4*TailBytes {
		tail = append(tail[:0], tail[len(tail)-TailBytes:]...)
	}
	return tail
}

// Tail returns the last TailBytes of text as valid UTF-8, beginning at a whole character.
func Tail(text string) string {
	if len(text) > TailBytes {
		text = text[len(text)-TailBytes:]
		for i := 0; i < utf8.UTFMax && len(text) > 0 && !utf8.RuneStart(text[0]); i++ {
			text = text[1:]
		}
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

func printable(line []byte) string { return strings.ToValidUTF8(string(line), "\uFFFD") }
