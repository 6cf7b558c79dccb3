package executor_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/testkit"
)

var (
	simSeed = flag.Uint64("sim.seed", 0, "replay this history of the simulation")
	simLog  = flag.String("sim.log", "", "write what happened in histories that break a promise into this folder")
	simTime = flag.Duration("sim.time", 0, "simulate histories that nobody has seen for so long; 0: the recorded set")
)

// recorded is how many histories the recorded set has: those with the seeds from 1 on.
const recorded = 800

// scenario is what differs between histories.
type scenario struct {
	off   map[string]bool
	wipe  bool    // the state bucket is emptied in the middle
	apart bool    // steps are run by runners
	dies  killing // that is all that goes wrong; zero: anything may
}

// simulate plays one history: uploads, events that come several times, late, in any order or never,
// invocations that die, a store that fails; then sweeps, with nothing failing any more.
func simulate(t *testing.T, seed uint64, s scenario) (w *world) {
	dir := scratch(t)
	defer os.RemoveAll(dir)
	synctest.Test(t, func(t *testing.T) {
		w = &world{
			t: t, random: rand.New(rand.NewPCG(seed, 7)), dir: dir, off: s.off, ledger: newLedger(),
			buckets: map[string]map[string]*simObject{"packages": {}, "results": {}, "state": {}},
			apart:   s.apart, post: post{jobs: map[string]*simJob{}},
			versioned: seed%2 == 0, kept: map[string][]*simObject{},
		}
		if w.apart {
			w.buckets["jobs"] = map[string]*simObject{}
		}
		w.calm = true
		w.sweep() // as a deployment does; from here on uploads are looked after
		w.in(59*time.Second, func() { w.calm = false })
		if s.dies.at > 0 {
			w.oneRun(s.dies)
		} else {
			w.plan(seed, s)
		}
		w.run()
		if !s.wipe {
			w.judge()
		}
	})
	return w
}

// scratch is a folder in memory where there is one.
func scratch(t *testing.T) string {
	base := os.TempDir()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		base = "/dev/shm"
	}
	dir, err := os.MkdirTemp(base, "cemli-sim-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// kinds of packages: what a manifest says besides its name, and what the world has to know of it.
var kinds = []struct {
	members    string
	sets       []string
	idempotent bool
	steps      int
	timeout    time.Duration // that it says; 0: none
}{
	{"", []string{""}, false, 2, 0},
	{"", []string{""}, false, 1, 0},
	{`,"idempotent":true`, []string{""}, true, 2, 0},
	{`,"on_failure":"stop"`, []string{""}, false, 2, 0},
	{
		`,"parameters":{"C":{"type":"string","default":"x"}},"parameter_sets":{"DE":{"C":"de"},"FR":{"C":"fr"}},` +
			`"on_set_failure":"continue"`, []string{"DE", "FR"}, false, 2, 0,
	},
	{
		`,"parameters":{"C":{"type":"string","default":"x"}},"parameter_sets":{"DE":{"C":"de"},"FR":{"C":"fr"}}`,
		[]string{"DE", "FR"},
		false, 1, 0,
	},
	{`,"timeout":"2m"`, []string{""}, false, 1, 2 * time.Minute}, // more than an event's invocation has
	{
		`,"timeout":"35s","parameter_sets":{"DE":{},"FR":{},"IT":{}}`,
		[]string{"DE", "FR", "IT"},
		false, 2,
		35 * time.Second,
	},
	{`,"x-check":true`, []string{""}, false, 1, 0}, // the uploader wants it checked only
	// What runs need, and so their leases, is anything from less than an invocation has to nearly all of a detached
	// one.
	{`,"timeout":"12s","rollback_timeout":"10s"`, []string{""}, false, 2, 12 * time.Second},
	{`,"timeout":"40s","idempotent":true`, []string{""}, true, 2, 40 * time.Second},
	{`,"timeout":"4m","rollback_timeout":"2m"`, []string{""}, false, 2, 4 * time.Minute},
	{`,"timeout":"8m","on_failure":"stop"`, []string{""}, false, 2, 8 * time.Minute},
}

var zips sync.Map // by manifest: packages are the same in all histories

func (w *world) makePackage(number int) *simPackage {
	kind := kinds[w.random.IntN(len(kinds))]
	name := fmt.Sprintf("p%d", number)
	switch w.random.IntN(8) {
	case 0:
		name = "bad" + name
	case 1, 2:
		name = "flaky" + name
	}
	p := &simPackage{
		name: name, group: name, idempotent: kind.idempotent, sets: kind.sets, steps: kind.steps, timeout: kind.timeout,
	}
	members := kind.members
	if strings.Contains(members, "x-check") {
		p.action = "check"
	}
	switch w.random.IntN(9) {
	case 0, 1, 2: // a group of its own
	case 3:
		p.group, p.hasty = "shared", true
		members += `,"concurrency":{"group":"shared","on_busy":"reject"}`
	default:
		p.group = "shared"
		members += `,"concurrency":{"group":"shared"}`
	}
	p.members, p.undo, p.goesOn = members, w.random.IntN(2) == 0, strings.Contains(members, "on_set_failure")
	w.packages[name], w.groups[p.group] = p, &simGroup{}
	return p
}

// zip is the package in a version.
func (p *simPackage) zip(t *testing.T, version string) []byte {
	doc := fmt.Sprintf(`{"name":%q,"version":%q,"type":"extension"%s}`, p.name, version, p.members)
	key := fmt.Sprint(doc, p.steps, p.undo)
	zip, ok := zips.Load(key)
	if !ok {
		contents := map[string]string{"manifest.json": doc}
		for _, step := range []string{"a.sh", "b.sh"}[:p.steps] {
			contents["steps/"+step] = "#!/bin/bash\n"
			if p.undo {
				contents["rollback/"+step] = "#!/bin/bash\n"
			}
		}
		zip, _ = zips.LoadOrStore(key, testkit.Zip(t, contents))
	}
	return zip.([]byte)
}

// plan says what will happen from outside.
func (w *world) plan(seed uint64, s scenario) {
	const busy = 8 * time.Minute
	packages := 2 + w.random.IntN(4)
	for n := range packages {
		p := w.makePackage(n)
		for copies := 1 + w.random.IntN(3); copies > 0; copies-- {
			object := p.name + ".zip"
			if w.random.IntN(3) == 0 {
				object = fmt.Sprintf("copy-%d-%s.zip", copies, p.name)
			}
			at := time.Minute + time.Duration(w.random.Int64N(int64(busy/time.Second)))*time.Second
			if w.random.IntN(4) == 0 {
				at = busy / 2 // as others are, within a second
			}
			w.in(at, func() { w.upload(p, object) })
			if w.random.IntN(10) == 0 {
				w.in(at+time.Duration(w.random.IntN(120))*time.Second, func() { w.withdraw(object) })
			}
		}
	}
	if !s.wipe {
		w.people(busy)
		w.changeMinds(seed, busy)
	}
	for at := time.Minute; at < busy; at += time.Duration(30+w.random.IntN(90)) * time.Second {
		w.in(at, func() { w.sweep() })
	}
	if s.wipe {
		w.in(busy/2, w.wipe)
	}
	w.in(busy+30*time.Minute, func() { w.calm = true; w.settle(60) })
}

// upload stores a package, whose event is delivered up to three times, at any time.
func (w *world) upload(p *simPackage, object string) {
	var metadata map[string]string
	if p.action != "" {
		metadata = map[string]string{"cemli-action": p.action}
	}
	release := fmt.Sprintf("1.0.%d", w.random.IntN(3))
	o := w.put("packages", object, p.zip(w.t, release), metadata)
	u := &upload{p, object, release, o.etag, o.version, o.created}
	w.uploads = append(w.uploads, u)
	w.log(u)
	for range w.random.IntN(4) {
		w.deliver(u, time.Duration(w.random.IntN(90))*time.Second)
	}
}

func (w *world) deliver(u *upload, after time.Duration) {
	w.duplicates++
	limit := callTime
	if w.off["clock"] && w.random.IntN(2) == 0 || w.random.IntN(10) == 0 { // functions of a longer timeout
		limit = detachedTime
	}
	w.in(after, func() {
		if w.random.IntN(6) == 0 {
			w.invoke(w.connector(u), limit)
			return
		}
		w.invoke([]executor.Request{u.event()}, limit)
	})
}

// event is what tells of an upload.
func (u *upload) event() executor.Request {
	return executor.Request{
		Bucket: "packages", Object: u.object, ETag: u.etag, VersionID: u.version,
		Trigger: executor.Trigger{Kind: executor.TriggerEvent, EventID: u.etag, EventTime: u.created},
	}
}

// connector is a batch with the events of several uploads.
func (w *world) connector(u *upload) []executor.Request {
	batch := []executor.Request{u.event()}
	for range 2 {
		batch = append(batch, w.uploads[w.random.IntN(len(w.uploads))].event())
	}
	return batch
}

// withdraw deletes an object, if it is there.
func (w *world) withdraw(object string) {
	if w.buckets["packages"][object] != nil {
		w.remove("packages", object)
	}
}

func (w *world) sweep() { w.invoke([]executor.Request{{Action: executor.ActionSweep}}, callTime) }

// settle sweeps, twice at once, until nothing is left.
func (w *world) settle(rounds int) {
	if rounds == 0 || rounds < 55 && w.quiet() {
		return
	}
	w.sweep()
	w.sweep()
	w.in(2*time.Minute, func() { w.settle(rounds - 1) })
}

// wipe empties the state bucket, and delivers every event so far once more.
func (w *world) wipe() {
	if w.alive > 0 || len(w.buckets["results"]) == 0 {
		w.in(10*time.Second, w.wipe) // whoever has looked already runs what it was about to
		return
	}
	for name := range w.buckets["state"] {
		if name != "watch.json" || !w.off["watch"] {
			delete(w.buckets["state"], name)
		}
	}
	clear(w.fences)
	for _, u := range w.uploads {
		w.deliver(u, time.Duration(w.random.IntN(30))*time.Second)
	}
}

// seeds plays histories on all processors until done says so, and adds up what they were.
func seeds(t *testing.T, from uint64, s scenario, done func(played int64, w *world) bool) {
	sandbox.Probe() // it is asked once, outside of any history
	var played atomic.Int64
	var next atomic.Uint64
	next.Store(from)
	var stop atomic.Bool
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for !stop.Load() {
				seed := next.Add(1)
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					w := simulate(t, seed, s)
					if done(played.Add(1), w) {
						stop.Store(true)
					}
				})
			}
		})
	}
	all.Wait()
}

// TestSimulation holds production's own code to its promises under everything that can go wrong.
// A history that breaks one prints its seed, with which -sim.seed plays it again.
func TestSimulation(t *testing.T) {
	total := hold(t, scenario{}, recorded)
	if total.steps == 0 || total.crashes == 0 || total.cancelled.before == 0 || total.cancelled.within == 0 {
		t.Error("nothing was executed or cancelled, or nothing went wrong")
	}
}

// tally is what histories were, all together.
type tally struct {
	ledger
	post post
}

// hold plays histories, and wants none to break a promise. It returns what they were, all together.
func hold(t *testing.T, s scenario, set int64) (total tally) {
	t.Helper()
	if *simSeed != 0 {
		w := simulate(t, *simSeed, s)
		t.Logf("%d operations, %d crashes; %d uploads, %d results", w.operations, w.crashes, len(w.uploads), w.results)
		for _, v := range w.violations {
			t.Error(v)
		}
		t.SkipNow()
	}
	var mu sync.Mutex
	start := time.Now()
	var histories int64
	violations, uploads := 0, 0
	from := uint64(0)
	if *simTime > 0 {
		from = rand.Uint64() >> 16
		t.Logf("the seeds begin with %d", from+1)
	}
	seeds(t, from, s, func(played int64, w *world) bool {
		mu.Lock()
		defer mu.Unlock()
		histories = max(histories, played)
		total.add(&w.ledger)
		total.post.add(&w.post)
		uploads += len(w.uploads)
		violations += len(w.violations)
		w.tell(t)
		if *simTime == 0 {
			return violations > 0 || histories >= set
		}
		return violations > 0 || time.Since(start) > *simTime
	})
	t.Logf("%d histories, %.0f a minute: %d store calls and steps, %d crashes, %d invocations, %d uploads, %d "+
		"deliveries; %d steps executed, %d refused for their fence, %d results; %d runs cancelled before they began, "+
		"%d later; %d violations",
		histories, float64(histories)/time.Since(start).Minutes(), total.operations, total.crashes, total.invocations,
		uploads, total.duplicates,
		total.steps, total.refusals, total.results, total.cancelled.before, total.cancelled.within, violations)
	return total
}

// tell says which promises a history has broken.
func (w *world) tell(t *testing.T) {
	if len(w.violations) == 0 {
		return
	}
	seed, broken := w.t.Name()[strings.LastIndex(w.t.Name(), "/")+1:], strings.Join(w.violations, "\n\t")
	t.Errorf("-sim.seed %s:\n\t%s", seed, broken)
	if *simLog != "" {
		if err := os.WriteFile(*simLog+"/"+seed, []byte(w.happened.String()+broken+"\n"), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// TestEverySafeguardIsNeeded switches the safeguards off, one by one, and wants the simulation to
// see what they are for.
func TestEverySafeguardIsNeeded(t *testing.T) {
	const most = 1000
	for name, c := range map[string]struct {
		scenario scenario
		want     string
		from     uint64 // where one is near
	}{
		"conditions": {scenario: scenario{off: map[string]bool{"conditions": true}}, want: "was executed "},
		// leases that have ended for some
		"clock":  {scenario: scenario{off: map[string]bool{"clock": true}}, want: "both in the group"},
		"fence":  {scenario: scenario{off: map[string]bool{"fence": true}}, want: "went on after"},
		"marks":  {scenario: scenario{off: map[string]bool{"marks": true}}, want: "the claim of "},
		"record": {scenario: scenario{off: map[string]bool{"record": true}}, want: "was applied again"},
		"todo":   {scenario: scenario{off: map[string]bool{"todo": true}}, want: "does not say who uploaded, and nothing is left"},
		"watch":  {scenario: scenario{off: map[string]bool{"watch": true}, wipe: true}, want: "was executed as"},
		// where steps run apart
		"begun.json is created, withdrawn": {scenario: without("begun"), want: "after its job was withdrawn"},
		"begun.json is created, twice":     {scenario: without("begun"), want: "in another runner than the one"},
		"kill_at":                          {scenario: without("kill_at"), want: "before the end of the job", from: 258},
		"who goes on with a run":           {scenario: without("attend"), want: "had stored an outcome"},
		"the runner's word":                {scenario: without("word"), want: "says success, and its runner does not"},
		"results are created":              {scenario: without("once"), want: "was replaced"},
		"mailboxes are ended":              {scenario: without("mailbox"), want: "was not ended"},
		"marks, apart":                     {scenario: without("marks"), want: "has no result"},
		"marks are removed, apart":         {scenario: without("deletes"), want: "is left"},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			found := ""
			var histories int64
			seeds(t, 1_000_000+c.from, c.scenario, func(played int64, w *world) bool {
				mu.Lock()
				defer mu.Unlock()
				histories = played
				for _, v := range w.violations {
					if found == "" && strings.Contains(v, c.want) {
						found = v
					}
				}
				return found != "" || played >= most
			})
			if found == "" {
				t.Fatalf("%d histories without the safeguard, and nothing was seen", histories)
			}
			t.Logf("after %d histories: %s", histories, found)
		})
	}
}

// With the watch in force nothing runs twice where the state was lost.
func TestLostState(t *testing.T) {
	var mu sync.Mutex
	seeds(t, 2_000_000, scenario{wipe: true}, func(played int64, w *world) bool {
		mu.Lock()
		defer mu.Unlock()
		for _, v := range w.violations {
			if strings.Contains(v, "executed") {
				t.Error(v)
			}
		}
		return t.Failed() || played >= 200
	})
}

// without is a world apart without a safeguard.
func without(safeguard string) scenario {
	return scenario{apart: true, off: map[string]bool{safeguard: true}}
}
