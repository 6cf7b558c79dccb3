package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
)

// story is what is known of a job while its steps run.
type story struct {
	mu    sync.Mutex
	begun *steps.Beginning // of the last step that has begun
	at    time.Time        // when that was
	ended []evidence.Step  // without what they printed
	last  *evidence.Step   // the record of the last step that has begun, if it has ended
}

// journal is what the steps tell, and what is done with it.
func (w *work) journal() steps.Journal {
	return steps.Journal{
		Begins: func(_ context.Context, b steps.Beginning) error {
			w.story.begins(b)
			w.watch.begins(b.Step.Name)
			w.log.Info("step started", "step", b.Step.Name, "phase", b.Step.Phase, "number", b.Number)
			return nil
		},
		Ended: w.ended,
		Tolerated: func(step string, failure error) {
			w.log.Warn("the step failed, and may", "step", step, "code", problem.CodeOf(failure))
		},
		Lines:     w.lines,
		Cancelled: w.watch.cancelled,
	}
}

// lines passes on what a step prints. It is called beside the job, where a panic would end this program.
func (w *work) lines(step string, stream evidence.Stream) func([]string) {
	pass := func([]string) {}
	if w.runner.Lines != nil {
		pass = w.runner.Lines(w.log.With("step", step, "stream", stream))
	}
	return func(list []string) {
		defer w.contain("a line of output")
		w.watch.recent.Add(list)
		pass(list)
	}
}

// contain keeps a panic beside the job from ending this program.
func (w *work) contain(where string) {
	if p := recover(); p != nil {
		w.log.Error("panic", "where", where, "error", p)
	}
}

// ended notes a step that has ended, and stores its log.
func (w *work) ended(s evidence.Step, log steps.Log) {
	if log.Err != nil {
		w.log.Error("cannot write the whole log", "step", s.Name, "error", log.Err.Error())
	}
	if w.runner.Tails {
		w.tail(s.Name, evidence.Stdout, s.StdoutTail)
		w.tail(s.Name, evidence.Stderr, s.StderrTail)
	}
	w.log.Info("step finished", "step", s.Name, "phase", s.Phase, "status", s.Status, "returncode", s.ReturnCode,
		"signal", s.Signal, "duration_ms", s.DurationMS, "truncated", s.Truncated)
	w.logs.add(w.story.begun.Number, log)
	w.story.ends(s)
	w.watch.ends()
}

func (w *work) tail(step string, stream evidence.Stream, text string) {
	if text != "" {
		w.log.Info("output", "step", step, "stream", stream, "line", text)
	}
}

func (s *story) begins(b steps.Beginning) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun, s.at, s.last = &b, time.Now(), nil
}

func (s *story) ends(record evidence.Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = &record
	record.StdoutTail, record.StderrTail = "", ""
	s.ended = append(s.ended, record)
}

// soFar are the records of the steps that have ended.
func (s *story) soFar() []evidence.Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]evidence.Step{}, s.ended...)
}

// cut is a job that was cut off.
type cut struct {
	outcome steps.Outcome
	log     bool // the last step has no log
}

// cutOff is the outcome of a job of which nothing more is done, for a reason. Of a step that had not ended only that it
// has begun is known.
func (s *story) cutOff(why problem.Problem) cut {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := cut{outcome: s.begun.Interrupted}
	c.outcome.Began, c.outcome.Stopped = true, true
	record := s.last
	if record == nil || c.outcome.Layers == (sandbox.Layers{}) { // what confined it is not known
		record, c.log = s.interrupted(why), true
	}
	list := c.outcome.Steps
	if c.outcome.Rollback != nil {
		list = c.outcome.Rollback.Steps
	}
	for i := range list {
		if list[i].Status == evidence.StepInterrupted {
			list[i] = *record
		}
	}
	if c.outcome.Rollback != nil {
		endUndo(c.outcome.Rollback, why)
	}
	return c
}

// endUndo says how an undo ended: as the first of its steps that did not succeed.
func endUndo(undo *evidence.Rollback, why problem.Problem) {
	undo.Status, undo.Error = evidence.StepSuccess, nil
	for _, s := range undo.Steps {
		if s.Status == evidence.StepSuccess || s.Status == evidence.StepSkipped {
			continue
		}
		if undo.Status, undo.Error = s.Status, s.Error; s.Error == nil {
			undo.Error = failure(why)
		}
		return
	}
}

// interrupted is the record of the step that runs.
func (s *story) interrupted(why problem.Problem) *evidence.Step {
	record := s.begun.Step
	start := s.at.UTC().Round(0)
	end := start.Add(time.Since(s.at))
	none := sha256.Sum256(nil)
	record.Status, record.Attempts, record.ReturnCode, record.Truncated = evidence.StepInterrupted, 1, -1, true
	record.Start, record.End, record.DurationMS = &start, &end, end.Sub(start).Milliseconds()
	record.Log, record.LogSHA256 = jobs.LogName(s.begun.Number, record.Phase, record.Name), hex.EncodeToString(none[:])
	record.Error = failure(why)
	record.Error.Code = "step.interrupted"
	return &record
}

// failure is a problem as a record has it.
func failure(p problem.Problem) *evidence.Error {
	return &evidence.Error{Code: p.Code, Message: p.Message, Hint: p.Hint}
}
