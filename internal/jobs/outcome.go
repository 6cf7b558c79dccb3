package jobs

import (
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// How a job ended.
const (
	// Complete: the plan was done up to its end or to the first failure, and what follows from that.
	Complete = "complete"
	// Stopped: the time of the steps ended before they did, the runner was stopped, or it did not begin.
	Stopped = "stopped"
	// Cancelled: whoever sent the job had it ended.
	Cancelled = "cancelled"
)

// Outcome is what a runner says has come of a job. What scripts printed and left is masked in it.
type Outcome struct {
	V     int    `json:"v"`
	Job   string `json:"job"`
	Began bool   `json:"began"` // a script was started
	// Refused says why nothing was begun, or why a step was not at which the job ended.
	Refused []problem.Problem `json:"refused"`
	Ended   string            `json:"ended"`

	Steps    []evidence.Step    `json:"steps"` // all of the plan, in its order; none: nothing was begun
	Rollback *evidence.Rollback `json:"rollback,omitempty"`
	Summary  string             `json:"summary"` // Markdown

	Artifacts []Artifact `json:"artifacts"`
	Sandbox   Sandbox    `json:"sandbox"`
	Runner    Runner     `json:"runner"`
}

// Artifact is a file that scripts left: the object artifacts/<n> of the mailbox. With the number 0 it is not there: it
// was withheld, or it is a restored one, which nobody has changed.
type Artifact struct {
	N        int    `json:"n"`
	Name     string `json:"name"`
	Size     int64  `json:"size"`
	SHA256   string `json:"sha256,omitempty"`
	Withheld string `json:"withheld,omitempty"` // why it was not kept
}

// Sandbox is what was in force around the last script, or would have been.
type Sandbox struct {
	Level  string   `json:"level"`
	Gaps   []string `json:"gaps"` // words for what is left open
	Layers Layers   `json:"layers"`
}

// Layers are the layers of the sandbox.
type Layers struct {
	NoNewPrivileges bool                   `json:"no_new_privileges"`
	Seccomp         bool                   `json:"seccomp"`
	Offline         bool                   `json:"offline"`
	Landlock        int                    `json:"landlock"` // ABI; 0: none
	User            int                    `json:"user"`     // set aside for scripts; 0: the runner's own
	Limits          evidence.SandboxLimits `json:"limits"`
	Watched         bool                   `json:"watched"` // processes are counted now and then
	Init            bool                   `json:"init"`    // the memory of another process of the user is in reach
}

// Runner is who says all this.
type Runner struct {
	Kind       string `json:"kind"` // function or host
	Version    string `json:"version"`
	Image      string `json:"image"`
	JobsBefore int    `json:"jobs_before"` // that its process has done
}
