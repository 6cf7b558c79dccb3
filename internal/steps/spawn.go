package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/workdir"
)

// unmodified opens a script and checks that it is still the admitted one: an earlier step may have written to it. The
// sandbox runs only the file that is opened here.
func (r *run) unmodified(s script) (*os.File, error) {
	f, info, err := workdir.OpenRegular(r.here.Dir.Contents(), s.Run)
	if err != nil {
		return nil, modified(s, err)
	}
	if size := r.here.Files[s.Run].Size; info.Size() != size {
		_ = f.Close()
		return nil, modified(s, fmt.Errorf("it has %d bytes, and had %d", info.Size(), size))
	}
	if sum, err := workdir.Digest(f, info.Size()); err != nil || sum != s.SHA256 {
		_ = f.Close()
		return nil, modified(s, err)
	}
	return f, nil
}

// modified is the error for a script that an earlier step has changed.
func modified(s script, cause error) error {
	return problem.New(problem.Problem{
		Code: "step.modified", Where: s.Run, Message: "the script is no longer what was admitted",
		Hint: "an earlier step changed it; scripts must not write to the package's scripts",
	}, cause)
}

// spawn runs the script in the sandbox until its time ends.
func (r *run) spawn(ctx context.Context, s script, file *os.File, log *stepLog, env []string) (sandbox.Outcome, error) {
	stop, cancel := context.WithDeadline(ctx, stopTime(ctx))
	defer cancel()
	stdout, stderr := r.masks.writer(log, evidence.Stdout), r.masks.writer(log, evidence.Stderr)
	defer func() { _, _ = stdout.Close(), stderr.Close() }() // the log keeps its own errors
	command := sandbox.Command{
		Path: s.interpreter, Args: slices.Concat(s.args, []string{s.Run}, s.Args),
		Dir: r.here.Dir.Path(workdir.Package), Env: env,
		Stdout: stdout, Stderr: stderr, Grace: Grace, Linger: linger,
		Script: file, ScriptPath: s.Run,
	}
	r.confine(&command)
	start := sandbox.Run
	if r.here.Spawn != nil {
		start = r.here.Spawn
	}
	outcome, err := start(stop, command)
	if outcome.Layers != (sandbox.Layers{}) {
		r.outcome.Layers = outcome.Layers
	}
	return outcome, err
}

// confine sets how a script is confined.
func (r *run) confine(c *sandbox.Command) {
	c.Level, c.Network, c.Limits, c.Kept = r.job.Level, r.job.Network, r.here.Limits, r.here.Keeper
	c.Writable = r.here.Dir.Writable()
	if free, ok, err := workdir.Free(r.here.Dir.Path("")); err == nil && ok {
		c.Limits.FileBytes = max(free.Bytes, 1)
	}
}

// environment is a script's whole environment; nothing of this program's own is in it.
func (r *run) environment(s script, attempt int, outputs string, end time.Time) []string {
	w, dry := r.job.World, ""
	if w.DryRun {
		dry = "1"
	}
	env := []string{
		"PATH=" + SearchPath,
		"HOME=" + r.here.Dir.Path(workdir.Home),
		"TMPDIR=" + r.here.Dir.Path(workdir.Tmp),
		"LANG=C.UTF-8",
		"TZ=UTC",
		"CEMLI_RUN_ID=" + w.RunID,
		"CEMLI_PACKAGE=" + w.Package,
		"CEMLI_VERSION=" + w.Version,
		"CEMLI_TYPE=" + w.Type,
		"CEMLI_ENVIRONMENT=" + w.Environment,
		"CEMLI_ACTION=" + w.Action,
		"CEMLI_STEP=" + s.Name,
		"CEMLI_ATTEMPT=" + strconv.Itoa(attempt),
		"CEMLI_DRY_RUN=" + dry,
		"CEMLI_FENCE=" + w.Fence,
		"CEMLI_OUTPUT=" + r.here.Dir.Path(outputs),
		"CEMLI_DEADLINE=" + end.UTC().Format(time.RFC3339),
		"CEMLI_ARTIFACTS=" + r.here.Dir.Path(workdir.Artifacts),
		"CEMLI_SUMMARY=" + r.here.Dir.Path(workdir.SummaryFile),
		"CEMLI_MASK=" + r.here.Dir.Path(workdir.MaskFile),
	}
	return append(env, r.variables(s)...)
}

// variables are what the package and the request add to a script's environment.
func (r *run) variables(s script) []string {
	var env []string
	for _, a := range r.job.Arguments {
		env = append(env, "CEMLI_PARAM_"+a.Name+"="+a.Value)
	}
	for _, key := range slices.Sorted(maps.Keys(r.outcome.Outputs)) {
		env = append(env, "CEMLI_OUT_"+key+"="+r.outcome.Outputs[key])
	}
	for _, secret := range r.job.Secrets {
		if s.Secrets == nil || slices.Contains(s.Secrets, secret.Name) {
			env = append(env, secret.Name+"="+secret.Value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		env = append(env, name+"="+s.Env[name])
	}
	return env
}

// judge records how the script ended and returns why that is not a success. The attempt began this long after the
// first one, whose record has the starting time.
func judge(ctx context.Context, s script, o sandbox.Outcome, after time.Duration, record *evidence.Step) error {
	if record.Start == nil {
		record.Start, after = &o.Start, 0
	}
	end := record.Start.Add(after + o.Took)
	record.End, record.DurationMS = &end, (after + o.Took).Milliseconds()
	record.CPUMS, record.MaxRSS = record.CPUMS+o.CPU.Milliseconds(), max(record.MaxRSS, o.MaxRSS)
	record.ReturnCode, record.Signal = o.ExitCode, o.Signal
	record.Status = evidence.StepFailed
	switch {
	case o.Stopped && errors.Is(context.Cause(ctx), errCancelled):
		record.Status = evidence.StepCancelled
		return cancelled(s, "was stopped, as the run was cancelled")
	case o.Stopped && errors.Is(ctx.Err(), context.Canceled):
		record.Status = evidence.StepInterrupted
		return stepError("step.interrupted", s, "was stopped because the executor was",
			"see which parts took effect before you run it again")
	case o.Stopped:
		record.Status = evidence.StepTimedOut
		took := o.Took.Round(time.Millisecond)
		return stepError("step.timeout", s, fmt.Sprintf("was stopped after %s: its time had ended", took),
			"make it faster, split the package, or raise the timeout of the step, the package or the function")
	case o.Crowded:
		const crowded = "was ended: it may have %d processes and threads at once, and the executor needs the rest"
		return stepError("step.processes", s, fmt.Sprintf(crowded, o.Layers.Limits.Processes),
			"let it do less at the same time")
	case o.Signal != "":
		return stepError("step.failed", s, "was ended by "+o.Signal,
			"a SIGKILL is often the memory limit; see the step's log")
	case o.ExitCode != 0:
		return stepError("step.failed", s, fmt.Sprintf("exited with %d", o.ExitCode), "see the step's log")
	}
	record.Status = evidence.StepSuccess
	return nil
}

func stepError(code string, s script, what, hint string) error {
	return problem.New(problem.Problem{Code: code, Where: s.Run, Message: what, Hint: hint}, nil)
}
