package bundle_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/bundle"
)

// folderOf is a folder in memory; the modes and times of its files differ.
func folderOf(files map[string]string) fstest.MapFS {
	folder := fstest.MapFS{}
	for name, content := range files {
		folder[name] = &fstest.MapFile{
			Data: []byte(content), Mode: fs.FileMode(0o600 + len(name)%64), ModTime: time.Unix(int64(len(content)), 0),
		}
	}
	return folder
}

func packageFiles() map[string]string {
	return map[string]string{
		"manifest.json":       `{"name":"hello","version":"1.0.0","type":"extension"}`,
		"steps/run.sh":        "echo hello\n",
		"steps-more.txt":      "sorts before steps/run.sh",
		"artifacts/Über.csv":  strings.Repeat("1;2;3\n", 50_000),
		"artifacts/random":    string(noise(200_000)),
		"artifacts/empty":     "",
		".cemli/x.dsse.json":  "{}",
		"artifacts/.DS_Store": "ordinary",
	}
}

func create(t *testing.T, folder fs.FS) ([]byte, bundle.Created) {
	t.Helper()
	var b bytes.Buffer
	made, err := bundle.Create(&b, folder)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), made
}

// The bytes are the same on every machine and in every release: people compare digests
// of zips that were packed years apart. A change here breaks that promise.
func TestCreateIsTheSameForever(t *testing.T) {
	t.Parallel()
	zip, made := create(t, folderOf(packageFiles()))
	const want = "cd4af30e468178d7e6b99cbe37343f709ddc08e7471d81f9196ed0bc21d2f2bb"
	if made.SHA256 != want || fmt.Sprintf("%x", sha256.Sum256(zip)) != want {
		t.Errorf("SHA-256 %s of %x; want %s", made.SHA256, sha256.Sum256(zip), want)
	}
	if made.Size != int64(len(zip)) || made.Entries != 8 {
		t.Errorf("%+v of %d bytes", made, len(zip))
	}
}

// trickle reads a byte at a time.
type trickle struct{ fs.FS }

func (f trickle) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if _, folder := file.(fs.ReadDirFile); err != nil || folder {
		return file, err
	}
	return slow{file, iotest.OneByteReader(file)}, nil
}

type slow struct {
	fs.File
	r io.Reader
}

func (s slow) Read(p []byte) (int, error) { return s.r.Read(p) }

func TestCreateDependsOnNamesAndContentsAlone(t *testing.T) {
	t.Parallel()
	want, made := create(t, folderOf(packageFiles()))
	if got, _ := create(t, trickle{folderOf(packageFiles())}); !bytes.Equal(got, want) {
		t.Error("other bytes when read in small pieces")
	}
	dir := t.TempDir()
	for name, content := range packageFiles() {
		path := filepath.Join(dir, filepath.FromSlash(name))
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o777))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got, _ := create(t, openRoot(t, dir).FS()); !bytes.Equal(got, want) {
		t.Error("other bytes from files with other modes and times")
	}
	done, _, err := extract(t, want)
	if err != nil || done.DirHash != made.DirHash {
		t.Errorf("extracted %s, created %s, %v", done.DirHash, made.DirHash, err)
	}
	if hash, err := bundle.DirHash(os.DirFS(dir)); err != nil || hash != made.DirHash {
		t.Errorf("the folder's dirhash is %s, %v; want %s", hash, err, made.DirHash)
	}
}

func TestCreatedZipIsPlain(t *testing.T) {
	t.Parallel()
	b, _ := create(t, folderOf(packageFiles()))
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range r.File {
		names = append(names, f.Name)
		if len(f.Extra) > 0 || f.Comment != "" || f.Mode() != 0o644 ||
			f.Modified.UTC().Format(time.DateTime) != "2000-01-01 00:00:00" {
			t.Errorf("%s: extra %x, comment %q, mode %v, time %v", f.Name, f.Extra, f.Comment, f.Mode(), f.Modified)
		}
	}
	if !slices.IsSorted(names) || len(names) != 8 {
		t.Errorf("names %q", names)
	}
}

// Other programs can read it.
func TestToolsReadWhatCreateMakes(t *testing.T) {
	t.Parallel()
	b, _ := create(t, folderOf(packageFiles()))
	path := filepath.Join(t.TempDir(), "x.zip")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"unzip", "-tqq"}, {"7z", "t", "-bso0"}, {"bsdtar", "-tf"}, {"python3", "-m", "zipfile", "-t"}, {"jar", "tf"},
	} {
		t.Run(command[0], func(t *testing.T) {
			if _, err := exec.LookPath(command[0]); err != nil {
				t.Skip(command[0] + " is not installed")
			}
			cmd := exec.Command(command[0], append(command[1:], path)...)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8") // bsdtar prints no other names
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

func TestCreateRefusesWhatCheckWould(t *testing.T) {
	t.Parallel()
	tooMany := map[string]string{}
	for i := range bundle.DefaultLimits().Entries + 1 {
		tooMany[fmt.Sprintf("a/%d", i)] = ""
	}
	for name, test := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"nothing": {nil, []string{"empty"}},
		"names": {
			map[string]string{`a\b`: "", "c\x01": "", "d\u202e": ""},
			[]string{`backslash "a\\b"`, `control_character "c\x01"`, `control_character "d\u202e"`},
		},
		"a folder": {map[string]string{`a\b/c`: "", `a\b/d`: ""}, []string{`backslash "a\\b/"`}},
		"case":     {map[string]string{"A": "", "a": ""}, []string{"case_duplicate a"}},
		"reserved": {map[string]string{".CEMLI/x": "", "a": ""}, []string{"reserved_name .CEMLI/"}},
		"deep": {
			map[string]string{strings.Repeat("d/", 32) + "x": ""},
			[]string{"too_deep " + strings.Repeat("d/", 32) + "x"},
		},
		"top folder": {
			map[string]string{"hello/manifest.json": "{}", "hello/steps/run.sh": ""}, []string{"top_folder hello/"},
		},
		"too many":    {tooMany, []string{"too_many_entries"}},
		"too uniform": {map[string]string{"zeros": strings.Repeat("\x00", 3<<20)}, []string{"ratio zeros", "ratio"}},
	} {
		_, err := bundle.Create(io.Discard, folderOf(test.files))
		if diff := cmp.Diff(test.want, refusals(t, err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestCreateRefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	folder := folderOf(map[string]string{"manifest.json": "{}"})
	folder["link"] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("manifest.json")}
	folder["fifo"] = &fstest.MapFile{Mode: fs.ModeNamedPipe}
	folder["dev"] = &fstest.MapFile{Mode: fs.ModeDevice | fs.ModeCharDevice}
	_, err := bundle.Create(io.Discard, folder)
	if diff := cmp.Diff([]string{"special_file dev", "special_file fifo", "link link"}, refusals(t, err)); diff != "" {
		t.Error(diff)
	}
	if _, err := bundle.DirHash(folder); len(refusals(t, err)) != 3 {
		t.Errorf("dirhash: %v", err)
	}
}

func TestCreateKnowsSizesBeforeItReads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "huge"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(bundle.DefaultLimits().FileBytes + 1); err != nil {
		t.Skip("no sparse files here: " + err.Error())
	}
	_, err = bundle.Create(failingWriter{t}, os.DirFS(dir))
	if diff := cmp.Diff([]string{"file_too_large huge", "too_large"}, refusals(t, err)); diff != "" {
		t.Error(diff)
	}
}

// failingWriter fails the test when something is written.
type failingWriter struct{ t *testing.T }

func (w failingWriter) Write([]byte) (int, error) {
	w.t.Error("something was written")
	return 0, errors.New("not allowed")
}

// growing is a folder whose files have more bytes than their description says.
type growing struct{ fstest.MapFS }

func (f growing) Open(name string) (fs.File, error) {
	file, err := f.MapFS.Open(name)
	if name == "." || err != nil {
		return file, err
	}
	return slow{file, io.MultiReader(file, strings.NewReader("more"))}, nil
}

func TestCreateNoticesChanges(t *testing.T) {
	t.Parallel()
	_, err := bundle.Create(io.Discard, growing{folderOf(map[string]string{"a": "x"})})
	if err == nil || !strings.Contains(err.Error(), "pack a: the file changed while it was packed") {
		t.Errorf("error %v", err)
	}
}

func TestCreatePassesErrorsOn(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	if _, err := bundle.Create(brokenWriter{full}, folderOf(packageFiles())); !errors.Is(err, full) {
		t.Errorf("write: %v", err)
	}
	_, err := bundle.Create(io.Discard, os.DirFS(filepath.Join(t.TempDir(), "none")))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read: %v", err)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }
