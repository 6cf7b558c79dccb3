package evidence_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/evidence"
)

func TestLogKeepsArrivalOrderAndPassesLinesOn(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	var lines []string
	l := evidence.NewLog(&file, 1000, func(s evidence.Stream, batch []string) {
		for _, line := range batch {
			lines = append(lines, string(s)+" "+line)
		}
	})
	out, errs := l.Writer(evidence.Stdout), l.Writer(evidence.Stderr)
	for _, w := range []struct {
		to   interface{ Write([]byte) (int, error) }
		text string
	}{{out, "one\ntw"}, {errs, "oops\r\n"}, {out, "o\n\nlast"}} {
		if n, err := w.to.Write([]byte(w.text)); n != len(w.text) || err != nil {
			t.Fatalf("write %q: %d, %v", w.text, n, err)
		}
	}
	l.Close()
	if want := "one\ntwoops\r\no\n\nlast"; file.String() != want {
		t.Errorf("log %q; want %q", file.String(), want)
	}
	want := []string{"stdout one", "stderr oops", "stdout two", "stdout ", "stdout last"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error("live lines (-want +got):\n" + diff)
	}
	var step evidence.Step
	if err := l.Record(&step); err != nil {
		t.Fatal(err)
	}
	if step.StdoutTail != "one\ntwo\n\nlast" || step.StderrTail != "oops\r\n" || step.Truncated ||
		step.OutputSize != 19 {
		t.Errorf("step %+v", step)
	}
}

// A line of the executor's own does not end a script's line.
func TestNotesAreLines(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	var lines []string
	l := evidence.NewLog(&file, 1000, func(_ evidence.Stream, batch []string) { lines = append(lines, batch...) })
	l.Note("a")
	_, _ = l.Writer(evidence.Stdout).Write([]byte("half"))
	l.Note("b")
	_, _ = l.Writer(evidence.Stdout).Write([]byte(" of it\n"))
	l.Note("c")
	want := "[cemli] a\nhalf\n[cemli] b\n of it\n[cemli] c\n"
	if file.String() != want || strings.Join(lines, "\n")+"\n" != want {
		t.Errorf("log %q, live %q; want %q", file.String(), lines, want)
	}
}

func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	var live []string
	l := evidence.NewLog(&file, 100, func(_ evidence.Stream, lines []string) { live = append(live, lines...) })
	w := l.Writer(evidence.Stdout)
	chunk := bytes.Repeat([]byte("é"), 5000)
	for range 20 {
		_, _ = w.Write(chunk)
	}
	l.Close()
	var step evidence.Step
	if err := l.Record(&step); err != nil {
		t.Fatal(err)
	}
	if file.Len() != 100 || !step.Truncated || step.OutputSize != 200_000 {
		t.Errorf("log %d bytes, truncated %v, output %d", file.Len(), step.Truncated, step.OutputSize)
	}
	if len(step.StdoutTail) > evidence.TailBytes || strings.ContainsRune(step.StdoutTail, '\uFFFD') {
		t.Errorf("tail of %d bytes is too long or cut inside a character", len(step.StdoutTail))
	}
	if len(live) != 2 || !strings.Contains(live[0], "more output") || live[1] != strings.Repeat("é", 50) {
		t.Errorf("live lines %.200q", live)
	}
}

// A line without an end must not grow without bound in memory.
func TestLongLinesArePassedOnInPieces(t *testing.T) {
	t.Parallel()
	longest, total := 0, 0
	l := evidence.NewLog(&bytes.Buffer{}, 1<<20, func(_ evidence.Stream, lines []string) {
		for _, line := range lines {
			longest, total = max(longest, len(line)), total+len(line)
		}
	})
	for range 100 {
		_, _ = l.Writer(evidence.Stdout).Write(bytes.Repeat([]byte("x"), 10_000))
	}
	l.Close()
	if longest > 8<<10 || total != 1_000_000 {
		t.Errorf("longest piece %d bytes, %d in all", longest, total)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestLogSurvivesAFullDisk(t *testing.T) {
	t.Parallel()
	l := evidence.NewLog(fullDisk{}, 100, nil)
	var writers sync.WaitGroup
	for _, s := range []evidence.Stream{evidence.Stdout, evidence.Stderr} {
		writers.Go(func() { _, _ = l.Writer(s).Write([]byte("text\n")) })
	}
	writers.Wait()
	l.Close()
	var step evidence.Step
	if err := l.Record(&step); err == nil || !step.Truncated || step.StdoutTail != "text\n" {
		t.Errorf("error %v, step %+v; want the error, truncated, and the tail all the same", err, step)
	}
}

func TestBinaryOutputBecomesText(t *testing.T) {
	t.Parallel()
	l := evidence.NewLog(&bytes.Buffer{}, 1<<20, nil)
	_, _ = l.Writer(evidence.Stdout).Write([]byte{'a', 0xff, 0, 'b'})
	var step evidence.Step
	if err := l.Record(&step); err != nil {
		t.Fatal(err)
	}
	if step.StdoutTail != "a\uFFFD\x00b" {
		t.Errorf("tail %q", step.StdoutTail)
	}
}
