package steps

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/manifest"
)

// SearchPath is the PATH of scripts, the same on every machine.
const SearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// maxShebang is how much of a script's first line is read; the kernel reads as much.
const maxShebang = 255

// script is a step with the program that runs it. Files in the run's directory are never executed themselves, because
// /tmp may forbid it.
type script struct {
	Step
	interpreter string   // absolute path
	args        []string // before the script's path
	undo        *script  // nil if there is none
}

// resolve finds every script's interpreter and every tool, and reports all that are missing.
func (h Here) resolve(job Job) ([]script, error) {
	var scripts []script
	var problems []problem.Problem
	find := func(step Step) (script, error) {
		s, missing, err := h.find(step, job.Level)
		problems = append(problems, missing...)
		return s, err
	}
	for _, step := range job.Plan {
		s, err := find(step)
		if err != nil {
			return nil, err
		}
		if step.Undo != "" {
			undo, err := find(undoOf(step))
			if err != nil {
				return nil, err
			}
			s.undo = &undo
		}
		scripts = append(scripts, s)
	}
	for _, tool := range job.Tools {
		if findProgram(tool) == "" {
			problems = append(problems, problem.Problem{
				Code: "step.tool", Where: tool,
				Message: "the package needs this command, and it is not on " + SearchPath,
				Hint:    "add it to the function's image",
			})
		}
	}
	return scripts, problem.Join(problems)
}

// find finds the interpreter of one script.
func (h Here) find(step Step, level sandbox.Level) (script, []problem.Problem, error) {
	beginning, err := beginningOf(h.Dir.Contents(), step.Run)
	if err != nil {
		return script{}, nil, fmt.Errorf("read %s: %w", step.Run, err)
	}
	s, why := interpreterOf(beginning)
	s.Step = step
	if why == "" && level != sandbox.LevelNone && !sandbox.MayRun(s.interpreter) {
		const elsewhere = "the interpreter %.100q is not where the system has its programs, and nothing else may run"
		why = fmt.Sprintf(elsewhere, s.interpreter)
	}
	if why == "" {
		return s, nil, nil
	}
	return s, []problem.Problem{noInterpreter(step.Run, why)}, nil
}

// noInterpreter refuses a script for a reason; after a semicolon the reason may say what to do about it.
func noInterpreter(name, why string) problem.Problem {
	message, cure, ok := strings.Cut(why, "; ")
	if !ok {
		cure = "name an interpreter that the function's image has, or leave the #! line out for bash"
	}
	return problem.Problem{Code: "step.interpreter", Where: name, Message: message, Hint: cure}
}

// Unreadable lists the scripts of a plan, undo scripts included, whose "#!" lines are invalid on every machine; root
// holds the package's files.
func Unreadable(root *os.Root, plan *manifest.Plan) ([]problem.Problem, error) {
	var problems []problem.Problem
	for _, step := range plan.Steps() {
		for _, name := range []string{step.Run, step.Rollback} {
			if name == "" {
				continue
			}
			beginning, err := beginningOf(root, name)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", name, err)
			}
			if _, _, why := readShebang(beginning); why != "" {
				problems = append(problems, noInterpreter(name, why))
			}
		}
	}
	return problems, nil
}

// beginningOf reads enough of a script to tell what runs it.
func beginningOf(root *os.Root, name string) (string, error) {
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 2*maxShebang))
	return string(text), err
}

// interpreterOf finds the interpreter of a script from its beginning. The second value says what is missing,
// followed, unless adding a program helps, by a semicolon and what to do about it.
func interpreterOf(beginning string) (script, string) {
	path, arg, why := readShebang(beginning)
	if why != "" {
		return script{}, why
	}
	if filepath.Base(path) == "env" {
		if wanted := envProgram(arg); wanted != "" && findProgram(wanted) == "" {
			return script{}, fmt.Sprintf("the interpreter %.100q is not on %s", wanted, SearchPath)
		}
	}
	return program(path, arg)
}

// readShebang reads a script's "#!" line as the kernel does: a path, and the rest of the line as one argument. A
// script without one is run by bash.
func readShebang(beginning string) (path, arg, why string) {
	if why := misplaced(beginning); why != "" {
		return "", "", why
	}
	line, _, _ := strings.Cut(beginning, "\n")
	rest, ok := strings.CutPrefix(line[:min(len(line), maxShebang)], "#!")
	if !ok {
		return "bash", "", ""
	}
	if strings.HasSuffix(rest, "\r") {
		return "", "", "the #! line ends in CR LF; save the script with Unix line endings"
	}
	path = strings.Trim(rest, blanks)
	if end := strings.IndexAny(path, blanks); end >= 0 {
		path, arg = path[:end], strings.TrimLeft(path[end:], blanks)
	}
	if !filepath.IsAbs(path) {
		const relative = "the #! line does not begin with an absolute path: %.100q; write it like #!/usr/bin/env bash"
		return "", "", fmt.Sprintf(relative, rest)
	}
	if filepath.Base(path) == "env" {
		why = envMisreads(arg)
	}
	return path, arg, why
}

// blanks are the characters that the kernel treats as blanks in a #! line.
const blanks = " \t"

// misplaced says what is wrong with a script that has something before its "#!" line. bash would run it without that
// line's options, so that a failure under -e would count as a success.
func misplaced(beginning string) string {
	const lost = ", so that its options would be lost; "
	text, bom := strings.CutPrefix(beginning, "\uFEFF")
	switch trimmed := strings.TrimLeft(text, " \t\r\n\v\f"); {
	case bom && strings.HasPrefix(trimmed, "#!"):
		return "a byte order mark stands before the #! line" + lost + "save the script as UTF-8 without it"
	case !strings.HasPrefix(trimmed, "#!") || trimmed == beginning:
	case strings.ContainsAny(text[:len(text)-len(trimmed)], "\r\n"):
		return "an empty line stands before the #! line" + lost + "make it the first"
	default:
		return "a blank stands before the #! line" + lost + "remove it"
	}
	first, second, _ := strings.Cut(text, "\n")
	if !strings.HasPrefix(first, "#!") && shebang.MatchString(second) {
		return "the #! line is the second" + lost + "make it the first"
	}
	return ""
}

// shebang matches a line that was meant to name an interpreter.
var shebang = regexp.MustCompile(`^[ \t]*#![ \t]*/`)

func program(name, arg string) (script, string) {
	path := findProgram(name)
	if path == "" {
		return script{}, fmt.Sprintf("the interpreter %.100q does not exist", name)
	}
	s := script{interpreter: path}
	if arg != "" {
		s.args = []string{arg}
	}
	return s, ""
}

// findProgram returns the absolute path of an executable, or "".
func findProgram(name string) string {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = candidates[:0]
		for _, dir := range filepath.SplitList(SearchPath) {
			candidates = append(candidates, filepath.Join(dir, name))
		}
	}
	for _, path := range candidates {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}
