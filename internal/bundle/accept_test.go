package bundle_test

import (
	"archive/zip"
	"bytes"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/bundle"
)

// Unusual archives that are valid are accepted.
func TestUnusualZipsAreAccepted(t *testing.T) {
	t.Parallel()
	field := func(edit func(l, c *fields)) fixture {
		return pkg(item{name: "x", data: "some data", edit: edit})
	}
	for name, f := range map[string]fixture{
		"descriptor":                    described(16, nil),
		"descriptor without signature":  described(12, nil),
		"64-bit descriptor":             described(24, nil),
		"64-bit one without signature":  described(20, nil),
		"descriptor and sizes before":   described(16, local(func(f *fields) { f.size, f.packed = 9, 9 })),
		"descriptor of a folder":        pkg(item{name: "x/", descriptor: 16}),
		"64-bit end":                    with(func(f *fixture) { f.zip64 = true }),
		"64-bit end and the other one":  both64(),
		"64-bit end of a split of none": end64(func(_, l []byte) { l[16] = 0 }),
		"64-bit sizes":                  field(wideSizes),
		"64-bit offset besides":         field(wideOffset),
		"comment":                       with(func(f *fixture) { f.comment = "built by hand" }),
		"longest comment":               with(func(f *fixture) { f.comment = strings.Repeat("c", 0xFFFF) }),
		"longest comment, 64-bit": with(
			func(f *fixture) { f.comment, f.zip64 = strings.Repeat("c", 0xFFFF), true }),
		"comment of an entry":    field(central(func(f *fields) { f.comment = "why" })),
		"UTF-8 without its flag": named("Übersicht/日本語.sql"),
		"UTF-8 with its flag": pkg(
			item{name: "Übersicht.sql", edit: both(func(f *fields) { f.flags = 1 << 11 })}),
		"longest names": named(strings.Repeat(strings.Repeat("a", 255)+"/", 3) +
			strings.Repeat("b", 255)),
		"deepest folders":               named(strings.Repeat("d/", 31) + "x"),
		"dots that are no segments":     named("..a/.../b..sh"),
		"a colon":                       named("steps/10:30.sh"),
		"Unicode path of the same name": field(central(func(f *fields) { f.extra = unicodePath("x", "x") })),
		"times, owners, Java's mark": field(both(func(f *fields) {
			f.extra = extraField(0x5455, "\x01\x00\x00\x00\x00") + extraField(0x7875, "\x01\x00\x00") +
				extraField(0xcafe, "")
		})),
		"as Finder makes it": finderPackage(),
		"as Explorer makes it": pkg(
			item{name: "x/y", data: "y", edit: central(func(f *fields) { f.attributes = 0x20 })}),
		"folders marked by DOS":   pkg(item{name: "x/", edit: central(func(f *fields) { f.attributes = 0x10 })}),
		"a folder with setgid":    pkg(item{name: "x/", mode: 0o042775}),
		"a folder that is sticky": pkg(item{name: "x/", mode: 0o041777}),
		"a folder, deflated":      pkg(item{name: "x/", deflate: true}),
		"an empty file, deflated": pkg(item{name: "x", deflate: true}),
		"a zip within, stored":    pkg(item{name: "x.zip", data: string(pkg().bytes())}),
		"deflate levels":          field(both(func(f *fields) { f.flags = 6 })),
		"dense but small":         pkg(item{name: "x", data: strings.Repeat("\x00", 1000<<10), deflate: true}),
		"Finder's files": pkg(item{name: "__MACOSX/._manifest.json", data: "x"},
			item{name: ".DS_Store", data: "x"}),
		"all names from the dot":         dottedPackage(),
		"everything in a folder but not": pkg(item{name: "steps/manifest.json", data: "x"}),
	} {
		archive, err := check(f.bytes())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := archive.Extract(t.Context(), openRoot(t, t.TempDir())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// dottedPackage is the valid package as bsdtar packs the folder ".".
func dottedPackage() fixture {
	f := pkg()
	for i := range f.items {
		f.items[i].name = "./" + f.items[i].name
	}
	f.items = append([]item{{name: "./", mode: 0o040755}}, f.items...)
	return f
}

// finderPackage has the shorter extra fields in the directory, and sizes after the data.
func finderPackage() fixture {
	f := pkg(item{name: "x/", mode: 0o040755})
	for i := range f.items {
		it := &f.items[i]
		it.mode |= 0o600
		it.edit = func(l, c *fields) {
			l.extra, c.extra = extraField(0x5855, strings.Repeat("\x01", 12)),
				extraField(0x5855, strings.Repeat("\x01", 8))
		}
		if it.data != "" {
			it.descriptor = 16
		}
	}
	return f
}

// both64 has end records that both say everything.
func both64() fixture {
	f := pkg()
	f.zip64 = true
	f.end = func(e *endFields) {
		*e = endFields{here: 2, entries: 2, size: 0xFFFFFFFF, start: 0xFFFFFFFF}
	}
	return f
}

// wideSizes moves the sizes into 64-bit fields, the uncompressed one first.
func wideSizes(l, c *fields) {
	for _, f := range []*fields{l, c} {
		f.extra = extraField(1, string(num(8, uint64(f.size), uint64(f.packed))))
		f.size, f.packed = 0xFFFFFFFF, 0xFFFFFFFF
	}
}

// wideOffset also repeats the offset, as some writers do.
func wideOffset(l, c *fields) {
	wideSizes(l, c)
	c.extra = extraField(1, string(num(8, 9, 9, uint64(c.offset))))
}

// sample is a package folder with usual and some unusual contents.
func sample(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "hello-cemli")
	for name, content := range map[string]string{
		"manifest.json":               `{"name":"hello-cemli","version":"1.0.0","type":"extension"}`,
		"steps/run.sh":                "#!/bin/bash\necho hello\n",
		"steps/sub/deep/er.sql":       strings.Repeat("select 1 from dual;\n", 50_000),
		"artifacts/Übersicht.csv":     "a;b\n",
		"artifacts/日本語 (1).txt":       "x",
		"artifacts/empty":             "",
		"artifacts/random.bin":        string(noise(300_000)),
		"rollback/with space.sh":      "exit 0\n",
		".hidden":                     "h",
		"artifacts/inner.zip":         string(pkg().bytes()),
		"artifacts/combining-e\u0301": "c",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "empty/folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "steps/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// noise is data that does not compress.
func noise(n int) []byte {
	b, x := make([]byte, n), uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

const pythonZip = `
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as z:
    for top, dirs, files in os.walk("."):
        for name in dirs + files:
            z.write(os.path.join(top, name))
`

const pythonStream = `
import os, sys, zipfile
class Pipe:
    def __init__(self, f): self.f = f
    def write(self, b): return self.f.write(b)
    def flush(self): self.f.flush()
with open(sys.argv[1], "wb") as f, zipfile.ZipFile(Pipe(f), "w", zipfile.ZIP_DEFLATED) as z:
    for top, dirs, files in os.walk("."):
        for name in files:
            path = os.path.join(top, name)
            with z.open(zipfile.ZipInfo.from_file(path), "w", force_zip64=True) as out:
                out.write(open(path, "rb").read())
`

// What each tool makes from inside a folder has the folder's files.
func TestToolsAgree(t *testing.T) {
	t.Parallel()
	dir := sample(t)
	want, err := bundle.DirHash(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	for name, command := range map[string][]string{
		"zip":                  {"zip", "-qr", "OUT", "."},
		"zip store":            {"zip", "-qr0", "OUT", "."},
		"zip without extra":    {"zip", "-qrX", "OUT", "."},
		"zip 64-bit":           {"zip", "-qr", "-fz", "OUT", "."},
		"zip with descriptors": {"zip", "-qr", "-fd", "OUT", "."},
		"zip to a pipe":        {"bash", "-c", "zip -qr - . | cat > OUT"},
		"zip with a comment":   {"bash", "-c", "echo built by hand | zip -qrz OUT . > /dev/null"},
		"zip updated":          {"bash", "-c", "zip -qr OUT steps && zip -qr OUT ."},
		"7z":                   {"7z", "a", "-tzip", "-bso0", "-bsp0", "OUT", "."},
		"7z store":             {"7z", "a", "-tzip", "-mx0", "-bso0", "-bsp0", "OUT", "."},
		"7z names":             {"bash", "-c", "7z a -tzip -bso0 -bsp0 OUT * .hidden"},
		"bsdtar":               {"bsdtar", "-a", "-cf", "OUT", "--format", "zip", "."},
		"bsdtar names":         {"bash", "-c", "bsdtar -a -c -f OUT * .hidden"},
		"bsdtar 64-bit":        {"bash", "-c", "bsdtar -c --format zip --options zip:zip64 -f OUT *  .hidden"},
		"jar":                  {"jar", "cMf", "OUT", "."},
		"jar store":            {"jar", "c0Mf", "OUT", "."},
		"python":               {"python3", "-c", pythonZip, "OUT"},
		"python to a pipe":     {"python3", "-c", pythonStream, "OUT"},
		"python -m zipfile":    {"bash", "-c", "python3 -m zipfile -c OUT * .hidden"},
	} {
		t.Run(name, func(t *testing.T) { sameAsFolder(t, want, runTool(t, dir, command)) })
	}
	t.Run("Go", func(t *testing.T) { sameAsFolder(t, want, goZip(t, dir)) })
	t.Run("Create", func(t *testing.T) {
		var b bytes.Buffer
		if _, err := bundle.Create(&b, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		sameAsFolder(t, want, b.Bytes())
	})
}

func sameAsFolder(t *testing.T, want string, zip []byte) {
	t.Helper()
	done, _, err := extract(t, zip)
	if err != nil {
		t.Fatal(err)
	}
	if done.DirHash != want {
		t.Errorf("dirhash %s; want %s of the folder", done.DirHash, want)
	}
}

// runTool runs a command that writes the zip OUT in a folder, where it is installed.
func runTool(t *testing.T, dir string, command []string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.zip")
	args := make([]string, len(command))
	for i, arg := range command {
		args[i] = strings.ReplaceAll(arg, "OUT", out)
	}
	tool := args[0]
	if tool == "bash" {
		tool = strings.Fields(strings.TrimPrefix(args[2], "echo built by hand | "))[0]
	}
	if _, err := exec.LookPath(tool); err != nil {
		t.Skip(tool + " is not installed")
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "LANG=C.UTF-8")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, text)
	}
	zip, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return zip
}

// goZip is a zip as Go programs stream it.
func goZip(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A writer that knows sizes and checksum beforehand needs no descriptors.
func TestGoRawEntries(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range map[string]string{"manifest.json": "{}", "steps/run.sh": "true\n"} {
		out, err := w.CreateRaw(&zip.FileHeader{
			Name: name, CRC32: crc32.ChecksumIEEE([]byte(content)), Modified: time.Now(),
			CompressedSize64: uint64(len(content)), UncompressedSize64: uint64(len(content)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := extract(t, b.Bytes()); err != nil {
		t.Error(err)
	}
}
