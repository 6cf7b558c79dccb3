package manifest

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"cemli-executor/internal/problem"
)

// Phase is a part of a run.
type Phase string

// The phases, in the order they run.
const (
	PhasePreCheck  Phase = "pre_check"  // read-only, before anything changes
	PhaseRun       Phase = "run"        // the change itself
	PhasePostCheck Phase = "post_check" // tests of the result
)

var phases = []Phase{PhasePreCheck, PhaseRun, PhasePostCheck}

// runScript, if it exists, makes the whole change; the other scripts are its helpers then.
const runScript = "steps/run.sh"

// Step is one script of a plan, with everything that decides how it runs.
type Step struct {
	StepSpec
	SHA256 string // of the script's bytes, hexadecimal
	// RollbackSHA256 is the digest of the undo script; empty if there is none.
	RollbackSHA256 string
}

// Plan is the ordered list of what runs: the only thing the executor can execute.
// Only Manifest.Plan makes one.
type Plan struct {
	manifest  *Manifest
	arguments Arguments
	steps     []Step
}

// Manifest returns the manifest the plan was made from.
func (p *Plan) Manifest() *Manifest { return p.manifest }

// Arguments returns the parameters' values.
func (p *Plan) Arguments() Arguments { return slices.Clone(p.arguments) }

// Steps returns the steps in the order they run; it may be empty.
func (p *Plan) Steps() []Step { return slices.Clone(p.steps) }

// Undoable reports whether any step has an undo script.
func (p *Plan) Undoable() bool {
	return slices.ContainsFunc(p.steps, func(s Step) bool { return s.Rollback != "" })
}

// Plan makes the plan from the package's files, a map from paths to SHA-256 digests.
//
// The manifest's steps run in their order, those of an earlier phase first. Without
// them the conventions make the plan: prechecks/*.sh, then steps/run.sh if there is
// one, else every steps/*.sh, then tests/*.sh, each in byte order; rollback/X undoes
// steps/X. Names that begin with a dot do not count.
//
// The error is a *problem.Error with every script that the package does not have.
func (m *Manifest) Plan(files map[string]string, arguments Arguments) (*Plan, error) {
	specs := slices.Clone(m.StepList)
	if specs == nil {
		specs = conventional(files)
	}
	slices.SortStableFunc(specs, func(a, b StepSpec) int {
		return cmp.Compare(slices.Index(phases, a.Phase), slices.Index(phases, b.Phase))
	})
	plan := &Plan{manifest: m, arguments: arguments}
	var missing []string
	digest := func(run string) string {
		sum, ok := files[run]
		if !ok {
			missing = append(missing, run)
		}
		return sum
	}
	for _, spec := range specs {
		step := Step{StepSpec: spec, SHA256: digest(spec.Run)}
		if spec.Rollback != "" {
			step.RollbackSHA256 = digest(spec.Rollback)
		}
		plan.steps = append(plan.steps, step)
	}
	if len(missing) > 0 {
		return nil, noScripts(missing, sortedKeys(files))
	}
	return plan, nil
}

// noScripts returns the problems with scripts that the package does not have.
func noScripts(missing, files []string) error {
	var problems []problem.Problem
	for i, run := range missing {
		p := problem.Problem{
			Code: "manifest.step_missing", Where: run, Message: "the package has no such file",
			Hint: "add it, or correct the path in steps",
		}
		if i < problem.Suggested {
			if near := problem.Nearest(run, files); near != "" {
				p.Hint = "did you mean " + near + "?"
			}
		}
		problems = append(problems, p)
	}
	return problem.Join(problem.Limit(problems, problem.Most, "manifest.more"))
}

// conventional lists the steps of a package whose manifest lists none.
func conventional(files map[string]string) []StepSpec {
	var specs []StepSpec
	add := func(phase Phase, paths []string) {
		for _, run := range paths {
			spec := StepSpec{Name: stepName(run), Phase: phase, Run: run}
			undo := "rollback/" + path.Base(run)
			if _, ok := files[undo]; ok && phase == PhaseRun {
				spec.Rollback = undo
			}
			specs = append(specs, spec)
		}
	}
	add(PhasePreCheck, scripts(files, "prechecks"))
	if _, single := files[runScript]; single {
		add(PhaseRun, []string{runScript})
	} else {
		add(PhaseRun, scripts(files, "steps"))
	}
	add(PhasePostCheck, scripts(files, "tests"))
	return specs
}

// scripts lists the scripts directly in a folder, in byte order.
func scripts(files map[string]string, folder string) []string {
	var found []string
	for name := range files {
		dir, base := path.Split(name)
		if dir == folder+"/" && strings.HasSuffix(base, ".sh") && !strings.HasPrefix(base, ".") {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}
