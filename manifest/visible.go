package manifest

import (
	"strings"
	"unicode"
)

// inkless are letters and symbols that show nothing: blanks that some scripts write as characters.
var inkless = map[rune]bool{
	'\u2800': true, '\U0001d159': true, '\U00013441': true, '\U00013442': true,
}

// Visible reports whether a text has a character that a person can see, and not only blanks, marks without a letter, or
// characters that control others.
func Visible(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool {
		return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) &&
			!unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) && !inkless[r]
	})
}
