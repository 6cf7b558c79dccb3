package redact_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cemli-executor/internal/redact"
)

// BenchmarkMasker masks what scripts print: lines of a log, source, JSON full of escapes, base64; for one secret, and
// for many with different first characters.
func BenchmarkMasker(b *testing.B) {
	var source []byte
	files, _ := filepath.Glob("*.go")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		source = append(source, text...)
	}
	texts := map[string][]byte{
		"log":    []byte(strings.Repeat("2026-01-02 03:04:05 INFO loaded 4711 rows into GL_CODE_COMBINATIONS\n", 2000)),
		"source": source,
		"json": []byte(strings.Repeat(
			`{"time":"2026-01-02T03:04:05Z","msg":"loaded \"GL\" rows",`+
				`"url":"https:\/\/erp.example.org\/a?x=%20y&amp;z=1","path":"C:\\erp\\new"}`+"\n", 1000)),
		"base64": []byte(strings.Repeat(
			"TG9yZW0gaXBzdW0gZG9sb3Igc2l0IGFtZXQsIGNvbnNlY3RldHVyIGFkaXBpc2NpbmcgZWxpdCwg\n", 2000)),
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("%c%c-secret-%d-%x", 33+i%94, 40+i%80, i, i*7919))
	}
	for _, name := range []string{"log", "source", "json", "base64"} {
		for _, list := range [][]string{{"Tiger-2026-s3cr3t"}, secrets, many} {
			b.Run(fmt.Sprintf("%s/%d", name, len(list)), func(b *testing.B) {
				text := texts[name]
				w := redact.New(list).Writer(io.Discard)
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					for at := 0; at < len(text); at += 32 << 10 {
						_, _ = w.Write(text[at:min(at+32<<10, len(text))])
					}
				}
			})
		}
	}
}
