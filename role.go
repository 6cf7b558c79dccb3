package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"cemli-executor/executor"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/oci"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/runner"
	"cemli-executor/internal/trigger"
)

// runnerRole is the handler as that of a runner.
type runnerRole struct{ *handler }

// newRunner makes the runner that this function is, if that is its role.
func (h runnerRole) newRunner() *runner.Runner {
	c := h.config
	config := runner.Config{
		Kind: "function", Version: c.Identity.ExecutorVersion, Image: c.Identity.Image, WorkDir: c.WorkDir,
		Level: c.Sandbox, Scripts: c.Scripts, PackageBytes: c.Limits.PackageBytes, Archive: c.Limits.Archive,
		Open: h.openMailbox, Spawn: h.container.Run, Enter: h.container.Enter, Doubtful: h.container.Doubtful,
		Doubt: h.container.Doubt, Log: h.log, Tails: c.Output == executor.OutputTail,
	}
	if c.Output == executor.OutputAll {
		config.Lines = func(log *slog.Logger) func([]string) { return h.logWriter.Lines(log) }
	}
	return runner.New(config)
}

// openMailbox opens the mailbox of a job, without this function's own identity.
func (h runnerRole) openMailbox(address string) (runner.Mailbox, error) {
	box, err := oci.OpenMailbox(address, oci.Options{Endpoint: h.config.Endpoint})
	if err != nil {
		return nil, err
	}
	return box, nil
}

// job does a job. What is none for this runner is answered; a call fails only where it is not known whether a job has
// begun, or it has an outcome that cannot be told.
func (h runnerRole) job(ctx context.Context, c caller, body []byte) ([]byte, error) {
	if len(h.problems) > 0 {
		return h.refuseJob(body, problem.Join(h.problems))
	}
	ctx, cancel := bounded(ctx, h.log, c.callID)
	defer cancel()
	answer, err := h.runner.Serve(ctx, body)
	if problem.CodeOf(err) == "runner.job" {
		h.log.Error("what is no job was refused", "call_id", c.callID, "error", err.Error())
		return json.Marshal(refusal(err))
	}
	return answer, err
}

// notAJob answers a probe of a runner, and refuses everything else.
func (h runnerRole) notAJob(ctx context.Context, body []byte) ([]byte, error) {
	call, err := trigger.Decode(body, nil, trigger.Buckets{})
	if err == nil && asksProbe(call) {
		return json.Marshal(h.probe(ctx, call.Items[0].Request))
	}
	why := wrongRole("this function is a runner, and takes jobs alone")
	h.log.Error("request refused", "code", problem.CodeOf(why), "error", why.Error())
	return json.Marshal(refusal(why))
}

// refuse answers a call that is not looked at, in the form in which its sender expects it.
func (h runnerRole) refuse(in io.Reader, why error) ([]byte, error) {
	if !h.config.Apart.IsRunner {
		return json.Marshal(refusal(why)) // which needs no look at the call
	}
	body, err := io.ReadAll(io.LimitReader(in, trigger.MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	return h.refuseJob(body, why)
}

// refuseJob answers a call of a runner with the reason why it does nothing.
func (h runnerRole) refuseJob(body []byte, why error) ([]byte, error) {
	if jobs.IsJob(body) {
		if answer, err := h.runner.Refuse(body, why); err == nil {
			return answer, nil
		}
	}
	return json.Marshal(refusal(why))
}

// wrongRole refuses what is for a function of the other role.
func wrongRole(message string) error {
	return problem.New(problem.Problem{
		Code: "trigger.role", Message: message,
		Hint: "send events and requests to the executor; only an executor sends jobs, to a function with " +
			"CEMLI_ROLE=runner",
	}, nil)
}
