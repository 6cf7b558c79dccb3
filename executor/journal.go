package executor

import (
	"context"
	"log/slog"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/steps"
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
