package bundle_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/dirhash"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/problem"
)

// extract checks and extracts a zip into a new folder.
func extract(t *testing.T, zip []byte) (bundle.Extracted, string, error) {
	t.Helper()
	archive, err := check(zip)
	if err != nil {
		t.Fatalf("check: %v", err)
	}
	dir := t.TempDir()
	done, err := archive.Extract(t.Context(), openRoot(t, dir))
	return done, dir, err
}

func openRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// tree lists what is in a folder: names, modes and contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content := ""
		if entry.Type().IsRegular() {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			content = " " + string(b)
		}
		found[name] = info.Mode().String() + " " + info.ModTime().UTC().Format(time.DateOnly) + content
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestExtractTakesNothingButNamesAndContents(t *testing.T) {
	t.Parallel()
	done, dir, err := extract(t, pkg(
		item{name: "a/", mode: 0o040777},
		item{name: "a/b/secret", data: "s", mode: 0o100600},
		item{name: "a/b/tool", data: strings.Repeat("t", 1000), mode: 0o100777, deflate: true},
		item{name: "empty/", mode: 0o040755},
		item{name: "none"},
		item{name: ".cemli/x.dsse.json", data: "{}"},
		item{name: "deflated/", deflate: true},
	).bytes())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"manifest.json": `-rw-r--r-- 2000-01-01 {"name":"hello","version":"1.0.0","type":"extension"}`,
		"steps":         "drwxr-xr-x 2000-01-01",
		"steps/run.sh":  "-rw-r--r-- 2000-01-01 echo hello\n",
		"a":             "drwxr-xr-x 2000-01-01",
		"a/b":           "drwxr-xr-x 2000-01-01",
		"a/b/secret":    "-rw-r--r-- 2000-01-01 s",
		"a/b/tool":      "-rw-r--r-- 2000-01-01 " + strings.Repeat("t", 1000),
		"none":          "-rw-r--r-- 2000-01-01 ",
	}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("extracted (-want +got):\n%s", diff)
	}
	if err := os.RemoveAll(filepath.Join(dir, ".cemli")); err != nil {
		t.Fatal(err)
	}
	if hash, err := dirhash.HashDir(dir, "", dirhash.Hash1); err != nil || hash != done.DirHash {
		t.Errorf("dirhash %s; x/mod says %s, %v", done.DirHash, hash, err)
	}
	if hash, err := bundle.DirHash(os.DirFS(dir)); err != nil || hash != done.DirHash {
		t.Errorf("dirhash %s; of the folder %s, %v", done.DirHash, hash, err)
	}
	var names []string
	for _, f := range done.Files {
		names = append(names, f.Name)
		content, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil || f.Size != int64(len(content)) || f.SHA256 != fmt.Sprintf("%x", sha256.Sum256(content)) {
			t.Errorf("digest %+v does not match the file: %v", f, err)
		}
	}
	if !slices.IsSorted(names) || len(names) != 5 {
		t.Errorf("files %q", names)
	}
}

func TestArchive(t *testing.T) {
	t.Parallel()
	a, err := check(pkg(item{name: "a/b/c", data: strings.Repeat("x", 4097)}, item{name: "a/b-c"},
		item{name: ".cemli/b", data: "two"}, item{name: ".cemli/a", data: "one"}, item{name: "z/"}).bytes())
	if err != nil {
		t.Fatal(err)
	}
	want := []bundle.File{
		{Name: "a/b-c"},
		{Name: "a/b/c", Size: 4097},
		{Name: "manifest.json", Size: 53},
		{Name: "steps/run.sh", Size: 11},
	}
	if diff := cmp.Diff(want, a.Files()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	diff := cmp.Diff([]bundle.File{{Name: ".cemli/a", Size: 3}, {Name: ".cemli/b", Size: 3}}, a.ReservedFiles())
	if diff != "" {
		t.Errorf("reserved (-want +got):\n%s", diff)
	}
	// Folders a, a/b and steps; blocks for 4,097 bytes, 53 and 11.
	if diff := cmp.Diff(bundle.Footprint{Bytes: (3 + 2 + 1 + 1) * 4096, Inodes: 3 + 4}, a.Footprint()); diff != "" {
		t.Errorf("footprint (-want +got):\n%s", diff)
	}
	if f, ok := a.Stat("manifest.json"); !ok || f.Size != 53 {
		t.Errorf("stat: %v, %v", f, ok)
	}
	if f, ok := a.Stat("steps"); ok {
		t.Errorf("a folder is no file: %v", f)
	}
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	a, err := check(pkg(item{name: ".cemli/x", data: "signed", deflate: true},
		item{name: "bad", data: "data", edit: both(func(f *fields) { f.crc++ })}).bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		limit int64
		want  string
		code  string
	}{
		{"steps/run.sh", 11, "echo hello\n", ""},
		{".cemli/x", 100, "signed", ""},
		{"steps/run.sh", 10, "", "archive.file_too_large"},
		{"bad", 100, "", "archive.crc"},
	} {
		b, err := a.ReadFile(test.name, test.limit)
		if string(b) != test.want || problem.CodeOf(err) != test.code {
			t.Errorf("%s: %q, %v", test.name, b, err)
		}
	}
	if _, err := a.ReadFile("steps", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
}

// Faults that only the data shows are refused while it is read, each entry with its reason.
func TestDataThatIsNotAsPromised(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("data ", 100_000) + string(noise(10_000))
	stream := deflated(long)
	bad := func(name, packed string, edit func(f *fields)) item {
		return item{name: name, data: long, packed: packed, deflate: true, edit: both(edit)}
	}
	same := func(*fields) {}
	f := pkg(
		bad("good", "", same),
		bad("checksum", "", func(f *fields) { f.crc ^= 1 }),
		bad("longer", "", func(f *fields) { f.size-- }),
		bad("shorter", "", func(f *fields) { f.size++ }),
		bad("cut", stream[:len(stream)-5], same),
		bad("hidden behind", stream+"hidden", same),
		bad("second stream", stream+stream, same),
		bad("no deflate", strings.Repeat("\xff", 10_000), same),
		bad("empty", "\x03\x00", same),
		item{name: "stored", data: "stored", edit: both(func(f *fields) { f.crc = 0 })},
	)
	_, _, err := extract(t, f.bytes())
	want := []string{
		"crc checksum", "data cut", "size empty", "size hidden behind", "size longer",
		"data no deflate", "size second stream", "size shorter", "crc stored",
	}
	if diff := cmp.Diff(want, refusals(t, err)); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

// A stream that never ends is cut at the size that was checked against the limits.
func TestNoByteMoreThanPromised(t *testing.T) {
	t.Parallel()
	f := pkg(item{
		name: "bomb", data: strings.Repeat("\x00", 900<<10), deflate: true, edit: both(func(f *fields) { f.size = 10 }),
	})
	_, dir, err := extract(t, f.bytes())
	if diff := cmp.Diff([]string{"size bomb"}, refusals(t, err)); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(filepath.Join(dir, "bomb")); err != nil || info.Size() > 10 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestExtractOverwritesAndFollowsNothing(t *testing.T) {
	t.Parallel()
	archive, err := check(pkg().bytes())
	if err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	for name, prepare := range map[string]func(dir string) error{
		"a file": func(dir string) error { return os.WriteFile(filepath.Join(dir, "manifest.json"), nil, 0o600) },
		"a link": func(dir string) error {
			return os.Symlink(filepath.Join(outside, "x"), filepath.Join(dir, "manifest.json"))
		},
		"a link to a folder": func(dir string) error { return os.Symlink(outside, filepath.Join(dir, "steps")) },
	} {
		dir := t.TempDir()
		if err := prepare(dir); err != nil {
			t.Skip("no links here: " + err.Error())
		}
		if _, err := archive.Extract(t.Context(), openRoot(t, dir)); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s in its place: %v", name, err)
		}
	}
	if left := tree(t, outside); len(left) > 0 {
		t.Errorf("written outside: %v", left)
	}
}

func TestExtractStopsWithItsContext(t *testing.T) {
	t.Parallel()
	archive, err := check(many(200, 1000).bytes())
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("the deadline of the call")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	dir := t.TempDir()
	if _, err := archive.Extract(ctx, openRoot(t, dir)); !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
}

// cancelling cancels the context while a file is read.
type cancelling struct {
	io.ReaderAt
	cancel func()
}

func (c cancelling) ReadAt(p []byte, off int64) (int, error) {
	c.cancel()
	return c.ReaderAt.ReadAt(p, off)
}

func TestExtractStopsInTheMiddleOfAFile(t *testing.T) {
	t.Parallel()
	zip := pkg(item{name: "a", data: strings.Repeat("x", 8<<20)}).bytes()
	ctx, cancel := context.WithCancel(t.Context())
	archive, err := bundle.Check(cancelling{bytes.NewReader(zip), cancel}, int64(len(zip)), bundle.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := archive.Extract(ctx, openRoot(t, dir)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, "a")); err == nil && info.Size() == 8<<20 {
		t.Error("the whole file was written")
	}
}

func TestExtractPassesErrorsOfItsSourceOn(t *testing.T) {
	t.Parallel()
	zip := many(300, 1000).bytes()
	cause := problem.New(problem.Problem{Code: "store.unavailable", Message: "gone"}, nil)
	source := &failingReader{r: bytes.NewReader(zip), left: 1 << 30, err: cause}
	archive, err := bundle.Check(source, int64(len(zip)), bundle.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range []int64{0, 1, 100} {
		source.left = left
		_, err := archive.Extract(t.Context(), openRoot(t, t.TempDir()))
		if problem.CodeOf(err) != "store.unavailable" {
			t.Errorf("after %d reads: %v", left, err)
		}
	}
	source.left = 0
	if _, err := archive.ReadFile("manifest.json", 1000); problem.CodeOf(err) != "store.unavailable" {
		t.Errorf("read file: %v", err)
	}
}

// What the docs say about Go's own hash of a zip: it differs from that of the files if the zip has entries for
// folders.
func TestHashZipCountsFolders(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		zip  []byte
		same bool
	}{
		"files":   {pkg(item{name: "a/b", data: "x"}).bytes(), true},
		"folders": {pkg(item{name: "a/", mode: 0o040755}, item{name: "a/b", data: "x"}).bytes(), false},
	} {
		done, _, err := extract(t, pkg(item{name: "a/b", data: "x"}).bytes())
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "p.zip")
		if err := os.WriteFile(path, c.zip, 0o600); err != nil {
			t.Fatal(err)
		}
		if hash, err := dirhash.HashZip(path, dirhash.Hash1); err != nil || (hash == done.DirHash) != c.same {
			t.Errorf("%s: HashZip says %s (%v), the dirhash is %s; want the same: %v", name, hash, err, done.DirHash,
				c.same)
		}
	}
}
