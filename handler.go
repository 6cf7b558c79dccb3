package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	fdk "github.com/fnproject/fdk-go"

	"cemli-executor/executor"
	"cemli-executor/internal/announce"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/container"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/logwriter"
	"cemli-executor/internal/oci"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/runner"
	"cemli-executor/internal/store"
	"cemli-executor/internal/trigger"
	"cemli-executor/manifest"
)

// noDeadline is the deadline of a call if the platform sends none or an unreadable one: the platform's shortest
// default.
const noDeadline = 30 * time.Second

// handler serves invocations, one at a time.
type handler struct {
	config   Config
	problems []problem.Problem // of the configuration
	log      *slog.Logger
	// logWriter is what log writes to.
	logWriter *logwriter.Writer
	client    *oci.Client
	busy      sync.Mutex
	listener  *listener
	container *container.Container
	runner    *runner.Runner // for the role of one
	leaving   leaving
}

// Serve answers one invocation with one write of JSON. An invocation that must fail, so that its sender tries again
// or is told, ends in a panic before anything is written: the FDK knows no other way, and closes the connection.
//
// Where scripts have left something that cannot be undone the program ends when it has answered, and the platform
// starts it anew.
func (h *handler) Serve(ctx context.Context, in io.Reader, out io.Writer) {
	answer, err := h.call(ctx, in)
	if doubt := h.container.Doubtful(); doubt != nil {
		fdk.SetHeader(out, "Connection", "close")
		h.leaving.begin(ctx, h.log, doubt)
	}
	if err != nil {
		h.log.Error("invocation failed", "code", problem.CodeOf(err), "error", err.Error())
		panic(http.ErrAbortHandler) // the one panic that net/http does not log with its stack
	}
	fdk.SetHeader(out, "Content-Type", "application/json")
	if _, err := out.Write(answer); err != nil {
		h.log.Error("cannot answer", "error", err.Error())
	}
}

// call makes the answer, and turns a panic into an error.
func (h *handler) call(ctx context.Context, in io.Reader) (answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if !h.busy.TryLock() {
		return runnerRole{h}.refuse(in, problem.New(problem.Problem{
			Code: "trigger.busy", Message: "another call is running in this process",
			Hint: "try again when it has ended",
		}, nil))
	}
	defer h.busy.Unlock()
	if err := h.container.Doubtful(); err != nil {
		if h.config.Apart.IsRunner {
			return runnerRole{h}.refuse(in, err)
		}
		return nil, err // this program is about to end: another one is to do it
	}
	if err := h.container.Conceal(); err != nil {
		h.log.Warn("scripts may reach the memory of other processes", "error", err.Error())
	}
	defer h.listener.hide(h.container.Doubt)()
	caller := platform(ctx)
	if caller.hidden && h.config.TrustSubject {
		return json.Marshal(refusal(anonymous()))
	}
	body, err := io.ReadAll(io.LimitReader(in, trigger.MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	switch isJob := jobs.IsJob(body); {
	case h.config.Apart.IsRunner && isJob:
		return runnerRole{h}.job(ctx, caller, body)
	case h.config.Apart.IsRunner:
		return runnerRole{h}.notAJob(ctx, body)
	case isJob:
		return json.Marshal(refusal(wrongRole("a job was sent to an executor, which does none")))
	}
	call, err := trigger.Decode(body, caller.header, trigger.Buckets{
		Packages: h.config.PackagesBucket, Results: h.config.ResultsBucket, State: h.config.StateBucket,
	})
	if len(h.problems) > 0 {
		if err == nil && asksProbe(call) {
			return h.probeAlone(ctx, call)
		}
		return h.unconfigured(call)
	}
	if err != nil {
		h.log.Error("request refused", "call_id", caller.callID, "code", problem.CodeOf(err), "error", err.Error())
		return json.Marshal(refusal(err))
	}
	return h.serve(ctx, call, caller.callID, requesters(caller.header, h.config.TrustSubject))
}

// unconfigured answers people with what is wrong with the configuration. Events and sweeps, whose answers nobody
// reads, fail: their work is not done.
func (h *handler) unconfigured(call trigger.Call) ([]byte, error) {
	wrong := problem.Join(h.problems)
	if len(call.Items) > 0 && !byHand(call) {
		return nil, wrong
	}
	return json.Marshal(refusal(wrong))
}

// serve runs every item of a call in turn. If one must fail the invocation, the others run all the same.
func (h *handler) serve(
	ctx context.Context, call trigger.Call, callID string, by []evidence.Requester,
) ([]byte, error) {
	ctx, cancel := bounded(ctx, h.log, callID)
	defer cancel()
	run := executor.New(h.executor())
	var answers []any
	var failed []error
	for _, item := range call.Items {
		item.Request.CallID, item.Request.RequestedBy = callID, by
		answer, err := h.item(ctx, run, item, len(answers) > 0)
		answers, failed = append(answers, answer), append(failed, err)
	}
	switch err := errors.Join(failed...); {
	case err == nil:
		h.sweep(ctx, run, call, callID)
	case byHand(call):
		h.log.Error("request failed", "call_id", callID, "code", problem.CodeOf(err), "error", err.Error())
		answers[0] = explained(answers[0], err)
	default:
		return nil, err
	}
	return encode(answers, call.Batch)
}

// bounded returns a context with a deadline.
func bounded(ctx context.Context, log *slog.Logger, callID string) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	log.Warn("the call has no readable Fn-Deadline", "call_id", callID, "assumed", noDeadline.String())
	return context.WithTimeout(ctx, noDeadline)
}

// sweep uses the time that is left of an event's invocation, because nobody waits for that.
func (h *handler) sweep(ctx context.Context, run *executor.Executor, call trigger.Call, callID string) {
	if !slices.ContainsFunc(call.Items, func(item trigger.Item) bool { return isEvent(item.Request) }) {
		return
	}
	if err := run.SweepInSpareTime(ctx, callID); err != nil {
		h.log.Warn("the sweep in spare time could not do all of its work", "call_id", callID,
			"code", problem.CodeOf(err), "error", err.Error())
	}
}

func isEvent(q executor.Request) bool {
	return q.Trigger.Kind == executor.TriggerEvent || q.Trigger.Kind == executor.TriggerCloudEvent
}

// byHand reports whether a person waits for the answer and should be told what is wrong. Events, batches, sweeps and
// requests that the function sends to itself fail their invocation instead, so that it is noticed.
func byHand(call trigger.Call) bool {
	q := call.Items[0].Request
	return !call.Batch && !isEvent(q) && q.Action != executor.ActionSweep && q.Continue == ""
}

// explained is an answer that itself says what is wrong; the error does so for all others.
func explained(answer any, err error) any {
	switch a := answer.(type) {
	case evidence.Summary:
		if a.Error != nil {
			return a
		}
	case []evidence.Summary: // of parameter sets
		if slices.ContainsFunc(a, func(s evidence.Summary) bool { return s.Error != nil }) {
			return a
		}
	}
	return refusal(err)
}

// item answers one item. If no time is left, a later item of a batch is only accepted.
func (h *handler) item(ctx context.Context, run *executor.Executor, item trigger.Item, later bool) (any, error) {
	switch {
	case item.Err != nil:
		return h.refused(item.Request, item.Err), nil
	case item.Event != nil:
		return h.event(ctx, run, item, later)
	case item.Ignored != "":
		return h.ignored(item), nil
	}
	switch item.Request.Action {
	case executor.ActionSweep:
		return run.Sweep(ctx, item.Request.CallID)
	case executor.ActionProbe:
		return h.probe(ctx, run, item.Request), nil
	case executor.ActionCancel:
		return h.cancel(ctx, run, item.Request)
	}
	if later && !run.HasTime(ctx) {
		return h.later(ctx, run, item.Request)
	}
	results, err := run.Run(ctx, item.Request)
	return oneOf(h.summaries(results)), err
}

// cancel asks a run to end. If it cannot be cancelled, the answer says why; only where that could not be found out the
// request has failed.
func (h *handler) cancel(ctx context.Context, run *executor.Executor, q executor.Request) (any, error) {
	asked, err := run.Cancel(ctx, q)
	switch {
	case err == nil:
		return asked, nil
	case codes.OfError(err).Retried:
		return h.refused(q, err), err
	}
	return h.refused(q, err), nil
}

// event starts what the policy's triggers want for an event that is not about an upload: a request for each entry
// that names it. If no time is left, later requests are only accepted. If no entry names the event, it is ignored.
func (h *handler) event(ctx context.Context, run *executor.Executor, item trigger.Item, later bool) (any, error) {
	requests, err := run.Triggered(ctx, *item.Event, item.Request)
	switch {
	case err != nil && errors.Is(err, item.Event.Invalid):
		return h.refused(item.Request, err), nil // it would be refused again the next time
	case err != nil:
		return h.refused(item.Request, err), err
	case len(requests) == 0:
		return h.ignored(item), nil
	}
	var answers []evidence.Summary
	var failed []error
	for i, q := range requests {
		if (later || i > 0) && !run.HasTime(ctx) {
			answer, err := h.later(ctx, run, q)
			answers, failed = append(answers, answer), append(failed, err)
			continue
		}
		results, err := run.RunTriggered(ctx, q)
		answers, failed = append(answers, h.summaries(results)...), append(failed, err)
	}
	return oneOf(answers), errors.Join(failed...)
}

// refused is the answer to a request that does not become a run.
func (h *handler) refused(q executor.Request, err error) refused {
	h.log.Error("request refused", "call_id", q.CallID, "code", problem.CodeOf(err), "error", err.Error())
	return refusal(err)
}

// ignored is the answer to something that needs no action.
func (h *handler) ignored(item trigger.Item) any {
	h.log.Info("ignored", "call_id", item.Request.CallID, "reason", item.Ignored)
	return map[string]string{"status": "ignored", "reason": item.Ignored}
}

// later accepts a request for which no time is left.
func (h *handler) later(ctx context.Context, run *executor.Executor, q executor.Request) (evidence.Summary, error) {
	result, err := run.Later(ctx, q)
	return result.Summarize(h.config.ResultsBucket), err
}

func (h *handler) summaries(results []evidence.Result) []evidence.Summary {
	list := make([]evidence.Summary, len(results))
	for i, r := range results {
		list[i] = r.Summarize(h.config.ResultsBucket)
	}
	return list
}

// oneOf is a list's only summary, or else the list.
func oneOf(list []evidence.Summary) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// executor is the configuration of the run, with the identity in the current credentials.
func (h *handler) executor() executor.Config {
	identity := h.config.Identity
	identity.TenancyID, identity.CompartmentID = h.client.Claim("res_tenant"), h.client.Claim("res_compartment")
	config := executor.Config{
		Packages: h.client.Bucket(h.config.PackagesBucket), Results: h.client.Bucket(h.config.ResultsBucket),
		State: h.client.Bucket(h.config.StateBucket), Policy: h.policy(),
		Namespace: h.client.Namespace, Environment: h.config.Environment, WorkDir: h.config.WorkDir,
		KeepPackages: h.config.KeepPackages, Reserve: h.config.Reserve, Limits: h.config.Limits,
		Sandbox: h.config.Sandbox, Output: h.config.Output,
		Identity: identity, Log: h.log, LogWriter: h.logWriter, Secrets: h.secret, Announce: h.announce,
		Children: executor.Children{
			Spawn: h.container.Run, Enter: h.container.Enter, Doubt: h.container.Doubtful,
			Runners: h.config.Apart.Runners, Scripts: h.config.Scripts,
		},
	}
	if h.config.WriteLog.Log != "" {
		config.WriteLog = h.writes
	}
	config.Apart, config.SecretVersion = h.desk(), h.secretAgain
	if onFunctions(identity.FunctionID) { // a Fn server has no detached invocations, and no function of it an OCID
		config.Invoke = h.invoke
	}
	return config
}

// announce publishes the end of a run to the topic, if there is one.
func (h *handler) announce(ctx context.Context, r evidence.Result) error {
	if h.config.Notice.Topic == "" || !h.config.Notice.All && !announce.Failure(r) {
		return nil
	}
	title, body, err := announce.Message(r, h.config.ResultsBucket)
	if err != nil {
		return err
	}
	return h.client.Publish(ctx, h.config.Notice.Topic, title, body)
}

// invoke asks for a detached invocation that goes on with a pending request.
func (h *handler) invoke(ctx context.Context, mark string) error {
	return h.client.InvokeDetached(ctx, h.config.Identity.FunctionID, trigger.Continue(mark))
}

// writes reads the write log of the packages bucket.
func (h *handler) writes(ctx context.Context, from, to time.Time, page string) ([]executor.LoggedWrite, string, error) {
	list, next, err := h.client.Writes(ctx, h.config.WriteLog, from, to, page)
	writes := make([]executor.LoggedWrite, len(list))
	for i, w := range list {
		writes[i] = executor.LoggedWrite(w)
	}
	return writes, next, err
}

// secret reads the vault.
func (h *handler) secret(ctx context.Context, _, ref string) (executor.Secret, error) {
	value, version, err := h.client.Secret(ctx, ref, h.config.Vault)
	return executor.Secret{Value: value, ID: version.ID, Version: version.Version}, err
}

// policy says where the admission policy is. It is read for each run, so that a change takes effect with the next
// run.
func (h *handler) policy() *executor.Policy {
	p := h.config.Policy
	switch {
	case p.Inline != "":
		return executor.InlinePolicy("inline", []byte(p.Inline))
	case p.Object == "":
		return nil
	}
	return &executor.Policy{Source: p.Bucket + "/" + p.Object, Read: func(ctx context.Context) ([]byte, error) {
		body, _, err := h.client.Bucket(p.Bucket).Get(ctx, p.Object, store.GetOptions{})
		if err != nil {
			return nil, err
		}
		defer body.Close()
		return io.ReadAll(io.LimitReader(body, manifest.MaxBytes+1))
	}}
}

// refused is the answer to what never became a run.
type refused struct {
	Status  evidence.Status `json:"status"`
	Message string          `json:"message"`
	Error   *evidence.Error `json:"error"`
}

func refusal(err error) refused {
	described := problem.Of(err,
		problem.Problem{
			Code: codes.Internal, Message: "the executor could not do its work", Hint: "see the function's log",
		})
	return refused{
		Status: evidence.Status(codes.Of(described.Code()).Status), Message: described.Message(),
		Error: evidence.NewError(described),
	}
}

// encode encodes the answer: an array for a batch. If that is too large, it leaves out the ends of the output, which
// are in the results.
func encode(answers []any, batch bool) ([]byte, error) {
	var value any = answers
	if !batch {
		value = answers[0]
	}
	doc, err := marshal(value)
	if err != nil || len(doc) <= evidence.MaxAnswer {
		return doc, err
	}
	for i, answer := range answers {
		switch a := answer.(type) {
		case evidence.Summary:
			answers[i] = a.Brief()
		case []evidence.Summary: // of parameter sets
			for j := range a {
				a[j] = a[j].Brief()
			}
		}
	}
	if !batch {
		value = answers[0]
	}
	return marshal(value)
}

func marshal(value any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(value)
	return evidence.Plain(buf.Bytes()), err
}
