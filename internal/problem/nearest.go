package problem

import "strings"

// Nearest returns the candidate that a person who wrote word most likely meant, or "":
// the same but for its case, or the one fewest edits away, if those are at most a third of the word.
func Nearest(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	best, distance := "", len(word)/3+1
	for _, candidate := range candidates {
		if word != "" && strings.EqualFold(word, candidate) {
			return candidate
		}
		if d := edits(word, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// edits is how many letters, in bytes, have to be changed, left out, added or swapped with their neighbour to make b of a.
func edits(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := last[j]
			if a[i] != b[j] {
				cost++
			}
			row[j+1] = min(cost, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
