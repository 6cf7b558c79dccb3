// Command way counts what a reader meets who follows one trivial run through the executor's own code:
// how many calls there are, and how often the file changes from one call to the next.
//
// It copies the files of the counted packages, puts a line at the head of every function that says that
// the function is called, and builds the command line with the copies in the files' places (go build
// -overlay). Then it runs a package and counts what was called, in the order of the calls. Each goroutine
// is followed on its own: what is stored beside the steps has an order of its own. Closures belong to the
// function that they are written in; returns are not counted.
//
//	go run ./scripts/way [-v] [PACKAGE FOLDER]
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// own is the executor's own code: what decides about a run, from the request to what follows its result.
var own = []string{
	"executor", "internal/pipeline", "internal/intake", "internal/fetch", "internal/goback", "internal/admission",
	"internal/hiding", "internal/confinement", "internal/secrets", "internal/followup", "internal/uploader",
	"internal/logwriter",
}

// rooms are the counted packages: the executor's own, and those that only it uses.
var rooms = append(slices.Clone(own), "internal/download", "internal/results", "internal/steps", "internal/workdir")

func main() {
	verbose := flag.Bool("v", false, "list the calls, too")
	flag.Parse()
	folder := "examples/hello-cemli"
	if flag.NArg() > 0 {
		folder = flag.Arg(0)
	}
	if err := count(folder, *verbose, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "way:", err)
		os.Exit(1)
	}
}

// count runs the package in a folder and writes the figures to out.
func count(folder string, verbose bool, out io.Writer) error {
	dir, err := os.MkdirTemp("", "way-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is in /tmp
	files, err := trace(dir)
	if err != nil {
		return err
	}
	calls, err := follow(dir, folder)
	if err != nil {
		return err
	}
	if verbose {
		for _, c := range calls {
			fmt.Fprintf(out, "goroutine %-4s %-32s %s\n", c.goroutine, c.file, c.function)
		}
	}
	report(calls, files, out)
	return nil
}

// trace writes the copies, and the overlay that names them, into dir. It returns the counted files.
func trace(dir string) (files []string, err error) {
	replace := map[string]string{}
	add := func(name, text string) error {
		replace[name] = filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		return os.WriteFile(replace[name], []byte(text), 0o600)
	}
	for _, room := range rooms {
		names, err := sources(room)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			text, err := traced(name)
			if err == nil {
				err = add(name, text)
			}
			if err != nil {
				return nil, err
			}
		}
		if err := add(room+"/way_teller.go", fmt.Sprintf(teller, path.Base(room))); err != nil {
			return nil, err
		}
		files = append(files, names...)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	return files, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600)
}

// teller is added to each counted package: it says which goroutine has called what.
const teller = `package %s

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
)

func tellWay(file, function string) {
	var buf [64]byte
	words := bytes.Fields(buf[:runtime.Stack(buf[:], false)])
	fmt.Fprintf(os.Stderr, "\nway %%s %%s %%s\n", words[1], file, function)
}
`

// sources are the files of a package that are compiled on this machine.
func sources(room string) ([]string, error) {
	out, err := exec.Command("go", "list", "-json=GoFiles", "./"+room).Output() // #nosec G204 -- one of rooms
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", room, err)
	}
	var list struct{ GoFiles []string }
	err = json.Unmarshal(out, &list)
	for i, name := range list.GoFiles {
		list.GoFiles[i] = room + "/" + name
	}
	return list.GoFiles, err
}

// traced is a file whose functions say that they are called. Its lines keep their numbers.
func traced(name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, 0)
	if err != nil {
		return "", err
	}
	for _, d := range slices.Backward(file.Decls) {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			at := set.Position(f.Body.Lbrace).Offset + 1
			text = slices.Insert(text, at, fmt.Appendf(nil, "tellWay(%q, %q);", name, f.Name.Name)...)
		}
	}
	return string(text), nil
}

// call is one call of a function.
type call struct{ goroutine, file, function string }

// follow builds the command line with the copies in dir, runs the package, and returns the calls.
func follow(dir, folder string) ([]call, error) {
	binary := filepath.Join(dir, "cemli")
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary,
		"./cmd/cemli") // #nosec G204 -- made here
	if said, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the command line: %w\n%s", err, said)
	}
	var said bytes.Buffer
	run := exec.Command(binary, "run", folder) // #nosec G204 -- made here
	run.Stderr = &said
	if err := run.Run(); err != nil {
		return nil, fmt.Errorf("run %s: %w\n%s", folder, err, said.Bytes())
	}
	var calls []call
	for line := range strings.Lines(said.String()) {
		if words := strings.Fields(line); len(words) == 4 && words[0] == "way" {
			calls = append(calls, call{words[1], words[2], words[3]})
		}
	}
	return calls, nil
}

// report writes the figures of each counted package and of all together. In those of one package its
// calls of the others are no change of file: they are behind a door.
func report(calls []call, files []string, out io.Writer) {
	for _, room := range rooms {
		inRoom := func(file string) bool { return path.Dir(file) == room }
		tell(room, calls, files, inRoom, out)
	}
	inOwn := func(file string) bool { return slices.Contains(own, path.Dir(file)) }
	tell("the executor's own", calls, files, inOwn, out)
	tell("all of them", calls, files, func(string) bool { return true }, out)
}

func tell(what string, calls []call, files []string, counted func(file string) bool, out io.Writer) {
	number, changes, there := 0, 0, 0
	last, seen := map[string]string{}, map[string]bool{} // by goroutine, and by file
	for _, c := range calls {
		if !counted(c.file) {
			continue
		}
		if before, ok := last[c.goroutine]; ok && before != c.file {
			changes++
		}
		number++
		last[c.goroutine], seen[c.file] = c.file, true
	}
	for _, file := range files {
		if counted(file) {
			there++
		}
	}
	fmt.Fprintf(out, "%-20s %4d calls, %4d changes of file, %2d of %2d files\n", what, number, changes, len(seen),
		there)
}
