package manifest

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"cemli-executor/internal/document"
	"cemli-executor/internal/strictjson"
)

// readName returns the package's name, or a hint how to spell it.
func readName(n document.Node) string {
	const form = "1 to 63 of a-z 0-9 . _ - that begin with a letter or digit"
	if text, ok := strictjson.Text(n.Value()); ok && !nameRule.MatchString(text) {
		hint := ""
		near := strings.Trim(unnamed.ReplaceAllString(strings.ToLower(text), "-"), "._-")
		if nameRule.MatchString(near) {
			hint = "call it " + near
		}
		n.Bad("manifest.name", fmt.Sprintf("%q is not %s", document.Printable(text), form), hint)
		return ""
	}
	return n.Word("manifest.name", nameRule, form)
}

// unnamed matches characters that no package's name has.
var unnamed = regexp.MustCompile(`[^a-z0-9._-]+`)

// versionHint returns how to write a version such as v1.0.
func versionHint(text string) string {
	plain := strings.TrimLeft(text, "vV") + strings.Repeat(".0", max(0, 2-strings.Count(text, ".")))
	if !versionRule.MatchString(plain) {
		return ""
	}
	return "write " + plain
}

// otherLanguage returns what to do about a document that is almost JSON; line is the one that cannot be read.
func otherLanguage(doc []byte, line int) string {
	text := []byte{}
	if lines := bytes.Split(doc, []byte("\n")); line > 0 && line <= len(lines) {
		text = bytes.TrimLeft(lines[line-1], strictjson.Space+"{[,")
	}
	first := bytes.TrimLeft(doc, strictjson.Space)
	switch {
	case bytes.HasPrefix(text, []byte("'")):
		return "write texts and keys in double quotes"
	case bytes.HasPrefix(text, []byte("//")), bytes.HasPrefix(text, []byte("/*")), bytes.HasPrefix(text, []byte("#")):
		return "JSON has no comments: say it under a key that begins with x-"
	case !bytes.HasPrefix(first, []byte("{")) && keyRule.Match(first):
		return `write JSON, such as {"name":"…","version":"1.0.0","type":"extension"}`
	}
	return ""
}

// keyRule matches the beginning of YAML and similar formats.
var keyRule = regexp.MustCompile(`^(---|[A-Za-z_]+ *[:=])`)
