package jobs

import (
	"time"

	"cemli-executor/internal/document"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// outcome is the kind of an Outcome.
var outcome = kind{
	code: "runner.outcome", name: "outcome of the job", most: MaxOutcome,
	hint: "see the runner's log and the run's last progress for what the scripts have done",
}

// statuses are how a step, or all of an undo, can end.
var statuses = []string{
	string(evidence.StepSuccess), string(evidence.StepFailed), string(evidence.StepTimedOut),
	string(evidence.StepInterrupted), string(evidence.StepCancelled), string(evidence.StepNotRun),
	string(evidence.StepSkipped),
}

// Encode is the document's bytes. Where they would be more than MaxOutcome, the ends of the steps' output are
// shortened, of which the logs have all.
func (o Outcome) Encode() ([]byte, error) {
	o = o.withoutNull()
	for _, tail := range []int{2000, 200, 0} {
		doc, err := encode(o, func([]byte) (Outcome, error) { return o, nil })
		if err != nil || len(doc) <= MaxOutcome {
			break
		}
		o = o.shortened(tail)
	}
	return encode(o, DecodeOutcome)
}

// withoutNull is the outcome with empty lists where it has none.
func (o Outcome) withoutNull() Outcome {
	o.Refused = append([]problem.Problem{}, o.Refused...)
	o.Steps = append([]evidence.Step{}, o.Steps...)
	o.Artifacts = append([]Artifact{}, o.Artifacts...)
	o.Sandbox.Gaps = append([]string{}, o.Sandbox.Gaps...)
	if o.Rollback != nil {
		undo := *o.Rollback
		undo.Steps = append([]evidence.Step{}, undo.Steps...)
		o.Rollback = &undo
	}
	return o
}

// shortened is the outcome with shorter ends of what its steps printed.
func (o Outcome) shortened(most int) Outcome {
	o = o.withoutNull() // its lists are its own
	shorten := func(steps []evidence.Step) {
		for i := range steps {
			s := &steps[i]
			s.StdoutTail, s.StderrTail = evidence.Ending(s.StdoutTail, most), evidence.Ending(s.StderrTail, most)
		}
	}
	shorten(o.Steps)
	if o.Rollback != nil {
		shorten(o.Rollback.Steps)
	}
	return o
}

// DecodeOutcome reads an outcome. Whether it is one of a job, Check says.
func DecodeOutcome(doc []byte) (o Outcome, err error) {
	err = outcome.read(doc, func(n document.Node) {
		n.Fields([]document.Field{
			document.Required("v", func(v document.Node) { o.V = version(v) }),
			document.Required("job", func(v document.Node) { o.Job = id(v) }),
			document.Required("began", func(v document.Node) { o.Began = v.Boolean() }),
			document.Required("refused", func(v document.Node) { o.Refused = list(v, maxProblems, readProblem) }),
			document.Required("ended", func(v document.Node) { o.Ended = v.Choice("", Complete, Stopped, Cancelled) }),
			document.Required("steps", func(v document.Node) { o.Steps = records(v, maxSteps) }),
			document.Optional("rollback", func(v document.Node) { o.Rollback = readRollback(v) }),
			document.Required("summary", func(v document.Node) { o.Summary = anyText(v, MaxSummary) }),
			document.Required("artifacts", func(v document.Node) {
				o.Artifacts = list(v, maxArtifacts+maxUncollected, readArtifact)
			}),
			document.Required("sandbox", func(v document.Node) { o.Sandbox = readSandbox(v) }),
			document.Required("runner", func(v document.Node) { o.Runner = readRunner(v) }),
		})
	})
	return unless(err != nil, o), err
}

// records reads records of steps.
func records(n document.Node, most int) []evidence.Step { return list(n, most, readRecord) }

func readRecord(n document.Node) (s evidence.Step) {
	n.Fields(append(append(planned(&s), ended(&s)...), left(&s)...))
	return s
}

// planned are the keys of a record that say which step it is.
func planned(s *evidence.Step) []document.Field {
	return []document.Field{
		document.Required("name", func(v document.Node) { s.Name = name(v) }),
		document.Required("phase", func(v document.Node) {
			s.Phase = v.Choice("", "pre_check", "run", "post_check", PhaseRollback)
		}),
		document.Required("run", func(v document.Node) { s.Run = v.Line(maxPath) }),
		document.Required("sha256", func(v document.Node) { s.SHA256 = digest(v) }),
	}
}

// ended are the keys of a record that say how the step ended.
func ended(s *evidence.Step) []document.Field {
	count := func(into *int64) func(document.Node) {
		return func(v document.Node) { *into = v.Count(MaxWhole) }
	}
	at := func(into **time.Time) func(document.Node) {
		return func(v document.Node) { t := instant(v); *into = &t }
	}
	return []document.Field{
		document.Required("status", func(v document.Node) { s.Status = status(v) }),
		document.Required("returncode", func(v document.Node) { s.ReturnCode = int(v.Whole(-1, 255)) }),
		document.Optional("signal", func(v document.Node) { s.Signal = v.Word("", signalRule, "a signal") }),
		document.Optional("start", at(&s.Start)),
		document.Optional("end", at(&s.End)),
		document.Required("duration_ms", func(v document.Node) { s.DurationMS = v.Count(maxMS) }),
		document.Required("cpu_ms", count(&s.CPUMS)),
		document.Required("max_rss_bytes", count(&s.MaxRSS)),
		document.Required("attempts", func(v document.Node) { s.Attempts = int(v.Count(maxRetries + 1)) }),
		document.Optional("error", func(v document.Node) { s.Error = readError(v) }),
	}
}

// left are the keys of a record that say what the step left.
func left(s *evidence.Step) []document.Field {
	tail := func(into *string) func(document.Node) {
		return func(v document.Node) { *into = anyText(v, evidence.TailBytes) }
	}
	file := func(v document.Node) string { return anyText(v, maxText) }
	return []document.Field{
		document.Optional("log", func(v document.Node) { s.Log = v.Line(2 * maxName) }),
		document.Optional("log_sha256", func(v document.Node) { s.LogSHA256 = digest(v) }),
		document.Required("output_bytes", func(v document.Node) { s.OutputSize = v.Count(MaxWhole) }),
		document.Required("truncated", func(v document.Node) { s.Truncated = v.Boolean() }),
		document.Required("stdout_tail", tail(&s.StdoutTail)),
		document.Required("stderr_tail", tail(&s.StderrTail)),
		document.Optional("outputs", func(v document.Node) { s.Outputs = outputs(v) }),
		document.Optional("changed_files", func(v document.Node) { s.ChangedFiles = list(v, MaxChanged, file) }),
		document.Optional("changed_files_more", func(v document.Node) { s.MoreChanged = int(v.Whole(1, MaxWhole)) }),
	}
}

func status(n document.Node) evidence.StepStatus {
	return evidence.StepStatus(n.Choice("", statuses...))
}

// message reads a text for people.
func message(n document.Node) string { return anyText(n, maxText) }

func code(n document.Node) string { return n.Word("", codeRule, "an error code") }

func readProblem(n document.Node) (p problem.Problem) {
	n.Fields([]document.Field{
		document.Required("code", func(v document.Node) { p.Code = code(v) }),
		document.Optional("where", func(v document.Node) { p.Where = message(v) }),
		document.Required("message", func(v document.Node) { p.Message = message(v) }),
		document.Optional("hint", func(v document.Node) { p.Hint = message(v) }),
	})
	return p
}

func readError(n document.Node) *evidence.Error {
	var e evidence.Error
	n.Fields([]document.Field{
		document.Required("code", func(v document.Node) { e.Code = code(v) }),
		document.Optional("was", func(v document.Node) { e.Was = code(v) }),
		document.Required("message", func(v document.Node) { e.Message = message(v) }),
		document.Optional("hint", func(v document.Node) { e.Hint = message(v) }),
		document.Optional("problems", func(v document.Node) { e.Problems = list(v, maxProblems, readProblem) }),
	})
	return &e
}

// readRollback reads what was undone. The request that undoes the rest is the executor's to make.
func readRollback(n document.Node) *evidence.Rollback {
	var r evidence.Rollback
	names := func(into *[]string) func(document.Node) {
		return func(v document.Node) { *into = list(v, maxSteps, name) }
	}
	n.Fields([]document.Field{
		document.Required("status", func(v document.Node) { r.Status = status(v) }),
		document.Optional("error", func(v document.Node) { r.Error = readError(v) }),
		document.Required("steps", func(v document.Node) {
			r.Steps = append([]evidence.Step{}, records(v, maxSteps)...) // a result has an empty list
		}),
		document.Optional("without_undo", names(&r.WithoutUndo)),
		document.Optional("need_none", names(&r.NeedNone)),
	})
	return &r
}

func readArtifact(n document.Node) (a Artifact) {
	n.Fields([]document.Field{
		document.Required("n", func(v document.Node) { a.N = int(v.Count(maxArtifacts)) }),
		document.Required("name", func(v document.Node) { a.Name = anyText(v, maxText) }),
		document.Required("size", func(v document.Node) { a.Size = v.Count(maxArtifact) }),
		document.Optional("sha256", func(v document.Node) { a.SHA256 = digest(v) }),
		document.Optional("withheld", func(v document.Node) { a.Withheld = message(v) }),
	})
	return a
}

func readSandbox(n document.Node) (s Sandbox) {
	word := func(v document.Node) string { return v.Word("", gapRule, "a word for a gap") }
	n.Fields([]document.Field{
		document.Required("level", func(v document.Node) { s.Level = v.Choice("", Levels...) }),
		document.Required("gaps", func(v document.Node) { s.Gaps = list(v, maxWords, word) }),
		document.Required("layers", func(v document.Node) { s.Layers = readLayers(v) }),
	})
	return s
}

func readLayers(n document.Node) (l Layers) {
	n.Fields([]document.Field{
		document.Required("no_new_privileges", func(v document.Node) { l.NoNewPrivileges = v.Boolean() }),
		document.Required("seccomp", func(v document.Node) { l.Seccomp = v.Boolean() }),
		document.Required("offline", func(v document.Node) { l.Offline = v.Boolean() }),
		document.Required("landlock", func(v document.Node) { l.Landlock = int(v.Count(maxMembers)) }),
		document.Required("user", func(v document.Node) { l.User = int(v.Count(1 << 32)) }),
		document.Required("limits", func(v document.Node) { l.Limits = readSandboxLimits(v) }),
		document.Required("watched", func(v document.Node) { l.Watched = v.Boolean() }),
		document.Required("init", func(v document.Node) { l.Init = v.Boolean() }),
	})
	return l
}

func readSandboxLimits(n document.Node) (l evidence.SandboxLimits) {
	n.Fields([]document.Field{
		document.Required("processes", func(v document.Node) { l.Processes = int(v.Count(MaxWhole)) }),
		document.Required("open_files", func(v document.Node) { l.OpenFiles = int(v.Count(MaxWhole)) }),
		document.Required("file_bytes", func(v document.Node) { l.FileBytes = v.Count(MaxWhole) }),
		document.Required("data_bytes", func(v document.Node) { l.DataBytes = v.Count(MaxWhole) }),
	})
	return l
}

func readRunner(n document.Node) (r Runner) {
	n.Fields([]document.Field{
		document.Required("kind", func(v document.Node) { r.Kind = v.Choice("", "function", "host") }),
		document.Required("version", func(v document.Node) { r.Version = v.Line(maxName) }),
		document.Required("image", func(v document.Node) { r.Image = v.Line(maxAddress) }),
		document.Required("jobs_before", func(v document.Node) { r.JobsBefore = int(v.Count(MaxWhole)) }),
	})
	return r
}
