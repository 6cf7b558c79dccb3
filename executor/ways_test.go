package executor_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
)

// Whoever names an old version means it for all of its sets, whatever was uploaded since.
func TestAnOldVersionIsForAllSets(t *testing.T) {
	b := newBench(t)
	k := b.keeps()
	apply := func(v string, at time.Duration) store.Info {
		k.now = func() time.Time { return time.Now().Add(at) }
		info := b.upload("sets.zip", pack(t, files{
			"manifest.json": `{"name":"sets","version":"` + v + `","type":"extension",` + threeSets + `}`,
			"steps/run.sh":  "echo " + v,
		}), store.PutOptions{})
		b.asked(func(q *executor.Request) { *q = event("sets.zip", info.ETag) })
		return info
	}
	old := apply("1.0.0", -time.Minute)
	apply("1.1.0", 0)
	for _, r := range b.asked(func(q *executor.Request) {
		q.Object, q.VersionID, q.Action, q.RequestID = "sets.zip", old.VersionID, executor.ActionApply, "old"
	}) {
		b.wants("set "+r.ParameterSet, r, evidence.StatusSuccess, "")
	}
}

// A refusal for the form alone says nothing of any set of the upload, and stays the answer to that form.
func TestARefusalForTheFormAloneOfSets(t *testing.T) {
	b := newBench(t)
	b.config.Policy = executor.InlinePolicy("inline", []byte(`{"environment":"test","actions":{"event":["apply"]}}`))
	info := b.upload("sets.zip", pack(t, with(threeSets, files{"steps/run.sh": "true"})), store.PutOptions{})
	byHand := func() {
		t.Helper()
		results := b.asked(func(q *executor.Request) { *q = request("sets.zip", info.ETag) })
		if results[0].Status != evidence.StatusRejected || results[1].Status != evidence.StatusSkipped ||
			results[2].Status != evidence.StatusSkipped {
			t.Errorf("by hand: %s %s %s", results[0].Status, results[1].Status, results[2].Status)
		}
	}
	byHand()
	byHand()
	for _, r := range b.asked(func(q *executor.Request) { *q = event("sets.zip", info.ETag) }) {
		b.wants("its own event, set "+r.ParameterSet, r, evidence.StatusSuccess, "")
	}
	byHand()
}

// The version that a request names besides the run is of that run's object.
func TestAVersionWithoutItsObject(t *testing.T) {
	b := newBench(t)
	b.keeps()
	first := b.uploaded("a.zip", files{"steps/run.sh": "echo A"})[0]
	same := b.upload("a.zip", pack(t, files{"steps/run.sh": "echo A"}), store.PutOptions{})
	other := b.upload("a.zip", pack(t, files{"steps/run.sh": "echo B"}), store.PutOptions{})
	rerun := func(version string) evidence.Result {
		return b.asked(func(q *executor.Request) {
			q.RerunOf, q.Reason, q.VersionID = first.RunID, version, version
		})[0]
	}
	b.wants("the same bytes", rerun(same.VersionID), evidence.StatusSuccess, "")
	b.wants("others", rerun(other.VersionID), evidence.StatusRejected, "request.differs")
}

// What lies under the object's name by now says nothing of the package that is gone back to.
func TestWhatLiesUnderTheNameNow(t *testing.T) {
	b := newBench(t)
	first := b.uploaded("chg.zip", files{"steps/run.sh": "echo A"})[0]
	b.config.Limits.PackageBytes = 4000
	b.upload("chg.zip", make([]byte, 5000), store.PutOptions{})
	b.wants("too large", b.back(rerunOf, first.RunID, "x"), evidence.StatusSuccess, "")

	b = newBench(t)
	b.config.KeepPackages = false
	first = b.uploaded("chg.zip", files{"steps/run.sh": "echo A"})[0]
	b.upload("chg.zip", pack(t, files{"steps/run.sh": "echo B"}), store.PutOptions{})
	r := b.back(rerunOf, first.RunID, "x")
	b.wants("no copy", r, evidence.StatusRejected, "request.gone")
	if r.Package.SHA256 != "" {
		t.Errorf("the result has the digest of another package: %s", r.Package.SHA256)
	}
}

// The request that a failed rollback leaves is another one than that rollback was.
func TestTheRequestThatFinishesAnUndo(t *testing.T) {
	b := newBench(t)
	r := b.uploaded("a.zip", files{"steps/1.sh": "true", "steps/2.sh": "false", "rollback/1.sh": "false"})[0]
	id := r.RunID
	for range 2 {
		if r = b.back(rollBackOf, id, r.Rollback.Request.Reason); r.Duplicate || !r.Execution.Ran {
			t.Fatalf("duplicate %v, %s", r.Duplicate, r.Message)
		}
	}
}

// failsOnce uploads a package whose second step failed and would succeed by now.
func (b *bench) failsOnce() evidence.Result {
	b.t.Helper()
	mended := filepath.Join(b.t.TempDir(), "mended")
	b.config.Sandbox = sandbox.LevelNone // a step looks at a file outside
	first := b.uploaded("a.zip", with(`"on_failure":"stop"`, files{
		"steps/1.sh": "true", "steps/2.sh": "[ -e " + mended + " ]", "rollback/1.sh": "true",
	}))[0]
	if err := os.WriteFile(mended, nil, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return first
}

// What a resumed run did is undone once, whichever of its runs is named.
func TestAResumedRunIsUndoneOnce(t *testing.T) {
	b := newBench(t)
	first := b.failsOnce()
	resumed := b.back(resumeOf, first.RunID, "mended")
	b.wants("the resumed", b.back(rollBackOf, resumed.RunID, "wrong"), evidence.StatusSuccess, "")
	b.wants("the first", b.back(rollBackOf, first.RunID, "wrong"), evidence.StatusRejected, "rollback.undone")
}

// A run of which nothing was undone yet can be gone on with.
func TestResumeOfARunThatWasStoppedBeforeItsUndo(t *testing.T) {
	here(t, "a run goes on when its executor is stopped")
	b := newBench(t)
	info := b.upload("a.zip", pack(t, files{
		"steps/1.sh": "true", "steps/2.sh": "true", "rollback/1.sh": "true",
	}), store.PutOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	b.config.Spawn = func(c context.Context, cmd sandbox.Command) (sandbox.Outcome, error) {
		if n++; n == 2 {
			cancel()
		}
		return sandbox.Run(c, cmd)
	}
	r, err := b.run(ctx, event("a.zip", info.ETag))
	if err != nil {
		t.Fatal(err)
	}
	b.wants("stopped", r, evidence.StatusInterrupted, "step.interrupted")
	b.config.Spawn = nil
	b.wants("resumed", b.back(resumeOf, r.RunID, "go on"), evidence.StatusSuccess, "")
}

// What was refused has applied nothing that could be applied again.
func TestNoWayBackToWhatNeverRan(t *testing.T) {
	b := newBench(t)
	b.config.Policy = executor.InlinePolicy("inline", []byte(`{"environment":"test","version":{"downgrade":"deny"}}`))
	b.uploaded("chg-1.1.0.zip", backup("1.1.0"))
	never := b.uploaded("chg-0.9.0.zip", backup("0.9.0"))[0]
	b.wants("a downgrade", never, evidence.StatusRejected, "policy.downgrade")
	b.wants("the same by its run", b.back(applyAgain, never.RunID, "x"), evidence.StatusRejected, "request.differs")
}

// A run that another went on from is undone once, too, where somebody forces its rollback underneath.
func TestAForcedRollbackIsDoneOnce(t *testing.T) {
	b := newBench(t)
	first := b.failsOnce()
	b.back(resumeOf, first.RunID, "mended")
	forced := func(reason string) evidence.Result {
		return b.asked(func(q *executor.Request) { rollBackOf(q, first.RunID); q.Reason, q.Force = reason, true })[0]
	}
	b.wants("forced", forced("one"), evidence.StatusSuccess, "")
	b.wants("forced once more", forced("two"), evidence.StatusRejected, "rollback.undone")
}
