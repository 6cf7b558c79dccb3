package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
)

// death is what the tests' executor dies of.
type death struct{ of string }

// dies reports whether the executor died in a function.
func dies(f func()) (dead bool) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case death:
			dead = true
		default:
			panic(p)
		}
	}()
	f()
	return false
}

// deadly makes the executor die whenever it reads one of some objects, and lists the deaths.
func (b *bench) deadly(objects ...string) *[]string {
	var deaths []string
	b.config.Packages = faulty{Bucket: b.packages, get: func(name string) error {
		if slices.Contains(objects, name) {
			deaths = append(deaths, name)
			panic(death{name})
		}
		return nil
	}}
	return &deaths
}

// sweepDies makes a sweep that may die, and says whether it did. Whoever died before is known to have.
func (b *bench) sweepDies() (swept executor.Swept, dead bool) {
	b.t.Helper()
	b.age()
	dead = dies(func() { swept = b.sweep() })
	return swept, dead
}

// age lets the time pass of whoever took or claimed something.
func (b *bench) age() {
	b.t.Helper()
	for _, name := range append(b.stateNames("taking/"), b.stateNames("claims/")...) {
		var doc map[string]any
		if err := json.Unmarshal([]byte(b.stateText(name)), &doc); err != nil {
			b.t.Fatal(err)
		}
		for _, key := range []string{"until", "lease"} {
			if doc[key] != nil && doc[key] != "0001-01-01T00:00:00Z" && doc["state"] != "done" {
				doc[key] = time.Now().Add(-time.Hour).UTC()
				b.overwrite(name, doc)
			}
		}
	}
}

func (b *bench) uploadOf(name string) store.Info {
	b.t.Helper()
	return b.upload(name+"-1.0.0.zip", pack(b.t, files{
		"manifest.json": fmt.Sprintf(`{"name":%q,"version":"1.0.0","type":"extension"}`, name),
		"steps/run.sh":  "echo ran",
	}), store.PutOptions{})
}

// resultOf is the result of a package's run; false if there is none.
func (b *bench) resultOf(name string) (evidence.Result, bool) {
	b.t.Helper()
	page, err := b.results.List(b.t.Context(), store.ListOptions{Prefix: "runs/"})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, o := range page.Objects {
		if strings.Contains(o.Name, "Z-"+name+"-") && strings.HasSuffix(o.Name, "/result.json") {
			return b.stored(strings.Split(o.Name, "/")[1]), true
		}
	}
	return evidence.Result{}, false
}

// An upload on which the executor dies before its claim is taken last and alone, and set aside after three
// deaths. It holds up nothing else, and its own event is answered then.
func TestAnUploadOnWhichTheExecutorDies(t *testing.T) {
	b := newBench(t)
	b.sweep()
	b.uploadOf("a")
	deadly := b.uploadOf("m")
	b.uploadOf("z")
	deaths := b.deadly(deadly.Name)
	if _, dead := b.sweepDies(); !dead {
		t.Fatal("the first sweep did not die")
	}
	if _, ok := b.resultOf("a"); !ok || len(b.stateNames("taking/")) != 1 {
		t.Fatalf("what was before it has a result: %v; notes %v", ok, b.stateNames("taking/"))
	}
	if _, err := executor.New(b.config).Sweep(t.Context(), ""); err != nil || len(*deaths) != 1 {
		t.Errorf("while whoever took it may be at it still it is left alone: %v, %v", err, *deaths)
	}
	if r, ok := b.resultOf("z"); !ok || r.Status != evidence.StatusSuccess {
		t.Errorf("what is after it waits: %v, %s", ok, r.Status)
	}
	b.uploadOf("y") // taken before it
	for range 2 {
		if _, dead := b.sweepDies(); !dead {
			t.Fatal("it was not taken again")
		}
		if _, ok := b.resultOf("y"); !ok {
			t.Error("it was not taken last")
		}
	}
	swept, dead := b.sweepDies()
	if dead || len(swept.Runs) != 1 || len(*deaths) != 3 {
		t.Fatalf("dead %v, %+v, deaths %v", dead, swept, *deaths)
	}
	r := b.stored(swept.Runs[0].RunID)
	if code(r) != "state.deaths" || r.Status != evidence.StatusError || r.Error.Hint == "" ||
		r.SourceObject != deadly.Name || r.Package.ETag != deadly.ETag {
		t.Errorf("%s, %+v, %s", r.Status, r.Error, r.SourceObject)
	}
	if left := append(b.stateNames("open/"), b.stateNames("taking/")...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if swept, dead := b.sweepDies(); dead || len(swept.Runs) > 0 {
		t.Errorf("it was taken again: %v, %+v", dead, swept)
	}
	b.config.Packages = b.packages // its event comes when there is more memory
	if again := b.again(event(deadly.Name, deadly.ETag)); again.RunID != r.RunID || !again.Duplicate ||
		again.Status != evidence.StatusError {
		t.Errorf("its event: run %s, %s, duplicate %v", again.RunID, again.Status, again.Duplicate)
	}
	q := executor.Request{
		Bucket: "packages", Back: executor.Back{RerunOf: r.RunID}, Reason: "more memory",
		Trigger: executor.Trigger{Kind: executor.TriggerRequest},
	}
	if again := b.again(q); again.Status != evidence.StatusSuccess {
		t.Errorf("once more, as the hint says: %s, %s", again.Status, again.Message)
	}
}

// So is one on which it dies after the claim, before the first step; of several sets each has a result.
func TestAClaimedUploadOnWhichTheExecutorDies(t *testing.T) {
	for name, c := range map[string]struct {
		members string
		results int
	}{
		"one":  {"", 1},
		"sets": {`,"parameter_sets":{"DE":{},"FR":{}}`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.sweep()
			deaths := 0
			b.config.Results = faulty{Bucket: b.results, head: func(name string) error {
				if strings.Contains(name, "Z-m-") {
					deaths++
					panic(death{name})
				}
				return nil
			}}
			info := b.upload("m-1.0.0.zip", pack(t, files{
				"manifest.json": `{"name":"m","version":"1.0.0","type":"extension"` + c.members + `}`,
				"steps/run.sh":  "true",
			}), store.PutOptions{})
			if !dies(func() { _, _ = executor.New(b.config).Run(t.Context(), event(info.Name, info.ETag)) }) {
				t.Fatal("its event's invocation did not die")
			}
			b.uploadOf("z")
			for range 2 {
				if _, dead := b.sweepDies(); !dead {
					t.Fatal("it was not taken again")
				}
				if r, ok := b.resultOf("z"); !ok || r.Status != evidence.StatusSuccess {
					t.Errorf("another upload waits for it: %v, %s", ok, r.Status)
				}
			}
			if _, dead := b.sweepDies(); dead || deaths != 3 {
				t.Fatalf("dead %v after %d deaths", dead, deaths)
			}
			if n := b.resultsStored() - 1; n != c.results {
				t.Errorf("%d results; want %d", n, c.results)
			}
			if r, ok := b.resultOf("m"); !ok || code(r) != "state.deaths" {
				t.Errorf("%v, %s, %+v", ok, r.Status, r.Error)
			}
			if left := append(b.stateNames("open/"), b.stateNames("taking/")...); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// Where there are other invocations each of them but one is handed to its own.
func TestSuspectsAreHandedOver(t *testing.T) {
	b := newBench(t)
	b.sweep()
	handed := b.handed()
	names := []string{b.uploadOf("m").Name, b.uploadOf("n").Name, b.uploadOf("o").Name}
	deaths := b.deadly(names...)
	for range names {
		b.sweepOnce()
	}
	b.age()
	before := len(*deaths)
	if _, dead := b.sweepDies(); !dead || len(*deaths) != before+1 || len(*handed) != 2 {
		t.Errorf("died %v on %v; handed %v", dead, (*deaths)[before:], *handed)
	}
}

// sweepOnce makes a sweep that may die; whoever died before may be at it still.
func (b *bench) sweepOnce() { dies(func() { b.sweep() }) }

// Of several such uploads one sweep takes one, so that each death is known for what it is of.
func TestEachOfThemIsAlone(t *testing.T) {
	b := newBench(t)
	b.sweep()
	names := []string{b.uploadOf("m").Name, b.uploadOf("n").Name}
	deaths := b.deadly(names...)
	sweeps := 0
	for ; sweeps < 20; sweeps++ {
		before := len(*deaths)
		b.sweepDies()
		if len(*deaths) > before+1 {
			t.Fatalf("one sweep died on %v", (*deaths)[before:])
		}
		_, m := b.resultOf("m")
		_, n := b.resultOf("n")
		if m && n {
			break
		}
	}
	if len(*deaths) != 6 || sweeps > 8 {
		t.Errorf("%d sweeps, deaths %v", sweeps, *deaths)
	}
}

// A request that was handed to another invocation, which dies on it, is bounded in the same way.
func TestAHandedRequestOnWhichTheExecutorDies(t *testing.T) {
	b := newBench(t)
	b.sweep()
	info := b.uploadOf("m")
	deaths := b.deadly(info.Name)
	if _, err := executor.New(b.config).Later(t.Context(), event(info.Name, info.ETag)); err != nil {
		t.Fatal(err)
	}
	mark := strings.TrimSuffix(strings.TrimPrefix(b.stateNames("open/test/")[0], "open/test/"), ".json")
	goOn := func() (r evidence.Result, dead bool) {
		b.age()
		dead = dies(func() { r = b.again(executor.Request{Continue: mark}) })
		return r, dead
	}
	for range 3 {
		if _, dead := goOn(); !dead {
			t.Fatal("it was not taken")
		}
		if r := b.again(executor.Request{Continue: mark}); r.Status != evidence.StatusInProgress {
			t.Errorf("while another is at it: %s", r.Status)
		}
	}
	r, dead := goOn()
	if dead || code(r) != "state.deaths" || len(*deaths) != 3 {
		t.Fatalf("dead %v, %+v, deaths %v", dead, r.Error, *deaths)
	}
	if swept := b.sweep(); len(swept.Runs) > 0 {
		t.Errorf("%+v", swept)
	}
	if left := append(b.stateNames("open/"), b.stateNames("taking/")...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A store that fails is no death, and what succeeds at last leaves nothing behind.
func TestAStoreThatFailsIsNoDeath(t *testing.T) {
	b := newBench(t)
	b.sweep()
	info := b.uploadOf("m")
	fails := true
	b.config.Packages = faulty{Bucket: b.packages, get: func(name string) error {
		if fails {
			return store.Error(store.ErrUnavailable, "get", "packages", name, errors.New("503"))
		}
		return nil
	}}
	for range 5 {
		if _, err := executor.New(b.config).Sweep(t.Context(), ""); err == nil {
			t.Fatal("the sweep does not say that it failed")
		}
		if notes := b.stateNames("taking/"); len(notes) > 0 {
			t.Fatalf("notes: %v", notes)
		}
	}
	fails = false
	if swept := b.sweep(); len(swept.Runs) != 1 || swept.Runs[0].Status != evidence.StatusSuccess {
		t.Errorf("%s: %+v", info.Name, swept)
	}
}

// Uploads that are claimed cost a sweep no more than to look at their claims.
func TestClaimedUploadsAreNotNoted(t *testing.T) {
	b := newBench(t)
	b.sweep()
	for _, name := range []string{"a", "b", "c"} {
		info := b.uploadOf(name)
		b.again(event(info.Name, info.ETag))
	}
	var requests []string
	b.config.State = counter{b.state, &requests}
	b.sweep()
	var claims int
	for _, request := range requests {
		switch {
		case strings.Contains(request, "taking/") && request != "list taking/test/":
			t.Errorf("request %q", request)
		case strings.Contains(request, "claims/"):
			claims++
		}
	}
	if claims != 3 || len(requests) > 6+claims {
		t.Errorf("%d requests: %q", len(requests), requests)
	}
}

// mortal is a state bucket whose executor dies when it takes a mark away.
type mortal struct{ store.Bucket }

func (m mortal) Delete(_ context.Context, name, _ string) error {
	panic(death{name})
}

// While the executor panics it begins nothing else: what waits in the group is left to whoever comes next.
func TestAPanicBeginsNothingElse(t *testing.T) {
	const group = `,"concurrency":{"group":"erp"}`
	b := newBench(t)
	packed := func(name string) store.Info {
		return b.upload(name+"-1.0.0.zip", pack(t, files{
			"manifest.json": `{"name":"` + name + `","version":"1.0.0","type":"extension"` + group + `}`,
			"steps/run.sh":  "true",
		}), store.PutOptions{})
	}
	first, second := packed("first"), packed("second")
	var ran []string
	other := b.config
	other.WorkDir += "-other"
	b.config.State = mortal{b.state}
	b.config.Spawn = func(_ context.Context, c sandbox.Command) (sandbox.Outcome, error) {
		ran = append(ran, c.ScriptPath)
		if len(ran) == 1 {
			results, err := executor.New(other).Run(t.Context(), event(second.Name, second.ETag))
			if err != nil || results[0].Status != evidence.StatusInProgress {
				t.Errorf("the second does not wait: %s, %v", results[0].Status, err)
			}
		}
		return sandbox.Outcome{Start: time.Now()}, nil
	}
	if !dies(func() { _, _ = executor.New(b.config).Run(t.Context(), event(first.Name, first.ETag)) }) {
		t.Fatal("it did not die")
	}
	if len(ran) != 1 {
		t.Errorf("executed while it died: %v", ran[1:])
	}
	if _, ok := b.resultOf("second"); ok {
		t.Error("the second has a result")
	}
}
