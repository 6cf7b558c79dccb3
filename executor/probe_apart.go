package executor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
)

// runnerTime bounds the probes of runners, whose containers may have to be started first.
const runnerTime = time.Minute

// AskRunner calls a runner for its own probe, and returns what it answers.
type AskRunner func(ctx context.Context, r Runner) ([]byte, error)

// answered is what a runner answers to a probe.
type answered struct {
	runner Runner
	found  jobs.Probed
	err    error
}

// runners has every runner look at itself, all at the same time.
func (e probing) runners(ctx context.Context, ask AskRunner) []answered {
	all := make([]answered, len(e.Runners))
	var asked sync.WaitGroup
	for i, r := range e.Runners {
		asked.Go(func() {
			doc, err := ask(ctx, r)
			all[i] = answered{runner: r, err: err}
			if err == nil {
				all[i].found, all[i].err = jobs.DecodeProbed(doc)
			}
		})
	}
	asked.Wait()
	return all
}

// apart are the lines about a runner, the first of which is the executor's own: whether it can be called, and what
// its jobs are told to be worth. The level is what the environment demands.
func (e probing) apart(ctx context.Context, a answered, level sandbox.Level) []ProbeLine {
	prefix := a.runner.Label + ": "
	check := ProbeCheck{prefix + "probe", func(ctx context.Context) (string, error) { return e.judge(ctx, a, level) }}
	lines := []ProbeLine{check.line(ctx, e)}
	for _, l := range a.found.Lines {
		line := ProbeLine(l)
		line.What = prefix + line.What
		lines = append(lines, line)
	}
	return lines
}

// judge stores what a runner found, for the results of its jobs, and says what that means.
func (e probing) judge(ctx context.Context, a answered, level sandbox.Level) (string, error) {
	if a.err != nil {
		return "", a.err
	}
	found := a.found
	if err := claim.RunnersOf(e.Book).Put(ctx, claim.Runner{
		Label: a.runner.Label, Kind: a.runner.Kind, ID: a.runner.ID, Version: found.Version, Level: found.Level,
		Gaps: found.Gaps, Credentials: found.Credentials,
	}); err != nil {
		return "", err
	}
	wrong := problem.Problem{}
	switch {
	case found.Credentials == jobs.CredentialsGranted:
		wrong.Code, wrong.Message = "runner.granted", "its token may do what no script must be able to"
	case !sandbox.Level(found.Level).Reaches(level):
		wrong.Code = "sandbox.unavailable"
		wrong.Message = fmt.Sprintf("its scripts would run at level %s, and %s is demanded", found.Level, level)
	default:
		return fmt.Sprintf("version %s, level %s, at least %s being demanded; open are: %s; credentials: %s",
			found.Version, found.Level, level, strings.Join(found.Gaps, " "), found.Credentials), nil
	}
	wrong.Hint = codes.Of(wrong.Code).Cure
	return "", problem.New(wrong, nil)
}
