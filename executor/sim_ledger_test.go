package executor_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
)

// simPackage is a package of the simulation.
type simPackage struct {
	name, group string
	members     string // of its manifest
	undo        bool   // its steps have one
	goesOn      bool   // with the other sets after one that failed
	idempotent  bool
	sets        []string // "" alone where there are none
	steps       int
	timeout     time.Duration // 0: it says none
	action      string        // what the uploader chose; "": apply
	hasty       bool          // it does not wait for its group
}

// upload is one version of an object.
type upload struct {
	pkg     *simPackage
	object  string
	release string // of the package
	etag    string
	version string // "" where the bucket keeps none
	created time.Time
}

// place is where a run of it is in the order of its group.
func (u *upload) place(set string) claim.Place {
	return claim.Place{
		Created: u.created.UTC(), Package: u.pkg.name, Version: u.release, Object: u.object, ETag: u.etag, Set: set,
	}
}

// ledger is what really happened, as the outside sees it, and what is wrong with it.
type ledger struct {
	packages   map[string]*simPackage
	uploads    []*upload
	accepted   map[string]bool     // ETags whose events were answered
	squeezed   map[string]bool     // ETags whose runs were begun with what an earlier item of a batch had left
	executions map[string]int      // by run id and step: how often it began
	began      map[string]bool     // by run id
	runs       map[string][]string // by run key: run ids that began
	groups     map[string]*simGroup
	fences     map[string]int64       // of the records in the store
	places     map[string]claim.Place // by run key
	byHand     map[string]bool        // by run key: a person asked
	late       map[string]bool        // by run id, as it should be
	announced  map[string]int
	deeds      map[string]*deed     // by run id and script
	leases     map[string]time.Time // of claims, by run id
	holders    map[string]string    // of claims of runs apart, by job
	entries    []simEntry           // of the write log
	answers    []evidence.Result
	model
	cancelled  cancels
	violations []string

	operations, crashes, invocations, duplicates, refusals, results, steps int
}

// simGroup is what the target sees of a concurrency group.
type simGroup struct {
	active string // run id
	by     *invocation
	fence  int64
	order  []string // run ids, as they began
	latest claim.Place
}

func newLedger() ledger {
	return ledger{
		packages: map[string]*simPackage{}, accepted: map[string]bool{}, squeezed: map[string]bool{},
		executions: map[string]int{}, began: map[string]bool{}, runs: map[string][]string{},
		groups: map[string]*simGroup{},
		model:  newModel(), fences: map[string]int64{}, places: map[string]claim.Place{}, byHand: map[string]bool{},
		late: map[string]bool{}, announced: map[string]int{},
		cancelled: cancels{runs: map[string]bool{}, objects: map[string]bool{}},
		deeds:     map[string]*deed{}, leases: map[string]time.Time{}, holders: map[string]string{},
	}
}

// add adds up what happened in histories.
func (l *ledger) add(m *ledger) {
	l.operations, l.crashes, l.invocations = l.operations+m.operations, l.crashes+m.crashes, l.invocations+m.invocations
	l.duplicates, l.results, l.steps = l.duplicates+m.duplicates, l.results+m.results, l.steps+m.steps
	l.refusals += m.refusals
	l.cancelled.before += m.cancelled.before
	l.cancelled.within += m.cancelled.within
}

func (w *world) violated(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

var keyInID = regexp.MustCompile(`-([0-9a-f]{12})(-[0-9]+)?$`)

// keyOf is the part of the run key that a run id has.
func keyOf(runID string) string {
	match := keyInID.FindStringSubmatch(runID)
	if match == nil {
		return runID
	}
	return match[1]
}

// begin is a step that arrives at the target. The target refuses one whose fence is older than one
// it has seen.
func (w *world) begin(i *invocation, env map[string]string) bool {
	p, id := w.packages[env["CEMLI_PACKAGE"]], env["CEMLI_RUN_ID"]
	w.started(env)
	fence, err := strconv.ParseInt(env["CEMLI_FENCE"], 10, 64)
	if err != nil {
		w.violated("run %s has the fence %q", id, env["CEMLI_FENCE"])
	}
	g := w.groups[p.group]
	if fence < g.fence && !w.off["fence"] {
		w.refusals++
		return false
	}
	g.fence = max(g.fence, fence)
	w.steps++
	if g.active != "" && g.active != id && !g.by.dead {
		w.violated("run %s began while %s ran, both in the group %s", id, g.active, p.group)
	}
	if n := len(g.order); n > 0 && g.order[n-1] != id {
		w.mayBegin(p.group, g.order[n-1])
	}
	if n := len(g.order); n > 0 && g.order[n-1] != id && slices.Contains(g.order, id) {
		w.violated("run %s went on after %s had begun, both in the group %s", id, g.order[n-1], p.group)
	}
	if !slices.Contains(g.order, id) {
		g.order = append(g.order, id)
	}
	g.active, g.by = id, i
	w.executed(p, id, env["script"])
	return true
}

func (w *world) executed(p *simPackage, id, step string) {
	if w.executions[id+" "+step]++; w.executions[id+" "+step] > 1 {
		w.violated("the step %s of run %s was executed %d times", step, id, w.executions[id+" "+step])
	}
	w.began[id] = true
	key := keyOf(id)
	if !slices.Contains(w.runs[key], id) {
		w.runs[key] = append(w.runs[key], id)
	}
	if len(w.runs[key]) > 1 && !p.idempotent {
		w.violated("the same request was executed as %v", w.runs[key])
	}
}

func (w *world) end(env map[string]string) {
	if g := w.groups[w.packages[env["CEMLI_PACKAGE"]].group]; g.active == env["CEMLI_RUN_ID"] {
		g.active = ""
	}
}

// written looks at what is written into the state bucket.
func (w *world) written(i *invocation, bucket, name string, before *simObject, doc []byte) {
	switch {
	case bucket == "results" && strings.HasSuffix(name, "/result.json"):
		if before != nil {
			w.violated("%s was replaced", name)
		}
		w.resulted(doc)
		w.takenFrom(i, doc)
	case bucket == "jobs":
		w.mailed(i, name, before, doc)
	case bucket != "state":
	case strings.HasPrefix(name, "open/"):
		var mark struct {
			Name    string           `json:"name"`
			Request executor.Request `json:"request"`
		}
		if json.Unmarshal(doc, &mark) != nil {
			w.violated("the mark %s cannot be read", name)
		}
		w.marked(claim.KeyOf(mark.Name), mark.Request)
	case strings.HasPrefix(name, "claims/"):
		var c claim.Claim
		if json.Unmarshal(doc, &c) != nil {
			w.violated("the claim %s cannot be read", name)
		}
		w.claimed(c)
	case strings.HasPrefix(name, "groups/"):
		var now, then claim.Group
		if json.Unmarshal(doc, &now) != nil {
			w.violated("the group %s cannot be read", name)
		}
		if before != nil {
			_ = json.Unmarshal(before.body, &then) // it was looked at when it was written
		}
		w.changed(name, then, now)
		w.freed(name, then, now)
	}
}

// marked notes the place of a request that was accepted. Of what people ask for it is what they find.
func (w *world) marked(key string, request executor.Request) {
	for _, u := range w.uploads {
		if u.object != request.Object || u.etag != request.ETag {
			continue
		}
		place := u.place(request.ParameterSet)
		if request.Trigger.Kind == executor.TriggerRequest && !request.Created.IsZero() {
			place.Created, w.byHand[key] = request.Created, true
		}
		w.places[key] = place
	}
}

// claimed notes the lease of a claim, and the place that it gives to what a person asked for: whoever accepts a
// request and dies may have found another time for it than the one who claims it.
func (w *world) claimed(c claim.Claim) {
	if c.Apart != nil {
		if h := w.holders[c.Apart.Job]; h != "" && h != c.Holder {
			w.post.left++
		}
		w.holders[c.Apart.Job] = c.Holder
	}
	w.leases[c.RunID] = c.Lease
	if place, ok := w.places[c.Key]; ok && w.byHand[c.Key] && !c.Uploaded.IsZero() {
		place.Created = c.Uploaded
		w.places[c.Key] = place
	}
}

// changed holds a change of a group to what is promised of its order.
func (w *world) changed(name string, then, now claim.Group) {
	if now.Fence < w.fences[name] {
		w.violated("the fence of %s went from %d to %d", name, w.fences[name], now.Fence)
	}
	w.fences[name] = max(w.fences[name], now.Fence)
	if now.Holder == nil || now.Fence == then.Fence {
		return
	}
	place, known := w.places[now.Holder.Key]
	if !known {
		w.violated("%s is held by %s, which nobody has accepted", name, now.Holder.RunID)
	}
	for _, waiting := range then.Queue {
		if waiting.Key != now.Holder.Key && waiting.Compare(place) < 0 {
			w.violated("%s was given to %s, although %s waits and is earlier", name, now.Holder.RunID, waiting.Object)
		}
	}
	g := w.groups[now.Name]
	w.late[now.Holder.RunID] = place.Compare(g.latest) < 0
	if !w.late[now.Holder.RunID] {
		g.latest = place
	}
}

// answered notes the answer to an invocation that lived to give one.
func (w *world) answered(request executor.Request, results []evidence.Result, err error) {
	if err != nil {
		return // the platform delivers it again, or does not
	}
	if request.ETag != "" {
		w.accepted[request.ETag] = true
	}
	w.answers = append(w.answers, results...)
}

// stored reads all results.
func (w *world) stored() map[string]evidence.Result {
	found := map[string]evidence.Result{}
	for name, o := range w.buckets["results"] {
		if !strings.HasSuffix(name, "/result.json") {
			continue
		}
		r, err := evidence.Decode(o.body)
		if err != nil || evidence.ResultObject(r.RunID) != name {
			w.violated("the result %s cannot be read: %v", name, err)
		}
		found[r.RunID] = r
	}
	return found
}

// judge looks at the end of the history.
func (w *world) judge() {
	found := w.stored()
	w.results = len(found)
	w.open()
	for _, id := range slices.Sorted(maps.Keys(found)) {
		r := found[id]
		w.judgeSteps(r)
		if w.announced[id] == 0 && (uploaded(r) || r.Package.SHA256 != "") {
			w.violated("run %s was not announced", id)
		}
		if w.began[id] && r.Status != evidence.StatusInterrupted && r.Late != w.late[id] {
			w.violated("run %s of %s says late: %v; %s %s %s", id, r.SourceObject, r.Late, r.Trigger.Kind,
				r.PreviousRunID, r.Reason)
		}
	}
	w.judgeApplied(found)
	w.judgeRequesters(found)
	w.judgeCancels(found)
	if w.apart {
		w.judgeApart(found)
	}
	for id := range w.began {
		if _, ok := found[id]; !ok {
			w.violated("run %s was executed and has no result", id)
		}
	}
	for _, a := range w.answers {
		if r, ok := found[a.RunID]; a.RunID != "" && a.Status != evidence.StatusInProgress &&
			(!ok || r.Status != a.Status) {
			w.violated("an invocation answered %s for run %s, whose result says %q", a.Status, a.RunID, r.Status)
		} else if a.RunID != "" && !ok {
			w.violated("an invocation answered that run %s goes on, which has no result", a.RunID)
		}
	}
	for _, u := range w.uploads {
		w.judgeUpload(u, found)
		w.judgeSets(u, found)
	}
}

// ended says how the last attempt of a package that was not overwritten may end.
func (w *world) ended(p *simPackage, r evidence.Result, found map[string]evidence.Result) bool {
	bad := strings.HasPrefix(p.name, "bad")
	switch r.Status {
	case evidence.StatusSuccess:
		return w.began[r.RunID] == (p.action == "") && (!bad || p.action != "")
	case evidence.StatusFailed, evidence.StatusRolledBack:
		return w.began[r.RunID] && (bad || strings.HasPrefix(p.name, "flaky") ||
			r.Error.Code == "step.timeout" && w.slow(r) ||
			r.Apart != nil && r.Error.Code == "step.interrupted" && w.slow(r) || // all was undone, and its runner died
			r.Error.Code == "state.unnoted" && (w.slow(r) || w.outages != nil))
	case evidence.StatusSkipped:
		previous := found[r.PreviousRunID]
		return !w.began[r.RunID] && (previous.Status == evidence.StatusSuccess || p.sets[0] != "")
	case evidence.StatusInterrupted:
		return !p.idempotent || w.mayBeCancelled(r)
	case evidence.StatusCancelled:
		return true // judgeCancels looks at those
	case evidence.StatusTimedOut: // it had most of an invocation, and that was slow
		return w.slow(r)
	case evidence.StatusRejected:
		return p.hasty && r.Error.Code == "state.busy" || r.Error.Code == "step.deadline" && w.odd(r)
	}
	return false
}

// slow reports whether a run took most of the time that an invocation has to give, or, where some of it is
// kept for undo, of what is left then.
func (w *world) slow(r evidence.Result) bool {
	if w.squeezed[r.Package.ETag] || r.ParameterSet != w.packages[r.Package.Name].sets[0] {
		return true // it was given what an earlier item, or the sets before it, had left
	}
	most := callTime / 2
	if r.Rollback != nil {
		most = callTime / 5
	}
	if p := w.packages[r.Package.Name]; p.timeout > 0 {
		most = min(most, p.timeout/2)
	}
	if w.odd(r) {
		return true // its runner had less time left, or thought so
	}
	if w.apart {
		most -= most / 3 // its runner starts, and stores
	}
	return r.Steps[0].Start != nil && r.End.Sub(*r.Steps[0].Start)+maxSkew > most // its clock is not the world's
}

// judgeSets wants no set to have begun after one before it did not succeed.
func (w *world) judgeSets(u *upload, found map[string]evidence.Result) {
	if u.pkg.sets[0] == "" || u.pkg.goesOn {
		return
	}
	status := map[string]evidence.Status{}
	began := map[string]bool{}
	for _, r := range found {
		if r.Package.ETag == u.etag && r.SourceObject == u.object && uploaded(r) {
			status[r.ParameterSet] = r.Status
			began[r.ParameterSet] = began[r.ParameterSet] || w.began[r.RunID]
		}
	}
	for i, set := range u.pkg.sets[1:] {
		before := status[u.pkg.sets[i]]
		if began[set] && before != evidence.StatusSuccess && before != evidence.StatusSkipped {
			w.violated("%s: the set %s was executed, and the one before it ended %q", u.object, set, before)
		}
	}
}

// judgeUpload wants one final result for each parameter set of an upload.
func (w *world) judgeUpload(u *upload, found map[string]evidence.Result) {
	now := w.buckets["packages"][u.object]
	newest := now != nil && now.etag == u.etag
	chains := map[string][]evidence.Result{}
	for _, r := range found {
		if r.Package.ETag == u.etag && r.SourceObject == u.object && uploaded(r) {
			chains[r.ParameterSet] = append(chains[r.ParameterSet], r)
		}
	}
	sets := u.pkg.sets
	if len(chains[""]) > 0 && !newest {
		sets = []string{""} // it was gone before its sets were known
	}
	for _, set := range sets {
		chain := chains[set]
		slices.SortFunc(chain, func(a, b evidence.Result) int { return a.Attempt - b.Attempt })
		if len(chain) == 0 && (newest || w.versioned || w.accepted[u.etag]) {
			w.violated("%s (%s), set %q, has no result", u.object, u.etag, set)
		}
		for i, r := range chain {
			switch {
			case r.Attempt != i+1:
				w.violated("%s (%s), set %q, has the results %v", u.object, u.etag, set, ids(chain))
			case i < len(chain)-1 && r.Status != evidence.StatusInterrupted:
				w.violated("run %s is %s, and was tried again", r.RunID, r.Status)
			case i == len(chain)-1 && newest && !w.ended(u.pkg, r, found):
				w.violated("run %s of %s (%s) ended %s: %s", r.RunID, u.pkg.name, u.pkg.members, r.Status, r.Message)
			case i > 0 && !u.pkg.idempotent:
				w.violated("run %s is a second attempt", r.RunID)
			}
		}
		delete(chains, set)
	}
	for set, chain := range chains {
		w.violated("%s (%s) has results %v of the set %q", u.object, u.etag, ids(chain), set)
	}
}

// uploaded reports whether a run is of an upload, and not of what somebody asked by hand.
func uploaded(r evidence.Result) bool { return r.Trigger.Kind != string(executor.TriggerRequest) }

func ids(results []evidence.Result) []string {
	var list []string
	for _, r := range results {
		list = append(list, r.RunID)
	}
	return list
}

// open looks for what should be over and is not.
func (w *world) open() {
	for name, o := range w.buckets["state"] {
		switch {
		case strings.HasPrefix(name, "open/"), strings.HasPrefix(name, "taking/"), strings.HasPrefix(name, "progress/"):
			w.violated("%s is left", name)
		case strings.HasPrefix(name, "claims/"):
			var c claim.Claim
			if err := json.Unmarshal(o.body, &c); err != nil || c.State != claim.Done || c.FollowUps != nil {
				w.violated("the claim of %s is %s, pending %v", c.RunID, c.State, c.FollowUps)
			}
		case strings.HasPrefix(name, "groups/"):
			var g claim.Group
			if err := json.Unmarshal(o.body, &g); err != nil || len(g.Queue) > 0 {
				w.violated("%d runs wait in the group %s", len(g.Queue), g.Name)
			}
		}
	}
}

// quiet reports whether nothing is left to be done, as far as the store shows.
func (w *world) quiet() bool {
	for name := range w.buckets["state"] {
		if strings.HasPrefix(name, "open/") || strings.HasPrefix(name, "taking/") ||
			strings.HasPrefix(name, "progress/") {
			return false
		}
	}
	return !w.unread()
}
