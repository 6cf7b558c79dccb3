package problem

import "strings"

// maxWord is the longest word, in bytes, that anything is suggested for.
const maxWord = 64

// Nearest returns the candidate that a person who wrote word most likely meant, or "":
// the same but for its case, or the one fewest edits away, if those are at most a third of the word.
func Nearest(word string, candidates []string) string {
	if word == "" || len(word) > maxWord {
		return ""
	}
	best, most := "", len(word)/3
	for _, candidate := range candidates {
		if strings.EqualFold(word, candidate) {
			return candidate
		}
		if d := edits(word, candidate, most); d <= most {
			best, most = candidate, d-1
		}
	}
	return best
}

// edits is how many letters, in bytes, must be changed, removed, added or swapped with their neighbour to turn a into
// b; if that is more than most, it stops early and returns more than most. The word a has at most maxWord bytes.
func edits(a, b string, most int) int {
	if most < 0 || max(len(a)-len(b), len(b)-len(a)) > most {
		return most + 1
	}
	var rows [3][maxWord + maxWord/3 + 2]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := range len(a) {
		// Only letters at most this far apart can match; all others count as too far.
		first, end := max(0, i-most), min(len(b), i+most+1)
		row[first], row[min(end+1, len(b))] = most+1, most+1
		if first == 0 {
			row[0] = i + 1
		}
		least := row[first]
		for j := first; j < end; j++ {
			cost := last[j]
			if a[i] != b[j] {
				cost++
			}
			row[j+1] = min(cost, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
			least = min(least, row[j+1])
		}
		if least > most {
			return most + 1
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
