package steps

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/sandbox"
	"cemli-executor/manifest"
)

// Apart is what a job needs besides, to be done by a runner.
type Apart struct {
	Job             string // its id
	Attempt         int
	SHA256, DirHash string // of the package
	Size            int64
	Mask            []string // what is masked, the secrets among it; what is too short for it is left out
	StopAt, KillAt  time.Time
	Store           time.Duration // for the runner to store what has come of it
	AcceptInit      bool          // secrets are given where scripts can write the memory of the container's init, too
	Mailbox         string
}

// Document is the job as a runner is told it. Durations are rounded up to milliseconds.
func (j Job) Document(a Apart) jobs.Job {
	w := j.World
	d := jobs.Job{
		V: jobs.Version, Job: a.Job, RunID: w.RunID, Attempt: a.Attempt, Environment: w.Environment,
		Action: w.Action, Fence: w.Fence,
		Package: jobs.Package{
			Name: w.Package, Version: w.Version, Type: w.Type, SHA256: a.SHA256, Size: a.Size, DirHash: a.DirHash,
		},
		OnFailure: jobs.OnFailureStop, Arguments: byName(j.Arguments), Outputs: maps.Clone(j.Outputs),
		Secrets: byName(j.Secrets), Mask: maskable(a.Mask), Tools: j.Tools, Network: j.Network, Keep: j.Keep,
		Limits: jobs.Limits(j.Limits),
		Level:  string(j.Level), AcceptInit: a.AcceptInit,
		Mailbox: a.Mailbox,
		Times: jobs.Times{
			StepsMS: ms(j.Times.Steps), KeptMS: ms(j.Times.Kept), UndoMS: ms(j.Times.Undo), StoreMS: ms(a.Store),
			StopAt: a.StopAt, KillAt: a.KillAt,
		},
	}
	if j.Undo == UndoOnFailure {
		d.OnFailure = jobs.OnFailureRollback
	}
	for i, s := range j.Plan {
		d.Plan = append(d.Plan, s.document(i+1))
	}
	for i, r := range j.Restored {
		d.Restore = append(d.Restore, jobs.Restored{N: i + 1, Name: r.Name, Size: r.Size, SHA256: r.SHA256})
	}
	return d
}

// maskable are the values that a Masker masks.
func maskable(values []string) []string {
	long := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return len(v) < redact.MinBytes })
	slices.Sort(long)
	return slices.Compact(long)
}

// document is a step as a runner is told it.
func (s Step) document(n int) jobs.Step {
	d := jobs.Step{
		N: n, Name: s.Name, Phase: string(s.Phase), Run: s.Run, SHA256: s.SHA256, Args: s.Args, Env: s.Env,
		Secrets: s.Secrets, TimeoutMS: ms(s.Timeout), Retries: s.Retries, DelayMS: ms(s.RetryDelay),
		ContinueOnError: s.ContinueOnError, Rollback: s.Undo, RollbackSHA256: s.UndoSHA256, Do: string(s.Do),
		Outputs: s.Outputs,
	}
	if s.NoUndo {
		d.Rollback = jobs.NoUndo
	}
	return d
}

// FromDocument is the job that a runner was told. Restored artifacts have their place in the mailbox as their object.
func FromDocument(d jobs.Job) Job {
	p := d.Package
	j := Job{
		World: World{
			RunID: d.RunID, Package: p.Name, Version: p.Version, Type: p.Type, Environment: d.Environment,
			Action: d.Action, Fence: d.Fence, DryRun: d.Action == jobs.ActionDryRun,
		},
		Undo: undoBy(d), Tools: d.Tools, Level: sandbox.Level(d.Level), Network: d.Network,
		Arguments: variables(d.Arguments), Secrets: variables(d.Secrets), Outputs: d.Outputs, Keep: d.Keep,
		Times: Times{
			Steps: duration(d.Times.StepsMS), Kept: duration(d.Times.KeptMS), Undo: duration(d.Times.UndoMS),
		},
		Limits: Limits(d.Limits),
	}
	for _, s := range d.Plan {
		j.Plan = append(j.Plan, stepFrom(s))
	}
	for _, r := range d.Restore {
		object := jobs.MailRestored + strconv.Itoa(r.N)
		j.Restored = append(j.Restored, evidence.Artifact{Name: r.Name, Size: r.Size, SHA256: r.SHA256, Object: object})
	}
	return j
}

// undoBy says when what a job does is undone.
func undoBy(d jobs.Job) Undo {
	switch {
	case d.Action == jobs.ActionRollback:
		return UndoOnly
	case d.OnFailure == jobs.OnFailureRollback:
		return UndoOnFailure
	}
	return UndoNever
}

func stepFrom(d jobs.Step) Step {
	s := Step{
		Name: d.Name, Run: d.Run, SHA256: d.SHA256, Phase: manifest.Phase(d.Phase), Args: d.Args, Env: d.Env,
		Secrets: d.Secrets, Timeout: duration(d.TimeoutMS), Retries: d.Retries, RetryDelay: duration(d.DelayMS),
		ContinueOnError: d.ContinueOnError, NoUndo: d.Rollback == jobs.NoUndo, Do: Do(d.Do), Outputs: d.Outputs,
	}
	if d.Undoable() {
		s.Undo, s.UndoSHA256 = d.Rollback, d.RollbackSHA256
	}
	return s
}

// ms is a duration in milliseconds, rounded up: a little time is not none.
func ms(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

func duration(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// byName are variables by their names.
func byName(all []Variable) map[string]string {
	values := make(map[string]string, len(all))
	for _, v := range all {
		values[v.Name] = v.Value
	}
	return values
}

// variables are variables in the order of their names.
func variables(values map[string]string) []Variable {
	var all []Variable
	for _, name := range slices.Sorted(maps.Keys(values)) {
		all = append(all, Variable{Name: name, Value: values[name]})
	}
	return all
}

// Left is what a job left besides its steps' records.
type Left struct {
	Summary string
	// Artifacts are those that Collect lists. What is stored has its place in the mailbox as its object.
	Artifacts []evidence.Artifact
}

// Document is what a runner says of a job that Run has done. It is cancelled if whoever sent it had it ended before all
// of it was done.
func (o Outcome) Document(job string, cancelled bool, left Left, runner jobs.Runner) jobs.Outcome {
	d := jobs.Outcome{
		V: jobs.Version, Job: job, Began: o.Began, Refused: o.Refused, Ended: jobs.Complete,
		Steps: inUTC(o.Steps), Summary: left.Summary, Runner: runner,
		Sandbox: jobs.Sandbox{Level: string(o.Layers.Level()), Gaps: o.Layers.Gaps(), Layers: documentLayers(o.Layers)},
	}
	switch {
	case cancelled:
		d.Ended = jobs.Cancelled
	case o.Stopped:
		d.Ended = jobs.Stopped
	}
	if o.Rollback != nil {
		undo := *o.Rollback
		undo.Steps, d.Rollback = inUTC(undo.Steps), &undo
	}
	for _, a := range left.Artifacts {
		number, _ := strings.CutPrefix(a.Object, jobs.MailArtifacts)
		n, _ := strconv.Atoi(number) // 0: it is not in the mailbox
		kept := jobs.Artifact{N: n, Name: a.Name, Size: a.Size, SHA256: a.SHA256, Withheld: a.Withheld}
		d.Artifacts = append(d.Artifacts, kept)
	}
	return d
}

// inUTC copies records, with their times in UTC.
func inUTC(records []evidence.Step) []evidence.Step {
	utc := func(t *time.Time) *time.Time {
		if t == nil {
			return nil
		}
		u := t.UTC()
		return &u
	}
	var all []evidence.Step
	for _, s := range records {
		s.Start, s.End = utc(s.Start), utc(s.End)
		all = append(all, s)
	}
	return all
}

func documentLayers(l sandbox.Layers) jobs.Layers {
	return jobs.Layers{
		NoNewPrivileges: l.NoNewPrivileges, Seccomp: l.Seccomp, Offline: l.Offline, Landlock: l.Landlock,
		User: l.User, Watched: l.Watched, Init: l.Init,
		Limits: evidence.SandboxLimits{
			Processes: min(l.Limits.Processes, jobs.MaxWhole), OpenFiles: min(l.Limits.OpenFiles, jobs.MaxWhole),
			FileBytes: min(l.Limits.FileBytes, jobs.MaxWhole), DataBytes: min(l.Limits.DataBytes, jobs.MaxWhole),
		},
	}
}

func layersFrom(d jobs.Layers) sandbox.Layers {
	return sandbox.Layers{
		NoNewPrivileges: d.NoNewPrivileges, Seccomp: d.Seccomp, Offline: d.Offline, Landlock: d.Landlock,
		User: d.User, Limits: sandbox.Limits(d.Limits), Watched: d.Watched, Init: d.Init,
	}
}
