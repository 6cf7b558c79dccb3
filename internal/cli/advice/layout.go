package advice

import (
	"cmp"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/bundle"
	"cemli-executor/internal/problem"
)

// conventional are the folders whose scripts run if the manifest lists no steps.
var conventional = []string{"prechecks", "steps", "tests", "rollback"}

// adviseLayout checks the names of a package's files: it finds files that will not run although they look so, files
// that run in another order than it seems, and files that do not belong into a package.
func adviseLayout(found admission.Inspection, root *os.Root) []Advice {
	list := adviseStrays(found)
	if found.Plan.Manifest().StepList != nil {
		return list // the folders mean nothing
	}
	scripts := map[string][]string{}
	for _, f := range found.Files {
		dir, base := path.Split(f.Name)
		dir = strings.TrimSuffix(dir, "/")
		switch message := notRun(dir, base); {
		case message != "" && !mentioned(root, found.Files, f.Name):
			list = append(list, Advice{f.Name, message})
		case message == "" && path.Ext(base) == ".sh":
			scripts[dir] = append(scripts[dir], base)
		}
	}
	if slices.Contains(scripts["steps"], "run.sh") {
		list = append(list, adviseHelpers(scripts["steps"], found.Files, root)...)
		delete(scripts, "steps")
	}
	for _, dir := range conventional {
		if a, b, ok := outOfOrder(scripts[dir]); ok {
			list = append(list, Advice{dir + "/", a + " runs before " + b +
				": the order is that of the bytes; number scripts with leading zeros"})
		}
	}
	return list
}

// adviseHelpers looks at scripts beside a steps/run.sh, which only that can call.
func adviseHelpers(steps []string, files []bundle.File, root *os.Root) []Advice {
	const message = "it will not run: where there is a steps/run.sh, that is the whole change"
	var list []Advice
	for _, base := range steps {
		if base != "run.sh" && !mentioned(root, files, base) {
			list = append(list, Advice{"steps/" + base, message})
		}
	}
	return list
}

// notRun says why a file that looks like a step is none, or "".
func notRun(dir, base string) string {
	top, below, _ := strings.Cut(dir, "/")
	switch {
	case !strings.EqualFold(path.Ext(base), ".sh") || base[0] == '.':
	case slices.Contains(conventional, dir) && path.Ext(base) != ".sh":
		return "it will not run: only names that end in .sh, in small letters, count"
	case slices.Contains(conventional, top) && below != "":
		return "it will not run: it is in " + below + "/, and folders further down do not count"
	case below == "" && meant(top) != "":
		return "it will not run; did you mean " + meant(top) + "/" + base + "?"
	}
	return ""
}

// meant returns the folder whose name is misspelt; "" if none is.
func meant(top string) string {
	if top == "" || slices.Contains(conventional, top) {
		return ""
	}
	return problem.Nearest(strings.ToLower(top), conventional)
}

var numbered = regexp.MustCompile(`^[0-9]+`)

// outOfOrder finds two neighbours, in the order of bytes, whose numbers are in the other order.
func outOfOrder(names []string) (before, after string, found bool) {
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		a, errA := strconv.ParseUint(numbered.FindString(names[i-1]), 10, 64)
		b, errB := strconv.ParseUint(numbered.FindString(names[i]), 10, 64)
		if errA == nil && errB == nil && cmp.Compare(a, b) > 0 {
			return names[i-1], names[i], true
		}
	}
	return "", "", false
}

// leftover are the names of what other programs put beside sources.
var leftover = map[string]bool{".git": true, ".hg": true, ".svn": true, ".DS_Store": true, "__MACOSX": true}

// adviseStrays finds what got into the package by accident, each kind once.
func adviseStrays(found admission.Inspection) []Advice {
	var list []Advice
	seen := map[string]bool{}
	for _, f := range found.Files {
		if holdsSecrets(path.Base(f.Name)) {
			list = append(list, Advice{f.Name, "such files hold secrets of a laptop; name it in .cemliignore"})
		}
		for segment := range strings.SplitSeq(f.Name, "/") {
			if leftover[segment] && !seen[segment] {
				list = append(list, Advice{f.Name, segment + " is no part of a package; cemli pack leaves it out"})
				seen[segment] = true
			}
		}
	}
	return list
}

// holdsSecrets recognises the files in which people keep the secrets of their laptops.
func holdsSecrets(base string) bool {
	return base == ".env" || strings.HasPrefix(base, ".env.") && !strings.Contains(base, "example")
}
