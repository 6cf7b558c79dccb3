package executor_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cemli-executor/internal/testkit"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
)

// world is a simulated tenancy: one store, and invocations that come and go. Only one of them does
// anything at a time, and a generator of random numbers decides which, and what goes wrong, so that
// a seed is a whole history that can be had again.
type world struct {
	t        *testing.T
	random   *rand.Rand
	dir      string
	happened testkit.Buffer  // with -sim.log
	off      map[string]bool // safeguards that are switched off
	apart    bool            // steps are run by runners
	post     post
	dies     killing
	buckets  map[string]map[string]*simObject
	writes   int
	// versioned: the packages bucket keeps versions, by name and the newest first.
	versioned bool
	kept      map[string][]*simObject
	calm      bool // nothing goes wrong any more
	stopped   bool
	outages   []outage

	mu      sync.Mutex
	pending []*operation
	alive   int // invocations that have not returned
	number  int
	later   []future

	ledger
}

// future is something that happens at a time.
type future struct {
	at time.Time
	do func()
}

// operation is what an invocation waits for.
type operation struct {
	by     *invocation
	op     string
	what   string
	effect func() error
	done   chan error
	after  time.Duration // that the answer takes
}

// invocation is one call of the function, until it returns or is killed.
type invocation struct {
	world  *world
	number int
	skew   time.Duration
	hard   time.Time
	dead   bool
	died   time.Time // zero: at the end of its time, or never
	fresh  int       // requests that follow a step's end
	undead bool      // it was suspended, and the platform forgot to kill it
	does   *simJob   // what it was called for; nil: it is no runner
	blind  time.Time // when it could last not read a mailbox
}

// errGone is what a dead invocation's calls end with; they have no effect.
var errGone = store.Error(store.ErrUnavailable, "reach", "store", "", errors.New("this invocation is dead"))

// schedule waits until the scheduler has carried an operation out.
func (i *invocation) schedule(ctx context.Context, op, what string, effect func() error) error {
	o := &operation{by: i, op: op, what: what, effect: effect, done: make(chan error, 1)}
	i.world.mu.Lock()
	i.world.pending = append(i.world.pending, o)
	i.world.mu.Unlock()
	if strings.HasPrefix(op, "step") {
		return <-o.done
	}
	select {
	case <-ctx.Done(): // whether it is carried out, nobody knows: it may be later
		return store.Error(store.ErrUnavailable, op, "sim", what, ctx.Err())
	case err := <-o.done:
		wait(ctx, o.after)
		return err
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// run carries out operations, in an order that the seed decides, until nothing is left to happen.
func (w *world) run() {
	for {
		synctest.Wait()
		w.mu.Lock()
		pending, alive := len(w.pending), w.alive
		w.mu.Unlock()
		switch {
		case w.due():
		case pending > 0 && w.random.IntN(20) > 0:
			w.step()
		case pending == 0 && alive == 0 && len(w.later) == 0:
			return
		case w.operations > 10_000 && !w.apart, w.operations > 60_000:
			w.violated("the history does not end")
			w.stop()
		default:
			w.pass(pending)
		}
	}
}

// stop kills every invocation, and nothing happens from outside any more.
func (w *world) stop() {
	w.stopped, w.later, w.operations = true, nil, 0
}

// due does what is to happen by now.
func (w *world) due() bool {
	slices.SortStableFunc(w.later, func(a, b future) int { return a.at.Compare(b.at) })
	if len(w.later) == 0 || w.later[0].at.After(time.Now()) {
		return false
	}
	next := w.later[0]
	w.later = w.later[1:]
	next.do()
	return true
}

// pass lets time pass: a moment while something waits to be done, else until something happens.
func (w *world) pass(pending int) {
	moment := time.Duration(1+w.random.IntN(3000)) * time.Millisecond
	if pending == 0 && len(w.later) > 0 {
		moment = max(moment, min(time.Until(w.later[0].at), 5*time.Second))
	}
	time.Sleep(moment)
}

func (w *world) in(d time.Duration, do func()) {
	if w.stopped {
		return
	}
	w.later = append(w.later, future{time.Now().Add(d), do})
}

// step carries out one of the operations that wait.
func (w *world) step() {
	w.mu.Lock()
	slices.SortStableFunc(w.pending, func(a, b *operation) int {
		// an invocation may ask side by side
		return cmp.Or(a.by.number-b.by.number, cmp.Compare(a.op, b.op), cmp.Compare(a.what, b.what))
	})
	n := w.random.IntN(len(w.pending))
	o := w.pending[n]
	w.pending = slices.Delete(w.pending, n, n+1)
	w.mu.Unlock()
	err := w.carryOut(o)
	if err != nil && o.op == "get" && strings.HasPrefix(o.what, "jobs/") && !errors.Is(err, store.ErrNotFound) {
		o.by.blind = time.Now()
	}
	if *simLog != "" {
		fmt.Fprintf(&w.happened, "%s %3d %-13s %s %v\n", time.Now().Format("15:04:05"), o.by.number, o.op, o.what, err)
	}
	if *simSeed != 0 && testing.Verbose() {
		w.t.Logf("%s %3d %-13s %s %v", time.Now().Format("15:04:05"), o.by.number, o.op, o.what, err)
	}
	o.done <- err
}

// carryOut does an operation, or what goes wrong instead of or after it.
func (w *world) carryOut(o *operation) error {
	i := o.by
	if !i.undead && !time.Now().Before(i.hard) {
		i.dead = true
	}
	if i.dead || w.stopped {
		return errGone
	}
	w.operations++
	if w.dies.hits(o) {
		if w.dies.after {
			_ = o.effect()
		}
		w.crash(i)
		return errGone
	}
	chance := w.random.IntN(1000)
	if w.calm {
		return o.effect()
	}
	call := !strings.HasPrefix(o.op, "step")
	if call && w.breaks(o) {
		w.breakdown(o)
	}
	switch {
	case chance < 6:
		w.crash(i)
		return errGone
	case chance < 12:
		_ = o.effect() // nobody will know
		w.crash(i)
		return errGone
	case !call:
		return o.effect()
	case w.out(o) != nil:
		return w.failsIn(w.out(o), o)
	case chance < 22: // 503: nothing was done
		return store.Error(store.ErrUnavailable, o.op, "sim", o.what, errors.New("503"))
	case chance < 34: // it was done, and the answer is lost
		_ = o.effect()
		return store.Error(store.ErrUnavailable, o.op, "sim", o.what, errors.New("lost answer"))
	case chance < 40: // it was done, and a repetition of it refused
		err := o.effect()
		if err == nil && o.op == "put" {
			return store.Error(store.ErrExists, o.op, "sim", o.what, errors.New("412 after a retry"))
		}
		return err
	case chance < 44:
		return store.Error(store.ErrNoBucket, o.op, "sim", o.what, errors.New("false 404"))
	}
	return o.effect()
}

func (w *world) crash(i *invocation) {
	i.dead, i.died = true, time.Now()
	w.crashes++
	if i.does != nil {
		w.post.kills++
	}
}

// invoke starts an invocation with a request, or a batch of them; one for a sweep asks for that.
func (w *world) invoke(requests []executor.Request, limit time.Duration) {
	w.number++
	w.invocations++
	skew := time.Duration(w.random.Int64N(int64(2*maxSkew)+1) - int64(maxSkew)).Truncate(time.Millisecond)
	if !w.calm && w.random.IntN(30) == 0 {
		skew = time.Hour // a machine whose clock is wrong
	}
	i := &invocation{world: w, number: w.number, skew: skew, hard: time.Now().Add(limit)}
	config := w.config(i)
	w.mu.Lock()
	w.alive++
	w.mu.Unlock()
	go func() {
		ctx, cancel := context.WithDeadline(context.Background(), i.hard)
		defer cancel()
		defer func() {
			w.mu.Lock()
			w.alive--
			w.mu.Unlock()
		}()
		run := executor.New(config)
		if requests[0].Action == executor.ActionSweep {
			_, _ = run.Sweep(ctx, "") // what it could not do the next one does
			return
		}
		if requests[0].Action == executor.ActionCancel {
			asked, err := run.Cancel(ctx, requests[0])
			_ = i.schedule(ctx, "step answer", "", func() error {
				if err == nil {
					w.cancelled.told = append(w.cancelled.told, asked.Runs...)
				}
				return nil
			})
			return
		}
		for n, request := range requests {
			var results []evidence.Result
			var err error
			if n > 0 && !run.HasTime(ctx) {
				var later evidence.Result
				later, err = run.Later(ctx, request)
				results = []evidence.Result{later}
			} else {
				if n > 0 {
					_ = i.schedule(ctx, "step item", "", func() error { w.squeezed[request.ETag] = true; return nil })
				}
				results, err = run.Run(ctx, request)
			}
			_ = i.schedule(ctx, "step answer", "", func() error { w.answered(request, results, err); return nil })
		}
		if requests[0].Trigger.Kind == executor.TriggerEvent {
			_ = run.SweepInSpareTime(ctx, "") // what it could not do a sweep does
		}
	}()
}

const (
	callTime     = time.Minute
	detachedTime = 10 * time.Minute
	maxSkew      = 5 * time.Second // of clocks that are right
)

func (w *world) config(i *invocation) executor.Config {
	bucket := func(name string) store.Bucket { return simBucket{name, i} }
	skew := i.skew
	if w.off["clock"] && time.Until(i.hard) > callTime {
		skew = 3 * time.Minute // the leases of shorter calls have ended for it
	}
	limits := executor.DefaultLimits()
	limits.Attempts, limits.Deaths = 50, 50 // what goes wrong here goes wrong often
	c := executor.Config{
		Packages: bucket("packages"), Results: bucket("results"), State: bucket("state"),
		Namespace: func(context.Context) (string, error) { return "ns", nil }, Environment: "prod",
		WorkDir: fmt.Sprintf("%s/%d", w.dir, i.number), KeepPackages: true, Reserve: 5 * time.Second, Limits: limits,
		Sandbox: sandbox.LevelNone, Output: executor.OutputNone, Log: i.logger(),
		Clock:    func() time.Time { return time.Now().Add(skew) },
		Children: executor.Children{Spawn: i.spawn}, WriteLog: i.readLog,
		Invoke: func(ctx context.Context, mark string) error {
			return i.schedule(ctx, "step invoke", mark, func() error {
				if w.random.IntN(10) > 0 || w.calm {
					w.in(time.Duration(w.random.IntN(20))*time.Second, func() {
						w.invoke([]executor.Request{{Continue: mark, Bucket: "packages"}}, detachedTime)
					})
				}
				return nil
			})
		},
		Announce: func(ctx context.Context, r evidence.Result) error {
			return i.schedule(ctx, "step announce", r.RunID, func() error { w.announced[r.RunID]++; return nil })
		},
	}
	if w.apart {
		w.goApart(&c, i)
	}
	return c
}

// spawn is a script: it changes the target, which is a ledger of who did what, and when.
func (i *invocation) spawn(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error) {
	w := i.world
	env := map[string]string{}
	for _, entry := range c.Env {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	o := sandbox.Outcome{Start: time.Now()}
	var took time.Duration
	var refused bool
	stall := false
	_ = i.schedule(ctx, "step prepare", env["CEMLI_RUN_ID"], func() error {
		took = time.Duration(w.random.IntN(8000)) * time.Millisecond
		if w.random.IntN(20) == 0 {
			took *= 30
		}
		stall = !w.calm && w.random.IntN(60) == 0
		return nil
	})
	if i.dead {
		return o, errGone
	}
	if stall {
		// The machine is suspended between the last look at the lease and the step.
		i.undead, took = true, 0
		time.Sleep(2 * detachedTime)
	}
	env["script"] = c.ScriptPath
	err := i.schedule(ctx, "step begin", env["CEMLI_RUN_ID"], func() error {
		w.does(i, env)
		if w.apart {
			w.stepOfJob(i, env)
		}
		if refused = !w.begin(i, env); refused {
			w.did(env, 9, false)
		}
		if i.undead {
			w.end(env) // at once
		}
		return nil
	})
	if err != nil || i.dead {
		return o, errGone
	}
	if refused {
		o.ExitCode, o.Took = 9, time.Since(o.Start)
		return o, nil
	}
	select {
	case <-time.After(took):
	case <-ctx.Done():
		o.Stopped = true
	}
	if err := i.schedule(ctx, "step end", env["CEMLI_RUN_ID"], func() error {
		w.end(env)
		o.ExitCode = w.fails(env)
		w.did(env, o.ExitCode, o.Stopped)
		return nil
	}); err != nil || i.dead {
		return o, errGone
	}
	o.Took = time.Since(o.Start)
	return o, nil
}
