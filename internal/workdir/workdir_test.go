package workdir_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/testkit"
	"cemli-executor/internal/workdir"
)

// newDir makes the folder of a run, with a package's files.
func newDir(t *testing.T, files map[string]string) *workdir.Dir {
	t.Helper()
	d, err := workdir.Make(filepath.Join(testkit.TempDir(t), "work"), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
	})
	for name, text := range files {
		write(t, d.Path("package/"+name), text)
	}
	return d
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestMakeEmptiesTheWorkFolder(t *testing.T) {
	t.Parallel()
	work := filepath.Join(testkit.TempDir(t), "work")
	write(t, work+"/run-1/package/steps/1.sh", "left")
	if err := os.Chmod(work+"/run-1/package", 0); err != nil {
		t.Fatal(err)
	}
	d, err := workdir.Make(work, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, work); len(got) != 1 || filepath.Join(work, got[0]) != d.Path("") {
		t.Errorf("in the work folder: %v; want only the folder of the run", got)
	}
	want := []string{"artifacts", "home", "out", "package", "tmp"}
	if diff := cmp.Diff(want, names(t, d.Path(""))); diff != "" {
		t.Errorf("in the folder of the run (-want +got):\n%s", diff)
	}
	if err := d.Remove(); err != nil || len(names(t, work)) != 0 {
		t.Errorf("%v, left: %v", err, names(t, work))
	}
}

// In a shared /tmp, somebody else may have put something in place of the work folder.
func TestMakeTakesNoOthersFolder(t *testing.T) {
	t.Parallel()
	elsewhere := testkit.TempDir(t)
	write(t, elsewhere+"/precious", "kept")
	work := filepath.Join(testkit.TempDir(t), "work")
	for what, put := range map[string]func() error{
		"a link": func() error { return os.Symlink(elsewhere, work) },
		"a file": func() error { return os.WriteFile(work, nil, 0o600) },
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if _, err := workdir.Make(work, 0); problem.CodeOf(err) != "sandbox.workdir" {
			t.Errorf("%s: %v; want sandbox.workdir", what, err)
		}
		if err := os.Remove(work); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, elsewhere); len(got) != 1 {
		t.Errorf("the folder behind the link has %v", got)
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	d := newDir(t, nil)
	for _, closed := range []string{"out", "package", ""} {
		if err := os.Chmod(d.Path(closed), 0); err != nil {
			t.Fatal(err)
		}
	}
	d.Reopen()
	for _, folder := range []string{"", "out", "package"} {
		if info, err := os.Stat(d.Path(folder)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%q: %v, %v", folder, info.Mode(), err)
		}
	}
}

func TestOpenRegular(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{"file": "text", "folder/x": ""})
	for link, to := range map[string]string{"link": "file", "out": "/etc/passwd"} {
		if err := os.Symlink(to, d.Path("package/"+link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"link", "out", "folder", "none"} {
		if f, _, err := workdir.OpenRegular(d.Contents(), name); err == nil {
			t.Errorf("%s was opened: %s", name, f.Name())
		}
	}
	f, info, err := workdir.OpenRegular(d.Contents(), "file")
	if err != nil || info.Size() != 4 {
		t.Fatalf("%v, %v", info, err)
	}
	defer f.Close()
	if sum, err := workdir.Digest(f, 5); err == nil {
		t.Errorf("the digest of more than there is: %s", sum)
	}
}

func TestNewArtifactStaysInItsFolder(t *testing.T) {
	t.Parallel()
	d := newDir(t, nil)
	outside := testkit.TempDir(t)
	if err := os.Symlink(outside, d.Path("artifacts/out")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"out/x", "../../x"} {
		if f, err := d.NewArtifact(name); err == nil {
			t.Errorf("%s was made: %s", name, f.Name())
		}
	}
	f, err := d.NewArtifact("a/b")
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close() // nothing was written
	if _, err := d.NewArtifact("a/b"); err == nil {
		t.Error("it was made again")
	}
	if left := names(t, outside); len(left) != 0 {
		t.Errorf("outside: %v", left)
	}
}

func TestLogsAreNotInTheFolder(t *testing.T) {
	t.Parallel()
	d := newDir(t, nil)
	f, err := d.NewLog("01.log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("line"); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Dir(d.Path("")), func(path string, _ fs.DirEntry, err error) error {
		if strings.Contains(path, ".log") {
			t.Errorf("%s can be found", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWritableIsAllOfTheScripts(t *testing.T) {
	t.Parallel()
	d := newDir(t, nil)
	writable := d.Writable()
	for _, place := range []string{
		workdir.Package, workdir.Home, workdir.Tmp, workdir.Artifacts, workdir.SummaryFile, workdir.MaskFile,
		workdir.OutputFile(1, 2),
	} {
		path := d.Path(place)
		if !slices.ContainsFunc(writable,
			func(folder string) bool { return path == folder || filepath.Dir(path) == folder }) {
			t.Errorf("%s is in none of %v", path, writable)
		}
	}
	if slices.Contains(writable, d.Path("")) {
		t.Error("scripts may write to the folder of the run itself")
	}
}
