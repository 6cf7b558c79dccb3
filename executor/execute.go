package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/manifest"
)

// grace is the time between SIGTERM and SIGKILL for a step whose time has ended. It
// is taken from the step's time, not from the reserve.
const grace = 2 * time.Second

// linger is how long the output of what a script has left is waited for, within the step's time.
const linger = 2 * time.Second

// execute runs the scripts in order, stops at the first that does not succeed, and then
// undoes what had begun.
func (r *run) execute(ctx context.Context, plan *manifest.Plan, scripts []script) error {
	stop, cancel := context.WithDeadline(ctx, r.stepsEnd(ctx, plan))
	defer cancel()
	var failure error
	for i, s := range scripts {
		record := describeStep(s, evidence.StepNotRun)
		outputs, before := r.resumed(s)
		switch {
		case failure != nil || !r.wanted(s):
		case before:
			record.Status, record.Outputs = evidence.StepSkipped, outputs
		default:
			record, failure = r.step(stop, i+1, s)
			if s.ContinueOnError && tolerable(failure, stop) {
				r.log.Warn("the step failed, and may", "step", s.Name, "code", problem.CodeOf(failure))
				failure = nil
			}
		}
		r.result.Steps = append(r.result.Steps, record)
	}
	if failure != nil && r.does(ActionApply) && plan.Manifest().OnFailure != manifest.OnFailureStop {
		r.undo(ctx, plan, scripts)
	}
	return failure
}

// does reports whether this is the action of the run.
func (r *run) does(a Action) bool { return r.result.Action == string(a) }

// wanted reports whether the action runs a step: a dry run leaves out what does not
// promise to change nothing.
func (r *run) wanted(s script) bool {
	return r.does(ActionApply) || s.Phase == manifest.PhasePreCheck || s.DryRun
}

// tolerable reports whether a run may go on after a failure: the script's own, and not the
// end of the run's time.
func tolerable(failure error, run context.Context) bool {
	return failure != nil && run.Err() == nil && meaningOf(failure).Tolerated
}

func describeStep(s script, status evidence.StepStatus) evidence.Step {
	return evidence.Step{Name: s.Name, Phase: string(s.Phase), Run: s.Run, SHA256: s.SHA256, Status: status}
}

// step runs one script, again if it fails and says so, and stores its log.
func (r *run) step(ctx context.Context, number int, s script) (evidence.Step, error) {
	record := describeStep(s, evidence.StepNotRun)
	if !enough(ctx) {
		if !r.started {
			return record, r.tooLong(r.noTime())
		}
		return record, stepError("step.timeout", s, "was not started: the time of the run had ended", "make the steps before it faster, split the package, or raise the timeout")
	}
	log, err := r.newStepLog(number, s)
	if err != nil {
		return record, err
	}
	if err := r.progress(ctx, record); err != nil {
		_ = log.file.Close() // it is empty
		return record, err
	}
	r.log.Info("step started", "step", s.Name, "phase", s.Phase, "number", number)
	var failure error
	for {
		failure = r.attempt(ctx, number, s, log, &record)
		if failure == nil || record.Attempts > s.Retries || !tolerable(failure, ctx) || !r.pause(ctx, s, log, record) {
			break
		}
	}
	if record.Attempts == 0 {
		_ = log.file.Close() // it is empty
		return record, failure
	}
	log.finish(&record)
	r.changed(&record)
	r.describeFailure(failure, &record)
	r.logStep(record)
	r.sumUp(record)
	record.Log = log.object
	r.storing.Go(func() { r.keepLog(ctx, log, record.Name) })
	return record, failure
}

// describeFailure says in a step's record why it is not a success.
func (r *run) describeFailure(failure error, record *evidence.Step) {
	if failure == nil {
		return
	}
	record.Error = evidence.NewError(problem.Of(failure, problem.Problem{Code: "step.failed", Message: "the step did not succeed"}))
	r.maskError(record.Error)
}

// enough reports whether there is time for a script.
func enough(ctx context.Context) bool {
	end, _ := ctx.Deadline()
	return time.Until(end) > grace
}

// pause waits before the next attempt; false if there is no time for one.
func (r *run) pause(ctx context.Context, s script, log *stepLog, record evidence.Step) bool {
	if !wait(ctx, s.RetryDelay) || !enough(ctx) {
		return false
	}
	log.output.Note(fmt.Sprintf("attempt %d of %d, as the one before ended with %s", record.Attempts+1, s.Retries+1, record.Status))
	return true
}

// attempt runs a script once and adds to its record how it ended.
func (r *run) attempt(ctx context.Context, number int, s script, log *stepLog, record *evidence.Step) error {
	r.dir.reopen()
	file, err := r.unmodified(s.Step)
	if err != nil {
		return err
	}
	defer file.Close()
	run := ctx
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		run, cancel = context.WithTimeout(ctx, s.Timeout+grace)
		defer cancel()
	}
	r.started = true
	record.Attempts++
	masks := r.learned.err == nil
	outputs := fmt.Sprintf("out/output-%02d-%d", number, record.Attempts)
	before := log.elapsed()
	outcome, err := r.spawn(run, s, file, log, r.environment(s, record.Attempts, outputs, stopTime(run)))
	r.dir.reopen() // what it left is read, whatever it has closed
	if err != nil {
		record.Status, record.ReturnCode = evidence.StepFailed, -1
		return problem.Of(err, problem.Problem{Code: "step.start", Where: s.Run, Message: "the script could not be started", Hint: "see the function's log"})
	}
	log.lost = log.lost || outcome.OutputLost
	if err := judge(run, s, outcome, before, record); err != nil {
		return err
	}
	if masks && r.learned.err != nil {
		return r.unmaskable(s, record)
	}
	return r.takeOutputs(s, outputs, record)
}

// stopTime is when a script is asked to end, so that it has ended when its time has.
func stopTime(ctx context.Context) time.Time {
	end, _ := ctx.Deadline() // bound has set it
	return end.Add(-grace)
}

// spawn runs the script in the sandbox until its time ends.
func (r *run) spawn(ctx context.Context, s script, file *os.File, log *stepLog, env []string) (sandbox.Outcome, error) {
	stop, cancel := context.WithDeadline(ctx, stopTime(ctx))
	defer cancel()
	stdout, stderr := r.masked(log, evidence.Stdout), r.masked(log, evidence.Stderr)
	defer func() { _, _ = stdout.Close(), stderr.Close() }() // the log keeps its own errors
	command := sandbox.Command{
		Path: s.interpreter, Args: slices.Concat(s.args, []string{s.Run}, s.Args), Dir: r.dir.join("package"), Env: env,
		Stdout: stdout, Stderr: stderr, Grace: grace, Linger: linger,
		Script: file, ScriptPath: s.Run,
	}
	r.confinement(&command)
	run := sandbox.Run
	if r.Spawn != nil {
		run = r.Spawn
	}
	outcome, err := run(stop, command)
	if outcome.Layers != (sandbox.Layers{}) {
		r.describeSandbox(outcome.Layers)
	}
	return outcome, err
}

// environment is all that a script is told, built from nothing.
func (r *run) environment(s script, attempt int, outputs string, end time.Time) []string {
	dry := ""
	if r.does(ActionDryRun) {
		dry = "1"
	}
	env := []string{
		"PATH=" + searchPath,
		"HOME=" + r.dir.join("home"),
		"TMPDIR=" + r.dir.join("tmp"),
		"LANG=C.UTF-8",
		"TZ=UTC",
		"CEMLI_RUN_ID=" + r.runID(),
		"CEMLI_PACKAGE=" + r.result.Package.Name,
		"CEMLI_VERSION=" + r.result.Package.Version,
		"CEMLI_TYPE=" + r.result.Package.Type,
		"CEMLI_ENVIRONMENT=" + r.Environment,
		"CEMLI_ACTION=" + r.result.Action,
		"CEMLI_STEP=" + s.Name,
		"CEMLI_ATTEMPT=" + strconv.Itoa(attempt),
		"CEMLI_DRY_RUN=" + dry,
		"CEMLI_FENCE=" + r.fence(),
		"CEMLI_OUTPUT=" + r.dir.join(outputs),
		"CEMLI_DEADLINE=" + end.UTC().Format(time.RFC3339),
		"CEMLI_ARTIFACTS=" + r.dir.join("artifacts"),
		"CEMLI_SUMMARY=" + r.dir.join(summaryFile),
		"CEMLI_MASK=" + r.dir.join(maskFile),
	}
	for _, a := range r.arguments {
		env = append(env, "CEMLI_PARAM_"+a.Name+"="+a.Value.Text())
	}
	for _, key := range sortedNames(r.outputs) {
		env = append(env, "CEMLI_OUT_"+key+"="+r.outputs[key])
	}
	for _, secret := range r.secrets {
		if s.Secrets == nil || slices.Contains(s.Secrets, secret.env) {
			env = append(env, secret.env+"="+secret.value)
		}
	}
	for _, name := range sortedNames(s.Env) {
		env = append(env, name+"="+s.Env[name])
	}
	return env
}

// judge fills in how the script ended and says why that is not a success. It began some time after the
// first attempt, whose record says when that was.
func judge(ctx context.Context, s script, o sandbox.Outcome, after time.Duration, record *evidence.Step) error {
	if record.Start == nil {
		record.Start, after = &o.Start, 0
	}
	end := record.Start.Add(after + o.Took)
	record.End, record.DurationMS = &end, (after + o.Took).Milliseconds()
	record.CPUMS, record.MaxRSS = record.CPUMS+o.CPU.Milliseconds(), max(record.MaxRSS, o.MaxRSS)
	record.ReturnCode, record.Signal = o.ExitCode, o.Signal
	switch {
	case o.Stopped && errors.Is(ctx.Err(), context.Canceled):
		record.Status = evidence.StepInterrupted
		return stepError("step.interrupted", s, "was stopped because the executor was", "see which parts took effect before you run it again")
	case o.Stopped:
		record.Status = evidence.StepTimedOut
		return stepError("step.timeout", s, fmt.Sprintf("was stopped after %s: its time had ended", o.Took.Round(time.Millisecond)),
			"make it faster, split the package, or raise the timeout of the step, the package or the function")
	case o.Crowded:
		record.Status = evidence.StepFailed
		return stepError("step.processes", s, fmt.Sprintf("was ended: it may have %d processes and threads at once, and the executor needs the rest", o.Layers.Limits.Processes),
			"let it do less at the same time")
	case o.Signal != "":
		record.Status = evidence.StepFailed
		return stepError("step.failed", s, "was ended by "+o.Signal, "a SIGKILL is often the memory limit; see the step's log")
	case o.ExitCode != 0:
		record.Status = evidence.StepFailed
		return stepError("step.failed", s, fmt.Sprintf("exited with %d", o.ExitCode), "see the step's log")
	}
	record.Status = evidence.StepSuccess
	return nil
}

func stepError(code string, s script, what, hint string) error {
	return problem.New(problem.Problem{Code: code, Where: s.Run, Message: what, Hint: hint}, nil)
}

// sumUp adds the step to the summary of all steps.
func (r *run) sumUp(s evidence.Step) {
	e := &r.result.Execution
	e.Ran = true
	if s.Phase != string(phaseRollback) || r.does(ActionRollback) {
		e.ReturnCode = s.ReturnCode
	}
	e.Stdout = evidence.Tail(e.Stdout + s.StdoutTail)
	e.Stderr = evidence.Tail(e.Stderr + s.StderrTail)
}

func (r *run) logStep(s evidence.Step) {
	r.log.Info("step finished", "step", s.Name, "phase", s.Phase, "status", s.Status,
		"returncode", s.ReturnCode, "signal", s.Signal, "duration_ms", s.DurationMS, "truncated", s.Truncated)
}

// stepLog is a step's log while it is written and until it is stored.
type stepLog struct {
	run    *run
	object string
	file   *os.File
	output *evidence.Log
	lost   bool // not all output could be read
	begun  time.Time
}

// elapsed is the time since the first attempt began.
func (l *stepLog) elapsed() time.Duration {
	if l.begun.IsZero() {
		l.begun = time.Now()
	}
	return time.Since(l.begun)
}

func (r *run) newStepLog(number int, s script) (*stepLog, error) {
	file, err := newLogFile(fmt.Sprintf("%02d.log", number))
	if err != nil {
		return nil, workdirError(r.WorkDir, err)
	}
	var live func(evidence.Stream, []string)
	if r.Output == OutputAll {
		live = r.live(s)
	}
	return &stepLog{
		run: r, file: file, output: evidence.NewLog(file, r.Limits.LogBytes, live),
		object: fmt.Sprintf("steps/%02d-%s.log", number, cut(s.logName(), 200)),
	}, nil
}

// live passes a step's lines on to the function's log.
func (r *run) live(s script) func(evidence.Stream, []string) {
	log := map[evidence.Stream]*slog.Logger{}
	for _, stream := range []evidence.Stream{evidence.Stdout, evidence.Stderr} {
		log[stream] = r.log.With("step", s.Name, "stream", stream)
	}
	return func(stream evidence.Stream, lines []string) {
		pass := func() {
			for _, line := range lines {
				log[stream].LogAttrs(context.Background(), slog.LevelInfo, "output", slog.String("line", line))
			}
		}
		if r.LogWriter == nil {
			pass()
			return
		}
		r.LogWriter.Together(pass)
	}
}

// cut shortens a name to at most n bytes of whole characters.
func cut(name string, n int) string {
	return strings.ToValidUTF8(name[:min(len(name), n)], "")
}

// times is the document beside the log that says when what is in it came.
func (l *stepLog) times() []keptLog {
	doc, err := l.output.Times().Encode()
	if err != nil {
		l.run.log.Error("cannot encode the times of a log", "log", l.object, "error", err.Error())
		return nil
	}
	return []keptLog{{strings.TrimSuffix(l.object, ".log") + ".times.json", inMemory{bytes.NewReader(doc)}, int64(len(doc)), "application/json"}}
}

// inMemory is a document that needs not be closed.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

// finish puts into the record what the log knows. A log that could not be written in
// full is marked as truncated there.
func (l *stepLog) finish(record *evidence.Step) {
	l.output.Close()
	if err := l.output.Record(record); err != nil {
		l.run.log.Error("cannot write the whole log", "step", record.Name, "error", err.Error())
	}
	record.Truncated = record.Truncated || l.lost
	if l.run.Output == OutputTail {
		l.logTail(record.Name, evidence.Stdout, record.StdoutTail)
		l.logTail(record.Name, evidence.Stderr, record.StderrTail)
	}
}

func (l *stepLog) logTail(step string, stream evidence.Stream, text string) {
	if text != "" {
		l.run.log.Info("output", "step", step, "stream", stream, "line", text)
	}
}
