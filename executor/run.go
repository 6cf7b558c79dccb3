package executor

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/download"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

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
		return nil, nil, r.noTime()
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	return ctx, cancel, nil
}

// noTime is the error for a run whose first step would have no time.
func (r *asked) noTime() error {
	return problem.New(problem.Problem{
		Code: "step.deadline",
		Message: fmt.Sprintf("no time is left for steps: the invocation keeps %s for the evidence and %s to stop a step",
			r.exec.Reserve, grace),
		Hint: r.moreTime("CEMLI_RESERVE"),
	}, nil)
}

// moreTime is how a run gets the time that it needs.
func (r *asked) moreTime(lower string) string {
	hint := "raise the function's timeout, or lower " + lower
	if r.exec.Invoke == nil && !r.hard.IsZero() {
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

// CheckObject says why an object cannot be run, by its name alone: evidence would look different from
// what it says.
func CheckObject(name string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	if strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
		return errors.New("control or bidirectional-control character")
	}
	return nil
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
	policy, doc, err := r.exec.Policy.parse(ctx, r.exec.Environment)
	if doc != nil {
		r.result.Policy.Digest = "sha256:" + fmt.Sprintf("%x", sha256.Sum256(doc))
		r.policy = doc
	}
	if err != nil {
		return nil, err
	}
	r.limits = r.limits.within(policy)
	level := sandbox.Level(policy.Sandbox)
	r.accepted = level != ""
	if r.accepted && level.Reaches(r.level) {
		r.level = level
	}
	return policy, nil
}

// confined refuses to run below the sandbox level that is demanded.
func confined(level sandbox.Level) error {
	has := sandbox.Probe()
	if has.Strongest().Reaches(level) {
		return nil
	}
	return problem.New(problem.Problem{
		Code:    "sandbox.unavailable",
		Message: fmt.Sprintf("the sandbox level %s is required, and this kernel has only %s: %s", level, has.Strongest(), has.Lacks(level)),
		Hint:    "use a kernel that has it, or set CEMLI_SANDBOX=basic, and no higher level in the policy, to accept that scripts can reach the function's credentials",
	}, nil)
}

// planned are the layers that scripts will be in, before there is one.
func (r *decided) planned() sandbox.Layers {
	if r.level == sandbox.LevelNone {
		return sandbox.Layers{}
	}
	has := sandbox.Probe()
	user, own := sandbox.User(r.level)
	return sandbox.Layers{NoNewPrivileges: has.Seccomp, Seccomp: has.Seccomp, Landlock: has.Landlock, User: user, Watched: !own, Offline: !r.job.Network}
}

// describeSandbox says in the result what is in force.
func (r *decided) describeSandbox(l sandbox.Layers) {
	r.result.Sandbox = evidence.Sandbox{
		Level: string(l.Level()), CredentialsReachable: !l.Level().Reaches(sandbox.LevelIsolated),
		Network: r.job.Network, NoNewPrivileges: l.NoNewPrivileges, Seccomp: l.Seccomp, Landlock: l.Landlock, User: l.User, Gaps: l.Gaps(),
	}
	if l.Landlock == 0 && r.level != sandbox.LevelNone {
		r.result.Sandbox.NoLandlock = string(sandbox.Probe().NoLandlock)
	}
	if l.Limits != (sandbox.Limits{}) {
		limits := evidence.SandboxLimits(l.Limits)
		r.result.Sandbox.Limits = &limits
	}
}

// hasTime leaves a run to an invocation that has the time which the package says it takes, if there may be one.
func (r *run) hasTime(ctx context.Context, m *manifest.Manifest) error {
	if r.result.Action == string(ActionCheck) || saidTime(m) <= left(ctx) {
		return nil
	}
	return r.tooLong(nil)
}

// tooLong says that the run needs more time than this invocation has: another one may have it. In one
// that was to have it, or had all of its time where there are no others, that is the end of it: the error
// is the cause.
func (r *run) tooLong(cause error) error {
	if r.request.continued || r.pending == "" || r.exec.Invoke == nil && r.whole {
		return cause
	}
	if r.exec.Invoke == nil {
		return &verdict{kind: later, why: "the run needs more time than is left of this invocation, and is left to the next sweep"}
	}
	return &verdict{
		kind: later, why: "the run needs more time than this invocation has, and goes on in another one",
		hand: cmp.Or(r.request.Parent, r.pending),
	}
}

// saidTime is how long a package says that its steps and their undo take, as far as it says so.
func saidTime(m *manifest.Manifest) time.Duration { return m.Timeout + m.RollbackTimeout }

// left is the time that steps may take.
func left(ctx context.Context) time.Duration {
	end, _ := ctx.Deadline() // bound has set it
	return time.Until(end)
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
	if r.request.ResumeFrom != "" || r.result.Action == string(ActionRollback) {
		if err := r.restore(ctx); err != nil {
			return err
		}
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

// networked refuses a package without network where nothing can keep it from one.
func (r *decided) networked(m *manifest.Manifest) error {
	if m.Network || r.level != sandbox.LevelNone {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "sandbox.network", Where: "/network", Message: "the package runs without network, and with CEMLI_SANDBOX=none nothing can hold it to that",
		Hint: "set CEMLI_SANDBOX to basic or more",
	}, nil)
}

// holds refuses a package that says it needs more time than is left: it would be stopped half way.
func (r *decided) holds(ctx context.Context, plan *manifest.Plan) error {
	need, has := plan.Manifest().Timeout+undoShare(ctx, plan), left(ctx)
	if plan.Manifest().Timeout == 0 || need <= has {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "step.deadline", Where: "/timeout",
		Message: fmt.Sprintf("the package may need %s, undo included, and the invocation has %s left for it",
			need.Round(time.Second), has.Round(time.Second)),
		Hint: r.moreTime("the package's"),
	}, nil)
}

// undoShare is the part of the time that is left which is kept for undo.
func undoShare(ctx context.Context, plan *manifest.Plan) time.Duration {
	m := plan.Manifest()
	if m.OnFailure == manifest.OnFailureStop || !plan.Undoable() {
		return 0
	}
	return cmp.Or(m.RollbackTimeout, min(left(ctx)/4, maxUndoTime))
}

// undoTime is how long a package's undo may take.
func undoTime(m *manifest.Manifest) time.Duration { return cmp.Or(m.RollbackTimeout, maxUndoTime) }

// maxUndoTime bounds the time for undo where the manifest does not say.
const maxUndoTime = 5 * time.Minute

// grace is the part of a step's time in which it is stopped.
const grace = steps.Grace

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
