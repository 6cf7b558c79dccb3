package steps

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
)

// stepLog is a step's log while it is written.
type stepLog struct {
	name   string
	file   *os.File
	output *evidence.Log
	lost   bool // not all output could be read
	begun  time.Time
}

func (r *run) newLog(number int, s script) (*stepLog, error) {
	file, err := r.here.Dir.NewLog(fmt.Sprintf("%02d.log", number))
	if err != nil {
		return nil, err
	}
	return &stepLog{
		file: file, output: evidence.NewLog(file, r.job.Limits.LogBytes, r.live(s)),
		name: jobs.LogName(number, string(s.Phase), s.Name),
	}, nil
}

// live returns the function that receives a step's lines, if the journal wants them; nil otherwise.
func (r *run) live(s script) func(evidence.Stream, []string) {
	if r.journal.Lines == nil {
		return nil
	}
	told := map[evidence.Stream]func([]string){}
	for _, stream := range []evidence.Stream{evidence.Stdout, evidence.Stderr} {
		told[stream] = r.journal.Lines(s.Name, stream)
	}
	return func(stream evidence.Stream, lines []string) { told[stream](lines) }
}

// elapsed is the time since the first attempt began.
func (l *stepLog) elapsed() time.Duration {
	if l.begun.IsZero() {
		l.begun = time.Now()
	}
	return time.Since(l.begun)
}

// finish completes the record from the log, and hands the log over. A log that could not be written in full is marked
// as truncated.
func (l *stepLog) finish(record *evidence.Step) Log {
	l.output.Close()
	err := l.output.Record(record)
	record.Truncated = record.Truncated || l.lost
	return Log{Name: l.name, File: l.file, Times: l.output.Times(), Err: err}
}

// EachLine passes the lines of a log to tell, some at a time. A line of more than 16 KB comes in parts.
func EachLine(log io.ReadSeeker, tell func(lines []string)) error {
	if _, err := log.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read a log: %w", err)
	}
	in := bufio.NewReaderSize(log, 16<<10)
	var lines []string
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			lines = append(lines, strings.TrimSuffix(string(line), "\n"))
		}
		over := err != nil && !errors.Is(err, bufio.ErrBufferFull)
		if len(lines) >= 100 || over && len(lines) > 0 {
			tell(lines)
			lines = nil
		}
		if over {
			return unlessEOF(err)
		}
	}
}

func unlessEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("read a log: %w", err)
}
