package executor_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
)

// model is what is applied of each package, as the target has seen it.
type model struct {
	facts map[string][]fact           // by package and set, in their order
	known map[string]bool             // runs that have begun, for the facts
	undid map[string]bool             // runs that began to undo
	asked map[string]executor.Request // by reason: what people asked for
}

// fact is a run that began to change something, or a rollback that ended.
type fact struct {
	runID string
	back  bool
}

func newModel() model {
	return model{
		facts: map[string][]fact{}, known: map[string]bool{}, undid: map[string]bool{},
		asked: map[string]executor.Request{},
	}
}

// people are the requests that people make by hand: they go back to earlier runs, and run something
// regularly.
func (w *world) people(busy time.Duration) {
	for n := range 2 + w.random.IntN(6) {
		w.in(2*time.Minute+time.Duration(w.random.Int64N(int64(busy/time.Second)))*time.Second, func() { w.ask(n) })
	}
}

// ask makes one request, which its sender may repeat.
func (w *world) ask(n int) {
	q := executor.Request{
		Bucket: "packages", Reason: fmt.Sprint("reason ", n), Trigger: executor.Trigger{Kind: executor.TriggerRequest},
	}
	if w.random.IntN(2) == 0 {
		q.RequestID = fmt.Sprint("id ", n)
	}
	if runs := w.applying(w.random.IntN(6) == 0); len(runs) > 0 && w.random.IntN(5) > 0 {
		w.goBack(&q, runs[w.random.IntN(len(runs))])
	} else if len(w.uploads) > 0 {
		q.Object = w.uploads[w.random.IntN(len(w.uploads))].object
		q.Action, q.OncePer = executor.ActionApply, 3*time.Minute
	} else {
		return
	}
	w.asked[q.Reason] = q
	for range 1 + w.random.IntN(2) {
		w.in(time.Duration(w.random.IntN(40))*time.Second, func() { w.invoke([]executor.Request{q}, callTime) })
	}
}

func (w *world) goBack(q *executor.Request, to evidence.Result) {
	switch w.random.IntN(5) {
	case 0:
		q.RerunOf = to.RunID
	case 1:
		q.ResumeFrom = to.RunID
	case 2:
		q.Action, q.RollbackOf = executor.ActionApply, to.RunID
	default:
		q.Action, q.RollbackOf = executor.ActionRollback, to.RunID
	}
	if w.random.IntN(3) == 0 {
		q.Object = to.SourceObject
	}
	q.Force = w.random.IntN(6) == 0
}

// applying lists the results of runs that began to apply something, or were to, in the order of their ids.
func (w *world) applying(orWereTo bool) []evidence.Result {
	var list []evidence.Result
	found := w.stored()
	for _, id := range slices.Sorted(maps.Keys(found)) {
		if r := found[id]; r.Action == "apply" && (orWereTo || w.known[id]) {
			list = append(list, r)
		}
	}
	return list
}

// fails is the exit code of a script.
func (w *world) fails(env map[string]string) int {
	chance := w.random.IntN(100)
	switch undo := strings.HasPrefix(env["script"], "rollback/"); {
	case undo && chance < 20, !undo && strings.HasPrefix(env["CEMLI_PACKAGE"], "bad"),
		!undo && strings.HasPrefix(env["CEMLI_PACKAGE"], "flaky") && chance < 40:
		return 1
	}
	return 0
}

// started notes a script that is about to begin.
func (w *world) started(env map[string]string) {
	id := env["CEMLI_RUN_ID"]
	if strings.HasPrefix(env["script"], "rollback/") {
		w.undid[id] = true
	}
	if env["CEMLI_ACTION"] == "apply" && !w.known[id] {
		w.known[id] = true
		w.note(env["CEMLI_PACKAGE"], "", fact{runID: id}) // its set is known when it has ended
	}
}

func (w *world) note(pkg, _ string, f fact) { w.facts[pkg] = append(w.facts[pkg], f) }

// resulted notes a result that is about to be stored: a rollback has ended, or a run was found dead that
// had begun its first step as far as anybody knows.
func (w *world) resulted(doc []byte) {
	r, err := evidence.Decode(doc)
	if err != nil {
		w.violated("a result cannot be read: %v", err)
		return
	}
	switch {
	case r.Action == "rollback":
		w.note(r.Package.Name, r.ParameterSet, fact{r.RunID, true})
	case r.Action == "apply" && !w.known[r.RunID] && hasBegun(r):
		w.known[r.RunID] = true
		w.note(r.Package.Name, r.ParameterSet, fact{runID: r.RunID})
	}
}

func hasBegun(r evidence.Result) bool {
	return slices.ContainsFunc(r.Steps, func(s evidence.Step) bool {
		return s.Phase == "run" && (s.Attempts > 0 || s.Status == evidence.StepSkipped)
	})
}

// judgeApplied holds what runs did, one after the other, to what is promised of going back and of
// uploads that change, and the records to what that has made of each package.
func (w *world) judgeApplied(found map[string]evidence.Result) {
	for _, pkg := range slices.Sorted(maps.Keys(w.packages)) {
		sets := map[string][]claim.Entry{}
		for _, f := range w.facts[pkg] {
			r, ok := found[f.runID]
			switch {
			case !ok:
				continue // said elsewhere
			case f.back:
				sets[r.ParameterSet] = w.wentBack(sets[r.ParameterSet], r)
			default:
				sets[r.ParameterSet] = w.wentOn(sets[r.ParameterSet], r)
			}
		}
		w.judgeRecord(pkg, sets)
	}
}

// latest is the index of the newest entry that counts; -1: none.
func latest(list []claim.Entry) int {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Standing != claim.Undone && list[i].ResumedBy == "" {
			return i
		}
	}
	return -1
}

func find(list []claim.Entry, id string) int {
	return slices.IndexFunc(list, func(e claim.Entry) bool { return e.RunID == id })
}

// wentOn is what a run has made of what was applied.
func (w *world) wentOn(list []claim.Entry, r evidence.Result) []claim.Entry {
	e := claim.Entry{RunID: r.RunID, Standing: claim.Partial, Version: r.Package.Version, Object: r.SourceObject}
	switch r.Status {
	case evidence.StatusSuccess:
		e.Standing = claim.Applied
	case evidence.StatusRolledBack:
		e.Standing = claim.Undone
	case evidence.StatusCancelled:
		if r.Rollback != nil && r.Rollback.Status == evidence.StepSuccess {
			e.Standing = claim.Undone
		}
	}
	if u := w.uploadOf(r); u != nil {
		e.Uploaded = u.created
	}
	w.mayGoOn(list, e, r)
	if q := w.asked[r.Reason]; q.ResumeFrom != "" {
		if i := find(list, q.ResumeFrom); i >= 0 {
			list[i].ResumedBy = r.RunID
		}
	}
	return append(list, e)
}

func (w *world) uploadOf(r evidence.Result) *upload {
	for _, u := range w.uploads {
		if u.object == r.SourceObject && u.etag == r.Package.ETag {
			return u
		}
	}
	return nil
}

// mayGoOn holds a run that began to what was applied then.
func (w *world) mayGoOn(list []claim.Entry, e claim.Entry, r evidence.Result) {
	n := latest(list)
	q := w.asked[r.Reason]
	switch {
	case n < 0:
	case q.ResumeFrom != "":
		if list[n].RunID != q.ResumeFrom && r.Attempt == 1 || list[n].Standing != claim.Partial {
			w.violated("run %s went on from %s, and the latest was %s, %s", r.RunID, q.ResumeFrom, list[n].RunID,
				list[n].Standing)
		}
	case q.RerunOf != "":
		if i := find(list, q.RerunOf); i >= 0 && n > i && list[n].Version != e.Version && !q.Force {
			w.violated("run %s repeats %s underneath %s", r.RunID, q.RerunOf, list[n].RunID)
		}
	case q.RollbackOf != "": // goes back on purpose
	case list[n].Standing == claim.Applied && list[n].Version == e.Version && !w.packages[r.Package.Name].idempotent:
		w.violated("version %s of %s, set %q, was applied again by %s after %s", e.Version, r.Package.Name,
			r.ParameterSet, r.RunID, list[n].RunID)
	case uploaded(r) && list[n].Object == e.Object && list[n].Uploaded.After(e.Uploaded):
		w.violated("run %s applied an upload of %s that %s had replaced", r.RunID, e.Object, list[n].RunID)
	}
}

// wentBack is what a rollback has made of what was applied.
func (w *world) wentBack(list []claim.Entry, r evidence.Result) []claim.Entry {
	if r.Status != evidence.StatusSuccess && !w.undid[r.RunID] && !hasUndoBegun(r) {
		return list // nothing was undone
	}
	i := find(list, r.PreviousRunID)
	if i < 0 {
		if w.undid[r.RunID] {
			w.violated("the rollback %s is of %s, which has not begun", r.RunID, r.PreviousRunID)
		}
		return list
	}
	if n := latest(list); n >= 0 && n != i && !w.asked[r.Reason].Force {
		w.violated("the rollback %s went back to %s, underneath %s", r.RunID, r.PreviousRunID, list[n].RunID)
	}
	if list[i].Standing == claim.Undone {
		w.violated("the rollback %s has undone %s once more", r.RunID, r.PreviousRunID)
	}
	if list[i].Standing = claim.Partial; r.Status == evidence.StatusSuccess {
		list[i].Standing = claim.Undone
	}
	return list
}

func hasUndoBegun(r evidence.Result) bool {
	return r.Rollback != nil && slices.ContainsFunc(r.Rollback.Steps,
		func(s evidence.Step) bool { return s.Attempts > 0 })
}

// judgeRecord wants the record of a package to say what is applied.
func (w *world) judgeRecord(pkg string, sets map[string][]claim.Entry) {
	var record claim.Package
	if o := w.buckets["state"]["packages/prod/"+pkg+".json"]; o != nil {
		if err := json.Unmarshal(o.body, &record); err != nil {
			w.violated("the record of %s cannot be read: %v", pkg, err)
		}
	}
	for _, set := range slices.Sorted(maps.Keys(sets)) {
		if got, want := told(record.Sets[set]), told(sets[set]); got != want {
			w.violated("of %s, set %q, the record says %s; it is %s", pkg, set, got, want)
		}
	}
	for set, list := range record.Sets {
		if sets[set] == nil {
			w.violated("of %s, set %q, the record says %s, and nothing began", pkg, set, told(list))
		}
	}
}

func told(list []claim.Entry) string {
	var all []string
	for _, e := range list {
		all = append(all, fmt.Sprintf("%s %s %s", e.RunID, e.Standing, e.ResumedBy))
	}
	return strings.Join(all, ", ")
}
