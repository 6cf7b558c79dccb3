package folder_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/folder"
	"cemli-executor/internal/problem"
)

// write makes files, given by name, with their contents.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// seen lists the files of a folder as commands see it.
func seen(t *testing.T, dir string, written ...string) []string {
	t.Helper()
	f, err := folder.Open(dir, written...)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	err = fs.WalkDir(f, ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"manifest.json": `{"name":"pay","version":"1.1.0"}`, "steps/run.sh": "true", ".env.example": "kept",
		".github/x": "kept", "artifacts/pay-1.0.0.zip": "kept",
		"pay-x.zip": "kept", "other-1.0.0.zip": "kept", "#": "kept", "steps/.swp.txt": "kept",

		".git/HEAD": "x", "lib/.git": "a worktree's", ".hg/x": "x", ".svn/x": "x", ".DS_Store": "x",
		"steps/.DS_Store": "x", "__MACOSX/._x": "x",
		"steps/run.sh~": "x", "steps/.run.sh.swp": "x", "#run.sh#": "x", ".cemli-pack-123": "x", "pay-1.0.0.zip": "x",
		"pay-1.1.0-rc.1.zip": "x",
		".cemliignore":       "*.bak\n/notes/\n", "old.bak": "x", "lib/old.bak": "x", "notes/a": "x",
		"evidence/.cemli-store/lock": "", "evidence/runs/a": "x",
		"out.zip": "x", "results/runs/a": "x",
	})
	got := seen(t, dir, filepath.Join(dir, "out.zip"), filepath.Join(dir, "steps", "..", "results"),
		filepath.Join(dir, "none", "yet"), t.TempDir())
	want := []string{
		"#", ".env.example", ".github/x", "artifacts/pay-1.0.0.zip", "manifest.json", "other-1.0.0.zip", "pay-x.zip",
		"steps/.swp.txt", "steps/run.sh",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is left out cannot be opened either, and a file that the command writes is recognised by any path.
func TestLeftOutIsNotThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{".git/config": "x", "manifest.json": "{}", "results/a": "x"})
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Skip(err)
	}
	f, err := folder.Open(link, filepath.Join(dir, "results"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, name := range []string{".git/config", "results/a"} {
		if _, err := fs.ReadFile(f, name); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := fs.ReadFile(f, "manifest.json"); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeOpened(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files   map[string]string
		written string
		code    string
		message string
	}{
		"pattern": {
			map[string]string{".cemliignore": "ok\n*.[bak\n"}, "", "archive.ignore", `line 2 is no pattern: "*.[bak"`,
		},
		"no file":     {map[string]string{".cemliignore/x": ""}, "", "archive.ignore", "it is no file"},
		"its own dir": {nil, ".", "usage", "the package's own folder"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, c.files)
			var written []string
			if c.written != "" {
				written = []string{filepath.Join(dir, c.written)}
			}
			_, err := folder.Open(dir, written...)
			if problem.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.message) {
				t.Errorf("%v; want %s with %q", err, c.code, c.message)
			}
		})
	}
}

// .cemliignore means what git understands by the same .gitignore: random files are compared.
func TestIgnoreFileIsReadAsGitDoes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts git")
	}
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		dir := t.TempDir()
		for range 25 {
			write(t,
				filepath.Join(dir,
					path(random, 4, "a", "b", "ab", "a.txt", "b.log", "c d", "[x]", "!n", "#h", "{a,b}", "foo", "A",
						"]")+".d"), map[string]string{"f": ""})
			write(t, dir,
				map[string]string{path(random, 3, "a", "b", "ab", "a.txt", "b.log", "c d", "!n", "foo") + ".f": ""})
		}
		text := ignoreFile(random)
		write(t, dir, map[string]string{".gitignore": text, ".cemliignore": text})
		if out, err := exec.Command("git", "init", "-q", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		out, err := exec.Command("git", "-C", dir, "ls-files", "-o", "-z", "--exclude-from=.gitignore").Output()
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		want = slices.DeleteFunc(want, func(name string) bool { return name == ".cemliignore" || name == "" })
		slices.Sort(want)
		got := seen(t, dir)
		slices.Sort(got)
		if diff := cmp.Diff(append([]string{}, want...), append([]string{}, got...)); diff != "" {
			t.Fatalf("%q (-git +ours):\n%s", text, diff)
		}
	}
}

// path joins up to so many of the segments.
func path(random *rand.Rand, most int, segments ...string) string {
	var parts []string
	for range 1 + random.IntN(most) {
		parts = append(parts, segments[random.IntN(len(segments))])
	}
	return strings.Join(parts, "/")
}

// ignoreFile makes a random ignore file. It has no "a**/b", which older versions of git treat differently from their
// documentation.
func ignoreFile(random *rand.Rand) string {
	var text strings.Builder
	maybe := func(one string, in int) string {
		if random.IntN(in) == 0 {
			return one
		}
		return ""
	}
	for range 1 + random.IntN(4) {
		pattern := path(random, 3, "a*", "*", "*.d", "*.f", "?*", "[ab]*", "[!a]*", "[^a].d", "**", "a?d", `\!n*`,
			`\#h.d`, `c\ d.d`, "foo.d", "[a-c]*", `\**`, "*.l[o]g.f", "[[:alpha:]].d", "{a,b}*", `\{a*`, "f")
		fmt.Fprintf(&text, "%s%s%s%s%s%s", maybe("# a comment\n", 5), maybe("!", 4), maybe("/", 5), pattern,
			maybe("/", 5), maybe("  ", 10)+maybe("\r", 10)+"\n")
	}
	return text.String()
}
