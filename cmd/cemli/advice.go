package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"cemli-executor/executor"
	"cemli-executor/internal/bundle"
	"cemli-executor/manifest"
)

// advice is something about a valid package that its author may want to change.
type advice struct {
	Where   string `json:"where"`
	Message string `json:"message"`
}

// hugeFile is the size from which a file is worth a word.
const hugeFile = 50 << 20

// advise looks at a valid package whose files are in root.
func advise(found executor.Inspection, root *os.Root) []advice {
	var list []advice
	steps := found.Plan.Steps()
	if len(steps) == 0 {
		list = append(list, advice{manifest.Name, "the package has no scripts; it does nothing"})
	} else if !slices.ContainsFunc(steps, func(s manifest.Step) bool { return s.Phase == manifest.PhasePostCheck }) {
		list = append(list, advice{"tests/", "there are no tests; nobody will know whether the change worked"})
	}
	for _, f := range found.Files {
		if f.Size >= hugeFile {
			list = append(list, advice{f.Name, fmt.Sprintf("the file has %d MB; a step could fetch it instead", f.Size>>20)})
		}
	}
	for _, s := range steps {
		for _, message := range adviseScript(s.Run, root, found.Files) {
			list = append(list, advice{s.Run, message})
		}
	}
	return list
}

// maxScript bounds what is read of a script for advice.
const maxScript = 4 << 20

func adviseScript(name string, root *os.Root, files []bundle.File) []string {
	f, err := root.Open(name)
	if err != nil {
		return []string{"it could not be read: " + err.Error()}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxScript))
	if err != nil {
		return []string{"it could not be read: " + err.Error()}
	}
	var list []string
	if bytes.Contains(text, []byte("\r\n")) {
		list = append(list, "it has CR LF line endings; bash takes the CR for a part of the command")
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if !strings.HasPrefix(first, "#!") {
		list = append(list, "it has no #! line; bash runs it")
	} else if !strings.Contains(first, "sh") {
		return list // another language
	}
	program, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(text), "")
	if err != nil {
		return append(list, "bash will not understand it: "+err.Error())
	}
	return append(list, adviseCommands(program, files)...)
}

// unattended are programs that want a person, or a right that a function has not.
var unattended = map[string]string{
	"sudo": "there is nobody to become", "su": "there is nobody to become",
	"ssh": "there is no person to confirm a host or type a password", "vi": "there is no terminal",
	"vim": "there is no terminal", "nano": "there is no terminal", "emacs": "there is no terminal",
}

// adviseCommands looks at the commands that a script names outright.
func adviseCommands(program *syntax.File, files []bundle.File) []string {
	var list []string
	note := func(at syntax.Pos, message string) {
		list = append(list, fmt.Sprintf("line %d: %s", at.Line(), message))
	}
	syntax.Walk(program, func(node syntax.Node) bool {
		call, ok := node.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		command := call.Args[0].Lit()
		clean := path.Clean(command)
		switch {
		case unattended[command] != "":
			note(call.Pos(), command+": "+unattended[command])
		case command == "read" && len(call.Args) > 1 && strings.HasPrefix(call.Args[1].Lit(), "-p"):
			note(call.Pos(), "read -p waits for a person; stdin is empty")
		case strings.Contains(command, "/") && slices.ContainsFunc(files, func(f bundle.File) bool { return f.Name == clean }):
			note(call.Pos(), command+" is in the package, where nothing can be executed; run it as bash "+clean)
		}
		return true
	})
	return list
}
