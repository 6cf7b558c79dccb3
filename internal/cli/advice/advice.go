// Package advice is what cemli validate says of a package that is valid, and may still not do what its
// author wants: scripts that will not run, or wait for a person; parameters that nobody reads; files
// that got in by accident; texts that are still the template's.
//
// Advice is from the package alone, by its plan, its files and what stands in its scripts. It is never
// a reason to refuse a package.
package advice

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// Advice is something about a valid package that its author may want to change.
type Advice struct {
	Where   string `json:"where"`
	Message string `json:"message"`
}

// The placeholders that cemli init writes into a new manifest.
const (
	TemplateDescription = "What this package changes, and why"
	TemplateOwner       = "the team that answers for it"
	TemplateTicket      = "CHG0000000"
)

// hugeFile is the size from which advice mentions a file.
const hugeFile = 50 << 20

// Of returns advice on a valid package whose files are in root. It runs nothing.
func Of(found admission.Inspection, root *os.Root) []Advice {
	list := slices.Concat(adviseManifest(found), adviseLayout(found, root), adviseFiles(found))
	var used []string
	for _, run := range scriptsOf(found.Plan) {
		messages, variables := adviseScript(run, root, found.Files)
		used = append(used, variables...)
		for _, message := range messages {
			list = append(list, Advice{run, message})
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

// adviseManifest checks what the package says of itself.
func adviseManifest(found admission.Inspection) []Advice {
	m, steps := found.Plan.Manifest(), found.Plan.Steps()
	var list []Advice
	note := func(where, message string) { list = append(list, Advice{where, message}) }
	switch {
	case len(steps) == 0:
		note(manifest.Name, "the package has no scripts; it does nothing")
	case !slices.ContainsFunc(steps, func(s manifest.Step) bool { return s.Phase == manifest.PhasePostCheck }):
		note("tests/", "there are no tests; nobody will know whether the change worked")
	}
	for where, is := range map[string]bool{
		"/description":   m.Description == TemplateDescription,
		"/owner":         m.Owner == TemplateOwner,
		"/change_ticket": m.ChangeTicket == TemplateTicket,
	} {
		if is {
			note(where, "this is still the template's; put in your own")
		}
	}
	if len(found.Skipped) > 0 {
		note("/idempotent", fmt.Sprintf("the policy's triggers start %s by every such event, "+
			"and all but the first are skipped: "+
			"say \"idempotent\": true if it may run again, or have the policy allow repeat",
			strings.Join(found.Skipped, ", ")))
	}
	slices.SortFunc(list, func(a, b Advice) int { return strings.Compare(a.Where, b.Where) })
	return list
}

// adviseFiles checks the files themselves.
func adviseFiles(found admission.Inspection) []Advice {
	var list []Advice
	scripts := scriptsOf(found.Plan)
	for _, f := range found.Files {
		if f.Size >= hugeFile {
			list = append(list, Advice{
				f.Name, fmt.Sprintf("the file has %d MB; a step could fetch it instead", f.Size>>20),
			})
		}
		if isUndo(f.Name) && !slices.Contains(scripts, f.Name) {
			list = append(list, Advice{f.Name, "it undoes no step: there is none of its name"})
		}
	}
	for _, leak := range found.Leaks {
		message := fmt.Sprintf("line %d looks like a secret (%s); put it into the vault, and change it", leak.Line,
			leak.Kind)
		list = append(list, Advice{leak.File, message})
	}
	return list
}

// isUndo recognises a script that is to undo a step.
func isUndo(name string) bool {
	dir, base := path.Split(name)
	return dir == "rollback/" && strings.HasSuffix(base, ".sh")
}

// adviseParameters compares the parameters with those that scripts read.
func adviseParameters(found admission.Inspection, used []string, root *os.Root) []Advice {
	list := slices.Concat(adviseDeclared(found, used, root), adviseUnset(found))
	declared := slices.Sorted(maps.Keys(found.Plan.Manifest().Parameters))
	slices.Sort(used)
	for _, name := range slices.Compact(used) {
		if slices.Contains(declared, name) {
			continue
		}
		message := "a script reads CEMLI_PARAM_" + name + ", which is not declared"
		if near := problem.Nearest(name, declared); near != "" {
			message += "; did you mean " + near + "?"
		}
		list = append(list, Advice{"/parameters", message})
	}
	return list
}

// adviseDeclared finds parameters that no script reads, and patterns that allow more than they seem to.
func adviseDeclared(found admission.Inspection, used []string, root *os.Root) []Advice {
	var list []Advice
	parameters := found.Plan.Manifest().Parameters
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		where := "/parameters/" + name
		if !slices.Contains(used, name) && !mentioned(root, found.Files, "CEMLI_PARAM_"+name) {
			list = append(list, Advice{where, "no script reads CEMLI_PARAM_" + name})
		}
		if p := parameters[name].Pattern; p != nil && !anchored(p.String()) {
			list = append(list, Advice{
				where + "/pattern", "it need only match a part of the value; anchor it with ^ and $",
			})
		}
	}
	return list
}

// anchored reports whether an expression looks as if it matched whole values only.
func anchored(pattern string) bool {
	return strings.HasPrefix(pattern, "^") && strings.HasSuffix(pattern, "$")
}

// adviseUnset finds required parameters to which no upload gives a value.
func adviseUnset(found admission.Inspection) []Advice {
	var list []Advice
	for _, name := range found.Unset {
		message := "it is required and has no value here"
		if sets := setsWithout(found.Plan.Manifest(), name); len(sets) > 0 {
			message = "it is required and has no value in the parameter sets " + strings.Join(sets, ", ")
		}
		message += "; only a request by hand, or --param, can give one, and no upload"
		list = append(list, Advice{"/parameters/" + name, message})
	}
	return list
}

// setsWithout returns the parameter sets that give a parameter no value.
func setsWithout(m *manifest.Manifest, name string) []string {
	var sets []string
	for _, set := range slices.Sorted(maps.Keys(m.ParameterSets)) {
		if _, ok := m.ParameterSets[set][name]; !ok {
			sets = append(sets, set)
		}
	}
	return sets
}
