package bundle

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// ending is what the records at a zip's end say about its directory.
type ending struct {
	entries     uint64
	start, size int64 // of the directory, which lies within the file
}

// endings is how far before the zip's end its end records may begin.
const endings = lenEnd64 + lenLocator64 + lenEnd + unknown16

// recordBytes is the most that the directory may take for one entry: its record, a name of maximal length, and as
// much again for extra fields and a comment.
const recordBytes = 2048

// endSearch looks for the end record of an archive.
type endSearch struct{ *checker }

// ending finds the end records, which must end where the file does.
func (c endSearch) ending() (ending, bool) {
	if c.file.size == 0 {
		return ending{}, c.stop("archive.empty", "the file has no bytes")
	}
	tail, err := c.file.tail(endings)
	if err != nil {
		return ending{}, c.fail(err)
	}
	at, ok := c.findEnd(tail)
	if !ok {
		return ending{}, false
	}
	return c.readEnd(tail, at)
}

// findEnd returns the index of the end record in the file's tail.
func (c endSearch) findEnd(tail []byte) (int, bool) {
	var all, exact []int
	for at := 0; at+4 <= len(tail); at++ {
		next := bytes.Index(tail[at:], signature(sigEnd))
		if next < 0 {
			break
		}
		at += next
		all = append(all, at)
		if endLength(tail[at:]) == len(tail)-at {
			exact = append(exact, at)
		}
	}
	switch {
	case len(all) == 0:
		return 0, c.noEnd()
	case len(exact) == 0 && endLength(tail[all[len(all)-1]:]) > len(tail)-all[len(all)-1]:
		return 0, c.stop("archive.truncated", "the zip is cut off in its last record")
	case len(exact) == 0:
		return 0, c.stop("archive.trailing_data", "there is something after the zip's end")
	case len(exact) > 1 || exact[0] != all[len(all)-1]:
		return 0, c.stop("archive.two_ends", "the zip has more than one end record")
	}
	return exact[0], true
}

func signature(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

// endLength is the length of the end record at the beginning of b.
func endLength(b []byte) int {
	if len(b) < lenEnd {
		return lenEnd
	}
	return lenEnd + int(u16(b[20:]))
}

func (c endSearch) noEnd() bool {
	if c.file.size < 4 {
		return c.stop("archive.not_a_zip", "the file is not a zip")
	}
	start, err := c.file.at(0, 4)
	switch {
	case err != nil:
		return c.fail(err)
	case u32(start) == sigLocal:
		return c.stop("archive.truncated", "the zip is cut off: its end is missing")
	}
	return c.stop("archive.not_a_zip", "the file is not a zip")
}

// readEnd reads the end record at an index of the tail, and the 64-bit records before it.
func (c endSearch) readEnd(tail []byte, at int) (ending, bool) {
	b := tail[at:]
	disk, first, here := uint64(u16(b[4:])), uint64(u16(b[6:])), uint64(u16(b[8:]))
	entries, size, start := uint64(u16(b[10:])), uint64(u32(b[12:])), uint64(u32(b[16:]))
	records := c.file.size - int64(len(tail)-at) // where the end records begin

	values := []wide{
		{&disk, unknown16, 4},
		{&first, unknown16, 4},
		{&here, unknown16, 8},
		{&entries, unknown16, 8},
		{&size, unknown32, 8},
		{&start, unknown32, 8},
	}
	if at >= lenLocator64 && u32(tail[at-lenLocator64:]) == sigLocator64 {
		records -= lenEnd64 + lenLocator64
		if !c.readEnd64(tail[:at], records, values) {
			return ending{}, false
		}
	} else if !widen(nil, values) {
		return ending{}, c.stop("archive.zip64", "the end record refers to a 64-bit one that is not there")
	}
	if disk != 0 || first != 0 || here != entries {
		return ending{}, c.stop("archive.multi_disk", "the zip is part of a set that was split")
	}
	if !c.directoryPlace(start, size, records) || !c.directorySize(entries, clamp(size)) {
		return ending{}, false
	}
	return ending{entries: entries, start: clamp(start), size: clamp(size)}, true
}

// readEnd64 reads the 64-bit end record and its locator at the end of tail.
func (c endSearch) readEnd64(tail []byte, records int64, values []wide) bool {
	locator := tail[len(tail)-lenLocator64:]
	if len(tail) < lenEnd64+lenLocator64 {
		return c.stop("archive.zip64", "the 64-bit end record is missing")
	}
	b := tail[len(tail)-lenEnd64-lenLocator64:]
	switch offset := u64(locator[8:]); {
	case u32(locator[4:]) != 0 || u32(locator[16:]) > 1:
		return c.stop("archive.multi_disk", "the zip is part of a set that was split")
	case u32(b) != sigEnd64 || u64(b[4:]) != lenEnd64-12:
		return c.stop("archive.zip64", "the 64-bit end record is malformed")
	case clamp(offset) < records:
		return c.stop("archive.leading_data",
			fmt.Sprintf("there are %d bytes that no record of the zip accounts for", records-clamp(offset)))
	case clamp(offset) != records:
		return c.stop("archive.zip64", "the 64-bit end record is not where its locator says")
	case !settle(b[16:lenEnd64], values):
		return c.stop("archive.zip64", "the 64-bit end record contradicts the other one")
	}
	return true
}

// settle takes the values from the 64-bit end record, which has all of them.
func settle(b []byte, values []wide) bool {
	for _, v := range values {
		n := v.read(b)
		if *v.value != v.unknown && *v.value != n {
			return false
		}
		*v.value, b = n, b[v.bytes:]
	}
	return true
}

// directoryPlace checks that the directory ends where the end records begin.
func (c endSearch) directoryPlace(start, size uint64, records int64) bool {
	switch end := clamp(start) + clamp(size); {
	case end > records:
		return c.stop("archive.directory", "the directory is not where the end record says")
	case end < records && c.looksLikeDirectory(records-clamp(size)):
		return c.stop("archive.leading_data", fmt.Sprintf("there are %d bytes before the first entry", records-end))
	case end < records && c.err == nil:
		return c.stop("archive.gap",
			fmt.Sprintf("there are %d bytes between the directory and the zip's end", records-end))
	}
	return c.err == nil
}

func (c endSearch) looksLikeDirectory(at int64) bool {
	if at+4 > c.file.size {
		return false
	}
	b, err := c.file.at(at, 4)
	if err != nil {
		return c.fail(err)
	}
	return u32(b) == sigDirectory
}

// directorySize limits the size of the directory before it is read.
func (c endSearch) directorySize(entries uint64, size int64) bool {
	switch most := int64(c.limits.Entries) * recordBytes; {
	case entries == 0 && size == 0:
		return c.stop("archive.empty", "the zip has no entries")
	case entries > uint64(max(0, c.limits.Entries)): // not negative
		c.tooManyEntries()
		return false
	case size > most:
		return c.stop("archive.directory_too_large",
			fmt.Sprintf("the zip's directory has %d bytes; at most %d are allowed", size, most))
	}
	return true
}
