package evidence_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/evidence"
)

func TestTimesOfALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := evidence.NewLog(&bytes.Buffer{}, 20, nil)
		out, errs := l.Writer(evidence.Stdout), l.Writer(evidence.Stderr)
		for _, c := range []struct {
			after time.Duration
			to    interface{ Write([]byte) (int, error) }
			text  string
		}{
			{0, out, "one\n"},
			{99 * time.Millisecond, out, "two\n"},
			{0, errs, "no\n"},
			{0, out, "three\n"},
			{time.Second, out, "four, which is the last one"},
			{time.Hour, out, "not kept"},
		} {
			time.Sleep(c.after) // the clock of the bubble
			_, _ = c.to.Write([]byte(c.text))
		}
		doc, err := l.Times().Encode()
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"schema_version":1,"start":%q,"every_ms":100,`+
			`"entries":[[0,0,"stdout"],[8,99,"stderr"],[11,99,"stdout"],[17,1099,"stdout"]]}`+"\n",
			start.UTC().Format(time.RFC3339Nano))
		if diff := cmp.Diff(want, string(doc)); diff != "" {
			t.Error("times (-want +got):\n" + diff)
		}
		back, err := evidence.DecodeTimes(doc)
		if err != nil || len(back.Moments) != 4 ||
			back.Moments[1] != (evidence.Moment{Offset: 8, MS: 99, Stream: evidence.Stderr}) {
			t.Errorf("%+v, %v", back, err)
		}
	})
}

// The times of an output stay small and cover its whole length, however long and mixed it is.
func TestTimesAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		every    time.Duration
		writes   int
		streams  int
		exact    int64 // at most, in milliseconds
		tellsAll bool
	}{
		"an hour of lines":     {200 * time.Millisecond, 18_000, 1, 2000, true},
		"two streams in turns": {time.Millisecond, 100_000, 2, 400, false},
		"all at once":          {0, 100_000, 2, 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := evidence.NewLog(&bytes.Buffer{}, 1<<20, nil)
				for n := range c.writes {
					time.Sleep(c.every)
					s := evidence.Stdout
					if n%c.streams > 0 {
						s = evidence.Stderr
					}
					_, _ = l.Writer(s).Write([]byte("x\n"))
				}
				times := l.Times()
				doc, err := times.Encode()
				if err != nil || len(doc) > 120_000 || len(times.Moments) == 0 || times.EveryMS > c.exact {
					t.Fatalf("%d bytes, %d moments every %d ms, %v", len(doc), len(times.Moments), times.EveryMS, err)
				}
				for i, m := range times.Moments {
					at := m.Offset / 2 // one write is 2 bytes
					came := (time.Duration(at+1) * c.every).Milliseconds()
					if came < m.MS || came-m.MS > times.EveryMS {
						t.Fatalf("entry %d says %d ms for what came after %d ms", i, m.MS, came)
					}
					if c.tellsAll && m.Stream != evidence.Stdout {
						t.Fatalf("entry %d is of %s", i, m.Stream)
					}
				}
			})
		})
	}
}

func TestBadTimes(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		``, `{}`, `{"schema_version":2}`, `{"schema_version":1,"entries":[[1,2]]}`,
		`{"schema_version":1,"entries":[["a",2,"stdout"]]}`,
	} {
		if _, err := evidence.DecodeTimes([]byte(doc)); err == nil {
			t.Errorf("%s was read", doc)
		}
	}
}
