package manifest

import (
	"path"
	"slices"
	"strings"
)

// Phase is a part of a run.
type Phase string

// The phases, in the order they run.
const (
	PhasePreCheck  Phase = "pre_check"  // read-only, before anything changes
	PhaseRun       Phase = "run"        // the change itself
	PhasePostCheck Phase = "post_check" // tests of the result
)

// runScript, where it exists, is the whole change; other steps are then its helpers.
const runScript = "steps/run.sh"

// Step is one script of a plan.
type Step struct {
	Name   string // file name without its folder and ".sh"
	Phase  Phase
	Run    string // path in the package
	SHA256 string // of the script's bytes, hexadecimal
}

// Plan is the ordered list of what runs: the only thing the executor can execute.
// Only Manifest.Plan makes one.
type Plan struct {
	manifest *Manifest
	steps    []Step
}

// Manifest returns the manifest the plan was made from.
func (p *Plan) Manifest() *Manifest { return p.manifest }

// Steps returns the steps in the order they run; it may be empty.
func (p *Plan) Steps() []Step { return slices.Clone(p.steps) }

// Plan makes the plan from the package's files, a map from paths to SHA-256 digests,
// by the conventions: prechecks/*.sh, then steps/run.sh if there is one, else every
// steps/*.sh, then tests/*.sh, each in byte order. Names that begin with a dot do
// not count.
func (m *Manifest) Plan(files map[string]string) *Plan {
	plan := &Plan{manifest: m}
	add := func(phase Phase, paths []string) {
		for _, run := range paths {
			plan.steps = append(plan.steps, Step{
				Name: strings.TrimSuffix(path.Base(run), ".sh"), Phase: phase, Run: run, SHA256: files[run],
			})
		}
	}
	add(PhasePreCheck, scripts(files, "prechecks"))
	if _, single := files[runScript]; single {
		add(PhaseRun, []string{runScript})
	} else {
		add(PhaseRun, scripts(files, "steps"))
	}
	add(PhasePostCheck, scripts(files, "tests"))
	return plan
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
