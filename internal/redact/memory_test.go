package redact_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"cemli-executor/internal/redact"
)

// TestMemory: masking takes less than 64 bytes for each byte of 64 KB of secrets, including temporary memory,
// whatever the secrets are.
func TestMemory(t *testing.T) {
	const total = 64 << 10
	r := rand.New(rand.NewPCG(14, 5))
	random := func(n int, from string) string {
		text := make([]byte, n)
		for i := range text {
			text[i] = from[r.IntN(len(from))]
		}
		return string(text)
	}
	repeat := func(n int, value func() string) []string {
		var values []string
		for range total / n {
			values = append(values, value())
		}
		return values
	}
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	for name, secrets := range map[string][]string{
		"one":                {random(total, letters)},
		"one letter":         {strings.Repeat("a", total)},
		"the shortest":       repeat(6, func() string { return random(6, letters) }),
		"of quotes":          repeat(640, func() string { return random(640, `"'\`) }),
		"quotes and letters": repeat(640, func() string { return random(640, `"'\ab`) }),
		"of lines": {strings.TrimSuffix(
			strings.Join(repeat(8, func() string { return random(7, letters) }), "\n"), "\n")},
		"of lines of escapes": {strings.Join(repeat(16, func() string { return `%41\n&lt;` + random(6, letters) }),
			"\n")},
		"many of them": repeat(64, func() string {
			return random(20, letters) + "\n%41" + random(18, letters) + "\n&gt;" + random(16, letters)
		}),
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := redact.New(secrets)
		runtime.ReadMemStats(&after)
		size := 0
		for _, s := range secrets {
			size += len(s)
		}
		const tables = 64 << 10 // whatever the secrets are
		if used := int(after.TotalAlloc-before.TotalAlloc) - tables; used > 64*size {
			t.Errorf("%s: %d bytes for each of %d", name, used/size, size)
		} else {
			t.Logf("%s: %d bytes for each of %d", name, used/size, size)
		}
		text := fmt.Sprintf("a %s b", secrets[0])
		runtime.ReadMemStats(&before)
		if masked := m.String(text); strings.Contains(masked, secrets[0]) || len(masked) > len(text) {
			t.Errorf("%s: %.40q", name, masked)
		}
		runtime.ReadMemStats(&after)
		if used := int(after.TotalAlloc - before.TotalAlloc); used > 2<<20 {
			t.Errorf("%s: %d bytes to mask %d", name, used, len(text))
		}
	}
}
