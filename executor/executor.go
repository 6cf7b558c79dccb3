// Package executor is the run: fetch, open, extract, admit, execute, record.
//
// One call of Run takes one Request to one Result. It reads exactly one version of
// the package's object, refuses it whole if anything is wrong with it, runs the
// plan's scripts one after the other in a directory of their own, and stores the
// evidence, create-only, with result.json last. It leaves nothing behind in its work
// folder, however the run ends.
//
// A Result is made for every outcome. An error is returned besides it only when the
// invocation itself must fail so that whoever sent it tries again or is told: the
// evidence could not be stored, or the store failed before the first step.
package executor

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/download"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/results"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
	"cemli-executor/internal/workdir"
	"cemli-executor/manifest"
)

// Config is what an Executor works with. All fields without a default are required.
type Config struct {
	Packages store.Bucket // the only bucket that packages are read from
	Results  store.Bucket // the bucket for evidence, create-only
	State    store.Bucket // what runs have to know of each other
	// KeepPackages keeps a copy of what is applied, and of the policies, in Results: going back does
	// not depend on what is left in Packages then.
	KeepPackages bool
	// Policy is the environment's admission policy; nil: every valid package may run.
	Policy *Policy
	// Namespace returns the Object Storage namespace of the buckets; "" for folders.
	Namespace func(context.Context) (string, error)

	Environment string // where the change is made: dev, test, prod, local …
	// WorkDir is a folder that this executor alone uses; it is created if need be and
	// emptied at the start of each run.
	WorkDir string
	Reserve time.Duration // kept from the invocation's time for the evidence
	Limits  Limits
	Sandbox sandbox.Level // the least that may run
	// Scripts are limits of the platform that the scripts have to share; zero: none.
	Scripts sandbox.Limits
	// Output says what of the scripts' output goes to Log.
	Output   OutputMode
	Identity evidence.Identity
	Log      *slog.Logger
	// Announce tells of a run after its result is stored; nil: nobody is told.
	Announce func(context.Context, evidence.Result) error
	// WriteLog reads OCI's log of writes to Packages, for who uploaded what; nil: nobody is looked for.
	WriteLog WriteLog
	// Secrets reads the vault; nil: there is none.
	Secrets SecretSource
	// LogWriter is what Log writes to, if that can hold records back; nil: it cannot.
	LogWriter *LogWriter
	// Invoke asks for another, longer invocation that goes on with an accepted request; nil: there
	// is none: what does not fit the rest of this one is left to the next sweep, and what fits none is refused.
	Invoke func(ctx context.Context, mark string) error
	// Clock is this machine's clock; nil: time.Now.
	Clock func() time.Time
	// Keeper: a process of its own is the scripts' parent, which ends them when this program is killed.
	Keeper bool
	// Spawn runs one command until ctx ends; nil: sandbox.Run.
	Spawn func(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error)
}

// OutputMode says what of the scripts' output is logged.
type OutputMode string

// The output modes.
const (
	OutputAll  OutputMode = "all"  // every line, as it comes
	OutputTail OutputMode = "tail" // the end of each stream, when the step has ended
	OutputNone OutputMode = "none"
)

// Limits bound what one run may take.
type Limits struct {
	PackageBytes  int64 // the zip
	Archive       bundle.Limits
	LogBytes      int64         // stored log of one step
	Artifacts     int           // files kept
	ArtifactBytes int64         // of all kept files together
	RunTime       time.Duration // of all steps together
	Attempts      int           // how often a run is tried that fails before its first step
	Deaths        int           // how often the executor may die on an upload before it is claimed
}

// DefaultLimits are the limits where nothing else is configured.
func DefaultLimits() Limits {
	return Limits{
		PackageBytes: 200 << 20, Archive: bundle.DefaultLimits(),
		LogBytes: 10 << 20, Artifacts: 1000, ArtifactBytes: 64 << 20, RunTime: time.Hour, Attempts: 10, Deaths: 3,
	}
}

// Executor runs packages, one at a time.
type Executor struct {
	Config
	now  func() time.Time // by this machine's clock, for what others read
	book claim.Book       // the state bucket, as the runs of this environment use it
}

// New makes an Executor.
func New(config Config) *Executor {
	e := &Executor{Config: config}
	e.now = func() time.Time {
		if config.Clock != nil {
			return config.Clock().UTC()
		}
		return time.Now().UTC()
	}
	e.book = claim.Book{State: config.State, Environment: config.Environment, Clock: e.now, Log: config.Log}
	return e
}

// Run does what the request asks: one run, or one for each parameter set of the package where
// the request names none; then what that has made possible, as runs that waited for it. A request
// that cannot be ended now is answered with StatusInProgress, and goes on in another invocation.
// The context's deadline is the moment at which the process may be killed; a run ends earlier by
// the reserve.
func (e *Executor) Run(ctx context.Context, request Request) ([]evidence.Result, error) {
	w := e.begins(ctx)
	request.VersionNamed = request.VersionID != "" && request.Trigger.Kind == TriggerRequest
	serve := w.serve
	if request.Continue != "" {
		serve = w.resume
	}
	results, err := serve(ctx, request)
	w.drain(ctx, request.CallID) // not deferred: while the executor panics nothing else is begun
	return results, err
}

// serve does what a request asks, or has another invocation do it that has more time.
func (w *work) serve(ctx context.Context, request Request) ([]evidence.Result, error) {
	results, err := w.answer(ctx, request)
	if mark := w.needs; mark != "" {
		w.needs = ""
		return w.handOver(ctx, mark, request.CallID, results, err)
	}
	return results, err
}

// answer does what a request asks, as far as there is time.
func (w *work) answer(ctx context.Context, request Request) ([]evidence.Result, error) {
	r, err := w.run(ctx, request)
	all := r.allSets
	if !all.ofAllSets() {
		return []evidence.Result{r.result}, err
	}
	request.ETag, request.VersionID = r.result.Package.ETag, r.result.Package.VersionID
	request.Action, request.Slot = Action(r.result.Action), r.request.Slot
	if all.kind == duplicate {
		request.Namespace = w.namespace(ctx)
		return w.answerSets(ctx, request, all.claim)
	}
	request.Created, request.pinned = r.created, r.request.pinned
	return w.runSets(ctx, request, all)
}

// namespace is the one that was asked for before.
func (w *work) namespace(ctx context.Context) string {
	namespace, _ := w.Namespace(ctx) // it is known by now
	return namespace
}

// run makes one run.
func (w *work) run(ctx context.Context, request Request) (*run, error) {
	r := w.begin(request)
	defer r.cleanUp()
	r.whole = w.fits(w.least)
	defer func() {
		w.freed = append(w.freed, r.freed...)
		w.pinned = r.request.pinned
		w.manifest, w.masker = r.manifest, r.masker
		switch {
		case r.hand == "":
		case r.whole:
			w.needs = r.hand
		default:
			w.hands = append(w.hands, r.hand)
		}
	}()
	r.hard = w.hard
	return r, r.end(ctx, r.pipeline(ctx))
}

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

// pipeline is the way of a run. Each stage takes what only the one before can make.
func (r *run) pipeline(ctx context.Context) error {
	ctx, cancel, err := r.bound(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	defer func() { _ = r.copies.group.Wait() }() // nothing goes on after the run; who needs it asks before
	if err := r.supported(ctx); err != nil {
		return err
	}
	policy, err := r.readPolicy(ctx)
	if err != nil {
		return err
	}
	if err := confined(r.level); err != nil {
		return err
	}
	if err := r.recall(ctx); err != nil {
		return err
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
	if r.request.hopeless != nil {
		return r.request.hopeless
	}
	r.keepPolicy(ctx)
	r.log.Info("run started", "object", r.request.Object, "sha256", r.result.Package.SHA256,
		"parameter_set", r.request.ParameterSet, "action", r.result.Action)
	contents, err := timed(r, "extract", func() (bundle.Extracted, error) { return r.extract(ctx, archive) })
	if err != nil {
		return err
	}
	if err := r.hasTime(ctx, m); err != nil {
		return err
	}
	admit := func() (*manifest.Plan, error) { return r.admit(ctx, m, contents, policy) }
	if err := r.enter(ctx, m, policy, func() error { _, err := admit(); return err }); err != nil {
		return err
	}
	plan, err := timed(r, "admit", admit)
	if err != nil {
		return err
	}
	r.keepPackage(ctx, zip, m)
	return r.apply(ctx, plan)
}

// apply does what was admitted.
func (r *run) apply(ctx context.Context, plan *manifest.Plan) error {
	r.job = r.jobOf(plan)
	if err := r.here().Check(r.job); err != nil {
		return err
	}
	if err := r.networked(plan.Manifest()); err != nil {
		return err
	}
	r.describeSandbox(r.planned())
	if r.result.Action == string(ActionCheck) {
		return r.onlyChecked(ctx)
	}
	if err := r.holds(ctx, plan); err != nil {
		return r.tooLong(err)
	}
	if err := r.unlock(ctx, plan); err != nil {
		return err
	}
	if err := r.restore(ctx); err != nil {
		return err
	}
	if err := r.unclaimed(ctx); err != nil {
		return err
	}
	if err := r.copies.group.Wait(); err != nil {
		return err
	}
	if err := r.provable(); err != nil {
		return err
	}
	if err := r.current(ctx); err != nil {
		return err
	}
	switch {
	case r.result.Action == string(ActionApply):
		r.doing = r.change(plan)
	case r.result.Action == string(ActionRollback):
		r.doing = r.undoes
	}
	_, err := timed(r, "execute", func() (struct{}, error) { return struct{}{}, r.execute(ctx, plan) })
	r.noteEnd(ctx, err)
	return err
}

// onlyChecked ends a run that was to validate and admit.
func (r *run) onlyChecked(ctx context.Context) error {
	if err := r.provable(); err != nil {
		return err
	}
	r.result.Steps = r.listed()
	r.result.Execution.Note = "the package was checked and may run; nothing was executed"
	return errors.Join(r.unclaimed(ctx), r.current(ctx))
}

// listed are the steps of the job as a result lists them before they are run.
func (r *decided) listed() []evidence.Step {
	var all []evidence.Step
	for _, s := range r.job.Plan {
		all = append(all, s.Describe(evidence.StepNotRun))
	}
	return all
}

// timed records how long a stage took.
func timed[T any](r *run, stage string, f func() (T, error)) (T, error) {
	start := time.Now()
	value, err := f()
	r.result.Timings[stage] = time.Since(start).Milliseconds()
	return value, err
}
