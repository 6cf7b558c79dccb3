package apart

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"cemli-executor/internal/redact"
	"cemli-executor/internal/store"
)

// shelf has one object, and counts how often it is read.
type shelf struct {
	store.Bucket
	text  string
	reads int
}

func (s *shelf) Get(_ context.Context, _ string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	s.reads++
	return io.NopCloser(strings.NewReader(s.text[o.Offset:])), store.Info{Size: int64(len(s.text)), ETag: "1"}, nil
}

// What is small is read from the mailbox once, however often it is read here; whatever its size it is masked.
func TestObjectsAreReadAgain(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		reads int // for reading it three times, and once from its middle
	}{
		"empty":      {"", 1},
		"small":      {"one\ntiger-tiger\ntwo\n", 1},
		"just small": {strings.Repeat("x", little), 1},
		"larger":     {strings.Repeat("x", little+1), 5},
		"masked":     {strings.Repeat("tiger-tiger ", little), 5},
	} {
		s := &shelf{text: c.text}
		p := &Place{order: Order{Masker: redact.New([]string{"tiger-tiger"})}, mail: mail{bucket: s}}
		o, _, err := p.open(t.Context(), "logs/1", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(c.text, "tiger-tiger", redact.Mask)
		for _, from := range []int64{0, 0, 0, int64(len(want)) / 2} {
			if _, err := o.Seek(from, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, []byte(want[from:])) {
				t.Errorf("%s: from %d: %d bytes, %v", name, from, len(got), err)
			}
		}
		if s.reads != c.reads {
			t.Errorf("%s: it was read %d times; want %d", name, s.reads, c.reads)
		}
	}
}
