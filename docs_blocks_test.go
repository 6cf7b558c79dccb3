package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/testkit"
	"cemli-executor/manifest"
)

// A block is what a page shows between two fences. Comments right before it, which readers do not see, say how it is
// tested, each in a line of its own; docs/contributing/documents.md explains them.
type block struct {
	line           int
	language, text string
	marks          map[string]string
}

var mark = regexp.MustCompile(`^<!-- (not run|run by|exits|first|needs): (.+) -->$`)

// blocks are those of a page, in order, and what is wrong with how they are written.
func blocks(page string) (all []block, wrong []string) {
	lines, marks := strings.Split(page, "\n"), map[string]string{}
	for n := 0; n < len(lines); n++ {
		line := lines[n]
		if match := mark.FindStringSubmatch(line); match != nil {
			marks[match[1]] = match[2]
			continue
		}
		if language, fenced := strings.CutPrefix(line, "```"); fenced {
			b := block{line: n + 1, language: language, marks: marks}
			for n++; n < len(lines) && lines[n] != "```"; n++ {
				b.text += lines[n] + "\n"
			}
			all, marks = append(all, b), map[string]string{}
			continue
		}
		if strings.HasPrefix(line, "    ") && (n == 0 || lines[n-1] == "") {
			wrong = append(wrong,
				fmt.Sprintf("line %d is a block by its indentation: fence it, with its language", n+1))
		}
		if len(marks) > 0 {
			wrong, marks = append(wrong, fmt.Sprintf("line %d: a mark, and no block after it", n)), map[string]string{}
		}
	}
	return all, wrong
}

// languages are those that blocks may have. Commands are sh, and what a terminal shows of them is console.
var languages = strings.Fields("sh console bash json text gitignore dockerfile hcl")

// check says what is wrong with a block that can be seen without running it.
func (b block) check() error {
	_, notRun := b.marks["not run"]
	by, elsewhere := b.marks["run by"]
	switch {
	case !slices.Contains(languages, b.language):
		return fmt.Errorf("%q is none of the languages %v", b.language, languages)
	case b.language == "console" && !notRun && !elsewhere:
		return errors.New("nothing shows that this is what is printed: say what runs it")
	case b.language == "json" && !isJSON(b.text):
		return errors.New("this is no JSON, no members of an object, and no lines of it")
	case elsewhere:
		_, err := os.Stat(by)
		return err
	}
	return nil
}

// isJSON says whether a text is a document, members of an object, or documents one after the other.
func isJSON(text string) bool {
	if json.Valid([]byte("{" + text + "}")) {
		return true
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	for decoder.More() {
		var any json.RawMessage
		if decoder.Decode(&any) != nil {
			return false
		}
	}
	return true
}

// runs says whether a page's session runs the block.
func (b block) runs() bool {
	return b.language == "sh" && b.marks["not run"] == "" && b.marks["run by"] == ""
}

// Every block says what it is, and every command is run: by the session of its page, by a test that it names, or it
// says why not.
func TestBlocksOfDocuments(t *testing.T) {
	commands := 0
	for name, page := range documents(t) {
		all, wrong := blocks(page)
		for _, what := range wrong {
			t.Errorf("%s: %s", name, what)
		}
		for _, b := range all {
			if err := b.check(); err != nil {
				t.Errorf("%s:%d: %v", name, b.line, err)
			}
			if b.language == "sh" {
				commands++
			}
		}
	}
	if commands < 40 {
		t.Errorf("only %d blocks with commands were found", commands)
	}
}

// The commands of each page run, one block after the other in one folder, which has examples/ and bin/ as the
// repository has after "make build".
func TestCommandsOfDocuments(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes")
	}
	bin := filepath.Join(t.TempDir(), "bin")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", ".", "./cmd/cemli")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, page := range documents(t) {
		all, _ := blocks(page)
		if !slices.ContainsFunc(all, block.runs) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			dir := session(t, bin)
			for _, b := range all {
				if b.runs() {
					b.run(t, dir, bin)
				}
			}
		})
	}
}

// session is a folder as readers have it before them.
func session(t *testing.T, bin string) string {
	t.Helper()
	dir := testkit.TempDir(t)
	if err := os.CopyFS(filepath.Join(dir, "examples"), os.DirFS("examples")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(bin, filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// run runs a block as a person would type it, but ends at the first command that fails.
func (b block) run(t *testing.T, dir, bin string) {
	t.Helper()
	for _, program := range strings.Fields(b.marks["needs"]) {
		if level, ok := strings.CutPrefix(program, "level:"); ok {
			if !sandbox.Probe().Strongest().Reaches(sandbox.Level(level)) {
				t.Skipf("line %d needs a kernel that has the sandbox level %s", b.line, level)
			}
		} else if _, err := exec.LookPath(program); err != nil {
			t.Skipf("line %d needs %s", b.line, program)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", b.marks["first"]+"\n"+b.text)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	cmd.WaitDelay = time.Second // for what a block has left in the background
	out, err := cmd.CombinedOutput()
	want := b.marks["exits"]
	if want == "" {
		want = "0"
	}
	if code := fmt.Sprint(cmd.ProcessState.ExitCode()); code != want {
		t.Errorf("line %d: exit code %s; want %s (%v)\n%s\n%s", b.line, code, want, err, b.text, out)
	}
}

// What the check of blocks is for: it sees commands that are not fenced, marks without a block, and what is not what
// it says.
func TestWrongBlocksAreFound(t *testing.T) {
	all, wrong := blocks("# A\n\n    indented\n\n<!-- exits: 3 -->\ntext\n<!-- exits: 3 " +
		"-->\n```sh\nfalse\n```\n```json\n{\"a\": }\n```\n```console\n$ ls\n```\n```\nls\n```\n")
	if len(wrong) != 2 {
		t.Errorf("found %q; want the indented block and the mark before text", wrong)
	}
	for n, fails := range []bool{false, true, true, true} {
		if err := all[n].check(); (err != nil) != fails {
			t.Errorf("block %d: %v", n, err)
		}
	}
	if !all[0].runs() || all[0].marks["exits"] != "3" || all[1].runs() {
		t.Errorf("%+v", all)
	}
}

// The examples of manifests and policies are accepted by the rules that they explain.
func TestExamplesInReferences(t *testing.T) {
	pages := documents(t)
	for name, accept := range map[string]func(string) error{
		"docs/authors/manifest.md": func(text string) error {
			if !strings.HasPrefix(text, "{") {
				text = `{"name": "n", "version": "1.0.0", "type": "extension", ` + text + "}"
			}
			_, err := manifest.Parse([]byte(text))
			return err
		},
		"docs/authors/policy.md": func(text string) error {
			_, err := manifest.ParsePolicy([]byte(text), "prod")
			return err
		},
	} {
		all, _ := blocks(pages[name])
		for _, b := range all {
			if b.language != "json" {
				continue
			}
			if err := accept(b.text); err != nil {
				t.Errorf("%s:%d: %v", name, b.line, err)
			}
		}
	}
}
