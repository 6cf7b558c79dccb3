package bundle

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Bounds of a path in bytes, of its segments, and of their number.
const (
	maxName    = 1024
	maxSegment = 255
	maxDepth   = 32
)

// nameRules are the rules for a path, which is given without the slash at the end of a folder.
var nameRules = []struct {
	code, message string
	broken        func(path string) bool
}{
	{"archive.not_utf8", "the name is not UTF-8", func(p string) bool { return !utf8.ValidString(p) }},
	{"archive.control_character", "the name has a control or bidirectional-control character", func(p string) bool {
		return strings.ContainsFunc(p,
			func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) })
	}},
	{"archive.backslash", "the name has a backslash", func(p string) bool { return strings.Contains(p, `\`) }},
	{
		"archive.absolute_path", "the path begins with a slash or a drive",
		func(p string) bool { return strings.HasPrefix(p, "/") || hasDrive(p) },
	},
	{"archive.path_traversal", "the path has a .. segment", func(p string) bool {
		return anySegment(p, func(s string) bool { return s == ".." })
	}},
	{"archive.path_segment", "the path has an empty or . segment", func(p string) bool {
		return anySegment(strings.TrimLeft(p, "/"), func(s string) bool { return s == "" || s == "." })
	}},
	{
		"archive.name_too_long", "the path is longer than 1,024 bytes or has a segment longer than 255",
		func(p string) bool {
			return len(p) > maxName || anySegment(p, func(s string) bool { return len(s) > maxSegment })
		},
	},
	{
		"archive.too_deep", "the path is more than 32 levels deep",
		func(p string) bool { return strings.Count(p, "/") >= maxDepth },
	},
}

func hasDrive(p string) bool {
	return len(p) > 1 && p[1] == ':' && (p[0]|0x20 >= 'a' && p[0]|0x20 <= 'z')
}

func anySegment(p string, test func(string) bool) bool {
	for s := range strings.SplitSeq(p, "/") {
		if test(s) {
			return true
		}
	}
	return false
}

// name lists what is wrong with an entry's name; it returns false if anything is.
func (c *checker) name(name string) bool {
	good, path := true, strings.TrimSuffix(name, "/")
	for _, rule := range nameRules {
		if rule.broken(path) {
			good = false
			c.add(rule.code, name, rule.message)
		}
	}
	if top, _, below := strings.Cut(name, "/"); fold(top)+"/" == Reserved && (top+"/" != Reserved || !below) {
		good = false
		c.add("archive.reserved_name", name, "the name differs from .cemli only in its letters, or .cemli is a file")
	}
	return good
}

// names are the names of an archive so far, to find names that some file systems treat as the same.
type names struct {
	byFold  map[string]claim
	folders map[string]bool // already claimed as a parent
	clashed map[string]bool // already refused
}

// claim is the first use of a name.
type claim struct {
	name string
	kind claimKind
}

type claimKind int

const (
	claimParent claimKind = iota // a folder, because something is in it
	claimFolder                  // a folder with an entry
	claimFile
)

// crowded reports whether there are more files and folders than allowed. Folders without an entry count as well,
// because they are created, too.
func (c *checker) crowded() bool { return len(c.names.byFold) > c.limits.Entries }

// unique claims an entry's valid name and the folders above it.
func (c *checker) unique(name string) {
	path, kind := strings.TrimSuffix(name, "/"), claimFile
	if path != name {
		kind = claimFolder
	}
	for dir := parent(path); dir != "" && !c.names.folders[dir] && !c.crowded(); dir = parent(dir) {
		c.names.folders[dir] = true
		c.claim(dir, claimParent)
	}
	if !c.crowded() {
		c.claim(path, kind)
	}
}

// claim claims a name, or lists the conflict with its first use.
func (c *checker) claim(path string, kind claimKind) {
	key := fold(path)
	known, taken := c.names.byFold[key]
	switch {
	case !taken || known.name == path && known.kind == claimParent && kind == claimFolder:
		c.names.byFold[key] = claim{path, kind}
	case known.name == path && kind == claimParent && known.kind != claimFile:
	case c.names.clashed[path]:
	case known.name != path:
		c.names.clashed[path] = true
		c.add("archive.case_duplicate", path, "some systems take it for "+printable(known.name))
	case known.kind == kind:
		c.names.clashed[path] = true
		c.add("archive.duplicate", path, "the name occurs twice")
	default:
		c.names.clashed[path] = true
		c.add("archive.file_and_folder", path, "it is a file and a folder")
	}
}

// fold is the form in which names must differ: canonical, and without case.
func fold(name string) string {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return norm.NFC.String(cases.Fold().String(norm.NFD.String(name)))
		}
	}
	return strings.ToLower(name)
}

// printable shows a harmless name as it is, and any other quoted, and cut to the greatest length of a valid one.
func printable(name string) string {
	const enough = maxName + 64
	cut := ""
	if len(name) > enough {
		name, cut = name[:enough], "…"
	}
	if quoted := strconv.QuoteToGraphic(name); quoted != `"`+name+`"` {
		name = quoted
	}
	return name + cut
}
