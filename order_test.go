package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// order says of packages with many files in which order to read them: each builds on those before it.
var order = map[string][]string{
	"internal/pipeline": {
		"engine", "state", "conclude", "asked", "fetch", "accept", "enter", "admit", "apart", "journal",
		"apply", "end", "run", "attend", "door",
	},
	"executor": {
		"names", "executor", "work", "attend", "sets", "serve", "intent", "invocation", "cancel", "triggers",
		"sweeping", "sweep_todos", "sweep_deaths", "sweep_requests", "sweep_uploads",
		"sweep_progress", "sweep",
		"probe_line", "probe_machine", "probe_apart", "probe", "probe_runner",
	},
}

// TestFilesBuildOnThoseBefore holds the order of files: none uses what a later one declares.
func TestFilesBuildOnThoseBefore(t *testing.T) {
	t.Parallel()
	for dir, names := range order {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			set := token.NewFileSet()
			place := func(pos token.Pos) (string, int) {
				name := strings.TrimSuffix(filepath.Base(set.Position(pos).Filename), ".go")
				return name, slices.Index(names, name)
			}
			uses, pkg := usesOf(t, set, dir)
			seen := map[string]bool{}
			for id, object := range uses {
				if object.Pkg() != pkg || !object.Pos().IsValid() {
					continue
				}
				user, at := place(id.Pos())
				declarer, before := place(object.Pos())
				if seen[user] = true; at < 0 || before < 0 {
					t.Fatalf("the order does not name %s.go or %s.go", user, declarer)
				}
				if at < before {
					t.Errorf("%s.go uses %s, which %s.go declares after it", user, object.Name(), declarer)
				}
			}
			if len(seen) < len(names)-1 {
				t.Errorf("only %d of %d files were looked at", len(seen), len(names))
			}
		})
	}
}

// usesOf finds what the identifiers in a package's files mean.
func usesOf(t *testing.T, set *token.FileSet, dir string) (map[*ast.Ident]types.Object, *types.Package) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(set, "gc", compiled(t, dir))}
	pkg, err := config.Check(module+"/"+dir, set, files, &info)
	if err != nil {
		t.Fatal(err)
	}
	return info.Uses, pkg
}

// compiled finds what the compiler has made of the packages that a package imports.
func compiled(t *testing.T, dir string) importer.Lookup {
	t.Helper()
	out, err := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "./"+dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
}
