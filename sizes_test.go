package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Bounds of what somebody has to keep in mind who reads the code, test files aside.
const (
	mostColumns         = 120 // of a line, where a tab is 4
	mostLinesOfPackage  = 2500
	mostLinesOfFile     = 500
	mostLinesOfFunction = 60
	ninthDecile         = 30 // lines of functions
	median              = 11
	mostFields          = 22
	mostMethods         = 25
)

// publishedTypes are types whose fields are those of a published document.
var publishedTypes = []string{"internal/evidence.Result", "internal/evidence.Step", "internal/jobs.Job"}

// sizes are those of all packages.
type sizes struct {
	packages  map[string]int // lines
	methods   map[string]int // by type
	functions []int          // lines of each
}

// TestSizes holds the sizes of packages, files, functions, types and lines.
func TestSizes(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("git", "ls-files", "*.go").Output()
	if err != nil {
		t.Skip("needs a checkout of git")
	}
	s := sizes{packages: map[string]int{}, methods: map[string]int{}}
	for _, path := range strings.Fields(string(out)) {
		if !strings.HasSuffix(path, "_test.go") {
			s.add(t, path)
		}
	}
	for name, lines := range s.packages {
		if lines > mostLinesOfPackage {
			t.Errorf("the package %q has %d lines; at most %d", name, lines, mostLinesOfPackage)
		}
	}
	for name, n := range s.methods {
		if n > mostMethods {
			t.Errorf("the type %s has %d methods; at most %d", name, n, mostMethods)
		}
	}
	slices.Sort(s.functions)
	n := len(s.functions)
	t.Logf("%d functions: p50 %d, p90 %d, longest %d lines", n, s.functions[n/2], s.functions[n*9/10], s.functions[n-1])
	if s.functions[n/2] > median || s.functions[n*9/10] > ninthDecile {
		t.Errorf("half of the functions may have more than %d lines, and a tenth more than %d; not more of them",
			median, ninthDecile)
	}
}

// add adds a file.
func (s *sizes) add(t *testing.T, path string) {
	t.Helper()
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Count(doc, []byte("\n"))
	if lines > mostLinesOfFile {
		t.Errorf("%s has %d lines; at most %d", path, lines, mostLinesOfFile)
	}
	for i, line := range strings.Split(string(doc), "\n") {
		if n := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    ")); n > mostColumns {
			t.Errorf("%s:%d has %d columns; at most %d", path, i+1, n, mostColumns)
		}
	}
	dir := filepath.ToSlash(filepath.Dir(path))
	s.packages[dir] += lines
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, doc, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			s.function(t, set, dir, n)
		case *ast.TypeSpec:
			checkFields(t, dir+"."+n.Name.Name, n.Type)
		}
		return true
	})
}

// function adds a function or method.
func (s *sizes) function(t *testing.T, set *token.FileSet, dir string, f *ast.FuncDecl) {
	t.Helper()
	lines := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1
	s.functions = append(s.functions, lines)
	if lines > mostLinesOfFunction {
		t.Errorf("%s: %s has %d lines; at most %d", dir, f.Name.Name, lines, mostLinesOfFunction)
	}
	if f.Recv == nil {
		return
	}
	receiver := f.Recv.List[0].Type
	if pointer, ok := receiver.(*ast.StarExpr); ok {
		receiver = pointer.X
	}
	if name, ok := receiver.(*ast.Ident); ok {
		s.methods[dir+"."+name.Name]++
	}
}

// checkFields counts the fields of a struct.
func checkFields(t *testing.T, name string, of ast.Expr) {
	t.Helper()
	s, ok := of.(*ast.StructType)
	if !ok || slices.Contains(publishedTypes, name) {
		return
	}
	fields := 0
	for _, f := range s.Fields.List {
		fields += max(len(f.Names), 1)
	}
	if fields > mostFields {
		t.Errorf("the type %s has %d fields; at most %d", name, fields, mostFields)
	}
}
