package bundle

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"sync"

	"github.com/klauspost/compress/flate"

	"cemli-executor/internal/problem"
)

// ReadFile returns the contents of one file, which may be reserved, of at most limit bytes, and checks size and
// checksum. A name that is not in the archive is fs.ErrNotExist; other refusals are a *problem.Error, and errors of
// the archive's source are wrapped.
func (a *Archive) ReadFile(name string, limit int64) ([]byte, error) {
	e, ok := a.find(name)
	if !ok {
		return nil, fmt.Errorf("read %s: %w", printable(name), fs.ErrNotExist)
	}
	if size := e.file().Size; size > limit {
		return nil,
			problem.New(refusal("archive.file_too_large", name,
				fmt.Sprintf("it has %d bytes; at most %d are allowed", size, limit)), nil)
	}
	in := readers.Get().(*reader)
	defer in.release()
	content := bytes.NewBuffer(make([]byte, 0, e.size))
	refused, err := in.copy(context.Background(), content, a.r, e)
	switch {
	case err != nil:
		return nil, err
	case refused != nil:
		return nil, problem.Join([]problem.Problem{*refused})
	}
	return content.Bytes(), nil
}

// reader is what it takes to read an entry, some 400 KiB, reused for the next one.
type reader struct {
	in      *bufio.Reader
	inflate io.ReadCloser
	buf     []byte
}

var readers = sync.Pool{New: func() any {
	in := bufio.NewReaderSize(nil, blockBytes)
	return &reader{in: in, inflate: flate.NewReader(in), buf: make([]byte, 128<<10)}
}}

// release returns the reader to the pool without references to what it read.
func (r *reader) release() {
	r.in.Reset(nil)
	readers.Put(r)
}

// copy writes an entry's data to w. It refuses data that is not exactly what the headers promise; w may then have
// part of it, but never more than the promised size. The error is of the source, of w, or of ctx.
func (r *reader) copy(
	ctx context.Context, w io.Writer, source io.ReaderAt, e entry,
) (refused *problem.Problem, err error) {
	from := &section{r: io.NewSectionReader(source, e.data, clamp(e.packed))}
	data, err := r.open(from, e)
	if err != nil {
		return nil, err
	}
	var size uint64
	var crc uint32
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		n, err := data.Read(r.buf)
		if size += uint64(n); size > e.size { // #nosec G115 -- not negative
			return refuse("archive.size", e, "it has more data than its header says"), nil
		}
		crc = crc32.Update(crc, crc32.IEEETable, r.buf[:n])
		if _, err := w.Write(r.buf[:n]); err != nil {
			return nil, fmt.Errorf("write %s: %w", printable(e.name), err)
		}
		switch {
		case errors.Is(err, io.EOF):
			return r.finish(from, e, size, crc)
		case from.err != nil:
			return nil, from.failed(e)
		case err != nil:
			return refuse("archive.data", e, "its compressed data is malformed or cut off"), nil
		}
	}
}

// open starts reading an entry's uncompressed data.
func (r *reader) open(from io.Reader, e entry) (io.Reader, error) {
	r.in.Reset(from)
	if e.method == methodStore {
		return r.in, nil
	}
	if err := r.inflate.(flate.Resetter).Reset(r.in, nil); err != nil {
		return nil, fmt.Errorf("prepare to inflate: %w", err)
	}
	return r.inflate, nil
}

// finish compares what was read with what the headers promise.
func (r *reader) finish(from *section, e entry, size uint64, crc uint32) (*problem.Problem, error) {
	_, err := r.in.ReadByte()
	switch {
	case from.err != nil:
		return nil, from.failed(e)
	case size < e.size:
		return refuse("archive.size", e, "it has less data than its header says"), nil
	case err == nil:
		return refuse("archive.size", e, "its compressed data goes on after its end"), nil
	case crc != e.crc:
		return refuse("archive.crc", e, "its data does not have the checksum that the zip gives"), nil
	}
	return nil, nil //nolint:nilnil // nothing refused, nothing failed
}

func refuse(code string, e entry, message string) *problem.Problem {
	p := refusal(code, e.name, message)
	return &p
}

// section is an entry's part of the source. It keeps the source's own error apart from what the decompressor makes of
// it.
type section struct {
	r   io.Reader
	err error
}

func (s *section) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

func (s *section) failed(e entry) error { return fmt.Errorf("read %s: %w", printable(e.name), s.err) }
