package container

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/proctree"
	"cemli-executor/internal/testkit"
)

func TestOnAMachineWithOthersNothingIsDone(t *testing.T) {
	home := t.TempDir()
	c := Find(func(name string) string { return map[string]string{"HOME": home}[name] }, filepath.Join(home, "work"))
	if own, why := c.Own(); own || why == "" {
		t.Fatalf("this machine is said to be a container of the test's own: %q", why)
	}
	leave := c.Enter()
	if err := os.WriteFile(filepath.Join(home, "new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	leave()
	if _, err := os.Stat(filepath.Join(home, "new")); err != nil || c.Doubtful() != nil || c.Conceal() != nil {
		t.Errorf("the file: %v; doubt: %v", err, c.Doubtful())
	}
}

func TestWhoElseThereIs(t *testing.T) {
	self := os.Getpid()
	for _, c := range []struct {
		name string
		all  []proctree.Process
		own  bool
	}{
		{"below an init", []proctree.Process{{ID: 1}, {ID: self, Parent: 1}}, true},
		{"below a shell of the init's", []proctree.Process{{ID: 1}, {ID: 2, Parent: 1}, {ID: self, Parent: 2}}, true},
		{"with another program", []proctree.Process{{ID: 1}, {ID: 2, Parent: 1}, {ID: self, Parent: 1}}, false},
		{"with one from outside", []proctree.Process{{ID: 1}, {ID: 9, Parent: 0}, {ID: self, Parent: 1}}, false},
		{"from outside", []proctree.Process{{ID: 1}, {ID: self, Parent: 0}}, false},
		{"the init is hidden", []proctree.Process{{ID: self, Parent: 7}}, false},
	} {
		if why := company(c.all); (why == "") != c.own {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}

// A process that could not be ended is a doubt; other failures are none.
func TestASurvivorIsADoubt(t *testing.T) {
	c := Find(os.Getenv, t.TempDir())
	c.Note(nil)
	c.Note(errors.New("other"))
	c.Note(problem.New(problem.Problem{Code: "sandbox.failed", Message: "m"}, nil))
	if err := c.Doubtful(); err != nil {
		t.Fatal(err)
	}
	c.Note(errors.Join(problem.New(problem.Problem{Code: "step.modified", Message: "m"}, nil),
		problem.New(problem.Problem{Code: "sandbox.survivor", Message: "two are left"}, nil)))
	if err := c.Doubtful(); problem.CodeOf(err) != "sandbox.doubt" || !strings.Contains(err.Error(), "two are left") {
		t.Errorf("%v", err)
	}
}

// What is new is removed, whatever it is; what was there stays; what cannot be made as it was is said.
func TestFilesAreAsTheyWere(t *testing.T) {
	for _, c := range []struct {
		name   string
		script string
		says   string // empty: nothing
	}{
		{"nothing", "true", ""},
		{
			"files", "echo x >new; echo x >folder/new; echo x >.hidden; mkfifo pipe; ln -s / link; ln folder/old hard",
			"old was changed",
		},
		{"folders", "mkdir -p a/b/c folder/d/e; echo x >a/b/c/f; chmod 0 a/b", ""},
		{
			"deep ones",
			`for i in $(seq 300); do mkdir ` + strings.Repeat("x", 200) + `; cd ` + strings.Repeat("x", 200) +
				` 2>/dev/null || break; done; true`, "",
		},
		{"odd names", `touch -- "$(printf 'a\nb')" -rf ' ' '*'`, ""},
		{"modes of folders", "chmod 0 folder", ""},
		{"a file changed", "echo more >>folder/old", "old was changed"},
		{
			"a file changed in place",
			"printf o | dd of=folder/old conv=notrunc 2>/dev/null; touch -d '2001-01-01' folder/old", "old was changed",
		},
		{"a file replaced", "cp folder/old n; mv n folder/old", "old is another file"},
		{"a file removed", "rm folder/old", "old is gone"},
		{"a folder replaced", "mv folder aside; mkdir folder", "folder is another file"},
		{"a folder by a link", "mv folder aside; ln -s aside folder", "folder is another file"},
		{"the work folder", "echo x >work/file", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := t.TempDir()
			t.Cleanup(func() { _ = exec.Command("chmod", "-R", "u+rwx", home).Run() })
			for _, dir := range []string{"folder", "work"} {
				if err := os.Mkdir(filepath.Join(home, dir), 0o750); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(home, "folder/old"), []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			p := places{
				folders: []string{home, filepath.Join(home, "folder"), "/no/such"}, work: filepath.Join(home, "work"),
			}
			before, err := p.look()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/bin/bash", "-c", c.script)
			cmd.Dir = home
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			said := strings.Join(p.clean(before), "; ")
			if (said == "") != (c.says == "") || !strings.Contains(said, c.says) {
				t.Errorf("it says %q; want %q", said, c.says)
			}
			after, err := p.look()
			if err != nil {
				t.Fatal(err)
			}
			for path, stat := range after {
				if was, known := before[path]; !known || c.says == "" && was.Mode != stat.Mode {
					t.Errorf("left: %q, mode %o", path, stat.Mode)
				}
			}
			if c.says == "" && len(after) != len(before) {
				t.Errorf("%d files; there were %d", len(after), len(before))
			}
		})
	}
}

func TestTooManyFilesAreNotKnown(t *testing.T) {
	dir := t.TempDir()
	for i := range mostFiles {
		if err := unix.Mknod(filepath.Join(dir, string(rune('a'+i%26))+time.Duration(i).String()), unix.S_IFREG|0o600,
			0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := (places{folders: []string{dir}}).look(); err == nil {
		t.Error("it is said to be known")
	}
}

const belowVariable = "CEMLI_TEST_BELOW"

// A process that an init has started for a script, and that nothing here is the parent of, is ended, and a doubt.
func TestAProcessThatIsNotOurs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a process id space")
	}
	if _, err := exec.LookPath("unshare"); err != nil {
		t.Skip("needs unshare (util-linux)")
	}
	dir := testkit.TempDir(t)
	if err := unix.Mkfifo(filepath.Join(dir, "begun"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--fork", "--kill-child", "--pid", "--mount-proc", "/bin/sh", "-c",
		`"$1" -test.run='^TestBelow$' -test.v & test=$!; read -r x <"$2/begun"
sleep 1000 >/dev/null 2>&1 & echo $! >"$2/left.new"; mv "$2/left.new" "$2/left"; wait $test`, "sh", os.Args[0], dir)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TMPDIR=") }),
		belowVariable+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestBelow")) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestBelow(t *testing.T) {
	dir := os.Getenv(belowVariable)
	if dir == "" {
		return // TestAProcessThatIsNotOurs runs it
	}
	c := Find(os.Getenv, dir)
	if own, why := c.Own(); !own { // only the shell is there, which is the init
		t.Error(why)
	}
	c.places.folders = nil // those of the machine
	c.Enter()()
	if err := c.Doubtful(); err != nil {
		t.Fatalf("the control: %v", err)
	}
	leave := c.Enter()
	if err := os.WriteFile(filepath.Join(dir, "begun"), []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // polls the shell's sign
		if _, err := os.Stat(filepath.Join(dir, "left")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no process was started")
		}
	}
	leave()
	if err := c.Doubtful(); problem.CodeOf(err) != "sandbox.doubt" {
		t.Errorf("%v", err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // it dies in the kernel's own time
		others, err := proctree.Others()
		if err != nil {
			t.Fatal(err)
		}
		if len(others) == 1 { // the init
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left: %+v", others)
		}
	}
}
