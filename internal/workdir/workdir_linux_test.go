package workdir_test

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"cemli-executor/internal/workdir"
)

// deep makes a chain of folders that is longer than a path can be.
func deep(t *testing.T, top string) {
	t.Helper()
	fd, err := unix.Open(top, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for range 3000 {
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Mkdirat(fd, "folder", 0o700); err != nil {
			t.Fatal(err)
		}
		next, openErr := unix.Openat(fd, "folder", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		_ = unix.Close(fd) // it was only read
		fd, err = next, openErr
	}
	_ = unix.Close(fd)
}

// The folder is removed, whatever scripts have made of it.
func TestRemoveWhatScriptsLeft(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{"closed/inner/file": "x"})
	deep(t, d.Path("tmp"))
	if err := unix.Mkfifo(d.Path("out/mask"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", d.Path("home/root")); err != nil {
		t.Fatal(err)
	}
	for _, closed := range []string{"package/closed/inner", "package/closed", "package", ""} {
		if err := os.Chmod(d.Path(closed), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(d.Path("")); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestOpenRegularWaitsForNoPipe(t *testing.T) {
	t.Parallel()
	d := newDir(t, nil)
	if err := unix.Mkfifo(d.Path("out/mask"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := workdir.OpenRegular(d.Root(), workdir.MaskFile); err == nil {
		t.Error("a pipe was opened")
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	old := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(at func(name string) string) error
		want   []string
	}{
		"nothing": {func(func(string) string) error { return nil }, nil},
		"new": {
			func(at func(string) string) error { return os.WriteFile(at("c"), nil, 0o600) }, []string{"c"},
		},
		"gone": {func(at func(string) string) error { return os.Remove(at("a")) }, []string{"a"}},
		"moved": {
			func(at func(string) string) error { return os.Rename(at("d/b"), at("b")) }, []string{"b", "d/b"},
		},
		"to the same again": {
			func(at func(string) string) error { return os.WriteFile(at("a"), []byte("one"), 0o600) }, nil,
		},
		"of the same size and time": {func(at func(string) string) error {
			if err := os.WriteFile(at("a"), []byte("two"), 0o600); err != nil {
				return err
			}
			return os.Chtimes(at("a"), old, old)
		}, []string{"a"}},
		"a link in its place": {func(at func(string) string) error {
			if err := os.Remove(at("a")); err != nil {
				return err
			}
			return os.Symlink("d/b", at("a"))
		}, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDir(t, map[string]string{"a": "one", "d/b": "one"})
			sum := "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed" // of "one"
			s := d.Snapshot(map[string]string{"a": sum, "d/b": sum})
			if err := c.change(func(name string) string { return d.Path("package/" + name) }); err != nil {
				t.Fatal(err)
			}
			got, whole := s.Changed()
			if diff := cmp.Diff(c.want, got); diff != "" || !whole {
				t.Errorf("whole: %t (-want +got):\n%s", whole, diff)
			}
			if again, _ := s.Changed(); again != nil {
				t.Errorf("changed again: %v", again)
			}
		})
	}
}
