package goback_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/goback"
	"cemli-executor/internal/intake"
	"cemli-executor/manifest"
)

// gone is what a record says in a case: entries of the run itself and of others.
type gone struct {
	plan *manifest.Plan
	*claim.Package
}

// itself notes the run that is gone back to.
func (g gone) itself(standing claim.Standing, change ...func(*claim.Entry)) {
	e := entry(g.plan, runID, standing, began)
	for _, c := range change {
		c(&e)
	}
	g.Add("", e)
}

// later notes a later run, of the same contents or of others.
func (g gone) later(id string, standing claim.Standing, same bool) {
	e := entry(g.plan, id, standing, began.Add(time.Hour))
	if !same {
		e.Key, e.Version = "other-contents", "1.1.0"
	}
	g.Add("", e)
}

func force(q *intake.Request) { q.Force = true }

// What is applied by the time that the run may begin decides whether the way back is still open.
func TestCheck(t *testing.T) {
	t.Parallel()
	partial := func(g gone) { g.itself(claim.Partial) }
	applied := func(g gone) { g.itself(claim.Applied) }
	undone := func(g gone) { g.itself(claim.Undone) }
	under := func(same bool) func(gone) {
		return func(g gone) { g.itself(claim.Applied); g.later("run-2", claim.Applied, same) }
	}
	ownAttempt := func(g gone) {
		g.itself(claim.Partial)
		g.later("20260102T000000Z-sample-"+newKey[:12], claim.Partial, false)
	}
	resumedBy := func(by string) func(gone) {
		return func(g gone) { g.itself(claim.Partial, func(e *claim.Entry) { e.ResumedBy = by }) }
	}
	undoFailed := func(g gone) {
		g.itself(claim.Partial, func(e *claim.Entry) { e.RolledBackBy = []string{"rollback-1"} })
	}
	outcomeUndone := func(g gone) {
		g.itself(claim.Partial)
		e := entry(g.plan, "run-2", claim.Undone, began.Add(time.Hour))
		e.Resumes = runID
		g.Add("", e)
	}
	for name, c := range map[string]struct {
		past    func(gone)
		request intake.Request
		code    string
	}{
		"going on":                          {partial, resume(), ""},
		"going on after an own attempt":     {ownAttempt, resume(), ""},
		"going on from a success":           {applied, resume(), "request.not_partial"},
		"going on from what is undone":      {undone, resume(), "request.not_partial"},
		"going on from an undo that failed": {undoFailed, resume(), "request.not_partial"},
		"going on where another has":        {resumedBy("run-2"), resume(), "rollback.not_latest"},
		"going on where an own attempt has": {resumedBy("x-" + newKey[:12]), resume(), ""},
		"going on beneath a later run":      {under(false), resume(), "request.not_partial"},
		"going on, partial, beneath a later run": {
			func(g gone) { partial(g); g.later("run-2", claim.Applied, false) }, resume(), "rollback.not_latest",
		},
		"undo":                                 {applied, undo(), ""},
		"undo of what failed":                  {partial, undo(), ""},
		"undo again after an undo that failed": {undoFailed, undo(), ""},
		"undo of what is undone":               {undone, undo(), "rollback.undone"},
		"undo of what another has gone on from and undone": {outcomeUndone, undo(), "rollback.undone"},
		"undo beneath a later run":                         {under(false), undo(), "rollback.not_latest"},
		"undo beneath a later run, forced":                 {under(false), undo(force), ""},
		"undo of what was done again":                      {under(true), undo(), "rollback.not_latest"},
		"again":                                            {applied, rerun(), ""},
		"again where the same was done":                    {under(true), rerun(), ""},
		"again beneath a later run":                        {under(false), rerun(), "rollback.not_latest"},
		"again, forced":                                    {under(false), rerun(force), ""},
		"back to it beneath a later run":                   {under(false), takeBack(), ""},
		"a run that is not recorded":                       {func(gone) {}, undo(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.store(failed())
			w := d.recalled(c.request)
			plan := planOf(t, w.Request)
			history := d.record(func(p *claim.Package) { c.past(gone{plan, p}) })
			err := w.Check(plan, goback.Now{History: history, DirHash: "h1:a", Key: newKey})
			d.refused(name, err, c.code)
			if w.Undoes == nil || w.Undoes.RunID != runID || w.Undoes.Result != "" {
				t.Errorf("the entry of that run is %+v", w.Undoes)
			}
		})
	}
}

// A check again, which changes nothing, is closed by nothing.
func TestCheckOfWhatChangedNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := failed()
	r.Action = "check"
	d.store(r)
	w := d.recalled(rerun())
	history := d.record(func(p *claim.Package) { gone{planOf(t, w.Request), p}.later("run-2", claim.Applied, false) })
	err := w.Check(planOf(t, w.Request), goback.Now{History: history, DirHash: "h1:a", Key: newKey})
	if err != nil || w.Undoes != nil {
		t.Errorf("%v, entry %+v", err, w.Undoes)
	}
}

// Hidden values that are given again have to be those of the run; only an undo may get what is valid now.
func TestCheckOfHiddenValues(t *testing.T) {
	t.Parallel()
	given := func(value string) func(*intake.Request) {
		return func(q *intake.Request) { q.Parameters = map[string]json.RawMessage{"PW": []byte(`"` + value + `"`)} }
	}
	for name, c := range map[string]struct {
		request intake.Request
		code    string
	}{
		"the same":             {rerun(given("Tiger-s3cr3t")), ""},
		"others":               {rerun(given("changed-since")), "request.differs"},
		"others for an undo":   {undo(given("changed-since")), ""},
		"others, going on":     {resume(given("changed-since")), "request.differs"},
		"others, back to that": {takeBack(given("changed-since")), "request.differs"},
	} {
		d := newDesk(t)
		r := failed()
		r.Parameters["PW"] = "***"
		d.store(r)
		before := planOf(t, d.recalled(rerun(given("Tiger-s3cr3t"))).Request)
		history := d.record(func(p *claim.Package) { gone{before, p}.itself(claim.Partial) })
		w := d.recalled(c.request)
		err := w.Check(planOf(t, w.Request), goback.Now{History: history, DirHash: "h1:a", Key: newKey})
		if d.refused(name, err, c.code); err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v shows the value", name, err)
		}
	}
}

// Steps that are left may need what the steps before gave and left: where that was not kept, nothing goes on.
func TestGoingOnWithoutWhatStepsGave(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*evidence.Result)
		code   string
	}{
		"all is there": {func(r *evidence.Result) { r.Steps[0].Outputs = map[string]string{"OUT": "1"} }, ""},
		"a hidden output": {
			func(r *evidence.Result) { r.Steps[0].Outputs = map[string]string{"OUT": "is ***"} }, "request.hidden",
		},
		"no artifact": {func(r *evidence.Result) {
			r.Artifacts = []evidence.Artifact{{Name: "dump", Withheld: "it is too large"}}
		}, "request.withheld"},
	} {
		d := newDesk(t)
		r := failed()
		c.change(&r)
		d.store(r)
		w := d.recalled(resume())
		plan := planOf(t, w.Request)
		history := d.record(func(p *claim.Package) { gone{plan, p}.itself(claim.Partial) })
		d.refused(name, w.Check(plan, goback.Now{History: history, DirHash: "h1:a", Key: newKey}), c.code)
	}
}

// A run is gone back to with its own contents only, as far as they are known.
func TestSameContents(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.store(failed())
	w := d.recalled(rerun())
	d.refused("the same", w.SameContents("h1:a"), "")
	d.refused("others", w.SameContents("h1:b"), "request.differs")
	w.Previous.Package.DirHash = ""
	d.refused("not known", w.SameContents("h1:b"), "")
}

// way is a way back that Check has let through.
func (d *desk) way(r evidence.Result, q intake.Request, change ...func(*claim.Entry)) *goback.Way {
	d.t.Helper()
	d.store(r)
	w := d.recalled(q)
	plan := planOf(d.t, w.Request)
	history := d.record(func(p *claim.Package) { gone{plan, p}.itself(claim.Partial, change...) })
	d.ok(w.Check(plan, goback.Now{History: history, DirHash: "h1:a", Key: newKey}))
	return w
}
