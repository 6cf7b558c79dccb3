package local_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

var (
	chaosPackages = flag.Int("chaos.packages", 40, "packages of the chaos test")
	chaosGroups   = flag.Int("chaos.groups", 5, "concurrency groups of them")
	chaosShared   = flag.Bool("chaos.shared-uid", false, "whether all instances are one user")
	chaosKills    = flag.Duration("chaos.kills", 1500*time.Millisecond, "how long between two kills, about")
)

// target is what the packages' scripts change: a server that counts who did what, and when. The test judges by what
// it has seen, and not by what the product says about itself.
type target struct {
	mu         sync.Mutex
	runs       map[string][]string // by package: run ids that began
	groups     map[string]*visit
	fences     map[string]int64
	violations []string
	executions int
	seen       map[string]sighting // the last of each run
	steps      map[string]bool     // those that began, by run and what they tell
}

// sighting is when a run was last seen, and from which process of the function.
type sighting struct {
	at  time.Time
	pid int
}

// visit is the step that runs in a group.
type visit struct {
	run   string
	began time.Time
}

// longestStep is longer than any script of the test takes; a function that is killed never reports the end of its
// step.
const longestStep = 4 * time.Second

func (s *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	pkg, group, run := q.Get("package"), q.Get("group"), q.Get("run")
	fence, err := strconv.ParseInt(q.Get("fence"), 10, 64)
	if err != nil {
		s.violations = append(s.violations, fmt.Sprintf("run %s has no fence: %v", run, err))
	}
	now := s.groups[group]
	pid, _ := strconv.Atoi(q.Get("pid")) // 0: nobody is killed by that number
	s.seen[run] = sighting{time.Now(), pid}
	switch {
	case q.Get("what") == "end":
		if now != nil && now.run == run {
			delete(s.groups, group)
		}
		return
	case now != nil && now.run != run && time.Since(now.began) < longestStep:
		s.violations = append(s.violations,
			fmt.Sprintf("run %s began while %s ran, both in the group %s", run, now.run, group))
	case fence < s.fences[group]:
		s.violations = append(s.violations,
			fmt.Sprintf("run %s came with the fence %d after %d", run, fence, s.fences[group]))
	}
	s.groups[group], s.fences[group] = &visit{run, time.Now()}, max(fence, s.fences[group])
	s.steps[run+" "+q.Get("what")] = true
	if q.Get("what") == "first" {
		s.executions++
		s.runs[pkg] = append(s.runs[pkg], run)
	}
}

// tells is a step that tells the target about its beginning and its end.
func tells(address, what, pkg, group string) string {
	_, port, _ := net.SplitHostPort(address)
	tell := func(what string) string {
		return fmt.Sprintf(`exec 3<>/dev/tcp/127.0.0.1/%s;
printf 'GET /?what=%s&package=%s&group=%s&run=%%s&fence=%%s&pid=%%s HTTP/1.0\r\n\r\n' "$CEMLI_RUN_ID" "$CEMLI_FENCE" "$PPID" >&3; cat <&3 >/dev/null; exec 3>&-`,
			port, what, pkg, group)
	}
	return "set -e\n" + tell(what) + "\nsleep 0.$((RANDOM % 4))\n" + tell("end") + "\n"
}

// chaos is a cloud in which things go wrong.
type chaos struct {
	*cloud
	target     *target
	kills      int
	killed     map[int][]time.Time // by process
	deliveries atomic.Int64
}

// kill kills a random instance of the function, if there is one.
func (c *chaos) kill() {
	var pids []int
	paths, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	for _, path := range paths {
		pid, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			continue
		}
		exe, err := os.Readlink(path + "/exe")
		stat, err2 := os.ReadFile(path + "/stat")
		if err != nil || err2 != nil || filepath.Base(exe) != "function" {
			continue
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		return
	}
	pid := pids[rand.IntN(len(pids))] //nolint:gosec // chance, not secrecy
	if syscall.Kill(pid, syscall.SIGKILL) == nil {
		c.kills++
		c.killed[pid] = append(c.killed[pid], time.Now())
	}
}

// TestChaos runs the real function, in several instances that are killed at random, over a local OCI that fails,
// loses answers, and delivers events several times, late, or never. Afterwards sweeps must leave everything in order.
func TestChaos(t *testing.T) {
	seen := &target{
		runs: map[string][]string{}, seen: map[string]sighting{}, steps: map[string]bool{}, groups: map[string]*visit{},
		fences: map[string]int64{},
	}
	server := httptest.NewServer(seen)
	defer server.Close()
	binary, err := function()
	if err != nil {
		t.Fatal(err)
	}
	c := &chaos{target: seen, killed: map[int][]time.Time{}, cloud: &cloud{t: t, log: &testkit.Buffer{}}}
	stack, err := local.Start(local.Options{
		Dir: t.TempDir(), Binary: binary, Instances: 4, MemoryMB: 256, Timeout: 8 * time.Second,
		Detached: 2 * time.Minute, Sweep: 5 * time.Second,
		SharedUID: *chaosShared,
		Settings: map[string]string{
			"CEMLI_RESERVE": "1s", "CEMLI_LOG_OUTPUT": "none", "CEMLI_LIMIT_ATTEMPTS": "100",
		},
		FunctionLog: c.log, Log: slog.New(slog.DiscardHandler),
		Observe: func(a localoci.Activity) {
			if a.Kind == "event" {
				c.deliveries.Add(1)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	c.Stack = stack
	// as a deployment does; from here on uploads are looked after
	if _, err := c.invoke(`{"action":"sweep"}`); err != nil {
		t.Fatal(err)
	}
	faults := localoci.Faults{
		Throttle: 0.01, Unavailable: 0.01, Drop: 0.005, LoseAnswer: 0.01, FalseNo: 0.005,
		EventLose: 0.1, EventDuplicate: 0.4, EventReorder: localoci.Duration(3 * time.Second),
	}
	if err := c.Server().SetFaults(faults); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	ctx, calm := context.WithCancel(t.Context())
	var killer sync.WaitGroup
	killer.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(rand.N(2 * *chaosKills)): //nolint:gosec // chance, not secrecy
				c.kill()
			}
		}
	})
	idempotent := c.uploadAll(server.Listener.Addr().String())
	c.waitForEvents()
	calm()
	killer.Wait()
	if err := c.Server().SetFaults(localoci.Faults{}); err != nil {
		t.Fatal(err)
	}
	sweeps := c.sweepUntilDone()
	results, interrupted := c.judge(idempotent)
	t.Logf("%d packages in %d groups, %d deliveries, %d kills, %d executions, %d results (%d interrupted), %d sweeps, "+
		"in %s; %d violations",
		*chaosPackages, *chaosGroups, c.deliveries.Load(), c.kills, seen.executions, results, interrupted, sweeps,
		time.Since(start).Round(time.Second), len(seen.violations))
	if c.kills == 0 || seen.executions == 0 {
		t.Errorf("%d kills, %d executions: nothing went wrong, or nothing ran", c.kills, seen.executions)
	}
	c.logRecovery()
	for _, v := range seen.violations {
		t.Error(v)
	}
}

// logRecovery logs the time from the kill of a function during a run to that run's result.
func (c *chaos) logRecovery() {
	var short, long []time.Duration
	for run, stored := range c.storedAt() {
		last := c.target.seen[run]
		for _, killed := range c.killed[last.pid] {
			if killed.Before(last.at) || !killed.Before(stored) {
				continue
			}
			if strings.Contains(run, "-long-") {
				long = append(long, stored.Sub(killed))
			} else {
				short = append(short, stored.Sub(killed))
			}
			break
		}
	}
	for what, took := range map[string][]time.Duration{
		"packages that say no timeout (leased as long as the invocation)": short,
		"packages with a timeout, detached":                               long,
	} {
		slices.Sort(took)
		if n := len(took); n > 0 {
			c.t.Logf("%d runs of %s were killed; from then to the result it took %s at most, and %s in the middle", n,
				what, took[n-1].Round(time.Second), took[n/2].Round(time.Second))
		}
	}
}

// storedAt is when the result of each run was stored.
func (c *chaos) storedAt() map[string]time.Time {
	at := map[string]time.Time{}
	for start := ""; ; {
		page, err := c.bucket("results").List(c.t.Context(), store.ListOptions{Prefix: "runs/", Start: start})
		if err != nil {
			c.t.Fatal(err)
		}
		for _, o := range page.Objects {
			if run, ok := strings.CutSuffix(strings.TrimPrefix(o.Name, "runs/"), "/result.json"); ok {
				at[run] = o.Created
			}
		}
		if start = page.Next; start == "" {
			return at
		}
	}
}

// uploadAll uploads the packages; the answer says which of them may run again.
func (c *chaos) uploadAll(address string) map[string]bool {
	idempotent := map[string]bool{}
	for n := range *chaosPackages {
		name, group, members := fmt.Sprintf("chaos-%d", n), fmt.Sprintf("group-%d", n%*chaosGroups), ""
		if n%4 == 0 { // more than an event's invocation has
			name, members = fmt.Sprintf("chaos-long-%d", n), `,"timeout":"9s"`
		}
		idempotent[name] = n%5 == 0
		data := testkit.Zip(c.t, map[string]string{
			"manifest.json": fmt.Sprintf(
				`{"name":%q,"version":"1.0.0","type":"extension","idempotent":%v,"concurrency":{"group":%q}%s}`, name,
				idempotent[name], group, members),
			"steps/1.sh": tells(address, "first", name, group), "steps/2.sh": tells(address, "second", name, group),
		})
		for try := 1; ; try++ {
			_, err := c.packages().Put(c.t.Context(), name+"-1.0.0.zip", strings.NewReader(string(data)),
				int64(len(data)), store.PutOptions{IfNoneMatch: true})
			if err == nil {
				break
			}
			if _, headErr := c.packages().Head(c.t.Context(), name+"-1.0.0.zip"); headErr == nil {
				break
			}
			if try == 20 {
				c.t.Fatal(err)
			}
		}
		time.Sleep(rand.N(200 * time.Millisecond)) //nolint:gosec // chance, not secrecy
	}
	return idempotent
}

// waitForEvents waits until every event was delivered or given up, but at most ten minutes.
func (c *chaos) waitForEvents() {
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if n, err := c.Server().PendingEvents(); err != nil {
			c.t.Fatal(err)
		} else if n == 0 {
			return
		}
	}
	c.t.Error("there are events that are not delivered")
}

// sweepUntilDone sweeps until nothing is pending and every upload has a result.
func (c *chaos) sweepUntilDone() (sweeps int) {
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		sweeps++
		var answer struct {
			Status string `json:"status"`
			More   bool   `json:"more"`
		}
		doc, err := c.invoke(`{"action":"sweep"}`)
		if err != nil || json.Unmarshal(doc, &answer) != nil || answer.Status != "success" {
			c.t.Logf("a sweep answered %s, %v", doc, err)
			continue
		}
		if !answer.More && len(c.names("state", "open/")) == 0 && len(c.resultNames()) >= *chaosPackages {
			return sweeps
		}
	}
	c.t.Error("sweeps do not come to an end")
	return sweeps
}

func (c *chaos) bucket(name string) store.Bucket {
	if name == "state" {
		return c.Person().Bucket(c.Buckets().State)
	}
	return c.Person().Bucket(c.Buckets().Results)
}

// names lists the objects of a bucket.
func (c *chaos) names(bucket, prefix string) []string {
	var names []string
	for start := ""; ; {
		page, err := c.bucket(bucket).List(c.t.Context(), store.ListOptions{Prefix: prefix, Start: start})
		if err != nil {
			c.t.Fatal(err)
		}
		for _, o := range page.Objects {
			names = append(names, o.Name)
		}
		if start = page.Next; start == "" {
			return names
		}
	}
}

func (c *chaos) read(bucket, name string) []byte {
	body, _, err := c.bucket(bucket).Get(c.t.Context(), name, store.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer body.Close()
	doc, err := io.ReadAll(body)
	if err != nil {
		c.t.Fatal(err)
	}
	return doc
}

// resultNames are the names of all results.
func (c *chaos) resultNames() []string {
	return slices.DeleteFunc(c.names("results", "runs/"),
		func(name string) bool { return !strings.HasSuffix(name, "/result.json") })
}

// judge compares what the target has seen with the results, and checks what is left.
func (c *chaos) judge(idempotent map[string]bool) (results, interrupted int) {
	s := c.target
	violated := func(format string, args ...any) { s.violations = append(s.violations, fmt.Sprintf(format, args...)) }
	chains := map[string][]evidence.Result{}
	for _, name := range c.resultNames() {
		r, err := evidence.Decode(c.read("results", name))
		if err != nil {
			c.t.Fatal(err)
		}
		results++
		if r.Status == evidence.StatusInterrupted {
			interrupted++
		}
		chains[r.Package.Name] = append(chains[r.Package.Name], r)
	}
	for name, again := range idempotent {
		chain := chains[name]
		slices.SortFunc(chain, func(a, b evidence.Result) int { return a.Attempt - b.Attempt })
		switch last := len(chain) - 1; {
		case last < 0:
			violated("%s has no result", name)
		case last > 0 && !again:
			violated("%s has %d results", name, len(chain))
		case again && chain[last].Status != evidence.StatusSuccess:
			violated("%s may run again, and ended %s: %s", name, chain[last].Status, chain[last].Message)
		case chain[last].Status != evidence.StatusSuccess && chain[last].Status != evidence.StatusInterrupted:
			violated("%s ended %s: %s", name, chain[last].Status, chain[last].Message)
		}
		runs := slices.Compact(slices.Sorted(slices.Values(s.runs[name])))
		if len(runs) != len(s.runs[name]) || len(runs) > 1 && !again {
			violated("%s was executed as %v", name, s.runs[name])
		}
		for _, r := range chain {
			for i, what := range []string{"first", "second"} {
				says, began := says(r, i), s.steps[r.RunID+" "+what]
				if says != "" && began == (says == evidence.StepNotRun) && says != evidence.StepInterrupted {
					violated("run %s says of its %s step: %s; whether it began: %v", r.RunID, what, says, began)
				}
			}
		}
	}
	for _, name := range c.names("state", "groups/") {
		var g claim.Group
		if err := json.Unmarshal(c.read("state", name), &g); err != nil || len(g.Queue) > 0 {
			violated("%d runs wait in %s, %v", len(g.Queue), name, err)
		}
	}
	return results, interrupted
}

// says is what a result says about a step; "" if the run ended before it knew of any.
func says(r evidence.Result, step int) evidence.StepStatus {
	if step >= len(r.Steps) {
		return ""
	}
	return r.Steps[step].Status
}
