package redact_test

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/redact"
)

// counter counts what is written to it.
type counter struct{ n int }

func (c *counter) Write(p []byte) (int, error) {
	c.n += len(p)
	return len(p), nil
}

// Whatever a script prints takes time by its length, and where there is no secret little of it is held back.
func TestWorstStreams(t *testing.T) {
	const size, piece = 1 << 20, 4 << 10
	r := rand.New(rand.NewPCG(14, 6))
	random := make([]byte, size)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	long := strings.Repeat("a", 60_000)
	fill := func(text string) []byte { return bytes.Repeat([]byte(text), size/len(text)+1)[:size] }
	for name, c := range map[string]struct {
		secret string
		text   []byte
		masked bool
	}{
		"of one letter":           {long, fill("a"), true},
		"nearly":                  {long + "b", fill("a"), true},
		"base64 in each line":     {"Tiger-4711", fill(base64.StdEncoding.EncodeToString([]byte("u:Tiger-4711")) + "\n"), true},
		"in each line":            {"Tiger-4711", fill("pw=Tiger-4711\n"), true},
		"escapes":                 {"Tiger-4711&x", fill(`\u0054iger\u002d4711\u0026\x`), true},
		"openers":                 {"%%%%%%\\&&", fill(`%&\`), false},
		"ends of lines after one": {"\nTiger-4711", append([]byte("xxxxxxxxT"), fill("\n")...), false},
		"NULs after one":          {"Tiger-4711", append([]byte("Tiger-471"), fill("\x00")...), false},
		"backslashes after one":   {"Tiger\\4711", append([]byte("Tiger"), fill("\\")...), false},
		"quotes":                  {`"Tiger'4711"`, fill(`"'`), false},
		"of quotes alone":         {`""""""''`, fill(`"'`), false},
		"random":                  {"Tiger-4711", random, false},
	} {
		var out counter
		w := redact.New([]string{c.secret}).Writer(&out)
		start := time.Now()
		for at := 0; at < len(c.text); at += piece {
			if _, err := w.Write(c.text[at:min(at+piece, len(c.text))]); err != nil {
				t.Fatal(err)
			}
			if held := at + piece - out.n; !c.masked && held > 128<<10 {
				t.Fatalf("%s: %d bytes are held back", name, held)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: %s for %d bytes", name, took, len(c.text))
		} else {
			t.Logf("%s: %s", name, took)
		}
		if c.masked != (out.n < len(c.text)) {
			t.Errorf("%s: %d of %d bytes are left", name, out.n, len(c.text))
		}
	}
}
