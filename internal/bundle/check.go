package bundle

import (
	"fmt"
	"math"
	"strings"

	"cemli-executor/internal/problem"
)

// entry is a file or folder of an archive whose headers were read.
type entry struct {
	name         string
	own          string // the name in its header
	flags        uint16
	method       uint16
	crc          uint32
	packed, size uint64
	offset       int64 // the offset of its header
	data         int64 // the offset of its data, once the header was read
}

func (e entry) folder() bool { return strings.HasSuffix(e.own, "/") }

// root reports whether this is the entry of the package's own folder.
func (e entry) root() bool { return e.name == "" && e.own == dot }

func (e entry) file() File { return File{Name: e.name, Size: clamp(e.size)} }

// clamp limits a 64-bit number so that sums of a few cannot overflow.
func clamp(n uint64) int64 { return int64(min(n, math.MaxInt64/4)) } // bounded

// findings are the reasons to refuse one archive or one folder.
type findings struct {
	err      error // reading failed: nothing more can be said
	problems []problem.Problem
	codes    map[string]int // how often each code was found
	more     int            // problems that were not kept
}

// checker looks for reasons to refuse one archive or one folder.
type checker struct {
	findings
	limits  Limits
	file    *window
	entries []entry // in directory order
	dotted  bool    // all names begin with ./
	names   names
}

func newChecker(limits Limits) *checker {
	return &checker{
		limits: limits, findings: findings{codes: map[string]int{}},
		names: names{byFold: map[string]claim{}, folders: map[string]bool{}, clashed: map[string]bool{}},
	}
}

// mostOfACode is how many problems of one code are kept: a hostile archive has tens of thousands.
const mostOfACode = 100

func (c *findings) add(code, name, message string) {
	if c.codes[code]++; c.codes[code] > mostOfACode {
		c.more++
		return
	}
	c.problems = append(c.problems, refusal(code, name, message))
}

// refused is the error with all reasons; nil if there are none.
func (c *findings) refused() error {
	if c.more > 0 {
		c.problems = append(c.problems,
			refusal("archive.more", "", fmt.Sprintf("there are %d more problems like these", c.more)))
	}
	return problem.Join(c.problems)
}

// stop adds a reason that makes all further checks pointless.
func (c *findings) stop(code, message string) bool {
	c.add(code, "", message)
	return false
}

// fail notes an error of reading the file.
func (c *findings) fail(err error) bool {
	c.err = err
	return false
}

// check checks the whole archive, from its end to its beginning.
func (c *checker) check() {
	end, ok := endSearch{c}.ending()
	if !ok || !c.directory(end) {
		return
	}
	c.totals()
	c.layout(end.start)
	c.topFolder()
}

// ratioFloor is the size up to which a file may be compressed at any ratio.
const ratioFloor = 1 << 20

func (c *checker) tooDense(size, packed int64) bool {
	return size > ratioFloor && (size-1)/max(c.limits.Ratio, 1) >= packed
}

// sizes checks one entry against the limits.
func (c *checker) sizes(e entry) {
	size, packed := clamp(e.size), clamp(e.packed)
	if size > c.limits.FileBytes {
		c.add("archive.file_too_large", e.name,
			fmt.Sprintf("it has %d bytes; at most %d are allowed", e.size, c.limits.FileBytes))
	}
	if c.tooDense(size, packed) {
		c.add("archive.ratio", e.name,
			fmt.Sprintf("%d bytes are compressed to %d; at most %d to 1 is allowed", e.size, e.packed, c.limits.Ratio))
	}
}

// totals checks all entries together against the limits.
func (c *checker) totals() {
	const enough = math.MaxInt64 / 4
	if c.crowded() {
		c.tooManyEntries()
	}
	var size, packed int64
	for _, e := range c.entries {
		size, packed = min(size+clamp(e.size), enough), min(packed+clamp(e.packed), enough)
	}
	if size > c.limits.TotalBytes {
		c.add("archive.too_large", "",
			fmt.Sprintf("the files have %d bytes; at most %d are allowed", size, c.limits.TotalBytes))
	}
	if c.tooDense(size, packed) {
		c.add("archive.ratio", "",
			fmt.Sprintf("%d bytes are compressed to %d; at most %d to 1 is allowed", size, packed, c.limits.Ratio))
	}
}

func (c *checker) tooManyEntries() {
	c.add("archive.too_many_entries", "",
		fmt.Sprintf("there are more than %d files and folders, the most that are allowed", c.limits.Entries))
}

// manifestName identifies the package's root; this package does not read the manifest.
const manifestName = "manifest.json"

// topFolder recognises archives that contain the package's folder instead of its contents. It ignores what Finder
// adds beside the folder.
func (c *checker) topFolder() {
	top, found := "", false
	for _, e := range c.entries {
		if e.root() || strings.HasPrefix(e.name, "__MACOSX/") || strings.HasPrefix(e.name, Reserved) {
			continue
		}
		dir, rest, ok := strings.Cut(e.name, "/")
		if !ok || top != "" && dir != top {
			return
		}
		top, found = dir, found || rest == manifestName
	}
	if !found {
		return
	}
	p := refusal("archive.top_folder", top+"/", "everything is in one folder instead of at the root")
	if plain(top) {
		p.Hint = strings.NewReplacer("FOLDER", top, "NAME", top).Replace(p.Hint)
	}
	c.problems = append(c.problems, p)
}

// plain reports whether a name can be written in a command without quotes.
func plain(name string) bool {
	return !strings.HasPrefix(name, "-") &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}
