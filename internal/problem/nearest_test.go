package problem

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// plainEdits is what edits is, from its definition.
func plainEdits(a, b string) int {
	table := make([][]int, len(a)+1)
	for i := range table {
		table[i] = make([]int, len(b)+1)
		for j := range table[i] {
			switch {
			case i == 0 || j == 0:
				table[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				table[i][j] = table[i-1][j-1]
			default:
				table[i][j] = table[i-1][j-1] + 1
			}
			table[i][j] = min(table[i][j], table[i-1][j]+1, table[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				table[i][j] = min(table[i][j], table[i-2][j-2]+1)
			}
		}
	}
	return table[len(a)][len(b)]
}

// What is left out to be fast does not change what is near.
func TestEditsUpToABound(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	word := func(n int) string {
		var b strings.Builder
		for range random.IntN(n) {
			b.WriteByte("abc"[random.IntN(3)])
		}
		return b.String()
	}
	for range 50_000 {
		a, b := word(14), word(18)
		want := plainEdits(a, b)
		most := random.IntN(len(a)/3 + 1)
		if got := edits(a, b, most); want <= most && got != want || want > most && got <= most {
			t.Fatalf("edits(%q, %q, %d) = %d; want %d", a, b, most, got, want)
		}
	}
}

// A word and a thousand names are compared without any memory.
func TestNearestAllocatesNothing(t *testing.T) {
	names := make([]string, 1000)
	for i := range names {
		names[i] = strings.Repeat("q", 60) + string(rune('a'+i%26))
	}
	names[7] = strings.Repeat("z", 85)
	word := strings.Repeat("z", maxWord)
	least := testing.AllocsPerRun(1, func() { Nearest(word, names) })
	for range 10 { // what else happens in this process is counted, too
		least = min(least, testing.AllocsPerRun(1, func() { Nearest(word, names) }))
	}
	if least != 0 {
		t.Errorf("%v allocations", least)
	}
}
