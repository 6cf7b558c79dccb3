package executor

import (
	"context"
	"fmt"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/results"
)

// begin makes the run with what is known before anything is read.
func (e *Executor) begin(request Request) *run {
	r := &run{}
	r.exec, r.request, r.name = e, request, nameFrom(request.Object)
	r.log, r.begun, r.copies = e.Log, time.Now(), &copies{}
	r.limits, r.level = e.Limits, e.Sandbox
	r.stored = results.NewWriter(e.Results, r.part)
	r.guard(nil)
	r.result = evidence.Result{
		Action: string(ActionApply), Environment: e.Environment, Attempt: 1, Start: e.now(),
		Reason: request.Reason, Reference: request.Reference,
		SourceBucket: request.Bucket, SourceObject: request.Object,
		Package:     evidence.Package{ETag: request.ETag, VersionID: request.VersionID},
		RequestedBy: request.RequestedBy,
		Identity:    e.Identity,
		Trigger:     describe(request.Trigger),
		Timings:     map[string]int64{},
	}
	r.result.ParameterSet, r.result.Parameters = request.ParameterSet, r.askedParameters(nil)
	r.describeSandbox(r.planned())
	r.result.Identity.CallID = request.CallID
	if request.Action != "" {
		r.result.Action = string(request.Action)
	}
	return r
}

// ended is the end of the run if that is now, however the clock was set since its start.
func (r *report) ended() time.Time { return r.result.Start.Add(time.Since(r.begun)) }

func describe(t Trigger) evidence.Trigger {
	described := evidence.Trigger{Kind: string(t.Kind), EventID: t.EventID, EventType: t.EventType, Raw: t.Raw}
	if len(t.Raw) > evidence.MaxTrigger {
		described.Raw = nil
	}
	if !t.EventTime.IsZero() {
		at := t.EventTime.UTC()
		described.EventTime = &at
	}
	return described
}

// supported refuses what is not for this executor and what this version cannot do.
func (r *report) supported(ctx context.Context) error {
	if r.request.Bucket != r.exec.Packages.Name() {
		return wrongBucket(r.request.Bucket, r.exec.Packages.Name())
	}
	namespace, err := r.exec.Namespace(ctx)
	if err != nil {
		return err
	}
	if r.request.Namespace != "" && r.request.Namespace != namespace {
		return wrongBucket(r.request.Namespace+"/"+r.request.Bucket, namespace+"/"+r.exec.Packages.Name())
	}
	r.request.Namespace = namespace
	if r.request.Object == "" && r.request.previousRun() != "" {
		return r.request.consistent() // that run says of which object it was
	}
	if err := checkName(r.request.Object); err != nil {
		return err
	}
	return r.request.consistent()
}

// checkName refuses an object that cannot be a package, by its name.
func checkName(object string) error {
	err := CheckObject(object)
	if err == nil {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "trigger.object", Where: fmt.Sprintf("%.200q", object), Message: "it cannot be the name of a package: " + err.Error(),
		Hint: "rename the object and upload it again",
	}, nil)
}

func wrongBucket(got, want string) error {
	return problem.New(problem.Problem{
		Code: "trigger.bucket", Where: got, Message: "packages are taken only from " + want,
		Hint: "upload the package there, or set CEMLI_PACKAGES_BUCKET",
	}, nil)
}
