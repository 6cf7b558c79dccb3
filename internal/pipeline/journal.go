package pipeline

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/results"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
)

// journal is what the run does while its steps run: it notes in the claim that a step begins, stores logs
// as steps end, and says both in the function's log.
func (r *run) journal(ctx context.Context) steps.Journal {
	j := steps.Journal{
		Begins: r.stepBegins,
		Ended:  func(s evidence.Step, log steps.Log) { r.stepEnded(ctx, s, log) },
		Tolerated: func(step string, failure error) {
			r.log.Warn("the step failed, and may", "step", step, "code", problem.CodeOf(failure))
		},
	}
	if r.exec.Output == OutputAll {
		j.Lines = r.lines
	}
	return j
}

// lines passes the lines of a step's stream on to the function's log.
func (r *report) lines(step string, stream evidence.Stream) func([]string) {
	log := r.log.With("step", step, "stream", stream)
	return func(lines []string) {
		pass := func() {
			for _, line := range lines {
				log.LogAttrs(context.Background(), slog.LevelInfo, "output", slog.String("line", line))
			}
		}
		if r.exec.LogWriter == nil {
			pass()
			return
		}
		r.exec.LogWriter.Together(pass)
	}
}

func (r *run) stepBegins(ctx context.Context, b steps.Beginning) error {
	if err := r.progress(ctx, b); err != nil {
		return err
	}
	r.log.Info("step started", "step", b.Step.Name, "phase", b.Step.Phase, "number", b.Number)
	return nil
}

func (r *run) stepEnded(ctx context.Context, s evidence.Step, log steps.Log) {
	if log.Err != nil {
		r.log.Error("cannot write the whole log", "step", s.Name, "error", log.Err.Error())
	}
	if r.exec.Output == OutputTail {
		r.logTail(s.Name, evidence.Stdout, s.StdoutTail)
		r.logTail(s.Name, evidence.Stderr, s.StderrTail)
	}
	r.log.Info("step finished", "step", s.Name, "phase", s.Phase, "status", s.Status,
		"returncode", s.ReturnCode, "signal", s.Signal, "duration_ms", s.DurationMS, "truncated", s.Truncated)
	r.keepLog(ctx, log, s.Name)
}

func (r *report) logTail(step string, stream evidence.Stream, text string) {
	if text != "" {
		r.log.Info("output", "step", step, "stream", stream, "line", text)
	}
}

// keepLog stores a step's log and its times at once, so that they survive the function.
func (r *report) keepLog(ctx context.Context, log steps.Log, step string) {
	size, err := log.File.Seek(0, io.SeekEnd)
	if err != nil {
		r.log.Error("cannot read the log", "step", step, "error", err.Error())
	}
	object := evidence.Dir(r.result.RunID) + log.Name
	r.keepBeside(ctx, step, results.Document{Object: object, Type: "text/plain; charset=utf-8", Body: log.File, Size: size})
	times, err := log.Times.Encode()
	if err != nil {
		r.log.Error("cannot encode the times of a log", "log", log.Name, "error", err.Error())
		return
	}
	object = strings.TrimSuffix(object, ".log") + ".times.json"
	r.keepBeside(ctx, step, results.Document{Object: object, Type: "application/json", Body: bytes.NewReader(times), Size: int64(len(times))})
}

func (r *report) keepBeside(ctx context.Context, step string, d results.Document) {
	r.stored.Beside(ctx, d, func(err error) {
		r.log.Warn("log not stored yet", "step", step, "object", d.Object, "error", err.Error())
	})
}

// untilTooLate does what has to be done before a step, as often as there is still time for the step then.
func (r *decided) untilTooLate(ctx context.Context, do func(context.Context) error) error {
	end, _ := ctx.Deadline() // bound has set it
	ctx, cancel := context.WithDeadline(ctx, end.Add(-grace))
	defer cancel()
	return store.Patience(r.part).Insist(ctx, do)
}

// unnotable is the error for a step that could not be noted, and so is not begun: if the executor died, its
// result would say that it had not run.
func (r *decided) unnotable(step evidence.Step, err error) error {
	if err == nil {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "state.unnoted", Where: step.Run, Message: "was not begun, as that could not be noted in the state bucket: " + problem.Of(err, problem.Problem{Message: err.Error()}).Message(),
		Hint: "check that the state bucket can be reached and written; then go on with resume_from or undo with rollback_of",
	}, err)
}

func (r *held) lostLease(first bool) error {
	if first {
		return duplicateOf(r.claim.Claim)
	}
	return problem.New(problem.Problem{
		Code: "state.lease_lost", Where: r.result.RunID, Message: "the run has taken longer than its lease, and another invocation may have taken over",
		Hint: "see the results of this run and of later ones before you go on",
	}, nil)
}

// noteEnd notes in the claim how the steps have ended, before anything else waits for the store: if the executor
// dies now, a later invocation stores that as the run's result. What fails is tried again beside the other work.
func (r *held) noteEnd(ctx context.Context, failure error) {
	if !r.started {
		return
	}
	dying := r.snapshot(r.outcome)
	dying.conclude(failure)
	dying.result.Message += "; the executor ended before all of the evidence was stored"
	doc, err := dying.encodeCheckpoint()
	if err != nil {
		r.log.Warn("the end of the steps could not be noted", "error", err.Error())
		return
	}
	end := claim.Start{Lease: r.longest(), Group: r.claim.Group, Applies: r.doing, SHA256: r.result.Package.SHA256, Checkpoint: doc}
	note := func(ctx context.Context) error {
		_, err := r.claim.Progress(ctx, end)
		return err
	}
	if err := store.Patience(r.part).Once(context.WithoutCancel(ctx), note); err != nil {
		r.log.Warn("the end of the steps could not be noted yet", "error", err.Error())
		r.noteLater = note
	}
}
