package bundle

import (
	"archive/zip"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"cemli-executor/internal/problem"
)

// Bounds of a name.
const (
	maxName    = 1024
	maxSegment = 255
	maxDepth   = 32
)

// checker collects the reasons against one archive.
type checker struct {
	limits   Limits
	problems []problem.Problem
	files    []*zip.File
	// names has every name seen, files and the folders above them, by folded form.
	names map[string]string
}

func (c *checker) add(code, name, message, hint string) {
	c.problems = append(c.problems, problem.Problem{Code: code, Where: shown(name), Message: message, Hint: hint})
}

// shown makes a name safe to print.
func shown(name string) string {
	quoted := strconv.QuoteToGraphic(name)
	if quoted == `"`+name+`"` {
		return name
	}
	return quoted
}

func (c *checker) check(entries []*zip.File) {
	if len(entries) > c.limits.Entries {
		c.add("archive.too_many_entries", "", fmt.Sprintf("the archive has %d entries; at most %d are allowed", len(entries), c.limits.Entries), "pack fewer files")
		return
	}
	var total, packed uint64
	for _, f := range entries {
		before := len(c.problems)
		c.entry(f)
		total, packed = total+min(f.UncompressedSize64, 1<<50), packed+min(f.CompressedSize64, 1<<50)
		folder := strings.HasSuffix(f.Name, "/")
		if len(c.problems) == before && !folder && !strings.HasPrefix(f.Name, Reserved) {
			c.files = append(c.files, f)
		}
	}
	if total > uint64(c.limits.TotalBytes) { //nolint:gosec // limits are positive
		c.add("archive.too_large", "", fmt.Sprintf("the contents have %d bytes; at most %d are allowed", total, c.limits.TotalBytes), "take large files out of the package")
	}
	if c.tooDense(total, packed) {
		c.add("archive.ratio", "", "the archive is compressed more than ordinary files can be", "store large uniform files elsewhere")
	}
	c.topFolder()
}

// entry checks one entry by its directory record.
func (c *checker) entry(f *zip.File) {
	mode := f.Mode()
	folder := strings.HasSuffix(f.Name, "/")
	if why := badName(strings.TrimSuffix(f.Name, "/")); why != "" {
		c.add("archive.name", f.Name, why, "rename the file and make the zip again")
		return
	}
	switch {
	case mode&fs.ModeSymlink != 0:
		c.add("archive.link", f.Name, "it is a link", "pack the file itself")
	case mode&(fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket|fs.ModeIrregular) != 0:
		c.add("archive.special_file", f.Name, "it is neither a file nor a folder", "leave it out")
	case mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0:
		c.add("archive.mode", f.Name, "its mode has setuid, setgid or sticky", "clear it with chmod a-st")
	case mode.IsDir() != folder:
		c.add("archive.folder", f.Name, "its name and its mode do not agree whether it is a folder", "make the zip again")
	}
	if f.Flags&1 != 0 {
		c.add("archive.encrypted", f.Name, "it is encrypted", "make the zip without a password")
	}
	if f.Method != zip.Store && f.Method != zip.Deflate {
		c.add("archive.method", f.Name, fmt.Sprintf("compression method %d is not allowed", f.Method), "use deflate, the default of every tool")
	}
	if f.UncompressedSize64 > uint64(c.limits.FileBytes) { //nolint:gosec // limits are positive
		c.add("archive.file_too_large", f.Name, fmt.Sprintf("it has %d bytes; at most %d are allowed", f.UncompressedSize64, c.limits.FileBytes), "take it out of the package")
	}
	if c.tooDense(f.UncompressedSize64, f.CompressedSize64) {
		c.add("archive.ratio", f.Name, "it is compressed more than ordinary files can be", "store large uniform files elsewhere")
	}
	c.unique(f.Name, folder)
}

func (c *checker) tooDense(size, packed uint64) bool {
	return size > ratioFloor && size/max(packed, 1) > uint64(c.limits.Ratio) //nolint:gosec // limits are positive
}

// badName says why a name, without a folder's slash, is refused; "" if it is not.
func badName(name string) string {
	switch {
	case !utf8.ValidString(name):
		return "the name is not UTF-8"
	case len(name) > maxName:
		return "the name is longer than 1,024 bytes"
	case strings.Contains(name, `\`):
		return "the name has a backslash"
	case strings.HasPrefix(name, "/"):
		return "the path is absolute"
	case len(name) > 1 && name[1] == ':':
		return "the path begins with a drive"
	case strings.ContainsFunc(name, forbidden):
		return "the name has a control or bidirectional-override character"
	}
	segments := strings.Split(name, "/")
	if len(segments) > maxDepth {
		return "the path is more than 32 levels deep"
	}
	for _, s := range segments {
		switch {
		case s == "" || s == "." || s == "..":
			return "the path has an empty, . or .. segment"
		case len(s) > maxSegment:
			return "a segment of the path is longer than 255 bytes"
		}
	}
	return ""
}

func forbidden(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// unique refuses names that a file system might take for one another.
func (c *checker) unique(name string, folder bool) {
	name = strings.TrimSuffix(name, "/")
	for dir := parent(name); dir != ""; dir = parent(dir) {
		if !c.claim(dir, true) {
			return
		}
	}
	if !c.claim(name, folder) {
		return
	}
	if !folder {
		key := fold(name)
		if c.names[key+"\x00file"] != "" {
			c.add("archive.duplicate", name, "the name occurs twice", "make the zip again without it")
		}
		c.names[key+"\x00file"] = name
	}
}

// claim records a name as a file or a folder, and reports whether it is free for that.
func (c *checker) claim(name string, folder bool) bool {
	kind := "file"
	if folder {
		kind = "folder"
	}
	key := fold(name)
	known, ok := c.names[key]
	if !ok {
		c.names[key] = kind + name
		return true
	}
	switch known {
	case kind + name:
		return true
	case "file" + name, "folder" + name:
		c.add("archive.file_and_folder", name, "it is a file and a folder", "rename one of them")
	default:
		other := strings.TrimPrefix(strings.TrimPrefix(known, "file"), "folder")
		c.add("archive.case_duplicate", name, "some systems take it for "+shown(other), "rename one of them")
	}
	return false
}

// fold is the form in which names must differ.
func fold(name string) string { return cases.Fold().String(norm.NFC.String(name)) }

// topFolder recognises a zip of the package's folder instead of its contents.
func (c *checker) topFolder() {
	top, found := "", false
	for _, f := range c.files {
		dir, rest, ok := strings.Cut(f.Name, "/")
		if !ok || top != "" && dir != top {
			return
		}
		top, found = dir, found || rest == "manifest.json"
	}
	if found {
		c.add("archive.top_folder", top+"/", "everything in the archive is under one folder",
			"pack its contents instead: cd "+shown(top)+" && zip -r ../package.zip .")
	}
}
