package bundle

import "io"

// blockBytes is how much is read at once while headers are checked, more than the largest header with the record
// before it.
const blockBytes = 256 << 10

// window reads a file in blocks, because the file may be remote and headers are small.
type window struct {
	r    io.ReaderAt
	size int64
	off  int64 // the offset of buf
	buf  []byte
}

// at returns the n bytes at off, which must lie in the file. They are valid until the next call.
func (w *window) at(off int64, n int) ([]byte, error) {
	if off < w.off || off+int64(n) > w.off+int64(len(w.buf)) {
		if err := w.load(off, max(n, blockBytes)); err != nil {
			return nil, err
		}
	}
	start := int(off - w.off)
	return w.buf[start : start+n : start+n], nil
}

// tail returns the last n bytes, or all if there are fewer, and reads at least a block.
func (w *window) tail(n int) ([]byte, error) {
	if err := w.load(max(0, w.size-blockBytes), blockBytes); err != nil {
		return nil, err
	}
	return w.buf[max(0, len(w.buf)-n):], nil
}

// load reads n bytes at off, or to the end of the file.
func (w *window) load(off int64, n int) error {
	n = int(min(int64(n), w.size-off))
	if cap(w.buf) < n {
		w.buf = make([]byte, n)
	}
	w.off, w.buf = off, w.buf[:n]
	if read, err := w.r.ReadAt(w.buf, off); read < n {
		w.buf = w.buf[:0]
		if err == nil || err == io.EOF { //nolint:errorlint // an io.ReaderAt returns it bare
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}
