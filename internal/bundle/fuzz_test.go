package bundle_test

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"cemli-executor/internal/bundle"
)

// fuzzLimits are small, so that they are soon exceeded.
var fuzzLimits = bundle.Limits{Entries: 50, FileBytes: 1 << 20, TotalBytes: 2 << 20, Ratio: 100}

// seed adds every zip of the other tests that is small enough to be changed usefully.
func seed(f *testing.F) {
	f.Helper()
	cases := []fixture{
		pkg(), dottedPackage(), both64(), described(12, nil), described(16, nil), described(20, nil),
		described(24, nil),
	}
	for _, test := range slices.Concat(hostileNames, hostileEntries, hostileLayouts, hostileEnds, combined) {
		cases = append(cases, test.zip)
	}
	cases = append(cases, pkg(item{name: "x", data: "some data", edit: wideOffset}),
		pkg(item{name: "x", data: string(pkg().bytes())}))
	for _, c := range cases {
		if b := c.bytes(); len(b) < 8<<10 {
			f.Add(b)
		}
	}
	var b bytes.Buffer
	_, err := bundle.Create(&b,
		folderOf(map[string]string{"manifest.json": "{}", "steps/run.sh": "true", ".cemli/x": "{}"}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
}

// accepted checks what must hold of every archive that is accepted: names that no file
// system can misunderstand, sizes within the limits, and the same entries that another
// reader finds.
func accepted(t *testing.T, data []byte, a *bundle.Archive) map[string]*zip.File {
	t.Helper()
	other, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatalf("accepted, but archive/zip says: %v", err)
	}
	found := map[string]*zip.File{}
	for _, f := range other.File {
		if !strings.HasSuffix(f.Name, "/") {
			found[strings.TrimPrefix(f.Name, "./")] = f
		}
	}
	files := slices.Concat(a.Files(), a.ReservedFiles())
	if len(found) != len(files) || len(other.File) > fuzzLimits.Entries {
		t.Fatalf("%d files; archive/zip finds %d in %d entries", len(files), len(found), len(other.File))
	}
	var total int64
	for _, f := range files {
		total += f.Size
		if !fs.ValidPath(f.Name) || !filepath.IsLocal(f.Name) || strings.ContainsAny(f.Name, "\\\x00\n") ||
			!utf8.ValidString(f.Name) {
			t.Errorf("accepted the name %q", f.Name)
		}
		if o := found[f.Name]; o == nil || o.UncompressedSize64 != uint64(f.Size) || !o.Mode().IsRegular() {
			t.Errorf("%q is not the file that archive/zip finds", f.Name)
		}
		if f.Size > fuzzLimits.FileBytes {
			t.Errorf("%q has %d bytes", f.Name, f.Size)
		}
	}
	if total > fuzzLimits.TotalBytes {
		t.Errorf("%d bytes in all", total)
	}
	return found
}

func FuzzCheck(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		archive, err := bundle.Check(bytes.NewReader(data), int64(len(data)), fuzzLimits)
		if err != nil {
			if len(refusals(t, err)) == 0 {
				t.Errorf("refused without a reason: %v", err)
			}
			return
		}
		accepted(t, data, archive)
	})
}

func FuzzExtract(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		archive, err := bundle.Check(bytes.NewReader(data), int64(len(data)), fuzzLimits)
		if err != nil {
			return
		}
		found := accepted(t, data, archive)
		outer := t.TempDir()
		if err := os.Mkdir(filepath.Join(outer, "root"), 0o700); err != nil {
			t.Fatal(err)
		}
		done, err := archive.Extract(t.Context(), openRoot(t, filepath.Join(outer, "root")))
		var written int64
		for name, entry := range tree(t, outer) {
			if name != "root" && !strings.HasPrefix(name, "root/") ||
				!strings.HasPrefix(entry, "d") && !strings.HasPrefix(entry, "-rw-") {
				t.Errorf("written outside, or no file: %q %.20s", name, entry)
			}
			if strings.HasPrefix(entry, "-") {
				written += int64(len(entry) - len("-rw-r--r-- 2000-01-01 "))
			}
		}
		if written > fuzzLimits.TotalBytes {
			t.Errorf("%d bytes written", written)
		}
		if err != nil {
			if len(refusals(t, err)) == 0 {
				t.Errorf("refused without a reason: %v", err)
			}
			return
		}
		sameContents(t, done, found, filepath.Join(outer, "root"))
	})
}

// FuzzFields changes an entry's headers, because random bytes would mostly break the zip: what is accepted must still
// be what another reader finds.
func FuzzFields(f *testing.F) {
	for field := range uint8(7) {
		f.Add(field, uint32(8), uint8(0), uint8(16), []byte(nil), "x")
		f.Add(field, uint32(0xFFFFFFFF), uint8(1), uint8(24), []byte(extraField(1, string(num(8, 9, 9)))), "./a/b")
		f.Add(field, uint32(0x41ED0010), uint8(2), uint8(0), []byte(unicodePath("x", "x")), "x/")
	}
	f.Fuzz(func(t *testing.T, field uint8, value uint32, where, descriptor uint8, extra []byte, name string) {
		if len(name) > 0xFFFF || len(extra) > 0xFFFF {
			return
		}
		change := func(f *fields) {
			f.extra = string(extra)
			switch field {
			case 0:
				f.flags = uint16(value)
			case 1:
				f.method = uint16(value)
			case 2:
				f.crc = value
			case 3:
				f.packed = value
			case 4:
				f.size = value
			case 5:
				f.offset = value
			case 6:
				f.attributes = value
			}
		}
		edit := [...]func(l, c *fields){local(change), central(change), both(change)}[where%3]
		zip := pkg(item{name: name, data: "some data", descriptor: int(descriptor), edit: edit}).bytes()
		archive, err := bundle.Check(bytes.NewReader(zip), int64(len(zip)), fuzzLimits)
		if err != nil {
			return
		}
		found := accepted(t, zip, archive)
		dir := t.TempDir()
		if done, err := archive.Extract(t.Context(), openRoot(t, dir)); err == nil {
			sameContents(t, done, found, dir)
		}
	})
}

// sameContents compares what was extracted with what another reader reads.
func sameContents(t *testing.T, done bundle.Extracted, found map[string]*zip.File, dir string) {
	t.Helper()
	for _, f := range done.Files {
		got, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil {
			t.Fatal(err)
		}
		r, err := found[f.Name].Open()
		if err != nil {
			t.Fatalf("extracted %q, but archive/zip says: %v", f.Name, err)
		}
		want, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: %d bytes; archive/zip reads %d, %v", f.Name, len(got), len(want), err)
		}
	}
}
