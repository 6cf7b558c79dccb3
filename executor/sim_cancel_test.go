package executor_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
)

// cancels is what people wanted to end, and what they were told.
type cancels struct {
	runs    map[string]bool // by run id
	objects map[string]bool // of requests that were to end as a whole
	told    []executor.AskedRun

	before, within int // runs that were cancelled before they began, or while they ran
}

// changeMinds makes people cancel runs, some of them twice. What they do is random in a way of its own, so that
// histories without them are as they were.
func (w *world) changeMinds(seed uint64, busy time.Duration) {
	random := rand.New(rand.NewPCG(seed, 8))
	for n := range random.IntN(9) {
		at := time.Minute + time.Duration(random.Int64N(int64(busy/time.Second)))*time.Second
		w.in(at, func() { w.cancel(random, n) })
	}
}

// cancel cancels a run that executes steps, or has not ended, or any.
func (w *world) cancel(random *rand.Rand, n int) {
	var running, open, all []claim.Claim
	for _, name := range slices.Sorted(maps.Keys(w.buckets["state"])) {
		var c claim.Claim
		if !strings.HasPrefix(name, "claims/") || json.Unmarshal(w.buckets["state"][name].body, &c) != nil ||
			c.RunID == "" {
			continue
		}
		if all = append(all, c); c.State != claim.Done {
			open = append(open, c)
		}
		if c.State == claim.Running {
			running = append(running, c)
		}
	}
	switch {
	case len(all) == 0:
		return
	case len(running) > 0 && random.IntN(4) > 0:
		all = running
	case len(open) > 0:
		all = open
	}
	of := all[random.IntN(len(all))]
	q := executor.Request{
		Action: executor.ActionCancel, Reason: fmt.Sprint("cancel ", n),
		Trigger: executor.Trigger{Kind: executor.TriggerRequest},
	}
	q.Cancel.RunID, q.Cancel.WholeRequest = of.RunID, random.IntN(3) == 0
	w.cancelled.runs[of.RunID] = true
	if q.Cancel.WholeRequest {
		w.cancelled.objects[of.Object] = true
	}
	for range 1 + random.IntN(2) {
		w.in(time.Duration(random.IntN(10))*time.Second, func() { w.invoke([]executor.Request{q}, callTime) })
	}
}

// mayBeCancelled reports whether somebody wanted a run to end.
func (w *world) mayBeCancelled(r evidence.Result) bool {
	return w.cancelled.runs[r.RunID] || w.cancelled.objects[r.SourceObject]
}

// judgeCancels wants runs to be cancelled only if somebody asked for it, those that had not begun to have executed
// nothing, and what people were told to be true.
func (w *world) judgeCancels(found map[string]evidence.Result) {
	for id, r := range found {
		if r.Status != evidence.StatusCancelled {
			continue
		}
		if !w.mayBeCancelled(r) || r.Cancelled == nil || !strings.HasPrefix(r.Cancelled.Reason, "cancel ") {
			w.violated("run %s was cancelled, and nobody wanted that: %+v", id, r.Cancelled)
		}
		if w.cancelled.within++; r.Error.Code == "request.cancelled" {
			w.cancelled.within--
			w.cancelled.before++
			if w.began[id] {
				w.violated("run %s was cancelled before it began, and was executed", id)
			}
		}
	}
	for _, run := range w.cancelled.told {
		r, ok := found[run.RunID]
		if !ok || run.Status == evidence.StatusCancelled && r.Status != evidence.StatusCancelled {
			w.violated("somebody was told that run %s is %s, and it is %q", run.RunID, run.Status, r.Status)
		}
	}
}
