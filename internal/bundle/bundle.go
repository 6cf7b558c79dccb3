// Package bundle is the zip of a package: what may be in it, how it is read, and how
// it is written.
//
// Check is the front gate. It reads the records at the zip's end, the whole directory and every entry's own header,
// inflates nothing, and refuses the archive with every reason it finds; package codes lists them all. The records
// must follow each other from the first byte to the last, with nothing before, between or after them, and none twice,
// so that every program that reads the zip sees the same files in it.
//
// Names are UTF-8 whatever the flags say: clean relative paths of at most 1,024 bytes,
// 255 per segment and 32 segments, different from each other also after NFC and full
// case folding. Entries are files and folders, stored or deflated. Files that tools
// add of their own accord (.DS_Store, __MACOSX/) are files like all others. Entries
// below .cemli/ are reserved: ReadFile reads them, but they are neither extracted nor
// covered by the dirhash. Folders that no file is in do not count.
//
// Extract and ReadFile refuse data that is not exactly what the headers promise, and never write or return more bytes
// than were checked against the limits. Create writes the one zip of a folder that depends only on the names and
// contents of its files, and refuses what Check would refuse.
package bundle

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Reserved is the folder of a package that scripts never see.
const Reserved = ".cemli/"

// Limits bound what an archive may hold.
type Limits struct {
	Entries    int   // files and folders, including reserved ones and folders without an entry
	FileBytes  int64 // of one file, uncompressed
	TotalBytes int64 // of all files, uncompressed
	Ratio      int64 // uncompressed to compressed, of each file over 1 MiB and of all
}

// DefaultLimits are 10,000 entries, 1 GiB for one file and for all, and a ratio of 200. Except for the number of
// entries, that is more than a function's /tmp holds (768 MB, 24,576 inodes), and ten times what ordinary text
// compresses to.
func DefaultLimits() Limits {
	return Limits{Entries: 10_000, FileBytes: 1 << 30, TotalBytes: 1 << 30, Ratio: 200}
}

// Archive is an archive that Check accepted. Several goroutines may use it if they may use its source.
type Archive struct {
	r        io.ReaderAt
	files    []entry // the files to extract, in byte order of names
	reserved []entry // the files below Reserved, in byte order of names
	folders  []string
}

// File describes a file of an archive.
type File struct {
	Name string
	Size int64 // bytes, uncompressed
}

// Footprint is how much space the contents take when they are extracted.
type Footprint struct {
	Bytes  int64 // files rounded up to blocks of 4,096, and one block for each folder
	Inodes int64 // files and folders
}

// Check reads the directory and the headers of an archive of size bytes. It reads blocks of 256 KiB, first the end
// and then in order of offsets, and the directory, of at most 2 KiB per allowed entry, in one piece.
//
// The error is a *problem.Error with every reason to refuse the archive, each with the entry's name in printable
// form. If a code occurs more than 100 times, it lists 100 and says how many more there are. Otherwise the error
// wraps that of r.
func Check(r io.ReaderAt, size int64, limits Limits) (*Archive, error) {
	c := newChecker(limits)
	c.file = &window{r: r, size: size}
	c.check()
	if c.err != nil {
		return nil, fmt.Errorf("read archive: %w", c.err)
	}
	if err := c.refused(); err != nil {
		return nil, err
	}
	return newArchive(r, c.entries), nil
}

func newArchive(r io.ReaderAt, entries []entry) *Archive {
	a := &Archive{r: r}
	for _, e := range entries {
		switch {
		case e.folder():
		case strings.HasPrefix(e.name, Reserved):
			a.reserved = append(a.reserved, e)
		default:
			a.files = append(a.files, e)
		}
	}
	byName := func(a, b entry) int { return cmp.Compare(a.name, b.name) }
	slices.SortFunc(a.files, byName)
	slices.SortFunc(a.reserved, byName)
	a.folders = foldersOf(a.files)
	return a
}

// foldersOf lists the folders above the files, each after the folder that it is in.
func foldersOf(files []entry) []string {
	var folders []string
	seen := map[string]bool{}
	for _, f := range files {
		for dir := parent(f.name); dir != "" && !seen[dir]; dir = parent(dir) {
			seen[dir] = true
			folders = append(folders, dir)
		}
	}
	slices.Sort(folders)
	return folders
}

// parent is the folder of a name, without a slash at the end; "" at the root.
func parent(name string) string {
	return name[:max(0, strings.LastIndexByte(name, '/'))]
}

// Files lists the files that Extract writes, in byte order of their names.
func (a *Archive) Files() []File { return describe(a.files) }

// ReservedFiles lists the files below Reserved, in byte order of their names.
func (a *Archive) ReservedFiles() []File { return describe(a.reserved) }

func describe(entries []entry) []File {
	files := make([]File, len(entries))
	for i, e := range entries {
		files[i] = e.file()
	}
	return files
}

// Footprint returns how much space Extract will need.
func (a *Archive) Footprint() Footprint {
	const block = 4096
	need := Footprint{Inodes: int64(len(a.files) + len(a.folders)), Bytes: int64(len(a.folders)) * block}
	for _, e := range a.files {
		need.Bytes += (e.file().Size + block - 1) / block * block
	}
	return need
}

// Stat describes the file of that name, which may be reserved; false if there is none.
func (a *Archive) Stat(name string) (File, bool) {
	e, ok := a.find(name)
	return e.file(), ok
}

func (a *Archive) find(name string) (entry, bool) {
	list := a.files
	if strings.HasPrefix(name, Reserved) {
		list = a.reserved
	}
	i, ok := slices.BinarySearchFunc(list, name, func(e entry, name string) int { return cmp.Compare(e.name, name) })
	if !ok {
		return entry{}, false
	}
	return list[i], true
}
