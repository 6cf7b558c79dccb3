package pipeline

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"time"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/apart"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/confinement"
	"cemli-executor/internal/download"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/goback"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/results"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/verdict"
	"cemli-executor/internal/workdir"
)

// The state of a run is split by meaning. Each type embeds the one before it, so that a method can use only what is
// there when it is called.

// asked is what was requested, and of which engine.
type asked struct {
	exec     *Engine
	request  intake.Request
	name     string    // of the package, for the run id: guessed from the object until the manifest is read
	killAt   time.Time // when the process may be killed; zero: not said
	fullTime bool      // the invocation had most of its time when the run began
}

// report is what has come out of the run so far.
type report struct {
	asked
	result  evidence.Result
	log     *slog.Logger
	begun   time.Time // when the run began, by the monotonic clock
	stored  *results.Writer
	outcome steps.Outcome // of the job
	digest  string        // SHA-256 of the result, once it is encoded
	hides   hiding.Hidden // of secrets, sensitive parameters, and what scripts have added to them
}

// decided is what is decided about the run: the limits that the policy has tightened, and the job.
type decided struct {
	report
	limits           admission.Limits
	level            sandbox.Level // the lowest at which scripts may run
	lowLevelAccepted bool          // the policy names that level itself, and so accepts secrets at it
	policy           []byte        // the policy's document; nil: none
	undoable         bool          // there may be undo scripts to run
	need             time.Duration // that the steps and their undo may take; 0: not said
	job              steps.Job     // once the package is admitted
}

// earlier is what is known of earlier runs of the package.
type earlier struct {
	decided
	back    *goback.Way    // to an earlier run; nil: the request goes back to none
	history *claim.Package // what ran of the package, and is applied
}

// found is what was found in the buckets and put into the work folder.
type found struct {
	earlier
	created time.Time             // of the package's object
	dir     *workdir.Dir          // nil: nothing is extracted
	files   map[string]steps.File // of the package, as extracted
	copies  *results.Copies
	kept    bool // there is a copy of the package, or is going to be
	zip     *download.Object
	runner  apart.Runner // of the steps, if they are apart
	probed  claim.Runner // what it found of itself; zero: nothing is known
	box     *apart.Box   // the mailbox of a job; nil: none is made
	place   steps.Place  // where the steps run; nil: that is not settled yet
}

// acquired is what the run has acquired, so that no other run has it meanwhile.
type acquired struct {
	found
	pending       string       // the name of the accepted request
	claim         *claim.Held  // of the run key, once it is this run's
	mayHaveResult bool         // an earlier holder of the claim may have stored a result
	started       bool         // the claim says that a step may have started
	group         *claim.Group // the concurrency group, while it is this run's
	released      []string     // groups that the run has left, and in which others wait
}

// changing is what the run changes, and notes of that.
type changing struct {
	acquired
	change *claim.Entry // what is being applied, or undone; nil: nothing
	until  time.Time    // when what the steps and their undo may need ends; zero: the first has not begun
	// noteLater notes how the steps have ended; nil: there is nothing to note.
	noteLater func(context.Context) error
}

// run is one run.
type run struct {
	changing
	handOff string          // the pending request, if another invocation is to serve it
	allSets verdict.Verdict // the request stands for all sets of the package, and this was no run; else zero
}

// begin makes a run of a request, before anything is read.
func (e *Engine) begin(request intake.Request) *run {
	r := &run{}
	r.exec, r.request = e, request
	r.log, r.begun = e.Log, time.Now()
	r.limits, r.level = e.Limits, e.Sandbox
	r.stored = results.NewWriter(e.Results, r.perRequest)
	r.copies = results.NewCopies(r.stored)
	r.result = evidence.Result{
		Action: string(intake.ActionApply), Environment: e.Environment, Attempt: 1, Start: e.Now(),
		Reason: request.Reason, Reference: request.Reference,
		SourceBucket: request.Bucket, SourceObject: request.Object,
		Package:     evidence.Package{ETag: request.ETag, VersionID: request.VersionID},
		RequestedBy: request.RequestedBy,
		Identity:    e.Identity,
		Trigger:     request.Trigger.Describe(),
		Timings:     map[string]int64{},
	}
	r.result.ParameterSet, r.result.Identity.CallID = request.ParameterSet, request.CallID
	if request.Action != "" {
		r.result.Action = string(request.Action)
	}
	r.name = intake.PackageName(request.Object)
	r.hides = hiding.Of(request.Parameters, nil)
	r.result.Parameters = r.hides.Asked(request.Parameters)
	r.confinedBy(r.planned())
	return r
}

// timed records how long a stage took.
func timed[T any](r *report, stage string, f func() (T, error)) (T, error) {
	start := time.Now()
	value, err := f()
	r.result.Timings[stage] = time.Since(start).Milliseconds()
	return value, err
}

// tooLong returns the verdict later for a run that needs more time than this invocation has, so that another one may
// serve it. It returns the cause if no invocation has more: this one was asked to have more, or it had all of its time
// and there are no others.
func (r *acquired) tooLong(cause error) error {
	if r.request.Continued || r.pending == "" || r.exec.Invoke == nil && r.fullTime {
		return cause
	}
	if r.exec.Invoke == nil {
		return verdict.PutOff(
			"the run needs more time than is left of this invocation, and is left to the next sweep", "")
	}
	return verdict.PutOff("the run needs more time than this invocation has, and goes on in another one",
		cmp.Or(r.request.Parent, r.pending))
}

// setRunID gives the run its id.
func (r *report) setRunID(id string) {
	r.result.RunID = id
	r.log = r.log.With("run_id", id, "package", r.result.Package.Name, "version", r.result.Package.Version)
}

// newLease returns the end of a lease that begins now.
func (r *decided) newLease() time.Time {
	return r.exec.Time.LeaseEnd(r.killAt, r.need, r.limits.RunTime)
}

// leaseEnd returns until when no other invocation may take the run over.
func (r *acquired) leaseEnd() time.Time {
	if r.claim == nil {
		return time.Time{}
	}
	return r.claim.Lease
}

// document returns a document of the run's evidence.
func (r *report) document(name, contentType string, body io.ReadSeeker, size int64) results.Document {
	return results.Document{Object: evidence.Dir(r.result.RunID) + name, Type: contentType, Body: body, Size: size}
}

// perRequest bounds one request to a store by a part of the time left.
func (r *asked) perRequest(ctx context.Context) (context.Context, context.CancelFunc) {
	return r.exec.Time.PerRequest(ctx, r.killAt)
}

// planned returns the layers that will confine the scripts.
func (r *decided) planned() sandbox.Layers { return confinement.Planned(r.level, r.job.Network) }

// confinedBy notes in the result which layers are in force.
func (r *decided) confinedBy(l sandbox.Layers) {
	if r.exec.Apart != nil {
		r.result.Sandbox = confinement.Apart(r.job.Network, sandbox.Layers{}, "", time.Time{})
		return
	}
	r.result.Sandbox = confinement.Describe(r.level, r.job.Network, l)
}

// away returns the runner of the run's steps; nil: they run here.
func (r *found) away() *apart.Place {
	p, _ := r.place.(*apart.Place)
	return p
}
