package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/bundle"
	"cemli-executor/internal/problem"
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
func advise(found admission.Inspection, root *os.Root) []advice {
	list := slices.Concat(adviseManifest(found), adviseLayout(found, root), adviseFiles(found))
	var used []string
	for _, run := range scriptsOf(found.Plan) {
		messages, variables := adviseScript(run, root, found.Files)
		used = append(used, variables...)
		for _, message := range messages {
			list = append(list, advice{run, message})
		}
	}
	return append(list, adviseParameters(found, used, root)...)
}

// scriptsOf lists every script of a plan once, undo scripts too.
func scriptsOf(plan *manifest.Plan) []string {
	var scripts []string
	for _, s := range plan.Steps() {
		for _, run := range []string{s.Run, s.Rollback} {
			if run != "" && !slices.Contains(scripts, run) {
				scripts = append(scripts, run)
			}
		}
	}
	return scripts
}

// adviseManifest looks at what the package says of itself.
func adviseManifest(found admission.Inspection) []advice {
	m, steps := found.Plan.Manifest(), found.Plan.Steps()
	var list []advice
	note := func(where, message string) { list = append(list, advice{where, message}) }
	switch {
	case len(steps) == 0:
		note(manifest.Name, "the package has no scripts; it does nothing")
	case !slices.ContainsFunc(steps, func(s manifest.Step) bool { return s.Phase == manifest.PhasePostCheck }):
		note("tests/", "there are no tests; nobody will know whether the change worked")
	}
	for where, is := range map[string]bool{
		"/description": m.Description == templateDescription, "/owner": m.Owner == templateOwner, "/change_ticket": m.ChangeTicket == templateTicket,
	} {
		if is {
			note(where, "this is still the template's; put in your own")
		}
	}
	if len(found.Skipped) > 0 {
		note("/idempotent", fmt.Sprintf("the policy's triggers start %s by every such event, and all but the first are skipped: say \"idempotent\": true if it may run again, or have the policy allow repeat",
			strings.Join(found.Skipped, ", ")))
	}
	slices.SortFunc(list, func(a, b advice) int { return strings.Compare(a.Where, b.Where) })
	return list
}

// adviseFiles looks at the files as such.
func adviseFiles(found admission.Inspection) []advice {
	var list []advice
	scripts := scriptsOf(found.Plan)
	for _, f := range found.Files {
		if f.Size >= hugeFile {
			list = append(list, advice{f.Name, fmt.Sprintf("the file has %d MB; a step could fetch it instead", f.Size>>20)})
		}
		if dir, base := path.Split(f.Name); dir == "rollback/" && strings.HasSuffix(base, ".sh") && !slices.Contains(scripts, f.Name) {
			list = append(list, advice{f.Name, "it undoes no step: there is none of its name"})
		}
	}
	for _, leak := range found.Leaks {
		list = append(list, advice{leak.File, fmt.Sprintf("line %d looks like a secret (%s); put it into the vault, and change it", leak.Line, leak.Kind)})
	}
	return list
}

// adviseParameters compares the parameters with those that scripts read.
func adviseParameters(found admission.Inspection, used []string, root *os.Root) []advice {
	declared := slices.Sorted(maps.Keys(found.Plan.Manifest().Parameters))
	var list []advice
	for _, name := range declared {
		if !slices.Contains(used, name) && !mentioned(root, found.Files, "CEMLI_PARAM_"+name) {
			list = append(list, advice{"/parameters/" + name, "no script reads CEMLI_PARAM_" + name})
		}
		if p := found.Plan.Manifest().Parameters[name].Pattern; p != nil && !(strings.HasPrefix(p.String(), "^") && strings.HasSuffix(p.String(), "$")) {
			list = append(list, advice{"/parameters/" + name + "/pattern", "it need only match a part of the value; anchor it with ^ and $"})
		}
	}
	for _, name := range found.Unset {
		message := "it is required and has no value here"
		if sets := setsWithout(found.Plan.Manifest(), name); len(sets) > 0 {
			message = "it is required and has no value in the parameter sets " + strings.Join(sets, ", ")
		}
		list = append(list, advice{"/parameters/" + name, message + "; only a request by hand, or --param, can give one, and no upload"})
	}
	slices.Sort(used)
	for _, name := range slices.Compact(used) {
		if slices.Contains(declared, name) {
			continue
		}
		message := "a script reads CEMLI_PARAM_" + name + ", which is not declared"
		if near := problem.Nearest(name, declared); near != "" {
			message += "; did you mean " + near + "?"
		}
		list = append(list, advice{"/parameters", message})
	}
	return list
}

// setsWithout are the parameter sets that give a parameter no value.
func setsWithout(m *manifest.Manifest, name string) []string {
	var sets []string
	for _, set := range slices.Sorted(maps.Keys(m.ParameterSets)) {
		if _, ok := m.ParameterSets[set][name]; !ok {
			sets = append(sets, set)
		}
	}
	return sets
}

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

// unattended are programs that want a person, or a right that a function has not.
var unattended = map[string]string{
	"sudo": "there is nobody to become", "su": "there is nobody to become",
	"ssh": "there is no person to confirm a host or type a password", "scp": "there is no person to confirm a host or type a password",
	"vi": "there is no terminal", "vim": "there is no terminal", "nano": "there is no terminal", "emacs": "there is no terminal",
	"less": "there is no terminal", "more": "there is no terminal", "top": "there is no terminal",
}

// adviseCommands looks at the commands that a script names outright.
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
		case strings.Contains(command, "/") && slices.ContainsFunc(files, func(f bundle.File) bool { return f.Name == clean }):
			note(call.Pos(), command+" is in the package, where nothing can be executed; run it as bash "+clean)
		}
		return true
	})
	return list
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
