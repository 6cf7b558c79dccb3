// Package steps runs a package's scripts: a Job in, an Outcome out.
//
// The scripts of a job run one after the other, in their order, up to the first that fails; what had begun
// is then undone, the last one first, where the job says so. A script is run by the interpreter that its
// "#!" line names, if it still is what the job says, in the sandbox, in a folder of the run's own. What
// scripts print, leave and give to each other is bounded and masked before anybody else sees it.
//
// A job and its outcome are plain data, and whoever runs a job interprets neither manifest nor policy: all
// that follows from these has been decided before. This package knows nothing of claims, of buckets or of
// who asked for the run. Who does is told by a Journal what has to be known while the job runs.
package steps

import (
	"context"
	"os"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/manifest"
)

// Job is all that has to be known to run a package's scripts in a folder that has its files.
type Job struct {
	World World
	Plan  []Step
	Undo  Undo
	Tools []string // commands that the scripts need

	Level   sandbox.Level // the least that has to be in force
	Network bool          // scripts may use it

	Arguments []Variable
	Secrets   []Variable
	Outputs   map[string]string // what steps of the run that this one undoes gave to later ones

	Keep     []string            // patterns of files in the package's folder that are artifacts, too; nil: none
	Restored []evidence.Artifact // artifacts of an earlier run, which are in their folder already

	Times  Times
	Limits Limits
}

// World is what every script is told of the run.
type World struct {
	RunID, Package, Version, Type string
	Environment, Action, Fence    string
	DryRun                        bool
}

// Variable is a value and the name that scripts know it by.
type Variable struct{ Name, Value string }

// Do says what is done with a step.
type Do string

// What can be done with a step.
const (
	Leave  Do = ""       // nothing: it is listed as not run
	Run    Do = "run"    // it is run
	Skip   Do = "skip"   // nothing: it had succeeded in the run that this one goes on from, and counts as begun
	Revert Do = "revert" // its undo is run
	Undone Do = "undone" // nothing: its undo has succeeded already
)

// Undo says when what had begun is undone.
type Undo string

// When there is an undo.
const (
	UndoNever     Undo = ""
	UndoOnFailure Undo = "on_failure" // after a step that failed
	UndoOnly      Undo = "only"       // the job is to undo an earlier run
)

// Step is one script, with everything that decides how it runs.
type Step struct {
	Name, Run, SHA256 string
	Phase             manifest.Phase
	Args              []string
	Env               map[string]string
	Secrets           []string // names of those that it sees; nil: all
	Timeout           time.Duration
	Retries           int
	RetryDelay        time.Duration
	ContinueOnError   bool

	Undo, UndoSHA256 string // its undo script; empty: none
	NoUndo           bool   // it needs none

	Do      Do
	Outputs map[string]string // of one that is skipped: what it gave to later ones
}

// Times bound what is done within the time that there is.
type Times struct {
	Steps time.Duration // for all steps; 0: as long as there is time
	Kept  time.Duration // for undo, which the steps may not use
	Undo  time.Duration // for undo, at most
}

// Limits bound what is kept of a job.
type Limits struct {
	LogBytes      int64 // of one step's log
	Artifacts     int
	ArtifactBytes int64 // of all artifacts together
}

// Outcome is what came of a job. What scripts have printed and left is masked in it; outputs are as later
// scripts saw them.
type Outcome struct {
	Began    bool // a script was started
	Steps    []evidence.Step
	Rollback *evidence.Rollback // nil: nothing was undone, or to be undone
	Outputs  map[string]string
	Layers   sandbox.Layers // that the last script was in; zero: none was started
}

// Journal is told what has to be known while a job runs.
type Journal struct {
	// Begins is asked before a step begins. After an error the step is not begun, and fails with it.
	Begins func(context.Context, Beginning) error
	// Ended is told how a step has ended that had begun, and given its log.
	Ended func(evidence.Step, Log)
	// Tolerated is told of a failure after which the job goes on.
	Tolerated func(step string, failure error)
	// Lines returns what is told the lines of a step's stream as they come; nil: nobody is.
	Lines func(step string, stream evidence.Stream) func(lines []string)
}

// Beginning is a step that is about to begin.
type Beginning struct {
	Step   evidence.Step
	Number int
	// Interrupted is the outcome if nothing is heard of the job from now on, without what steps have printed.
	Interrupted Outcome
}

// Log is the log of a step that has ended; whoever is given it closes the file.
type Log struct {
	Name  string // beside the result
	File  *os.File
	Times evidence.Times
	Err   error // why the file does not have all of it
}

// Describe is how a result lists a step that is not run.
func (s Step) Describe(status evidence.StepStatus) evidence.Step {
	return evidence.Step{Name: s.Name, Phase: string(s.Phase), Run: s.Run, SHA256: s.SHA256, Status: status}
}
