package pipeline

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/bundle"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/confinement"
	"cemli-executor/internal/download"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/goback"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
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
	exec    *Engine
	request intake.Request
	name    string    // of the package, for the run id: guessed from the object until the manifest is read
	killAt  time.Time // when the process may be killed; zero: not said
	whole   bool      // the invocation had most of its time when the run began
}

// report is what has come out of the run so far.
type report struct {
	asked
	result  evidence.Result
	log     *slog.Logger
	begun   time.Time // when the run began, by the clock that nobody sets
	stored  *results.Writer
	outcome steps.Outcome // of the job
	digest  string        // SHA-256 of the result, once it is encoded
	hides   hiding.Hidden // of secrets, sensitive parameters, and what scripts have added to them
}

// decided is what is decided about the run: what the policy has tightened, and the job.
type decided struct {
	report
	limits   admission.Limits
	level    sandbox.Level // the least that scripts may run at
	accepted bool          // the policy has named that level
	policy   []byte        // the policy's document; nil: none
	undoable bool          // there may be undo scripts to run
	need     time.Duration // that the steps and their undo may take; 0: not said
	job      steps.Job     // once the package is admitted
}

// earlier is what is known of earlier runs of the package.
type earlier struct {
	decided
	back    *goback.Way    // to the run that the request goes back to; nil: it goes back to none
	history *claim.Package // what ran of the package, and is applied
}

// found is what was found in the buckets, and lies in the work folder.
type found struct {
	earlier
	created time.Time             // of the package's object
	dir     *workdir.Dir          // nil: nothing is extracted
	files   map[string]steps.File // of the package, as extracted
	copies  *results.Copies
	kept    bool // there is a copy of the package, or is going to be
}

// held is what the run holds: nobody else may have it meanwhile.
type held struct {
	found
	pending       string       // the name of the accepted request
	claim         *claim.Held  // of the run key, once it is this run's
	mayHaveResult bool         // an earlier holder of the claim may have stored a result
	started       bool         // the claim says that a step may have started
	group         *claim.Group // the concurrency group, while it is this run's
	released      []string     // groups that the run has left, and in which others wait
	doing         *claim.Entry // what is being applied, or undone; nil: nothing
	until         time.Time    // when what the steps and their undo may need ends; zero: the first has not begun
	// noteLater notes how the steps have ended; nil: there is nothing to note.
	noteLater func(context.Context) error
}

// run is one run.
type run struct {
	held
	handOff string  // the pending request, if another invocation is to go on with it
	allSets verdict // the request stands for all sets of the package, and this was no run; else zero
}

// begin makes the run with what is known before anything is read.
func (e *Engine) begin(request intake.Request) *run {
	r := &run{}
	r.exec, r.request = e, request
	r.log, r.begun = e.Log, time.Now()
	r.limits, r.level = e.Limits, e.Sandbox
	r.stored = results.NewWriter(e.Results, r.part)
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

// pipeline is the way of a run. Each stage takes what only the one before can make.
func (r *run) pipeline(ctx context.Context) error {
	ctx, cancel, err := r.bound(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = r.copies.Wait(); cancel() }() // nothing goes on after the run
	if err := r.supported(ctx); err != nil {
		return err
	}
	policy, err := r.readPolicy(ctx)
	if err != nil {
		return err
	}
	if err := confinement.Available(r.level); err != nil {
		return err
	}
	if r.request.GoesBack() {
		if err := r.recall(ctx); err != nil {
			return err
		}
	}
	zip, err := timed(r, "fetch", func() (*download.Object, error) { return r.fetch(ctx) })
	if err != nil {
		return err
	}
	r.formOnly(policy)
	archive, err := timed(r, "open", func() (*bundle.Archive, error) { return r.open(zip, zip.Size()) })
	if err != nil {
		return err
	}
	m, err := r.read(archive)
	if err != nil {
		return err
	}
	if err := r.accept(ctx, m); err != nil {
		return err
	}
	if r.request.Hopeless != nil {
		return r.request.Hopeless
	}
	r.keepPolicy(ctx)
	r.log.Info("run started", "object", r.request.Object, "sha256", r.result.Package.SHA256,
		"parameter_set", r.request.ParameterSet, "action", r.result.Action)
	contents, err := timed(r, "extract", func() (bundle.Extracted, error) { return r.extract(ctx, archive) })
	if err != nil {
		return err
	}
	admit := func() (*manifest.Plan, error) { return r.admit(ctx, m, contents, policy) }
	if err := r.enter(ctx, m, policy, admit); err != nil {
		return err
	}
	plan, err := timed(r, "admit", admit)
	if err != nil {
		return err
	}
	r.keepPackage(ctx, zip, m)
	return r.apply(ctx, plan)
}

// recall makes the run one of what the request goes back to.
func (r *earlier) recall(ctx context.Context) (err error) {
	r.result.PreviousRunID = r.request.PreviousRun()
	if r.back, err = goback.Recall(ctx, r.exec.Follower, r.request); err != nil {
		return err
	}
	r.request = r.back.Request
	q := r.request
	r.name = cmp.Or(r.back.Previous.Package.Name, intake.PackageName(q.Object))
	r.result.Action, r.result.SourceObject, r.result.ParameterSet = string(q.Action), q.Object, q.ParameterSet
	r.result.Package.ETag, r.result.Package.VersionID = q.ETag, q.VersionID
	r.hides = hiding.Of(q.Parameters, nil)
	return nil
}

// timed records how long a stage took.
func timed[T any](r *run, stage string, f func() (T, error)) (T, error) {
	start := time.Now()
	value, err := f()
	r.result.Timings[stage] = time.Since(start).Milliseconds()
	return value, err
}

// bound ends the run in time for the evidence.
func (r *decided) bound(ctx context.Context) (context.Context, context.CancelFunc, error) {
	end := r.result.Start.Add(r.limits.RunTime)
	if hard, ok := ctx.Deadline(); ok && hard.Add(-r.exec.Reserve).Before(end) {
		end = hard.Add(-r.exec.Reserve)
	}
	if time.Until(end) <= grace {
		return nil, nil, r.exec.NoTime(r.killAt)
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	return ctx, cancel, nil
}

// NoTime is the error for an invocation, killed at a time, in which the first step of a run would have no time. A zero
// time is not known.
func (e *Engine) NoTime(killAt time.Time) error {
	return problem.New(problem.Problem{
		Code: "step.deadline",
		Message: fmt.Sprintf("no time is left for steps: the invocation keeps %s for the evidence and %s to stop a step",
			e.Reserve, grace),
		Hint: e.moreTime(killAt, "CEMLI_RESERVE"),
	}, nil)
}

// moreTime is how a run gets the time that it needs.
func (e *Engine) moreTime(killAt time.Time, lower string) string {
	hint := "raise the function's timeout, or lower " + lower
	if e.Invoke == nil && !killAt.IsZero() {
		hint += "; there are no detached invocations here, which could have more time, as on OCI Functions"
	}
	return hint
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
	if r.request.Object == "" && r.request.PreviousRun() != "" {
		return r.request.Consistent() // that run says of which object it was
	}
	if err := intake.CheckName(r.request.Object); err != nil {
		return err
	}
	return r.request.Consistent()
}

func wrongBucket(got, want string) error {
	return problem.New(problem.Problem{
		Code: "trigger.bucket", Where: got, Message: "packages are taken only from " + want,
		Hint: "upload the package there, or set CEMLI_PACKAGES_BUCKET",
	}, nil)
}

// readPolicy reads the policy and makes its limits those of the run; nil where none is
// set. A policy that is set and cannot be had stops everything.
func (r *decided) readPolicy(ctx context.Context) (*manifest.Policy, error) {
	if r.exec.Policy == nil {
		r.result.Policy = evidence.Policy{Source: "none"}
		return nil, nil //nolint:nilnil // no policy is no error
	}
	r.result.Policy = evidence.Policy{Source: r.exec.Policy.Source}
	policy, doc, err := r.exec.Policy.Parse(ctx, r.exec.Environment)
	if doc != nil {
		r.result.Policy.Digest = "sha256:" + fmt.Sprintf("%x", sha256.Sum256(doc))
		r.policy = doc
	}
	if err != nil {
		return nil, err
	}
	r.limits = r.limits.Within(policy)
	level := sandbox.Level(policy.Sandbox)
	r.accepted = level != ""
	if r.accepted && level.Reaches(r.level) {
		r.level = level
	}
	return policy, nil
}

// tooLong says that the run needs more time than this invocation has: another one may have it. In one
// that was to have it, or had all of its time where there are no others, that is the end of it: the error
// is the cause.
func (r *run) tooLong(cause error) error {
	if r.request.Continued || r.pending == "" || r.exec.Invoke == nil && r.whole {
		return cause
	}
	if r.exec.Invoke == nil {
		return &verdict{kind: later, why: "the run needs more time than is left of this invocation, and is left to the next sweep"}
	}
	return &verdict{
		kind: later, why: "the run needs more time than this invocation has, and goes on in another one",
		handOff: cmp.Or(r.request.Parent, r.pending),
	}
}

// keepPolicy begins to keep a copy of the policy, if there is one, whatever it decides.
func (r *found) keepPolicy(ctx context.Context) {
	if r.policy != nil && r.exec.KeepPackages {
		r.copies.Policy(ctx, r.policy)
	}
}

// keepPackage begins to keep a copy of the package, where it is going to be applied and may be kept: a sensitive
// default must not come to lie where authors read.
func (r *found) keepPackage(ctx context.Context, zip *download.Object, m *manifest.Manifest) {
	if !r.exec.KeepPackages || r.result.Action != string(intake.ActionApply) || len(m.SensitiveValues()) > 0 {
		return
	}
	r.kept = true
	r.copies.Package(ctx, zip, zip.Size(), zip.SHA256(), func() {
		if zip.Size() > 4<<20 {
			debug.FreeOSMemory() // what the download held; the scripts need it
		}
	})
}
