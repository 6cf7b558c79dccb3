package executor

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/results"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/workdir"
	"cemli-executor/manifest"
)

// What is known of a run, by what it means. Each of these types has the one before it in it, so that a method sees no
// more than what is there when it is called.

// asked is what was asked, and of whom.
type asked struct {
	exec    *Executor
	request Request
	name    string    // of the package, for the run id: guessed from the object until the manifest is read
	hard    time.Time // when the process may be killed; zero: not said
	whole   bool      // the invocation had most of its time when the run began
}

// report is what has come out of the run so far.
type report struct {
	asked
	result   evidence.Result
	log      *slog.Logger
	begun    time.Time // when the run began, by the clock that nobody sets
	stored   *results.Writer
	outcome  steps.Outcome      // of the job
	digest   string             // SHA-256 of the result, once it is encoded
	manifest *manifest.Manifest // once it is read
	hidden   []string           // values that are masked from the beginning
	masker   *redact.Masker     // of secrets, sensitive parameters, and what scripts have added to them
}

// decided is what is decided about the run: what the policy has tightened, and the job.
type decided struct {
	report
	limits   Limits
	level    sandbox.Level // the least that scripts may run at
	accepted bool          // the policy has named that level
	policy   []byte        // the policy's document; nil: none
	undoable bool          // there may be undo scripts to run
	need     time.Duration // that the steps and their undo may take; 0: not said
	job      steps.Job     // once the package is admitted
}

// earlier is what is known of the run that the request goes back to, and of others of the package.
type earlier struct {
	decided
	previous *evidence.Result           // of the run that the request goes back to; nil: it goes back to none
	given    map[string]json.RawMessage // the parameters that the request names itself
	asks     place                      // the version that the request names, if that is another than the run's
	missing  []string                   // names of the previous run's artifacts that were not kept
	history  *claim.Package             // what ran of the package, and is applied
	undoes   *claim.Entry               // the entry of the previous run; nil: it has none
	ownKey   string                     // the run key of this run's claim
}

// found is what was found in the buckets, and lies in the work folder.
type found struct {
	earlier
	created time.Time             // of the package's object
	dir     *workdir.Dir          // nil: nothing is extracted
	files   map[string]steps.File // of the package, as extracted
	copies  *copies
}

// held is what the run holds: nobody else may have it meanwhile.
type held struct {
	found
	pending string       // the name of the accepted request
	claim   *claim.Held  // of the run key, once it is this run's
	unsure  bool         // an earlier holder of the claim may have stored a result
	noted   bool         // the claim says that a step may have started
	group   *claim.Group // the concurrency group, while it is this run's
	freed   []string     // groups that the run has left, and in which others wait
	doing   *claim.Entry // what is being applied, or undone; nil: nothing
	until   time.Time    // when what the steps and their undo may need ends; zero: the first has not begun
	// unnoted notes how the steps have ended; nil: there is nothing to note.
	unnoted func(context.Context) error
}

// run is one run.
type run struct {
	held
	hand    string  // the pending request, if another invocation is to go on with it
	allSets verdict // the request stands for all sets of the package, and this was no run; else zero
}

// begin makes the run with what is known before anything is read.
func (e *Executor) begin(request Request) *run {
	r := &run{}
	r.exec, r.request, r.name = e, request, nameFrom(request.Object)
	r.log, r.begun, r.copies = e.Log, time.Now(), &copies{}
	r.limits, r.level = e.Limits, e.Sandbox
	r.stored = results.NewWriter(e.Results, r.part)
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
	r.result.ParameterSet, r.result.Identity.CallID = request.ParameterSet, request.CallID
	if request.Action != "" {
		r.result.Action = string(request.Action)
	}
	r.guard(nil)
	r.result.Parameters = r.askedParameters(nil)
	r.describeSandbox(r.planned())
	return r
}

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
