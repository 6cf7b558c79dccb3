package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tree makes a folder with a program and a text, of that moment and umask.
func tree(t *testing.T, mode os.FileMode, when time.Time) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cemli-1.2.3")
	for name, m := range map[string]os.FileMode{"cemli": mode | 0o100, "completions/cemli.bash": mode} {
		path := filepath.Join(dir, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(name), m),
			os.Chmod(path, m), os.Chtimes(path, when, when))
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// An archive says nothing of when and by whom it was made.
func TestArchivesAreTheSame(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	first, second := tree(t, 0o644, time.Unix(1, 0)), tree(t, 0o600, time.Now())
	for _, kind := range []string{".tar.gz", ".zip"} {
		a, b := filepath.Join(t.TempDir(), "a"+kind), filepath.Join(t.TempDir(), "b"+kind)
		if err := errors.Join(run([]string{"archive", a, first}), run([]string{"archive", b, second})); err != nil {
			t.Fatal(err)
		}
		one, errOne := os.ReadFile(a)
		two, errTwo := os.ReadFile(b)
		if errOne != nil || errTwo != nil || !bytes.Equal(one, two) {
			t.Errorf("%s: two archives of the same files differ (%v, %v)", kind, errOne, errTwo)
		}
		want := []string{
			"cemli-1.2.3/cemli -rwxr-xr-x 1700000000", "cemli-1.2.3/completions/cemli.bash -rw-r--r-- 1700000000",
		}
		if diff := cmp.Diff(want, list(t, kind, one)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
}

// list is what a person sees of an archive: names, modes and times.
func list(t *testing.T, kind string, archive []byte) []string {
	t.Helper()
	var all []string
	add := func(name string, info os.FileInfo) {
		all = append(all, fmt.Sprintf("%s %s %d", name, info.Mode(), info.ModTime().Unix()))
	}
	if kind == ".zip" {
		r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.File {
			add(f.Name, f.FileInfo())
		}
		return all
	}
	text, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(text); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		add(header.Name, header.FileInfo())
	}
}

// The inventory names what is in a binary, and is the same each time.
func TestSBOM(t *testing.T) {
	t.Setenv("VERSION", "1.2.3")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "sbom.json")
	if err := run([]string{"sbom", out, "cemli", self, self}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		BOMFormat  string
		Metadata   struct{ Component component }
		Components []component
	}
	err = json.Unmarshal(text, &doc)
	if err != nil || doc.BOMFormat != "CycloneDX" || doc.Metadata.Component.Version != "1.2.3" {
		t.Errorf("%v\n%s", err, text)
	}
	if len(doc.Components) != 1 || doc.Components[0].Name != "stdlib" {
		t.Errorf("a binary of the standard library alone has %v", doc.Components)
	}
}

func TestWrongCalls(t *testing.T) {
	for _, args := range [][]string{
		nil, {"archive"}, {"sbom", "out", "name"}, {"sbom", filepath.Join(t.TempDir(), "o"), "name", "main.go"},
	} {
		if run(args) == nil {
			t.Errorf("%v is a success", args)
		}
	}
}
