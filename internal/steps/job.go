// Package steps runs a package's scripts: a Job in, an Outcome out.
//
// The scripts of a job run one after the other, up to the first that fails. Where the job says so, the steps that had
// begun are then undone, the last one first. A script runs in the sandbox, in a folder of the run's own, by the
// interpreter that its "#!" line names, and only if it still has the digest that the job names. What scripts print,
// leave and give to each other is bounded, and masked before anybody sees it.
//
// A job and its outcome are plain data. Running a job interprets neither manifest nor policy: what follows from these
// was decided before. This package knows nothing of claims, of buckets, or of who asked for the run; it reports
// through a Journal what must be known while the job runs.
package steps

import (
	"context"
	"io"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/manifest"
)

// Job is everything needed to run a package's scripts in a folder that holds its files.
type Job struct {
	World World
	Plan  []Step
	Undo  Undo
	Tools []string // commands that the scripts need

	Level   sandbox.Level // the lowest level that must be in force
	Network bool          // scripts may use the network

	Arguments []Variable
	Secrets   []Variable
	Outputs   map[string]string // outputs of the steps of the run that this one undoes

	Keep     []string            // patterns of files in the package's folder that are kept as artifacts, too; nil: none
	Restored []evidence.Artifact // artifacts of an earlier run, which are already in their folder

	Times  Times
	Limits Limits
}

// World is what every script learns about the run.
type World struct {
	RunID, Package, Version, Type string
	Environment, Action, Fence    string
	DryRun                        bool
}

// Variable is a value and the name under which scripts see it.
type Variable struct{ Name, Value string }

// Do says what to do with a step.
type Do string

// What to do with a step.
const (
	Leave  Do = ""       // nothing: it is listed as not run
	Run    Do = "run"    // it is run
	Skip   Do = "skip"   // nothing: it succeeded in the run that this one resumes, and counts as begun
	Revert Do = "revert" // its undo is run
	Undone Do = "undone" // nothing: its undo has already succeeded
)

// Undo says when the steps that had begun are undone.
type Undo string

// When steps are undone.
const (
	UndoNever     Undo = ""
	UndoOnFailure Undo = "on_failure" // after a step that failed
	UndoOnly      Undo = "only"       // the job undoes an earlier run
)

// Step is one script, with everything that decides how it runs.
type Step struct {
	Name, Run, SHA256 string
	Phase             manifest.Phase
	Args              []string
	Env               map[string]string
	Secrets           []string // names of the secrets that it sees; nil: all
	Timeout           time.Duration
	Retries           int
	RetryDelay        time.Duration
	ContinueOnError   bool

	Undo, UndoSHA256 string // its undo script; empty if it has none
	NoUndo           bool   // nothing has to be undone

	Do      Do
	Outputs map[string]string // of a skipped step: its outputs
}

// Times bound how long parts of the job take.
type Times struct {
	Steps time.Duration // for all steps; 0: no limit but the deadline
	Kept  time.Duration // reserved for undo; steps may not use it
	Undo  time.Duration // the most that undo may take
}

// Limits bound what is kept of a job.
type Limits struct {
	LogBytes      int64 // of one step's log
	Artifacts     int
	ArtifactBytes int64 // of all artifacts together
}

// Outcome is the result of a job. What scripts printed and left is masked in it; outputs are as later scripts saw
// them.
type Outcome struct {
	Began    bool // a script was started
	Steps    []evidence.Step
	Rollback *evidence.Rollback // nil: nothing was undone or had to be
	Outputs  map[string]string
	Layers   sandbox.Layers // the layers around the last script; zero if none was started
	// Refused says why the job was not begun, or why a step was not at which it ended.
	Refused []problem.Problem
	// Stopped says that the time of the steps, or of whoever runs them, ended before they did.
	Stopped bool
}

// Journal receives what must be known while a job runs.
type Journal struct {
	// Begins is called before a step begins. If it returns an error, the step fails without being started.
	Begins func(context.Context, Beginning) error
	// Started is called with the record and the number of a step of which it is known by then that it began; nil:
	// nobody wants to know.
	Started func(evidence.Step, int)
	// Ended is called with the record and the log of a step that began and has ended.
	Ended func(evidence.Step, Log)
	// Tolerated is called for a failure after which the job goes on.
	Tolerated func(step string, failure error)
	// Lines returns the function that receives the lines of a step's stream as they come; nil: none does.
	Lines func(step string, stream evidence.Stream) func(lines []string)
	// Cancelled is closed when the job is cancelled: the step that runs is stopped, no other begins, and what had begun
	// is undone as after any failure. An undo that has begun goes on. nil: the job cannot be cancelled.
	Cancelled <-chan struct{}
	// Tail is called with the end of what has been printed so far, where the job is done apart; nil: nobody wants it.
	Tail func(text string)
	// Attends is called every few seconds while the job is done apart. If it returns an error, the waiting ends. nil:
	// nobody wants to know.
	Attends func(context.Context) error
}

// Beginning is a step that is about to begin.
type Beginning struct {
	Step   evidence.Step
	Number int
	// Interrupted is the outcome if the job is never heard of again, without what the steps printed.
	Interrupted Outcome
}

// Log is the log of a step that has ended; its receiver closes the file.
type Log struct {
	Name  string        // beside the result
	File  io.ReadSeeker // closed by whoever is given it, if it can be
	Times evidence.Times
	Err   error // why the file is incomplete; nil if it is not
}

// Describe is the record of a step that is not run.
func (s Step) Describe(status evidence.StepStatus) evidence.Step {
	return evidence.Step{Name: s.Name, Phase: string(s.Phase), Run: s.Run, SHA256: s.SHA256, Status: status}
}
