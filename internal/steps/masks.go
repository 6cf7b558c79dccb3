package steps

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/workdir"
)

// MaxMasked is how many bytes all values of a run have together that are masked: a request's, the
// manifest's, secrets, and what scripts add.
const MaxMasked = 64 << 10

// maxMaskFile bounds what is read of CEMLI_MASK: all that may be masked, and lines that are masked already.
const maxMaskFile = 2 * MaxMasked

// masks are what hides secrets in what scripts print, and what scripts have added to it so far, in the file
// CEMLI_MASK, one value a line.
type masks struct {
	dir    *workdir.Dir
	masker *redact.Masker

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
	masks *masks
	log   *stepLog
}

func (m *masks) writer(log *stepLog, stream evidence.Stream) masked {
	return masked{m.masker.Writer(log.output.Writer(stream)), m, log}
}

// Write never fails: the log keeps its own errors.
func (w masked) Write(p []byte) (int, error) {
	if w.masks.learn(w.log, false) {
		_, _ = w.WriteCloser.Write(p)
	}
	return len(p), nil
}

// Close passes on what was held back. A last line without an end counts now.
func (w masked) Close() error {
	if !w.masks.learn(w.log, true) {
		return nil
	}
	return w.WriteCloser.Close()
}

// usable reports whether all that scripts have added could be used.
func (m *masks) usable() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err == nil
}

// unusable is the failure of a step that added what cannot be masked.
func (m *masks) unusable(s script) error {
	return problem.New(problem.Problem{
		Code: "step.mask", Where: s.Run, Message: "what it wrote to CEMLI_MASK cannot be used: " + m.err.Error(),
		Hint: "append values of at least 6 bytes, one a line, 64 KB with all that is masked",
	}, m.err)
}

// learn masks what scripts have added to the file from now on. It reports whether it could.
func (m *masks) learn(log *stepLog, ended bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return false
	}
	values, err := m.additions(ended)
	if errors.Is(err, errClosed) {
		m.dir.Reopen() // a script may close what belongs to its user
		_ = m.dir.Root().Chmod(workdir.MaskFile, 0o600)
		values, err = m.additions(ended)
	}
	if err == nil {
		err = m.add(values, log)
	}
	if err != nil {
		m.err, log.lost = err, true
		log.output.Note("what is printed from here on is not shown: CEMLI_MASK cannot be used: " + err.Error())
	}
	return err == nil
}

// errClosed says that the file is there and cannot be opened.
var errClosed = errors.New("it could not be read")

// additions are the lines of the file, if it has changed or the script has ended. The last line counts before
// it has an end: the script may have printed already what there is of it.
func (m *masks) additions(ended bool) ([][]byte, error) {
	switch before, err := m.dir.Root().Lstat(workdir.MaskFile); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, errClosed
	case !before.Mode().IsRegular():
		return nil, workdir.ErrNotRegular
	}
	same, err := m.read(m.dir.Root())
	if err != nil || same && !ended {
		return nil, err
	}
	lines := bytes.Split(m.text, []byte("\n"))
	if last := len(lines) - 1; !ended && len(lines[last]) < redact.MinBytes {
		lines = lines[:last] // it has no end yet, and may become long enough
	}
	return lines, nil
}

// read reads the file, and reports whether it is the same as before. Its times do not tell: within a tick of
// the clock they stay the same, whatever is written, and scripts can set them.
func (m *masks) read(root *os.Root) (same bool, err error) {
	f, _, err := workdir.OpenRegular(root, workdir.MaskFile)
	if err != nil {
		return false, errClosed
	}
	defer f.Close()
	text := bytes.NewBuffer(m.next[:0])
	switch _, err := text.ReadFrom(io.LimitReader(f, maxMaskFile+1)); {
	case err != nil:
		return false, errors.New("it could not be read")
	case text.Len() > maxMaskFile:
		return false, fmt.Errorf("it has more than %d bytes", maxMaskFile)
	}
	same = bytes.Equal(text.Bytes(), m.text)
	m.text, m.next = text.Bytes(), m.text
	return same, nil
}

// add masks values. Those that are too short are left out, and the log says so.
func (m *masks) add(lines [][]byte, log *stepLog) error {
	values := map[string]bool{}
	size := m.masker.Size()
	for _, line := range lines {
		switch value := string(bytes.TrimSuffix(line, []byte("\r"))); {
		case value == "" || values[value] || m.masker.Knows(value):
		case len(value) < redact.MinBytes:
			m.tooShort(log)
		default:
			size += len(value)
			values[value] = true
		}
	}
	if size > MaxMasked {
		return fmt.Errorf("all that is masked has more than %d bytes", MaxMasked)
	}
	m.masker.Add(slices.Sorted(maps.Keys(values))...)
	return nil
}

// tooShort says once that a value is not masked.
func (m *masks) tooShort(log *stepLog) {
	if !m.short {
		m.short = true
		log.output.Note(fmt.Sprintf("a line of CEMLI_MASK has fewer than %d bytes and is not masked", redact.MinBytes))
	}
}
