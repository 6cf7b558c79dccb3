package redact

import "io"

// Writer masks what is written to it and passes it on to w. It holds back what may be the
// beginning of a secret until more comes, or until Close. Errors are those of w.
func (m *Masker) Writer(w io.Writer) io.WriteCloser { return &writer{Masker: m, w: w} }

// writer holds back the bytes that may still become part of a secret, and knows which of them are part of one.
type writer struct {
	*Masker
	w       io.Writer
	s       *search // nil: there are no secrets yet
	held    []byte
	base    int  // the position of what is held
	masking bool // the last byte that was passed on was a secret's
	out     []byte
}

// Write passes on what is decided.
func (w *writer) Write(p []byte) (int, error) {
	w.renew()
	if w.s == nil {
		return w.w.Write(p)
	}
	w.held = append(w.held, p...)
	w.s.write(p)
	if err := w.pass(w.s.keeps(w.base + len(w.held))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// renew starts a new search, from what is held back on, if the Masker has other secrets now.
func (w *writer) renew() {
	finders := w.finders()
	old := w.s
	if len(finders) == 0 || old != nil && &old.finders[0] == &finders[0] {
		return
	}
	w.s = newSearch(finders, w.base)
	if old != nil {
		w.s.spans = old.spans
		old.done()
	}
	w.s.write(w.held)
}

// pass passes on what is held back before a position.
func (w *writer) pass(to int) error {
	w.out = w.out[:0]
	at, left := w.base, w.s.spans[:0]
	plain := func(to int) {
		if to > at {
			w.out, at, w.masking = append(w.out, w.held[at-w.base:to-w.base]...), to, false
		}
	}
	for _, found := range w.s.spans {
		if found.from >= to {
			left = append(left, found)
			continue
		}
		plain(found.from)
		if !w.masking {
			w.out = append(w.out, Mask...)
		}
		at, w.masking = min(found.to, to), true
		if found.to > to {
			left = append(left, span{to, found.to})
		}
	}
	plain(to)
	w.s.spans = left
	w.held, w.base = append(w.held[:0], w.held[to-w.base:]...), to
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.w.Write(w.out)
	return err
}

// Close passes on what was held back.
func (w *writer) Close() error {
	w.renew()
	if w.s == nil {
		return nil
	}
	w.s.end()
	err := w.pass(w.base + len(w.held))
	w.s.done()
	w.s = nil
	return err
}
