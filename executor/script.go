package executor

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/manifest"
)

// searchPath is the PATH of scripts, the same everywhere.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// maxShebang is how much of a script's first line is looked at, as the kernel does.
const maxShebang = 255

// script is a step with the program that runs it. Nothing in the run's directory is
// executed itself, because /tmp may forbid it.
type script struct {
	manifest.Step
	interpreter string   // absolute path
	args        []string // before the script's path
	undo        *script  // nil where there is none
}

// logName is the part of a log's name that tells whose it is.
func (s script) logName() string {
	if s.Phase == phaseRollback {
		return "rollback-" + s.Name
	}
	return s.Name
}

// resolve finds the interpreter of every script and every tool, and reports all that
// are missing, before the first one runs.
func (r *run) resolve(plan *manifest.Plan) ([]script, error) {
	var scripts []script
	var problems []problem.Problem
	find := func(step manifest.Step) (script, error) {
		s, missing, err := r.find(step)
		problems = append(problems, missing...)
		return s, err
	}
	for _, step := range plan.Steps() {
		s, err := find(step)
		if err != nil {
			return nil, err
		}
		if step.Rollback != "" {
			undo, err := find(undoOf(step))
			if err != nil {
				return nil, err
			}
			s.undo = &undo
		}
		scripts = append(scripts, s)
	}
	for _, tool := range plan.Manifest().Tools {
		if findProgram(tool) == "" {
			problems = append(problems, problem.Problem{
				Code: "step.tool", Where: tool, Message: "the package needs this command, and it is not on " + searchPath,
				Hint: "add it to the function's image",
			})
		}
	}
	return scripts, problem.Join(problems)
}

// find finds the interpreter of one script.
func (r *run) find(step manifest.Step) (script, []problem.Problem, error) {
	first, err := firstLine(r.dir.contents, step.Run)
	if err != nil {
		return script{}, nil, fmt.Errorf("read %s: %w", step.Run, err)
	}
	s, why := interpreterOf(first)
	s.Step = step
	if why == "" && r.Sandbox != sandbox.LevelNone && !sandbox.MayRun(s.interpreter) {
		why = fmt.Sprintf("the interpreter %.100q is not where the system has its programs, and nothing else may run", s.interpreter)
	}
	if why == "" {
		return s, nil, nil
	}
	return s, []problem.Problem{{
		Code: "step.interpreter", Where: step.Run, Message: why,
		Hint: "name an interpreter that the function's image has, or leave the #! line out for bash",
	}}, nil
}

func firstLine(root *os.Root, name string) (string, error) {
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, maxShebang)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimSuffix(line, "\n"), nil
}

// interpreterOf reads a "#!" line as the kernel does: a path, and the rest of the line
// as one argument. Without one it is bash. The second value says what is missing.
func interpreterOf(line string) (script, string) {
	rest, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return program("bash", "")
	}
	if strings.HasSuffix(rest, "\r") {
		return script{}, "the #! line ends in CR LF; save the script with Unix line endings"
	}
	path, arg, _ := strings.Cut(strings.TrimSpace(rest), " ")
	arg = strings.TrimSpace(arg)
	if !filepath.IsAbs(path) {
		return script{}, fmt.Sprintf("the #! line does not begin with an absolute path: %.100q", rest)
	}
	if filepath.Base(path) == "env" {
		if wanted := envProgram(arg); wanted != "" && findProgram(wanted) == "" {
			return script{}, fmt.Sprintf("the interpreter %.100q is not on %s", wanted, searchPath)
		}
	}
	return program(path, arg)
}

// envProgram is the program that "env arg" would look for; "" where only env can tell.
func envProgram(arg string) string {
	words := strings.Fields(arg)
	if len(words) > 0 && words[0] == "-S" {
		words = words[1:]
	}
	if len(words) == 0 || strings.HasPrefix(words[0], "-") || strings.Contains(words[0], "=") {
		return ""
	}
	return words[0]
}

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
		for _, dir := range filepath.SplitList(searchPath) {
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

// digest is the SHA-256 of the first size bytes of a file in hexadecimal.
func digest(f *os.File, size int64) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(f, size)); err != nil {
		return "", err
	}
	return hexSum(sum), nil
}
