package bundle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// layout reads every entry's own header, in order of offsets, and checks that header, data and descriptor of each
// entry end where the next one begins, and the last where the directory does.
func (c *checker) layout(directory int64) {
	order := make([]*entry, len(c.entries))
	for i := range c.entries {
		order[i] = &c.entries[i]
	}
	slices.SortStableFunc(order, func(a, b *entry) int { return cmp.Compare(a.offset, b.offset) })
	if first := order[0].offset; first > 0 {
		c.add("archive.leading_data", "", fmt.Sprintf("there are %d bytes before the first entry", first))
	}
	headers := int64(0) // where the last header ended, so that none is read twice
	for i, e := range order {
		next := directory
		if i+1 < len(order) {
			next = min(next, order[i+1].offset)
		}
		if e.offset < headers {
			c.add("archive.overlap", e.name, "it begins inside another entry's header")
			continue
		}
		if c.local(e, directory) {
			headers = e.data
			c.end(e, next)
		}
		if c.err != nil {
			return
		}
	}
}

// local compares an entry's own header with the directory; it returns false if there is no header.
func (c *checker) local(e *entry, directory int64) bool {
	if e.offset+lenLocal > directory {
		c.add("archive.local_header", e.name, "the directory says that it begins where there is no room for it")
		return false
	}
	b, err := c.file.at(e.offset, lenLocal)
	if err != nil {
		return c.fail(err)
	}
	names, extras := int(u16(b[26:])), int(u16(b[28:]))
	if u32(b) != sigLocal {
		c.add("archive.local_header", e.name, "it has no header where the directory says")
		return false
	}
	h := parseCommon(b[6:])
	e.data = e.offset + lenLocal + int64(names+extras)
	if e.data > directory {
		c.add("archive.overlap", e.name, "its header runs into the directory")
		return false
	}
	b, err = c.file.at(e.offset+lenLocal, names+extras)
	if err != nil {
		return c.fail(err)
	}
	h.name, h.extra = string(b[:names]), b[names:]
	c.compare(e, h)
	return true
}

// compare refuses any difference between an entry's two headers.
func (c *checker) compare(e *entry, h header) {
	own := h.name
	h.name = e.own // the name that extra fields must repeat
	c.extras(&h, []wide{{&h.size, unknown32, 8}, {&h.packed, unknown32, 8}})
	later := e.flags&flagDescriptor != 0 // sizes and checksum follow the data
	differs := func(a, b uint64) bool { return a != b && !(later && a == 0) }
	var what []string
	for _, field := range []struct {
		name    string
		differs bool
	}{
		{"name", own != e.own},
		{"method", h.method != e.method},
		{"flags", h.flags != e.flags},
		{"checksum", differs(uint64(h.crc), uint64(e.crc))},
		{"compressed size", differs(h.packed, e.packed)},
		{"size", differs(h.size, e.size)},
	} {
		if field.differs {
			what = append(what, field.name)
		}
	}
	if len(what) > 0 {
		c.add("archive.header_mismatch", e.name,
			"its own header and the directory disagree about its "+strings.Join(what, ", "))
	}
}

// end checks that an entry ends where the next record begins.
func (c *checker) end(e *entry, next int64) {
	gap := next - e.data - clamp(e.packed)
	switch descriptor := e.flags&flagDescriptor != 0; {
	case gap < 0:
		c.add("archive.overlap", e.name, "its data runs into the next record")
	case descriptor && gap <= longestDescriptor:
		c.descriptor(e, next-gap, int(gap))
	case gap > 0:
		c.add("archive.gap", e.name, fmt.Sprintf("there are %d bytes after it that no entry owns", gap))
	}
}

// longestDescriptor is the length of a signature, a checksum, and two 64-bit sizes.
const longestDescriptor = 24

// descriptor checks the record of n bytes after an entry's data. Its signature is optional and its sizes have 32 or
// 64 bits; the length tells which.
func (c *checker) descriptor(e *entry, off int64, n int) {
	b, err := c.file.at(off, n)
	if err != nil {
		c.err = err
		return
	}
	good := false
	switch {
	case n == 16 || n == longestDescriptor:
		good = u32(b) == sigDescriptor && e.described(b[4:])
	case n == 12 || n == 20:
		good = e.described(b)
	}
	if !good {
		c.add("archive.descriptor", e.name, "the record after its data is missing or contradicts the directory")
	}
}

// described compares a checksum and two sizes with the directory.
func (e *entry) described(b []byte) bool {
	if len(b) == 12 {
		return u32(b) == e.crc && uint64(u32(b[4:])) == e.packed && uint64(u32(b[8:])) == e.size
	}
	return u32(b) == e.crc && u64(b[4:]) == e.packed && u64(b[12:]) == e.size
}
