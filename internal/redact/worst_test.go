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

// stream is what a script prints, and whether the secret is in it.
type stream struct {
	secret string
	text   []byte
	masked bool
}

// mask masks a stream piece by piece. It returns how long that took and how much came out, and fails if too much of a
// stream without a secret is held back.
func (c stream) mask(t *testing.T, name string) (took time.Duration, size int) {
	t.Helper()
	const piece = 4 << 10
	var out counter
	start := time.Now()
	w := redact.New([]string{c.secret}).Writer(&out)
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
	return time.Since(start), out.n
}

// Whatever a script prints takes time by its length alone, and little is held back of what has no secret in it.
func TestWorstStreams(t *testing.T) {
	// slowest is how many times longer than random bytes a stream may take. They take 1 to 200 times as long; a time
	// that grows with the length of the secret as well would be above 10,000 times.
	const size, slowest = 1 << 20, 2000
	r := rand.New(rand.NewPCG(14, 6))
	random := make([]byte, size)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	ordinary, _ := stream{"Tiger-4711", random, false}.mask(t, "random")
	long := strings.Repeat("a", 60_000)
	fill := func(text string) []byte { return bytes.Repeat([]byte(text), size/len(text)+1)[:size] }
	for name, c := range map[string]stream{
		"of one letter": {long, fill("a"), true},
		"nearly":        {long + "b", fill("a"), true},
		"base64 in each line": {
			"Tiger-4711", fill(base64.StdEncoding.EncodeToString([]byte("u:Tiger-4711")) + "\n"), true,
		},
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
		took, left := c.mask(t, name)
		if t.Logf("%s: %s", name, took); took > slowest*ordinary {
			t.Errorf("%s: %s for %d bytes; random bytes take %s", name, took, len(c.text), ordinary)
		}
		if c.masked != (left < len(c.text)) {
			t.Errorf("%s: %d of %d bytes are left", name, left, len(c.text))
		}
	}
}
