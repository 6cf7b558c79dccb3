package executor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
)

// maskFile is where a run's scripts add values that are to be masked, one a line.
const maskFile = "out/mask"

// maxMaskFile bounds what is read of it: all that may be masked, and lines that are masked already.
const maxMaskFile = 2 * maxMasked

// learned is what scripts have added so far.
type learned struct {
	mu    sync.Mutex
	text  []byte // of the file as it was read last
	next  []byte // room for reading it again
	short bool   // it was said that a value is too short
	err   error  // the file cannot be used: what scripts print is not known to be without secrets any more
}

// masked is an output of a script on its way to the log. Before anything is passed on, what the script has
// added by then is learned. If that cannot be done, nothing is passed on.
type masked struct {
	io.WriteCloser
	run *run
	log *stepLog
}

func (r *run) masked(log *stepLog, stream evidence.Stream) masked {
	return masked{r.masker.Writer(log.output.Writer(stream)), r, log}
}

// Write never fails: the log keeps its own errors.
func (w masked) Write(p []byte) (int, error) {
	if w.run.learnMasks(w.log, false) {
		_, _ = w.WriteCloser.Write(p)
	}
	return len(p), nil
}

// Close passes on what was held back. A last line without an end counts now.
func (w masked) Close() error {
	if !w.run.learnMasks(w.log, true) {
		return nil
	}
	return w.WriteCloser.Close()
}

// learnMasks masks what scripts have added to the file from now on. It reports whether it could.
func (r *run) learnMasks(log *stepLog, ended bool) bool {
	l := r.learned
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return false
	}
	values, err := r.additions(ended)
	if errors.Is(err, errClosed) {
		r.dir.reopen() // a script may close what belongs to its user
		_ = r.dir.root.Chmod(maskFile, 0o600)
		values, err = r.additions(ended)
	}
	if err == nil {
		err = r.add(values, log)
	}
	if err != nil {
		l.err, log.lost = err, true
		log.output.Note("what is printed from here on is not shown: CEMLI_MASK cannot be used: " + err.Error())
	}
	return err == nil
}

// errClosed says that the file is there and cannot be opened.
var errClosed = errors.New("it could not be read")

// additions are the lines of the file, if it has changed or the script has ended. The last one counts before it has
// an end: what it is already is printed, maybe.
func (r *run) additions(ended bool) ([][]byte, error) {
	switch before, err := r.dir.root.Lstat(maskFile); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, errClosed
	case !before.Mode().IsRegular():
		return nil, errNotRegular
	}
	l := r.learned
	same, err := l.read(r.dir.root)
	if err != nil || same && !ended {
		return nil, err
	}
	lines := bytes.Split(l.text, []byte("\n"))
	if last := len(lines) - 1; !ended && len(lines[last]) < redact.MinBytes {
		lines = lines[:last] // it has no end yet, and may become long enough
	}
	return lines, nil
}

// read reads the file, and reports whether it is the same as before. Its times do not tell: within a tick of the
// clock they stay, whatever is written, and scripts can set them.
func (l *learned) read(root *os.Root) (same bool, err error) {
	f, _, err := openRegular(root, maskFile)
	if err != nil {
		return false, errClosed
	}
	defer f.Close()
	text := bytes.NewBuffer(l.next[:0])
	switch _, err := text.ReadFrom(io.LimitReader(f, maxMaskFile+1)); {
	case err != nil:
		return false, errors.New("it could not be read")
	case text.Len() > maxMaskFile:
		return false, fmt.Errorf("it has more than %d bytes", maxMaskFile)
	}
	same = bytes.Equal(text.Bytes(), l.text)
	l.text, l.next = text.Bytes(), l.text
	return same, nil
}

// add masks values. Those that are too short are left out, and the log says so.
func (r *run) add(lines [][]byte, log *stepLog) error {
	values := map[string]bool{}
	size := r.masker.Size()
	for _, line := range lines {
		switch value := string(bytes.TrimSuffix(line, []byte("\r"))); {
		case value == "" || values[value] || r.masker.Knows(value):
		case len(value) < redact.MinBytes:
			r.learned.tooShort(log)
		default:
			size += len(value)
			values[value] = true
		}
	}
	if size > maxMasked {
		return fmt.Errorf("all that is masked has more than %d bytes", maxMasked)
	}
	r.masker.Add(sortedNames(values)...)
	return nil
}

// tooShort says once that a value is not masked.
func (l *learned) tooShort(log *stepLog) {
	if !l.short {
		l.short = true
		log.output.Note(fmt.Sprintf("a line of CEMLI_MASK has fewer than %d bytes and is not masked", redact.MinBytes))
	}
}

// unmaskable is the failure of a step that added what cannot be masked.
func (r *run) unmaskable(s script, record *evidence.Step) error {
	record.Status = evidence.StepFailed
	return problem.New(problem.Problem{
		Code: "step.mask", Where: s.Run, Message: "what it wrote to CEMLI_MASK cannot be used: " + r.learned.err.Error(),
		Hint: "append values of at least 6 bytes, one a line, 64 KB with all that is masked",
	}, r.learned.err)
}
