package executor_test

import (
	"strings"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// sweepWithin sweeps in an invocation of that length, as a schedule makes it.
func (b *bench) sweepWithin(d time.Duration) {
	b.t.Helper()
	if _, err := executor.New(b.config).Sweep(within(b.t, d), "sweep-call"); err != nil {
		b.t.Fatal(err)
	}
}

// Where there are no other invocations, as on a Fn server, a package that needs more time than one has is
// told what to do.
func TestALongPackageWithoutOtherInvocations(t *testing.T) {
	b := newBench(t)
	info := b.upload("sample-1.0.0.zip", pack(t, with(`"timeout":"1m"`, files{"steps/run.sh": "echo ran"})),
		store.PutOptions{})
	r, err := b.run(within(t, 20*time.Second), event(info.Name, info.ETag))
	if err != nil || code(r) != "step.deadline" || r.Status != evidence.StatusRejected {
		t.Fatalf("%s, %+v, %v", r.Status, r.Error, err)
	}
	for _, word := range []string{"function's timeout", "the package's", "detached"} {
		if !strings.Contains(r.Error.Hint, word) {
			t.Errorf("the hint %q does not say %q", r.Error.Hint, word)
		}
	}
	if open := b.stateNames("open/"); len(open) > 0 {
		t.Errorf("open: %v", open)
	}
}

// What does not fit the rest of an invocation, and would fit a whole one, is left to the next sweep.
func TestWithoutOtherInvocationsASetIsLeftToTheSweep(t *testing.T) {
	here(t, "a run has less time: its runner stores what has come of it")
	b := newBench(t)
	info := b.upload("sets.zip", pack(t, files{
		"manifest.json": `{"name":"sets","version":"1.0.0","type":"extension","timeout":"6s"` + sets + `}`,
		"steps/run.sh":  "sleep 2",
	}), store.PutOptions{})
	results, err := executor.New(b.config).Run(within(t, 9*time.Second), event(info.Name, info.ETag))
	if err != nil || len(results) != 2 || results[0].Status != evidence.StatusSuccess ||
		results[1].Status != evidence.StatusInProgress {
		t.Fatalf("%+v, %v", results, err)
	}
	b.sweepWithin(9 * time.Second)
	results, err = executor.New(b.config).Run(within(t, 9*time.Second), event(info.Name, info.ETag))
	if err != nil || len(results) != 2 || b.resultsStored() != 2 || results[1].Status != evidence.StatusSuccess {
		t.Errorf("%d results, %+v, %v", b.resultsStored(), results, err)
	}
	if open := b.stateNames("open/"); len(open) > 0 {
		t.Errorf("open: %v", open)
	}
}

func TestWithoutOtherInvocationsTheQueueIsLeftToTheSweep(t *testing.T) {
	b := newBench(t)
	first := b.upload("first-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"first","version":"1.0.0","type":"extension","concurrency":{"group":"erp"}}`,
		"steps/run.sh":  "echo begun; sleep 3",
	}), store.PutOptions{})
	second := b.upload("second-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"second","version":"1.0.0","type":"extension","timeout":"10500ms",` +
			`"concurrency":{"group":"erp"}}`, "steps/run.sh": "echo ran",
	}), store.PutOptions{})
	done := make(chan error, 1)
	ctx, config := within(t, 14*time.Second), b.config
	config.WorkDir += "-first"
	go func() {
		_, err := executor.New(config).Run(ctx, event(first.Name, first.ETag))
		done <- err
	}()
	end := time.Now().Add(10 * time.Second)
	for !strings.Contains(b.log.String(), `"line":"begun"`) {
		if time.Sleep(10 * time.Millisecond); time.Now().After(end) {
			t.Fatal("the first run does not begin")
		}
	}
	r, err := b.run(within(t, 14*time.Second), event(second.Name, second.ETag))
	if err != nil || r.Status != evidence.StatusInProgress {
		t.Fatalf("%s, %s, %v", r.Status, r.Message, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if b.resultsStored() != 1 {
		t.Fatalf("%d results: %+v", b.resultsStored(), b.stored(r.RunID).Error)
	}
	b.sweepWithin(14 * time.Second)
	if r := b.stored(r.RunID); r.Status != evidence.StatusSuccess {
		t.Errorf("%s, %+v", r.Status, r.Error)
	}
	if open := b.stateNames("open/"); len(open) > 0 {
		t.Errorf("open: %v", open)
	}
}
