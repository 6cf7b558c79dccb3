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
	own          string // the name as its header has it
	flags        uint16
	method       uint16
	crc          uint32
	packed, size uint64
	offset       int64 // of its header
	data         int64 // of its data, once the header was read
}

func (e entry) folder() bool { return strings.HasSuffix(e.own, "/") }

// root tells the entry of the package's folder itself.
func (e entry) root() bool { return e.name == "" && e.own == dot }

func (e entry) file() File { return File{Name: e.name, Size: clamp(e.size)} }

// clamp makes a number of 64 bits one that sums of a few cannot overflow.
func clamp(n uint64) int64 { return int64(min(n, math.MaxInt64/4)) } // bounded

// checker collects the reasons against one archive or one folder.
type checker struct {
	limits   Limits
	file     *window
	err      error // of the file: nothing more can be said
	problems []problem.Problem
	codes    map[string]int // how often each was found
	more     int            // problems that were not kept
	entries  []entry        // in the order of the directory
	dotted   bool           // all names begin with ./
	names    names
}

func newChecker(limits Limits) *checker {
	return &checker{
		limits: limits, codes: map[string]int{},
		names: names{byFold: map[string]claim{}, folders: map[string]bool{}, clashed: map[string]bool{}},
	}
}

// mostOfACode is how many problems of one code are kept: a hostile archive has tens of
// thousands.
const mostOfACode = 100

func (c *checker) add(code, name, message string) {
	if c.codes[code]++; c.codes[code] > mostOfACode {
		c.more++
		return
	}
	c.problems = append(c.problems, refusal(code, name, message))
}

// refused makes an error of all reasons, nil if there are none.
func (c *checker) refused() error {
	if c.more > 0 {
		c.problems = append(c.problems, refusal("archive.more", "", fmt.Sprintf("there are %d more problems like these", c.more)))
	}
	return problem.Join(c.problems)
}

// stop adds a reason after which nothing else can be said.
func (c *checker) stop(code, message string) bool {
	c.add(code, "", message)
	return false
}

// fail keeps an error of the file.
func (c *checker) fail(err error) bool {
	c.err = err
	return false
}

// check looks at the whole archive, from its end to its beginning.
func (c *checker) check() {
	end, ok := c.ending()
	if !ok || !c.directory(end) {
		return
	}
	c.totals()
	c.layout(end.start)
	c.topFolder()
}

// ratioFloor is the size up to which a file may be compressed however well.
const ratioFloor = 1 << 20

func (c *checker) tooDense(size, packed int64) bool {
	return size > ratioFloor && (size-1)/max(c.limits.Ratio, 1) >= packed
}

// sizes holds one entry against the limits.
func (c *checker) sizes(e entry) {
	size, packed := clamp(e.size), clamp(e.packed)
	if size > c.limits.FileBytes {
		c.add("archive.file_too_large", e.name, fmt.Sprintf("it has %d bytes; at most %d are allowed", e.size, c.limits.FileBytes))
	}
	if c.tooDense(size, packed) {
		c.add("archive.ratio", e.name, fmt.Sprintf("%d bytes are compressed to %d; at most %d to 1 is allowed", e.size, e.packed, c.limits.Ratio))
	}
}

// totals holds all entries together against the limits.
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
		c.add("archive.too_large", "", fmt.Sprintf("the files have %d bytes; at most %d are allowed", size, c.limits.TotalBytes))
	}
	if c.tooDense(size, packed) {
		c.add("archive.ratio", "", fmt.Sprintf("%d bytes are compressed to %d; at most %d to 1 is allowed", size, packed, c.limits.Ratio))
	}
}

func (c *checker) tooManyEntries() {
	c.add("archive.too_many_entries", "", fmt.Sprintf("there are more than %d files and folders, the most that are allowed", c.limits.Entries))
}

// manifestName tells the package's root; what is in it is not this package's concern.
const manifestName = "manifest.json"

// topFolder recognises the package's folder packed instead of its contents. What
// Finder adds beside it does not count.
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

// plain tells whether a name can stand in a command as it is.
func plain(name string) bool {
	return !strings.HasPrefix(name, "-") && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}
