package advice

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"cemli-executor/internal/bundle"
	"cemli-executor/manifest"
)

// mentioned reports whether a text stands in any file that is small enough to be one.
func mentioned(root *os.Root, files []bundle.File, text string) bool {
	return slices.ContainsFunc(files, func(f bundle.File) bool {
		if f.Size > maxScript || f.Name == manifest.Name {
			return false
		}
		data, err := root.ReadFile(f.Name)
		return err == nil && bytes.Contains(data, []byte(text))
	})
}

// maxScript bounds what is read of a script for advice.
const maxScript = 4 << 20

// adviseScript looks at one script, and finds the parameters that it reads.
func adviseScript(name string, root *os.Root, files []bundle.File) (list, parameters []string) {
	f, err := root.Open(name)
	if err != nil {
		return []string{"it could not be read: " + err.Error()}, nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxScript))
	if err != nil {
		return []string{"it could not be read: " + err.Error()}, nil
	}
	for _, match := range parameterUse.FindAllSubmatch(text, -1) {
		parameters = append(parameters, string(match[1]))
	}
	if bytes.Contains(text, []byte("\r\n")) {
		list = append(list, "it has CR LF line endings; bash takes the CR for a part of the command")
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if !strings.HasPrefix(first, "#!") {
		list = append(list, "it has no #! line; bash runs it")
	} else if !shellLine.MatchString(strings.TrimSpace(first)) {
		return list, parameters // another language
	}
	program, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(text), "")
	if err != nil {
		return append(list, "bash will not understand it: "+err.Error()), parameters
	}
	return append(list, adviseCommands(program, files)...), parameters
}

var (
	parameterUse = regexp.MustCompile(`CEMLI_PARAM_([A-Za-z][A-Za-z0-9_]*)`)
	shellLine    = regexp.MustCompile(`^#!\s*\S*\b(?:env\s+(?:-S\s+)?)?(?:ba|da)?sh\b`)
)

// unattended are programs that need a person, or a right that a function does not have.
var unattended = map[string]string{
	"sudo": "there is nobody to become", "su": "there is nobody to become",
	"ssh":   "there is no person to confirm a host or type a password",
	"scp":   "there is no person to confirm a host or type a password",
	"vi":    "there is no terminal",
	"vim":   "there is no terminal",
	"nano":  "there is no terminal",
	"emacs": "there is no terminal",
	"less":  "there is no terminal",
	"more":  "there is no terminal",
	"top":   "there is no terminal",
}

// adviseCommands checks the commands that a script names literally.
func adviseCommands(program *syntax.File, files []bundle.File) []string {
	var list []string
	note := func(at syntax.Pos, message string) {
		list = append(list, fmt.Sprintf("line %d: %s", at.Line(), message))
	}
	syntax.Walk(program, func(node syntax.Node) bool {
		if word, ok := node.(*syntax.Word); ok && elsewhere(word) {
			note(word.Pos(), "scripts write to their run's folders only; use $TMPDIR instead of /tmp")
		}
		call, ok := node.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		command := call.Args[0].Lit()
		clean := path.Clean(command)
		switch {
		case unattended[command] != "":
			note(call.Pos(), command+": "+unattended[command])
		case command == "read" && slices.ContainsFunc(call.Args[1:], asksPerson):
			note(call.Pos(), "read -p waits for a person; stdin is empty")
		case strings.Contains(command, "/") && isFile(files, clean):
			note(call.Pos(), command+" is in the package, where nothing can be executed; run it as bash "+clean)
		}
		return true
	})
	return list
}

// isFile reports whether the package has a file of a name.
func isFile(files []bundle.File, name string) bool {
	return slices.ContainsFunc(files, func(f bundle.File) bool { return f.Name == name })
}

// elsewhere recognises paths in folders that are everyone's.
func elsewhere(word *syntax.Word) bool {
	return slices.ContainsFunc([]string{"/tmp/", "/var/tmp/", "/dev/shm/"}, func(dir string) bool {
		if len(word.Parts) == 0 {
			return false
		}
		first, ok := word.Parts[0].(*syntax.Lit)
		return ok && strings.HasPrefix(first.Value, dir)
	})
}

// asksPerson recognises the options of read that are for terminals.
func asksPerson(word *syntax.Word) bool {
	option := word.Lit()
	return strings.HasPrefix(option, "-") && strings.ContainsAny(option, "ps")
}
