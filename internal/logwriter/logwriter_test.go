package logwriter_test

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/logwriter"
)

// writes keeps each Write for itself.
type writes struct{ all []string }

func (w *writes) Write(p []byte) (int, error) {
	w.all = append(w.all, string(p))
	return len(p), nil
}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if n, err := io.WriteString(w, text); n != len(text) || err != nil {
		t.Errorf("Write(%.20q) = %d, %v; want %d", text, n, err, len(text))
	}
}

// What is written within Together arrives at once when it ends, in its order, and everything else as it comes.
func TestTogether(t *testing.T) {
	t.Parallel()
	out := &writes{}
	w := logwriter.New(out)
	write(t, w, "1\n")
	w.Together(func() {
		write(t, w, "2\n")
		write(t, w, "3\n")
		if len(out.all) != 1 {
			t.Errorf("it was not held back: %q", out.all)
		}
	})
	write(t, w, "4\n")
	w.Together(func() {})
	if diff := cmp.Diff([]string{"1\n", "2\n3\n", "4\n"}, out.all); diff != "" {
		t.Error("writes (-want +got):\n" + diff)
	}
}

// However much comes together, no more than 32 KB are held back, and nothing is lost.
func TestTogetherIsBounded(t *testing.T) {
	t.Parallel()
	out := &writes{}
	w := logwriter.New(out)
	record := strings.Repeat("x", 999) + "\n"
	w.Together(func() {
		for range 100 {
			write(t, w, record)
		}
		if held := 100*len(record) - len(strings.Join(out.all, "")); held > 32<<10 {
			t.Errorf("%d bytes are held back", held)
		}
	})
	if got := strings.Join(out.all, ""); got != strings.Repeat(record, 100) {
		t.Errorf("%d bytes were written; want %d", len(got), 100*len(record))
	}
	if len(out.all) > 5 {
		t.Errorf("100 KB took %d writes", len(out.all))
	}
}

// A log shows names as they are, whether its records are held back or not.
func TestNamesAreShownAsTheyAre(t *testing.T) {
	t.Parallel()
	out := &writes{}
	w := logwriter.New(out)
	log := slog.New(slog.NewJSONHandler(w, nil))
	log.Info("refused", "object", "a\u202epiz.zip")
	w.Together(func() { log.Info("refused", "object", "b\u200fpiz.zip") })
	for i, want := range []string{`"object":"a\u202epiz.zip"`, `"object":"b\u200fpiz.zip"`} {
		if got := out.all[i]; strings.ContainsAny(got, "\u202e\u200f") || !strings.Contains(got, want) {
			t.Errorf("%q does not say %s", got, want)
		}
	}
}

// broken is a log that cannot be written.
type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

// Who writes is told that the log cannot be written, except where it is held back: that must not stop a run.
func TestALogThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	full := errors.New("full")
	w := logwriter.New(broken{full})
	if _, err := io.WriteString(w, "at once\n"); !errors.Is(err, full) {
		t.Errorf("at once: %v; want %v", err, full)
	}
	w.Together(func() {
		write(t, w, strings.Repeat("x", 20<<10))
		if _, err := io.WriteString(w, strings.Repeat("y", 20<<10)); !errors.Is(err, full) {
			t.Errorf("more than is held back: %v; want %v", err, full)
		}
	})
}

// Several may write at a time: no record is within another.
func TestRecordsStayWhole(t *testing.T) {
	t.Parallel()
	out := &writes{}
	w := logwriter.New(out)
	var all sync.WaitGroup
	for _, letter := range []string{"a", "b", "c", "d"} {
		all.Go(func() {
			for i := range 50 {
				if i == 25 {
					w.Together(func() { write(t, w, strings.Repeat(letter, 9)+"\n") })
					continue
				}
				write(t, w, strings.Repeat(letter, 9)+"\n")
			}
		})
	}
	all.Wait()
	counts := map[string]int{}
	for line := range strings.Lines(strings.Join(out.all, "")) {
		counts[line]++
	}
	want := map[string]int{"aaaaaaaaa\n": 50, "bbbbbbbbb\n": 50, "ccccccccc\n": 50, "ddddddddd\n": 50}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Error("records (-want +got):\n" + diff)
	}
}
