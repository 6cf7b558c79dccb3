package bundle

import "encoding/binary"

// The signatures and fixed lengths of a zip's records (APPNOTE 4.3).
const (
	sigLocal      = 0x04034b50
	sigDirectory  = 0x02014b50
	sigEnd        = 0x06054b50
	sigEnd64      = 0x06064b50
	sigLocator64  = 0x07064b50
	sigDescriptor = 0x08074b50

	lenLocal     = 30
	lenDirectory = 46
	lenEnd       = 22
	lenEnd64     = 56
	lenLocator64 = 20

	unknown16 = 0xFFFF
	unknown32 = 0xFFFFFFFF
)

// Methods and flags of entries (APPNOTE 4.4.4, 4.4.5).
const (
	methodStore   = 0
	methodDeflate = 8

	flagEncrypted  = 1 << 0
	flagDescriptor = 1 << 3
	flagStrong     = 1 << 6  // strong encryption
	flagMasked     = 1 << 13 // header values hidden by encryption
	// flagsKnown also includes the two bits of the compression level and the UTF-8 bit.
	flagsKnown = flagEncrypted | 1<<1 | 1<<2 | flagDescriptor | flagStrong | 1<<11 | flagMasked
)

func u16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func u32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// header is what an entry's own header and its directory record have in common.
type header struct {
	flags, method uint16
	crc           uint32
	packed, size  uint64 // compressed and uncompressed bytes
	name          string
	extra         []byte
}

// parseCommon reads the fields that both kinds of header have in the same order.
func parseCommon(b []byte) header {
	return header{
		flags: u16(b), method: u16(b[2:]), crc: u32(b[8:]),
		packed: uint64(u32(b[12:])), size: uint64(u32(b[16:])),
	}
}

// record is a directory record.
type record struct {
	header
	attributes uint32
	disk       uint64
	offset     uint64 // of the entry's own header
	comment    []byte
}

// parseRecord reads the directory record at the beginning of b, and returns what follows it; false if there is none.
func parseRecord(b []byte) (rec record, rest []byte, ok bool) {
	if len(b) < lenDirectory || u32(b) != sigDirectory {
		return record{}, nil, false
	}
	name, extra, comment := int(u16(b[28:])), int(u16(b[30:])), int(u16(b[32:]))
	if len(b) < lenDirectory+name+extra+comment {
		return record{}, nil, false
	}
	rec = record{
		header: parseCommon(b[8:]), disk: uint64(u16(b[34:])),
		attributes: u32(b[38:]), offset: uint64(u32(b[42:])),
	}
	b = b[lenDirectory:]
	rec.name, b = string(b[:name]), b[name:]
	rec.extra, b = b[:extra], b[extra:]
	rec.comment, b = b[:comment], b[comment:]
	return rec, b, true
}

// wide is a value that may be in the 64-bit extra field instead.
type wide struct {
	value   *uint64
	unknown uint64 // the value that refers to the field
	bytes   int    // its length in the field
}

func (v wide) read(b []byte) uint64 {
	if v.bytes == 8 {
		return u64(b)
	}
	return uint64(u32(b))
}

// widen completes values from a 64-bit extra field. The field has, in order, the values that are unknown without it;
// others may follow if they repeat what is known.
func widen(field []byte, values []wide) bool {
	last := -1
	for i, v := range values {
		if *v.value == v.unknown {
			last = i
		}
	}
	for i, v := range values {
		missing := *v.value == v.unknown
		switch {
		case !missing && (i < last || len(field) == 0):
			continue
		case len(field) < v.bytes:
			return false
		}
		n := v.read(field)
		if !missing && n != *v.value {
			return false
		}
		*v.value, field = n, field[v.bytes:]
	}
	return len(field) == 0
}
