// Package jobs is what goes between whoever decides what is executed and whoever executes it: a Job there, an Outcome
// back, and between them the small documents of the job's mailbox.
//
// A job says all that a runner has to know: which scripts run in which order, with which bytes, values and secrets, for
// how long, what is masked and what is kept. So a runner interprets neither manifest nor policy, and this package knows
// neither. An outcome says what has come of it, in the form in which a result has it.
//
// Every document is strict JSON with one meaning: unknown, missing and repeated keys are refused, and every text, list
// and number has a bound, which the published schemas beside this file have too. Nothing is encoded that would not be
// decoded. Whether an outcome is one of its job is said by Check: a runner's container runs what a package brought, so
// that an outcome is hostile until it was held against the plan.
//
// Durations are milliseconds, times RFC 3339 in UTC, digests lower-case hexadecimal SHA-256. Steps, logs and artifacts
// are numbered from 1: names of a package stand in no name of an object.
package jobs

import "time"

// Version is the version of both documents that this package writes and reads.
const Version = 1

// The actions that execute something.
const (
	ActionApply    = "apply"
	ActionDryRun   = "dry_run"
	ActionRollback = "rollback"
)

// What is done with a step. In a job that undoes an earlier run (ActionRollback) it is one of the last three, in every
// other one of the first three.
const (
	DoRun    = "run"
	DoSkip   = "skip"   // it succeeded in the run that this one resumes, and counts as begun
	DoNot    = ""       // it is listed as not run
	DoRevert = "revert" // its undo is run
	DoUndone = "undone" // its undo has succeeded already
)

// What follows a failure.
const (
	OnFailureStop     = "stop"
	OnFailureRollback = "rollback" // what had begun is undone
)

// NoUndo stands for the undo script of a step that needs none, as in a manifest.
const NoUndo = "none"

// Levels are those of the sandbox, the weakest first.
var Levels = []string{"none", "basic", "isolated", "full"}

// Job is everything that a runner is told. It has secrets in it: it is sent, and never stored.
type Job struct {
	V   int    `json:"v"`
	Job string `json:"job"` // 32 random hexadecimal digits

	RunID       string `json:"run_id"`
	Attempt     int    `json:"attempt"`
	Environment string `json:"environment"`
	Action      string `json:"action"`
	Fence       string `json:"fence"` // of the concurrency group; empty: there is none

	Package   Package `json:"package"`
	Plan      []Step  `json:"plan"`
	OnFailure string  `json:"on_failure"`

	Arguments map[string]string `json:"arguments"` // parameters by name
	Outputs   map[string]string `json:"outputs"`   // of the run that this one undoes
	Secrets   map[string]string `json:"secrets"`   // by the variable that scripts see
	Mask      []string          `json:"mask"`      // what is masked, the secrets among it

	Tools   []string   `json:"tools"` // commands that have to be there
	Network bool       `json:"network"`
	Keep    []string   `json:"keep"`    // patterns of files that are artifacts, besides those in the artifacts folder
	Restore []Restored `json:"restore"` // artifacts of an earlier run that are there when the first script runs
	Limits  Limits     `json:"limits"`
	Level   string     `json:"level"` // the least one that has to be in force
	// AcceptInit says that the secrets are given also where scripts can write the memory of another process of their
	// user, as the container's init.
	AcceptInit bool `json:"accept_init"`

	Times   Times  `json:"times"`
	Mailbox string `json:"mailbox"` // the address of the mailbox
}

// String names the job: printing one does not tell what is in it.
func (j Job) String() string { return "job " + j.Job }

// GoString names the job, too.
func (j Job) GoString() string { return j.String() }

// Package says which bytes run. Its names are what scripts learn about it.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Type    string `json:"type"`
	SHA256  string `json:"sha256"` // of the zip
	Size    int64  `json:"size"`
	DirHash string `json:"dirhash"` // of its contents, as a result has it
}

// Step is one script of the plan, with its undo.
type Step struct {
	N      int    `json:"n"` // its place, from 1
	Name   string `json:"name"`
	Phase  string `json:"phase"`
	Run    string `json:"run"` // its path in the package
	SHA256 string `json:"sha256"`

	Args    []string          `json:"args,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Secrets []string          `json:"secrets,omitzero"` // the secrets that it sees; absent: all

	TimeoutMS       int64 `json:"timeout_ms,omitempty"` // of an attempt; 0: none of its own
	Retries         int   `json:"retries,omitempty"`
	DelayMS         int64 `json:"delay_ms,omitempty"`
	ContinueOnError bool  `json:"continue_on_error,omitempty"`

	Rollback       string `json:"rollback,omitempty"` // the undo script, or NoUndo
	RollbackSHA256 string `json:"rollback_sha256,omitempty"`

	Do      string            `json:"do,omitempty"`
	Outputs map[string]string `json:"outputs,omitempty"` // of a skipped step
}

// Undoable reports whether the step has an undo script.
func (s Step) Undoable() bool { return s.Rollback != "" && s.Rollback != NoUndo }

// Restored is an artifact of an earlier run: the object in/<n> of the mailbox.
type Restored struct {
	N      int    `json:"n"`
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Limits bound what is kept.
type Limits struct {
	LogBytes      int64 `json:"log_bytes"` // of one step
	Artifacts     int   `json:"artifacts"`
	ArtifactBytes int64 `json:"artifact_bytes"` // of all together
}

// Times bound what a job takes.
type Times struct {
	StepsMS int64 `json:"steps_ms"` // all steps; 0: until stop_at
	KeptMS  int64 `json:"kept_ms"`  // of the time until stop_at, for undo alone
	UndoMS  int64 `json:"undo_ms"`  // the most that undo may take
	StoreMS int64 `json:"store_ms"` // for what has to be stored after the last script

	StopAt time.Time `json:"stop_at"` // no script runs any more
	KillAt time.Time `json:"kill_at"` // nothing of the job runs any more, and an outcome is nobody's
}
