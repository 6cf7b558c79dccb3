package pipeline

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/results"
	"cemli-executor/internal/steps"
)

// journal returns what the run does while its steps run: it notes in the claim that a step begins, stores logs as steps
// end, and logs both.
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

// lines passes the lines of a step's stream to the function's log.
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
	r.keepBeside(ctx, step, results.Document{
		Object: object, Type: "text/plain; charset=utf-8", Body: log.File, Size: size,
	})
	times, err := log.Times.Encode()
	if err != nil {
		r.log.Error("cannot encode the times of a log", "log", log.Name, "error", err.Error())
		return
	}
	object = strings.TrimSuffix(object, ".log") + ".times.json"
	r.keepBeside(ctx, step, results.Document{
		Object: object, Type: "application/json", Body: bytes.NewReader(times), Size: int64(len(times)),
	})
}

func (r *report) keepBeside(ctx context.Context, step string, d results.Document) {
	r.stored.Beside(ctx, d, func(err error) {
		r.log.Warn("log not stored yet", "step", step, "object", d.Object, "error", err.Error())
	})
}
