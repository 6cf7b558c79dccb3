package bundle_test

import (
	"hash/crc32"
	"strings"
)

// hostile is a zip with all of its faults. Each is a valid package except for one fault; those with several are
// below.
type hostile struct {
	name string
	zip  fixture
	want []string
}

func named(name string) fixture { return pkg(item{name: name, data: "x"}) }

var hostileNames = []hostile{
	{"parent", named("../evil"), []string{"path_traversal ../evil"}},
	{"parent inside", named("steps/../../evil"), []string{"path_traversal steps/../../evil"}},
	{"parent at the end", named("steps/.."), []string{"path_traversal steps/.."}},
	{"absolute", named("/etc/passwd"), []string{"absolute_path /etc/passwd"}},
	{"root", pkg(item{name: "/"}), []string{"path_segment /"}},
	{"UNC by slashes", named("//server/share/x"), []string{"absolute_path //server/share/x"}},
	{"drive", named("C:/x"), []string{"absolute_path C:/x"}},
	{"drive, relative", named("z:x"), []string{"absolute_path z:x"}},
	{"backslash", named(`steps\evil.sh`), []string{`backslash "steps\\evil.sh"`}},
	{"UNC", named(`\\server\share`), []string{`backslash "\\\\server\\share"`}},
	{"NUL", named("a\x00.sh"), []string{`control_character "a\x00.sh"`}},
	{"newline", named("a\nb"), []string{`control_character "a\nb"`}},
	{"delete", named("a\x7f"), []string{`control_character "a\x7f"`}},
	{"C1", named("a\u0085b"), []string{`control_character "a\u0085b"`}},
	{"bidi override", named("a\u202etxt.sh"), []string{`control_character "a\u202etxt.sh"`}},
	{"bidi isolate", named("a\u2066b"), []string{`control_character "a\u2066b"`}},
	{"Latin-1", named("caf\xe9"), []string{`not_utf8 "caf\xe9"`}},
	{"surrogate", named("a\xed\xa0\x80"), []string{`not_utf8 "a\xed\xa0\x80"`}},
	{"empty", named(""), []string{"path_segment"}},
	{"empty segment", named("a//b"), []string{"path_segment a//b"}},
	{"empty segment at a folder's end", named("a//"), []string{"path_segment a//", "folder a//"}},
	{"dot segment", named("a/./b"), []string{"path_segment a/./b"}},
	{"dot first", named("./a"), []string{"path_segment ./a"}},
	{"long segment", named(strings.Repeat("a", 256)), []string{"name_too_long " + strings.Repeat("a", 256)}},
	{
		"long path", named(strings.Repeat(strings.Repeat("a", 204)+"/", 5) + "x"),
		[]string{"name_too_long " + strings.Repeat(strings.Repeat("a", 204)+"/", 5) + "x"},
	},
	{"deep", named(strings.Repeat("d/", 32) + "x"), []string{"too_deep " + strings.Repeat("d/", 32) + "x"}},
	{"dot first in a zip of dots", with(func(f *fixture) {
		*f = dottedPackage()
		f.items = append(f.items, item{name: "././a"})
	}), []string{"path_segment ./a"}},
	{"dots and traversal", with(func(f *fixture) {
		*f = dottedPackage()
		f.items = append(f.items, item{name: "./../a"})
	}), []string{"path_traversal ../a"}},
	{"dots and a root with a slash", with(func(f *fixture) {
		*f = dottedPackage()
		f.items = append(f.items, item{name: ".//"})
	}), []string{"path_segment /"}},
	{"reserved in capitals", named(".CEMLI/x"), []string{"reserved_name .CEMLI/x"}},
	{"reserved as a file", named(".cemli"), []string{"reserved_name .cemli"}},
	{"duplicate", named("steps/run.sh"), []string{"duplicate steps/run.sh"}},
	{"duplicate folder", pkg(item{name: "a/"}, item{name: "a/"}), []string{"duplicate a"}},
	{"case", named("Steps/run.SH"), []string{"case_duplicate Steps", "case_duplicate Steps/run.SH"}},
	{"case of a folder", named("STEPS/b.sh"), []string{"case_duplicate STEPS"}},
	{"sharp s", pkg(item{name: "straße"}, item{name: "STRASSE"}), []string{"case_duplicate STRASSE"}},
	{"final sigma", pkg(item{name: "ας"}, item{name: "ΑΣ"}), []string{"case_duplicate ΑΣ"}},
	{"Kelvin", pkg(item{name: "k"}, item{name: "\u212a"}), []string{"case_duplicate \u212a"}},
	{"composed", pkg(item{name: "\u00e9"}, item{name: "e\u0301"}), []string{"case_duplicate e\u0301"}},
	{"file as a folder", named("manifest.json/x"), []string{"file_and_folder manifest.json"}},
	{"folder as a file", named("steps"), []string{"file_and_folder steps"}},
	{"folder's entry as a file", pkg(item{name: "a/"}, item{name: "a"}), []string{"file_and_folder a"}},
}

func mode(m uint32) fixture { return pkg(item{name: "x", data: "target", mode: m}) }

func edited(edit func(l, c *fields)) fixture {
	return pkg(item{name: "x", data: "some data", edit: edit})
}

func extra(id uint16, data string) fixture {
	return edited(both(func(f *fields) { f.extra = extraField(id, data) }))
}

var hostileEntries = []hostile{
	{"symbolic link", mode(0o120777), []string{"link x"}},
	{"reparse point", edited(central(func(f *fields) { f.attributes = 0x400 })), []string{"link x"}},
	{"character device", mode(0o020666), []string{"special_file x"}},
	{"block device", mode(0o060666), []string{"special_file x"}},
	{"FIFO", mode(0o010666), []string{"special_file x"}},
	{"socket", mode(0o140666), []string{"special_file x"}},
	{"no kind of file", mode(0o150666), []string{"special_file x"}},
	{"volume label", edited(central(func(f *fields) { f.attributes = 8 })), []string{"special_file x"}},
	{"setuid", mode(0o104755), []string{"mode x"}},
	{"setgid", mode(0o102755), []string{"mode x"}},
	{"sticky", mode(0o101755), []string{"mode x"}},
	{"setuid without a type", mode(0o004755), []string{"mode x"}},
	{"folder without a slash", mode(0o040755), []string{"folder x"}},
	{"DOS folder without a slash", edited(central(func(f *fields) { f.attributes = 0x10 })), []string{"folder x"}},
	{"file with a slash", pkg(item{name: "x/", mode: 0o100644}), []string{"folder x/"}},
	{"folder with data", pkg(item{name: "x/", data: "hidden"}), []string{"folder x/"}},
	{
		"folder with much deflated", pkg(item{name: "x/", deflate: true, packed: "\x00\x00\x00\xff\xff\x03\x00"}),
		[]string{"folder x/"},
	},
	{"encrypted", edited(both(func(f *fields) { f.flags |= 1 })), []string{"encrypted x"}},
	{"strongly encrypted", edited(both(func(f *fields) { f.flags |= 1 << 6 })), []string{"encrypted x"}},
	{"masked headers", edited(both(func(f *fields) { f.flags |= 1 << 13 })), []string{"encrypted x"}},
	{"AES field", extra(0x9901, "\x02\x00AE\x03\x08\x00"), []string{"encrypted x", "encrypted x"}},
	{"patch", edited(both(func(f *fields) { f.flags |= 1 << 5 })), []string{"flags x"}},
	{"reserved flag", edited(both(func(f *fields) { f.flags |= 1 << 15 })), []string{"flags x"}},
	{"bzip2", edited(both(func(f *fields) { f.method = 12 })), []string{"method x"}},
	{"deflate64", edited(both(func(f *fields) { f.method = 9 })), []string{"method x"}},
	{"stored with another size", edited(both(func(f *fields) { f.size++ })), []string{"size x"}},
	{"deflated to nothing", pkg(item{name: "x", edit: both(func(f *fields) { f.method = 8 })}), []string{"size x"}},
	{
		"cut extra field", edited(central(func(f *fields) { f.extra = "\x55\x54\x09\x00\x01" })),
		[]string{"extra_field x"},
	},
	{"cut local extra field", edited(local(func(f *fields) { f.extra = "\x55\x54" })), []string{"extra_field x"}},
	{"ASi Unix field", extra(0x756e, strings.Repeat("\x00", 14)), []string{"extra_field x", "extra_field x"}},
	{
		"PKWARE Unix field of a link", extra(0x000d, strings.Repeat("\x00", 12)+"/etc"),
		[]string{"extra_field x", "extra_field x"},
	},
	{
		"libarchive's field", edited(local(func(f *fields) { f.extra = extraField(0x6c78, "\x04\x00\x00\xff\xa1") })),
		[]string{"extra_field x"},
	},
	{
		"Unicode path of another name", edited(central(func(f *fields) { f.extra = unicodePath("x", "../y") })),
		[]string{"renamed x"},
	},
	{
		"Unicode path of another file", edited(local(func(f *fields) { f.extra = unicodePath("y", "x") })),
		[]string{"renamed x"},
	},
	{
		"short Unicode path", edited(central(func(f *fields) { f.extra = extraField(0x7075, "\x01") })),
		[]string{"renamed x"},
	},
	{
		"Xceed's name", edited(central(func(f *fields) { f.extra = extraField(0x554e, "NUCX\x01\x00y\x00") })),
		[]string{"extra_field x"},
	},
	{
		"64-bit size missing", edited(central(func(f *fields) { f.size = 0xFFFFFFFF })),
		[]string{"zip64 x", "size x", "file_too_large x", "ratio x", "too_large", "ratio", "header_mismatch x"},
	},
	{
		"64-bit sizes twice", edited(central(func(f *fields) { f.extra = extraField(1, "") + extraField(1, "") })),
		[]string{"zip64 x"},
	},
	{
		"64-bit size that contradicts",
		edited(central(func(f *fields) { f.extra = extraField(1, string(num(8, 10))) })),
		[]string{"zip64 x"},
	},
	{
		"64-bit field too long",
		edited(central(func(f *fields) { f.extra = extraField(1, strings.Repeat("\x00", 40)) })),
		[]string{"zip64 x"},
	},
	{"on another disk", edited(central(func(f *fields) { f.disk = 1 })), []string{"multi_disk x"}},
	{"end record in a comment", edited(central(func(f *fields) { f.comment = "PK\x05\x06" })), []string{"two_ends x"}},
	{
		"end record in an extra field", edited(local(func(f *fields) { f.extra = extraField(0x7777, "PK\x06\x06") })),
		[]string{"two_ends x"},
	},
}

func unicodePath(of, name string) string {
	return extraField(0x7075, "\x01"+string(num(4, uint64(crc32.ChecksumIEEE([]byte(of)))))+name)
}

func described(n int, edit func(l, c *fields)) fixture {
	return pkg(item{name: "x", data: "some data", descriptor: n, edit: edit})
}

var hostileLayouts = []hostile{
	{"other name", edited(local(func(f *fields) { f.name = "y" })), []string{"header_mismatch x"}},
	{"other method", edited(local(func(f *fields) { f.method = 8 })), []string{"header_mismatch x"}},
	{"other flags", edited(local(func(f *fields) { f.flags = 1 << 11 })), []string{"header_mismatch x"}},
	{"other checksum", edited(local(func(f *fields) { f.crc++ })), []string{"header_mismatch x"}},
	{"other size", edited(local(func(f *fields) { f.size++ })), []string{"header_mismatch x"}},
	{"other compressed size", edited(local(func(f *fields) { f.packed-- })), []string{"header_mismatch x"}},
	{
		"sizes unknown without a descriptor", edited(local(func(f *fields) { f.packed, f.size, f.crc = 0, 0, 0 })),
		[]string{"header_mismatch x"},
	},
	{"descriptor, and other size", described(16, local(func(f *fields) { f.size = 7 })), []string{"header_mismatch x"}},
	{
		"descriptor contradicts",
		pkg(item{
			name: "x", data: "some data", edit: both(func(f *fields) { f.flags = 8 }),
			after: strings.Repeat("\x00", 16),
		}),
		[]string{"descriptor x"},
	},
	{
		"descriptor without signature contradicts",
		pkg(item{
			name: "x", data: "some data", edit: both(func(f *fields) { f.flags = 8 }),
			after: strings.Repeat("\x00", 20),
		}),
		[]string{"descriptor x"},
	},
	{
		"no descriptor", pkg(item{name: "x", data: "some data", edit: both(func(f *fields) { f.flags = 8 })}),
		[]string{"descriptor x"},
	},
	{
		"something after the descriptor", pkg(item{name: "x", data: "some data", descriptor: 16, after: "hidden"}),
		[]string{"descriptor x"},
	},
	{
		"much after the descriptor", pkg(item{name: "x", data: "some data", descriptor: 16, after: "something hidden"}),
		[]string{"gap x"},
	},
	{"no header", edited(local(func(f *fields) { f.signature = 0 })), []string{"local_header x"}},
	{
		"header in the directory", edited(central(func(f *fields) { f.offset = 1 << 20 })),
		[]string{"gap steps/run.sh", "local_header x"},
	},
	{
		"hidden entry",
		with(func(f *fixture) { f.items[1].after = string(fields{signature: 0x04034b50, name: "hidden"}.local()) }),
		[]string{"gap steps/run.sh"},
	},
	{
		"hidden bytes after the last entry", with(func(f *fixture) { f.between = "hidden" }),
		[]string{"gap steps/run.sh"},
	},
	{"overlap", with(func(f *fixture) {
		f.items[0].edit = both(func(f *fields) { f.packed++ })
	}), []string{"overlap manifest.json"}},
	{
		"two entries, one header",
		pkg(item{name: "x", data: "some data", edit: central(func(f *fields) { f.offset = 0 })}),
		[]string{"overlap manifest.json", "overlap x", "gap steps/run.sh"},
	},
	{"header inside another's data", nested(), []string{"overlap outer"}},
	{
		"longer than the zip",
		pkg(item{name: "x", deflate: true, data: "x", edit: both(func(f *fields) { f.packed = 1 << 30 })}),
		[]string{"overlap x"},
	},
	{"leading data", fixture{prefix: "#!/bin/sh\n", items: pkg().items}, []string{"leading_data"}},
	{"leading data, offsets not adjusted", with(func(f *fixture) {
		f.prefix = "#!/bin/sh\n"
		f.end = func(e *endFields) { e.start -= 10 }
	}), []string{"leading_data"}},
}

// nested has an entry whose header is in the stored data of another one.
func nested() fixture {
	inner := fields{signature: 0x04034b50, name: "inner"}
	f := pkg(item{name: "outer", data: string(inner.local())})
	f.directory = func(b []byte) []byte {
		inner.signature, inner.offset = 0x02014b50, uint32(f.offset(2)+30+len("outer"))
		return append(b, inner.record()...)
	}
	f.end = func(e *endFields) { e.here, e.entries = 4, 4 }
	return f
}

func end(edit func(e *endFields)) fixture { return with(func(f *fixture) { f.end = edit }) }

func end64(edit func(record, locator []byte)) fixture {
	return with(func(f *fixture) {
		f.zip64 = true
		f.end = func(e *endFields) { e.wide = edit }
	})
}

var hostileEnds = []hostile{
	{"no entries", fixture{}, []string{"empty"}},
	{
		"an end in the midst of text",
		fixture{prefix: strings.Repeat("ERP ", 20), suffix: "\x00", comment: "x"},
		[]string{"trailing_data"},
	},
	{"trailing data", with(func(f *fixture) { f.suffix = "more" }), []string{"trailing_data"}},
	{"comment cut off", end(func(e *endFields) { e.commentLength = 9 }), []string{"truncated"}},
	{"two ends", with(func(f *fixture) { f.comment = string(fixture{}.bytes()) }), []string{"two_ends"}},
	{"the first of two ends", with(func(f *fixture) { f.comment = "PK\x05\x06" }), []string{"two_ends"}},
	{"two ends, the first one in the data", with(func(f *fixture) {
		f.items[1].data = string(fixture{end: func(e *endFields) { e.commentLength = 0 }}.bytes())
		rest := len(f.bytes()) - f.offset(1) - 30 - len("steps/run.sh") - 22
		f.items[1].data = string(fixture{end: func(e *endFields) { e.commentLength = rest }}.bytes())
	}), []string{"two_ends"}},
	{"a disk of several", end(func(e *endFields) { e.disk = 1 }), []string{"multi_disk"}},
	{"directory on another disk", end(func(e *endFields) { e.first = 1 }), []string{"multi_disk"}},
	{"more entries on other disks", end(func(e *endFields) { e.entries++ }), []string{"multi_disk"}},
	{"split by the locator", end64(func(_, l []byte) { l[16] = 2 }), []string{"multi_disk"}},
	{"on a disk by the locator", end64(func(_, l []byte) { l[4] = 1 }), []string{"multi_disk"}},
	{"on a disk by the 64-bit record", end64(func(r, _ []byte) { r[16] = 1 }), []string{"multi_disk"}},
	{"64-bit record missing", end(func(e *endFields) { e.here, e.entries = 0xFFFF, 0xFFFF }), []string{"zip64"}},
	{"64-bit record elsewhere", end64(func(_, l []byte) { l[8]++ }), []string{"zip64"}},
	{"64-bit record before its place", end64(func(_, l []byte) { l[8]-- }), []string{"leading_data"}},
	{"64-bit record with more data", end64(func(r, _ []byte) { r[4]++ }), []string{"zip64"}},
	{"64-bit record that is none", end64(func(r, _ []byte) { r[0]++ }), []string{"zip64"}},
	{"64-bit record that contradicts", with(func(f *fixture) {
		f.zip64 = true
		f.end = func(e *endFields) { e.here, e.entries = 1, 1 }
	}), []string{"zip64"}},
	{
		"fewer entries than the directory has", end(func(e *endFields) { e.here, e.entries = 1, 1 }),
		[]string{"directory"},
	},
	{"no entries but a directory", end(func(e *endFields) { e.here, e.entries = 0, 0 }), []string{"directory"}},
	{
		"more entries than the directory has", end(func(e *endFields) { e.here, e.entries = 3, 3 }),
		[]string{"directory"},
	},
	{"directory elsewhere", end(func(e *endFields) { e.start++ }), []string{"directory"}},
	{"directory past the end", end(func(e *endFields) { e.size = 1 << 31 }), []string{"directory"}},
	{
		"directory record without signature",
		with(func(f *fixture) { f.directory = func(b []byte) []byte { b[0] = 0; return b } }),
		[]string{"directory"},
	},
	{"something after the directory", with(func(f *fixture) { f.after = "hidden" }), []string{"gap"}},
	{"signature after the directory", with(func(f *fixture) {
		f.directory = func(b []byte) []byte { return append(b, "PK\x05\x05\x00\x00"...) }
	}), []string{"directory"}},
	{"the folder itself", inFolder("hello-cemli"), []string{"top_folder hello-cemli/"}},
	{"the folder itself, from Finder", with(func(f *fixture) {
		*f = inFolder("hello")
		f.items = append(f.items, item{name: "__MACOSX/hello/._manifest.json", data: "x"})
	}), []string{"top_folder hello/"}},
	{
		"too dense", pkg(item{name: "x", deflate: true, data: strings.Repeat("\x00", 3<<20)}),
		[]string{"ratio x", "ratio"},
	},
}

// inFolder is the valid package inside a folder.
func inFolder(dir string) fixture {
	f := pkg()
	for i := range f.items {
		f.items[i].name = dir + "/" + f.items[i].name
	}
	f.items = append([]item{{name: dir + "/", mode: 0o040755}}, f.items...)
	return f
}

// Several faults are all reported, in the order in which they are found.
var combined = []hostile{
	{
		"name and kind",
		pkg(item{name: "../a\x00", mode: 0o120777, data: "x"},
			item{name: "STEPS/x", edit: both(func(f *fields) { f.method, f.flags = 99, 1 })}),
		[]string{
			`control_character "../a\x00"`, `path_traversal "../a\x00"`, `link "../a\x00"`, "case_duplicate STEPS",
			"encrypted STEPS/x", "method STEPS/x",
		},
	},
	{
		"directory and layout", with(func(f *fixture) {
			f.prefix, f.between = "x", "y"
			f.items[0].mode = 0o104644
			f.items[1].edit = local(func(f *fields) { f.name = "steps/Run.sh" })
		}),
		[]string{"mode manifest.json", "leading_data", "header_mismatch steps/run.sh", "gap steps/run.sh"},
	},
}
