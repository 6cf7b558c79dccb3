package bundle

import (
	"bytes"
	"fmt"
	"strings"
)

// directory reads the whole directory and checks each record by itself.
func (c *checker) directory(end ending) bool {
	b, err := c.file.at(end.start, int(end.size))
	if err != nil {
		return c.fail(err)
	}
	c.dotted = allDotted(b)
	c.entries = make([]entry, 0, end.entries)
	for range end.entries {
		rec, rest, ok := parseRecord(b)
		if !ok {
			return c.stop("archive.directory",
				fmt.Sprintf("the directory is malformed after %d of %d entries", len(c.entries), end.entries))
		}
		b = rest
		c.record(rec)
	}
	if len(b) > 0 {
		return c.stop("archive.directory",
			fmt.Sprintf("the directory has %d bytes after its %d entries", len(b), end.entries))
	}
	return true
}

// dot is the prefix that bsdtar gives every name when it packs the folder ".".
const dot = "./"

// allDotted reports whether every name of a directory begins with dot. Then the prefix is ignored, as all programs
// do; otherwise names with ./ are refused.
func allDotted(b []byte) bool {
	for len(b) > 0 {
		rec, rest, ok := parseRecord(b)
		if !ok || !strings.HasPrefix(rec.name, dot) {
			return false
		}
		b = rest
	}
	return true
}

// record checks one record of the directory and adds its entry.
func (c *checker) record(rec record) {
	c.extras(&rec.header, []wide{
		{&rec.size, unknown32, 8},
		{&rec.packed, unknown32, 8},
		{&rec.offset, unknown32, 8},
		{&rec.disk, unknown16, 4},
	})
	if hasEnd(rec.comment) {
		c.add("archive.two_ends", rec.name, "its comment looks like an end record of the zip")
	}
	if rec.disk != 0 {
		c.add("archive.multi_disk", rec.name, "it is on another disk of a split zip")
	}
	e := entry{
		name: rec.name, own: rec.name, flags: rec.flags, method: rec.method, crc: rec.crc,
		packed: rec.packed, size: rec.size, offset: clamp(rec.offset),
	}
	if c.dotted {
		e.name = strings.TrimPrefix(e.name, dot)
	}
	if e.root() {
		c.claim("", claimFolder)
	} else if c.name(e.name) {
		c.unique(e.name)
	}
	c.kind(e, rec.attributes)
	c.coding(e)
	c.sizes(e)
	c.entries = append(c.entries, e)
}

// hasEnd finds signatures by which programs look for a zip's end.
func hasEnd(b []byte) bool {
	return bytes.Contains(b, signature(sigEnd)) || bytes.Contains(b, signature(sigEnd64)) ||
		bytes.Contains(b, signature(sigLocator64))
}

// The bits of the attributes: Unix modes in the upper half, DOS in the lower.
const (
	modeType    = 0o170000
	modeFolder  = 0o040000
	modeFile    = 0o100000
	modeLink    = 0o120000
	modeSpecial = 0o007000 // setuid, setgid, sticky

	dosVolume = 0x08
	dosFolder = 0x10
	dosDevice = 0x40
	dosLink   = 0x400 // reparse point
)

// kind refuses what is neither a file nor a folder, by every system's attributes, whatever system the zip names:
// programs differ in which ones they use.
func (c *checker) kind(e entry, attributes uint32) {
	mode, folder := attributes>>16, attributes&dosFolder != 0
	switch mode & modeType {
	case 0:
		folder = folder || e.folder() // many tools mark folders only by the slash
	case modeFolder:
		folder = true
	case modeFile:
	case modeLink:
		c.add("archive.link", e.name, "it is a symbolic link")
		return
	default:
		c.add("archive.special_file", e.name, "it is a device, FIFO, socket or other special file")
		return
	}
	switch {
	case attributes&dosLink != 0:
		c.add("archive.link", e.name, "it is a link of Windows, a reparse point")
	case attributes&(dosVolume|dosDevice) != 0:
		c.add("archive.special_file", e.name, "it is a volume label or a device")
	case folder != e.folder():
		c.add("archive.folder", e.name, "its name and its mode disagree whether it is a folder")
	}
	if mode&modeSpecial != 0 && !e.folder() {
		c.add("archive.mode", e.name, "its mode has setuid, setgid or sticky")
	}
}

// coding refuses entries that are not stored or deflated data.
func (c *checker) coding(e entry) {
	if e.flags&(flagEncrypted|flagStrong|flagMasked) != 0 {
		c.add("archive.encrypted", e.name, "it is encrypted")
	}
	if e.flags&^flagsKnown != 0 {
		c.add("archive.flags", e.name,
			fmt.Sprintf("it has flags %#x that are reserved or change how it is read", e.flags&^flagsKnown))
	}
	switch {
	case e.method != methodStore && e.method != methodDeflate:
		c.add("archive.method", e.name, fmt.Sprintf("it is compressed by method %d", e.method))
	case e.method == methodStore && e.packed != e.size:
		c.add("archive.size", e.name, fmt.Sprintf("it is stored, and yet has %d bytes of %d", e.packed, e.size))
	case e.folder() && (e.size != 0 || e.crc != 0 || e.packed > emptyDeflated):
		c.add("archive.folder", e.name, "it is a folder with data")
	case e.method == methodDeflate && e.packed == 0:
		c.add("archive.size", e.name, "it is deflated to no bytes at all")
	}
}

// emptyDeflated is the size of an empty deflate stream, which some tools write for a folder.
const emptyDeflated = 5
