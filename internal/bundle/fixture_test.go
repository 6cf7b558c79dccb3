package bundle_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/problem"
)

// fixture is a zip in which everything that tools write correctly can be made wrong.
type fixture struct {
	prefix    string // before the first entry
	items     []item
	between   string // after the last entry
	after     string // after the directory
	zip64     bool   // with the 64-bit end records
	comment   string
	suffix    string // after the end
	end       func(e *endFields)
	directory func(b []byte) []byte
}

// endFields are the fields of the end records. With zip64, the 64-bit record has the right values, or those that wide
// sets, and the other record refers to it.
type endFields struct {
	disk, first, here, entries uint16
	size, start                uint32
	commentLength              int
	wide                       func(record, locator []byte)
}

// item is an entry. Edit changes its two headers after they were filled in.
type item struct {
	name, data string
	deflate    bool
	packed     string // instead of the data, compressed or not
	descriptor int    // its length, 0: none
	mode       uint32
	edit       func(local, central *fields)
	after      string // after its data and descriptor
}

// fields are the fields of both kinds of header.
type fields struct {
	signature           uint32
	flags, method, disk uint16
	crc, packed, size   uint32
	attributes, offset  uint32
	name, extra         string
	comment             string
}

// central edits only the directory's record.
func central(edit func(f *fields)) func(local, central *fields) {
	return func(_, c *fields) { edit(c) }
}

// local edits only the entry's own header.
func local(edit func(f *fields)) func(local, central *fields) {
	return func(l, _ *fields) { edit(l) }
}

// both edits both headers alike.
func both(edit func(f *fields)) func(local, central *fields) {
	return func(l, c *fields) { edit(l); edit(c) }
}

func num(n int, values ...uint64) []byte {
	var b []byte
	for _, v := range values {
		b = append(b, binary.LittleEndian.AppendUint64(nil, v)[:n]...)
	}
	return b
}

// extraField is one extra field.
func extraField(id uint16, data string) string {
	return string(num(2, uint64(id), uint64(len(data)))) + data
}

func deflated(data string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write([]byte(data))
	_ = w.Close()
	return b.String()
}

// offset is where an entry's header begins.
func (f fixture) offset(i int) int {
	n := len(f.prefix)
	for _, it := range f.items[:i] {
		l, c, data := it.headers(0)
		n += len(l.local()) + len(data) + len(it.describe(c)) + len(it.after)
	}
	return n
}

func (f fixture) bytes() []byte {
	out := []byte(f.prefix)
	var directory []byte
	for _, it := range f.items {
		l, c, data := it.headers(len(out))
		out = append(out, l.local()...)
		out = append(out, data...)
		out = append(out, it.describe(c)...)
		out = append(out, it.after...)
		directory = append(directory, c.record()...)
	}
	out = append(out, f.between...)
	if f.directory != nil {
		directory = f.directory(directory)
	}
	start := len(out)
	out = append(out, directory...)
	out = append(out, f.after...)
	return append(append(out, f.endRecords(start, len(directory), len(out))...), f.suffix...)
}

func (it item) headers(offset int) (l, c fields, data string) {
	data, method := it.data, uint16(0)
	if it.deflate {
		data, method = deflated(it.data), 8
	}
	if it.packed != "" {
		data = it.packed
	}
	l = fields{
		signature: 0x04034b50, method: method, crc: crc32.ChecksumIEEE([]byte(it.data)),
		packed: uint32(len(data)), size: uint32(len(it.data)), name: it.name,
	}
	c = l
	c.signature, c.attributes, c.offset = 0x02014b50, it.mode<<16, uint32(offset)
	if it.descriptor > 0 {
		l.flags, c.flags = 8, 8
		l.crc, l.packed, l.size = 0, 0, 0
	}
	if it.edit != nil {
		it.edit(&l, &c)
	}
	return l, c, data
}

func (it item) describe(c fields) []byte {
	sizes := 4
	if it.descriptor == 20 || it.descriptor == 24 {
		sizes = 8
	}
	b := append(num(4, uint64(c.crc)), num(sizes, uint64(c.packed), uint64(c.size))...)
	switch it.descriptor {
	case 0:
		return nil
	case 16, 24:
		return append([]byte("PK\x07\x08"), b...)
	}
	return b
}

func (f fields) local() []byte {
	b := num(4, uint64(f.signature))
	b = append(b, num(2, 20, uint64(f.flags), uint64(f.method), 0, 0x21)...)
	b = append(b, num(4, uint64(f.crc), uint64(f.packed), uint64(f.size))...)
	b = append(b, num(2, uint64(len(f.name)), uint64(len(f.extra)))...)
	return append(b, f.name+f.extra...)
}

func (f fields) record() []byte {
	b := num(4, uint64(f.signature))
	b = append(b, num(2, 3<<8|20, 20, uint64(f.flags), uint64(f.method), 0, 0x21)...)
	b = append(b, num(4, uint64(f.crc), uint64(f.packed), uint64(f.size))...)
	b = append(b, num(2, uint64(len(f.name)), uint64(len(f.extra)), uint64(len(f.comment)), uint64(f.disk), 0)...)
	b = append(b, num(4, uint64(f.attributes), uint64(f.offset))...)
	return append(b, f.name+f.extra+f.comment...)
}

func (f fixture) endRecords(start, size, at int) []byte {
	n := uint16(len(f.items))
	e := endFields{here: n, entries: n, size: uint32(size), start: uint32(start), commentLength: len(f.comment)}
	var out []byte
	if f.zip64 {
		e = endFields{
			disk: 0xFFFF, first: 0xFFFF, here: 0xFFFF, entries: 0xFFFF, size: 0xFFFFFFFF, start: 0xFFFFFFFF,
			commentLength: len(f.comment),
		}
	}
	if f.end != nil {
		f.end(&e)
	}
	if f.zip64 {
		record := append([]byte("PK\x06\x06"), num(8, 44)...)
		record = append(record, num(2, 45, 45)...)
		record = append(record, num(4, 0, 0)...)
		record = append(record, num(8, uint64(n), uint64(n), uint64(size), uint64(start))...)
		locator := append([]byte("PK\x06\x07"), num(4, 0)...)
		locator = append(append(locator, num(8, uint64(at))...), num(4, 1)...)
		if e.wide != nil {
			e.wide(record, locator)
		}
		out = append(record, locator...)
	}
	out = append(out, "PK\x05\x06"...)
	out = append(out, num(2, uint64(e.disk), uint64(e.first), uint64(e.here), uint64(e.entries))...)
	out = append(out, num(4, uint64(e.size), uint64(e.start))...)
	return append(append(out, num(2, uint64(e.commentLength))...), f.comment...)
}

// pkg is a valid package with more entries.
func pkg(more ...item) fixture {
	return fixture{items: append([]item{
		{name: "manifest.json", data: `{"name":"hello","version":"1.0.0","type":"extension"}`, deflate: true},
		{name: "steps/run.sh", data: "echo hello\n", mode: 0o100755},
	}, more...)}
}

// with is a valid package, changed.
func with(change func(f *fixture)) fixture {
	f := pkg()
	change(&f)
	return f
}

func check(zip []byte) (*bundle.Archive, error) {
	return bundle.Check(bytes.NewReader(zip), int64(len(zip)), bundle.DefaultLimits())
}

// refusals lists the problems of an error as code and place.
func refusals(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *problem.Error
	if !errors.As(err, &e) {
		t.Fatalf("the error has no problems: %v", err)
	}
	var list []string
	for _, p := range e.Problems {
		if p.Message == "" || p.Hint == "" || problem.Family(p.Code) != "archive" {
			t.Errorf("the problem says too little: %+v", p)
		}
		list = append(list, strings.TrimSpace(strings.TrimPrefix(p.Code, "archive.")+" "+p.Where))
	}
	return list
}
