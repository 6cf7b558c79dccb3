package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/trigger"
)

// asksProbe reports whether a call is a single probe, which is answered whatever is wrong.
func asksProbe(call trigger.Call) bool {
	return len(call.Items) == 1 && !call.Batch && call.Items[0].Err == nil &&
		call.Items[0].Request.Action == executor.ActionProbe
}

// probe reports what this deployment can do. If asked for a verdict, it answers yes or no, and logs the rest.
func (h *handler) probe(ctx context.Context, run *executor.Executor, q executor.Request) any {
	found := run.Probe(ctx,
		executor.Probing{
			Problems: h.problems, Credentials: h.config.Credentials, Checks: append(h.checks(), h.checksApart()...),
			Ask: h.askRunner,
		})
	if !q.Verdict {
		return found
	}
	told(h.log, found.Lines, q.CallID)
	return found.OK
}

// told logs what a probe has found.
func told(log *slog.Logger, lines []executor.ProbeLine, callID string) {
	for _, line := range lines {
		if line.OK {
			log.Info("probe", "call_id", callID, "what", line.What, "says", line.Says)
		} else {
			log.Error("probe", "call_id", callID, "what", line.What, "code", line.Code, "error", line.Says,
				"cure", line.Cure)
		}
	}
}

// checks are the checks of services that the executor does not know. They send nothing and read no secret.
func (h *handler) checks() []executor.ProbeCheck {
	said := func(text string) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return text, nil }
	}
	topic := "none: nobody is told of runs"
	if h.config.Notice.Topic != "" {
		topic = "set; whether it may be published to shows with the first message"
	}
	vault := executor.ProbeCheck{What: "vault", Try: said("none: packages name secrets by their OCIDs")}
	if h.config.Vault != "" {
		vault.Try = func(ctx context.Context) (string, error) {
			return "it answers; whether a secret may be read shows with the first one",
				h.client.AsksVault(ctx, h.config.Vault)
		}
	}
	itself := executor.ProbeCheck{
		What: "invoke", Try: said("no detached invocations here: what takes longer than one is refused"),
	}
	if id := h.config.Identity.FunctionID; onFunctions(id) {
		itself.Try = func(ctx context.Context) (string, error) {
			return "the function may invoke itself", h.client.MayInvoke(ctx, id)
		}
	}
	checks := []executor.ProbeCheck{
		{What: "topic", Try: said(topic)}, vault, itself, {What: "container", Try: said(placeOf(h.container))},
	}
	if h.config.WriteLog.Log != "" {
		checks = append(checks, executor.ProbeCheck{What: "write_log", Try: func(ctx context.Context) (string, error) {
			_, _, err := h.client.Writes(ctx, h.config.WriteLog, time.Now().Add(-time.Minute), time.Now(), "")
			return "it can be read; whether it has an upload shows in requester.json", err
		}})
	}
	return checks
}

// checksApart are the checks of what jobs need besides a runner.
func (h *handler) checksApart() []executor.ProbeCheck {
	if len(h.config.Apart.Runners) == 0 {
		return nil
	}
	checks := []executor.ProbeCheck{{What: "jobs", Try: func(ctx context.Context) (string, error) {
		return "a mailbox was made in " + h.config.Apart.Jobs + ", used, created in once and no more, and ended",
			h.client.Bucket(h.config.Apart.Jobs).TryMailbox(ctx)
	}}}
	for _, r := range h.config.Apart.Runners {
		checks = append(checks, executor.ProbeCheck{
			What: r.Label + ": invoke", Try: func(ctx context.Context) (string, error) {
				return "the runner may be invoked", h.client.MayInvokeRunner(ctx, r.ID)
			},
		})
	}
	return checks
}

// askRunner has a runner look at itself.
func (h *handler) askRunner(ctx context.Context, r executor.Runner) ([]byte, error) {
	return h.client.Invoke(ctx, r.ID, []byte(`{"action":"probe"}`), jobs.MaxProbed)
}

// credentialFiles are the files for the function's identity that the platform names.
func credentialFiles(values map[string]string) []string {
	var files []string
	for _, key := range []string{"OCI_RESOURCE_PRINCIPAL_RPST", "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM"} {
		if path := values[key]; filepath.IsAbs(path) {
			files = append(files, path)
		}
	}
	return files
}

// probeAlone answers a probe if the configuration is wrong and nothing else can be served.
func (h *handler) probeAlone(ctx context.Context, call trigger.Call) ([]byte, error) {
	return json.Marshal(h.probe(ctx, executor.New(h.executor()), call.Items[0].Request))
}
