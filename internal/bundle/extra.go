package bundle

import (
	"fmt"
	"hash/crc32"
)

// The extra fields that are checked (APPNOTE 4.5, 4.6). Others are ignored, because what they hold, such as times and
// owners, is not used.
const (
	extraZip64       = 0x0001
	extraPKUnix      = 0x000d // may end in the target of a link
	extraCrypto      = 0x0017
	extraXceedName   = 0x554e
	extraUnicodeName = 0x7075
	extraLibarchive  = 0x6c78 // repeats the directory, modes too
	extraASiUnix     = 0x756e // mode and target of a link
	extraAES         = 0x9901
)

// pkUnixPlain is the length of a PKWARE Unix field of a file that is no link.
const pkUnixPlain = 12

// extras checks a header's extra fields, up to the first bad one, and completes 64-bit values.
func (c *checker) extras(h *header, values []wide) {
	if hasEnd(h.extra) {
		c.add("archive.two_ends", h.name, "its extra fields look like an end record of the zip")
	}
	var zip64 []byte
	seen := false
	for b := h.extra; len(b) > 0; {
		if len(b) < 4 || len(b) < 4+int(u16(b[2:])) {
			c.add("archive.extra_field", h.name, "its extra fields are cut off")
			return
		}
		id, field := u16(b), b[4:4+int(u16(b[2:]))]
		b = b[4+len(field):]
		if id != extraZip64 {
			if !c.extra(h, id, field) {
				return
			}
			continue
		}
		if seen {
			c.add("archive.zip64", h.name, "it has two extra fields of 64-bit sizes")
			return
		}
		seen, zip64 = true, field
	}
	if !widen(zip64, values) {
		c.add("archive.zip64", h.name, "its 64-bit sizes are missing, malformed or contradict the others")
	}
}

// extra checks one extra field; false if it is bad.
func (c *checker) extra(h *header, id uint16, field []byte) bool {
	switch {
	case id == extraUnicodeName && !sameName(field, h.name):
		c.add("archive.renamed", h.name, "an extra field gives it another name")
	case id == extraXceedName, id == extraASiUnix, id == extraLibarchive, id == extraPKUnix && len(field) > pkUnixPlain:
		c.add("archive.extra_field", h.name, fmt.Sprintf("extra field %#04x may change what the entry is", id))
	case id == extraAES, id == extraCrypto:
		c.add("archive.encrypted", h.name, "an extra field says that it is encrypted")
	default:
		return true
	}
	return false
}

// sameName reports whether a Unicode path field is valid and repeats the name. Some programs ignore a field with the
// checksum of another name, and others do not.
func sameName(field []byte, name string) bool {
	return len(field) >= 5 && field[0] == 1 && u32(field[1:]) == crc32.ChecksumIEEE([]byte(name)) &&
		string(field[5:]) == name
}
