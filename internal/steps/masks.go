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
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/workdir"
)

// MaxMasked bounds the bytes of all values that a run masks: values of the request and the manifest, secrets, and
// what scripts add.
const MaxMasked = jobs.MaxMasked

// maxMaskFile bounds how much of CEMLI_MASK is read: as much as may be masked, and as much again of values already
// masked.
const maxMaskFile = 2 * MaxMasked

// masks hides secrets in what scripts print. Scripts add values to be hidden in the file CEMLI_MASK, one a line.
type masks struct {
	dir    *workdir.Dir
	masker *redact.Masker

	mu    sync.Mutex
	text  []byte // the file as last read
	next  []byte // a buffer for reading it again
	short bool   // the log says already that a value is too short
	err   error  // the file cannot be used, so that what scripts print may contain secrets
}

// masked is an output of a script on its way to the log. It learns what the script has added to CEMLI_MASK before it
// passes anything on, and passes on nothing if that fails.
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

// Close passes on what was held back, and a last line without a line end.
func (w masked) Close() error {
	if !w.masks.learn(w.log, true) {
		return nil
	}
	return w.WriteCloser.Close()
}

// usable reports whether everything that scripts added can be masked.
func (m *masks) usable() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err == nil
}

// unusable is the failure of a step that added something that cannot be masked.
func (m *masks) unusable(s script) error {
	return problem.New(problem.Problem{
		Code: "step.mask", Where: s.Run, Message: "what it wrote to CEMLI_MASK cannot be used: " + m.err.Error(),
		Hint: "append values of at least 6 bytes, one a line, 64 KB with all that is masked",
	}, m.err)
}

// learn masks, from now on, what scripts have added to the file. It reports whether it could.
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

// errClosed says that the file exists but cannot be opened.
var errClosed = errors.New("it could not be read")

// additions returns the lines of the file if it has changed, or if the script has ended. A last line without a line
// end counts as well: the script may already have printed that much of the value.
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
		lines = lines[:last] // it has no line end yet, and may become long enough
	}
	return lines, nil
}

// read reads the file, and reports whether it is unchanged. Its times do not tell: they stay the same within a tick
// of the clock, and scripts can set them.
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

// add masks values. It leaves out those that are too short, and says so in the log.
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

// tooShort notes, once, that a value is too short to be masked.
func (m *masks) tooShort(log *stepLog) {
	if !m.short {
		m.short = true
		log.output.Note(fmt.Sprintf("a line of CEMLI_MASK has fewer than %d bytes and is not masked", redact.MinBytes))
	}
}
