// Package goback decides about requests that go back to an earlier run (rerun_of, resume_from, rollback_of). Recall
// reads the result of that run and takes over everything from it. Check, when no other run changes what is applied,
// refuses a way back that the package's record has closed. LeaveOut and RollBack choose the steps that are left to be
// run or undone, and Restore puts that run's artifacts where its scripts had left them. What a request must not contain
// in any case, intake.Request.Consistent has refused before.
package goback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

// Way is the way back to an earlier run.
type Way struct {
	// Previous is that run's result.
	Previous evidence.Result
	// Request is the complete request: the contents, action, parameter set and parameters are those of that run unless
	// the request names others.
	Request intake.Request
	// Given are the parameters that the request itself has named.
	Given map[string]json.RawMessage
	// NamesVersion says that the request has named a version of the object besides the run, by Named.
	NamesVersion bool
	Named        store.GetOptions

	follower followup.Follower
	// history is the package's record, and undoes the entry of the run in it, once Check has looked.
	history *claim.Package
	// Undoes is the entry of the run in the package's record, once Check has looked for it; nil: it has none.
	Undoes *claim.Entry
	// missing are the names of the run's artifacts that Restore did not find.
	missing []string
}

// Recall reads the result of the run that a request goes back to, and completes the request from it. It refuses a run
// that the request cannot go back to in this way, and a request that contradicts the run.
func Recall(ctx context.Context, f followup.Follower, request intake.Request) (*Way, error) {
	w := &Way{Request: request, Given: request.Parameters, follower: f}
	known, err := w.readPrevious(ctx, request.PreviousRun())
	if err != nil {
		return nil, err
	}
	if err := w.mayName(); err != nil {
		return nil, err
	}
	if err := w.agrees(ctx); err != nil {
		return nil, err
	}
	if err := w.isKnown(); err != nil {
		return nil, err
	}
	parameters, err := w.parameters()
	if err != nil {
		return nil, err
	}
	q, was := &w.Request, w.Previous
	w.NamesVersion = q.ETag != "" && q.ETag != was.Package.ETag ||
		q.VersionID != "" && q.VersionID != was.Package.VersionID
	w.Named = store.GetOptions{IfMatch: q.ETag, VersionID: q.VersionID}
	q.Action, q.Object = q.ActionAfter(was), was.SourceObject
	q.ParameterSet, q.Parameters = was.ParameterSet, parameters
	q.ETag, q.VersionID, q.Pinned = was.Package.ETag, was.Package.VersionID, was.Package.SHA256
	if known != nil && q.Created.IsZero() {
		q.Created = known.Uploaded
	}
	return w, nil
}

// readPrevious reads the result of the run, and returns its entry in the package's record; nil if it has none.
func (w *Way) readPrevious(ctx context.Context, id string) (*claim.Entry, error) {
	previous, digest, err := w.follower.ReadResult(ctx, id)
	unknown := func(message, hint string) error {
		return problem.New(problem.Problem{Code: "request.unknown_run", Where: id, Message: message, Hint: hint}, err)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, unknown("there is no result of such a run", "list runs/ in "+w.follower.Results.Name())
	case problem.CodeOf(err) == "state.result":
		return nil, unknown("the result of that run cannot be read", "name another run, or go on by hand")
	case err != nil:
		return nil, err
	}
	w.Previous = previous
	return w.recorded(ctx, digest)
}

// recorded returns the entry of the run in the package's record, and refuses a result whose digest is not the recorded
// one.
func (w *Way) recorded(ctx context.Context, digest string) (*claim.Entry, error) {
	result := w.Previous
	if result.Environment != w.follower.Book.Environment || result.Package.Name == "" {
		return nil, w.follower.Vouched(ctx, result.RunID, digest) // it has no record here
	}
	record, err := w.follower.Record(ctx, result.Package.Name)
	if err != nil {
		return nil, err
	}
	known := record.Find(result.ParameterSet, result.RunID)
	if known == nil || known.Result == "" {
		return known, w.follower.Vouched(ctx, result.RunID, digest)
	}
	if known.Result != digest {
		return nil, w.follower.Altered("request.altered", result.RunID)
	}
	return known, nil
}

// mayName refuses to go back to a run that is not of the kind that the request needs.
func (w *Way) mayName() error {
	previous := w.Previous
	refuse := func(code, message, hint string) error {
		return problem.New(problem.Problem{Code: code, Where: previous.RunID, Message: message, Hint: hint}, nil)
	}
	switch q := w.Request; {
	case previous.Environment != w.follower.Book.Environment:
		return refuse("request.differs", "that run was in "+previous.Environment,
			"name a run of "+w.follower.Book.Environment)
	case previous.Action == string(intake.ActionRollback):
		return refuse("rollback.of_rollback", "that run was a rollback itself, of "+previous.PreviousRunID,
			"to apply again what it has undone, send rerun_of with "+previous.PreviousRunID+
				"; to undo more, rollback_of with a run that applied something")
	case q.RerunOf == "" && previous.Action != string(intake.ActionApply):
		return refuse("request.differs", "that run was a "+previous.Action+", which has changed nothing",
			"name one that applied the package")
	case q.RollbackOf != "" && q.Action != intake.ActionRollback && !followup.Began(previous) &&
		previous.Status != evidence.StatusSuccess:
		return refuse("request.differs",
			"that run was "+string(previous.Status)+" and has applied nothing, so there is nothing to go back to",
			"name one that applied the package")
	case q.Action == intake.ActionRollback && !followup.RanAny(previous):
		return refuse("request.differs",
			"that run was "+string(previous.Status)+" and nothing of it was executed, so there is nothing to undo",
			"name one that applied the package")
	case q.ResumeFrom != "" && !followup.Began(previous):
		return refuse("request.not_partial", "nothing of that run has changed anything: there is nothing to go on with",
			"send rerun_of"+Anew)
	case q.ResumeFrom != "" && followup.UndoBegan(previous):
		return refuse("request.not_partial", "undo scripts of that run have run", "run the package anew, with rerun_of")
	}
	return nil
}

// agrees refuses a request that contradicts the run that it names.
func (w *Way) agrees(ctx context.Context) error {
	q, previous := w.Request, w.Previous
	var problems []problem.Problem
	note := func(where, given, was, hint string) {
		if given == "" || given == was {
			return
		}
		message := fmt.Sprintf("the run %s had %s, and not %s", previous.RunID, printed(was), printed(given))
		problems = append(problems, problem.Problem{
			Code: "request.differs", Where: where, Message: message, Hint: hint,
		})
	}
	leave := "leave it out: everything is taken from the run that is named"
	if q.Object != "" && q.Object != previous.SourceObject {
		note("/object", q.Object, previous.SourceObject, w.otherRun(ctx))
	}
	note("/parameter_set", q.ParameterSet, previous.ParameterSet, leave)
	if q.RerunOf != "" {
		note("/action", string(q.Action), previous.Action, leave)
	}
	for _, name := range slices.Sorted(maps.Keys(q.Parameters)) {
		was, ok := previous.Parameters[name]
		switch {
		case !ok && len(previous.Manifest) > 0:
			note("/parameters/"+name, "one", "none of that name", leave)
		case ok && !hiding.IsMasked(was) && !sameValue(q.Parameters[name], was):
			note("/parameters/"+name, "this value", "another value", leave)
		}
	}
	return problem.Join(problems)
}

func printed(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// otherRun returns the hint which run to name, for a request that names an object of another run: in earlier versions
// rollback_of named the run to leave.
func (w *Way) otherRun(ctx context.Context) string {
	previous := w.Previous
	hint := "name that object, or none, or the run that is to be gone back to"
	record, err := w.follower.Record(ctx, previous.Package.Name)
	if err != nil {
		return hint
	}
	for _, e := range slices.Backward(record.Sets[previous.ParameterSet]) {
		if e.Object == w.Request.Object {
			return "name the run of that object: " + e.RunID
		}
	}
	return hint
}

// isKnown refuses to go back to a run whose object is not known.
func (w *Way) isKnown() error {
	previous := w.Previous
	if err := intake.CheckName(previous.SourceObject); err != nil {
		return err
	}
	if previous.Package.SHA256 != "" || previous.Package.ETag != "" {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "request.gone", Where: previous.RunID,
		Message: "that run ended before it was known which version of " + printed(previous.SourceObject) + " it was of",
		Hint:    "send a request that names the object",
	}, nil)
}

// parameters returns the parameters of the earlier run. Results do not contain hidden ones, so the request has to give
// them again.
func (w *Way) parameters() (map[string]json.RawMessage, error) {
	previous, given := w.Previous, maps.Clone(w.Given)
	if given == nil {
		given = map[string]json.RawMessage{}
	}
	var hidden []problem.Problem
	for _, name := range slices.Sorted(maps.Keys(previous.Parameters)) {
		if _, ok := given[name]; ok {
			continue
		}
		value := previous.Parameters[name]
		if hiding.IsMasked(value) {
			hidden = append(hidden, problem.Problem{
				Code: "request.hidden", Where: "/parameters/" + name,
				Message: "the value of the parameter " + name + " was hidden, as a secret is",
				Hint:    "give it in the request",
			})
			continue
		}
		doc, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("encode parameter %s: %w", name, err)
		}
		given[name] = doc
	}
	return given, problem.Join(hidden)
}

// sameValue compares a value of a request with one of a result.
func sameValue(given json.RawMessage, was any) bool {
	a, err := manifest.ParseValue(given)
	if err != nil {
		return false
	}
	doc, err := json.Marshal(was)
	if err != nil {
		return false
	}
	b, err := manifest.ParseValue(doc)
	return err == nil && (a.Canonical() == b.Canonical() || a.Text() == b.Text())
}

// SameContents refuses contents that differ from those of the run that the request goes back to.
func (w *Way) SameContents(dirHash string) error {
	if w.Previous.Package.DirHash == "" || w.Previous.Package.DirHash == dirHash {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "request.differs", Where: w.Previous.RunID,
		Message: "that run had other contents: " + w.Previous.Package.Version + ", " + w.Previous.Package.DirHash,
		Hint:    "a package that was changed is a new upload" + Anew,
	}, nil)
}

// Now is what is applied of the package when the run may begin, so that no other run changes it any more.
type Now struct {
	History *claim.Package // its record
	DirHash string         // of the contents that are to run
	Key     string         // the run key of the request
}

// Check refuses a way back that later runs have closed.
func (w *Way) Check(plan *manifest.Plan, now Now) error {
	w.history = now.History
	q, was := w.Request, w.Previous
	if was.Action != string(intake.ActionApply) {
		return nil
	}
	known := w.history.Find(was.ParameterSet, was.RunID)
	if known == nil && followup.Began(was) { // an earlier version did not record it, or it is too old
		derived := followup.Entry(was, claim.Entry{Key: admission.ContentKey(plan, now.DirHash, q.ParameterSet)})
		known = &derived
	}
	if known != nil {
		undoes := *known
		undoes.Result = "" // the digest is of that run's result, and not of this one's
		w.Undoes = &undoes
	}
	keys := admission.KeysOf(plan, now.DirHash, q.ParameterSet)
	if err := w.sameHidden(known, keys); err != nil {
		return err
	}
	own := func(runID string) bool { return strings.Contains(runID, "-"+now.Key[:12]) } // an earlier attempt
	later := w.history.After(was.ParameterSet, was.RunID, was.Start)
	if later != nil && own(later.RunID) {
		later = nil
	}
	switch {
	case q.ResumeFrom != "":
		return w.mayResume(known, later, own)
	case q.Action == intake.ActionRollback:
		if known != nil && (known.Standing == claim.Undone ||
			w.history.Outcome(was.ParameterSet, known).Standing == claim.Undone) {
			return refuse("rollback.undone", "what that run had done is undone already",
				"send rerun_of to apply it again", was.RunID)
		}
	case q.RollbackOf != "":
		return nil // an earlier content takes the place of what is applied now
	case later != nil && slices.Contains(keys, later.Key):
		return nil // the same was done again since
	}
	if later != nil && !q.Force {
		return refuse("rollback.not_latest",
			fmt.Sprintf("a later run is %s: %s, of version %s", later.Standing, later.RunID, later.Version),
			"go back to that run first; or send force, if this one is to be changed beneath it", was.RunID)
	}
	return nil
}

// sameHidden refuses hidden values that are given again and are not those of the run: its result does not
// have them, but the record's key covers them. An undo may get others, such as a password that was changed
// since: it runs with what is valid now.
func (w *Way) sameHidden(known *claim.Entry, keys []string) error {
	was := w.Previous
	var hidden []string
	for _, name := range slices.Sorted(maps.Keys(was.Parameters)) {
		if hiding.IsMasked(was.Parameters[name]) {
			hidden = append(hidden, name)
		}
	}
	if len(hidden) == 0 || known == nil || w.Request.Action == intake.ActionRollback ||
		slices.Contains(keys, known.Key) {
		return nil
	}
	return refuse("request.differs",
		"the run "+was.RunID+" had another value of what is hidden in its result: "+strings.Join(hidden, ", "),
		"give the values that it had; for others, send a request that goes back to no run", "/parameters")
}

// mayResume refuses to resume a run that is not partial or not the latest of its set.
func (w *Way) mayResume(known, later *claim.Entry, own func(runID string) bool) error {
	switch {
	case known == nil:
		return refuse("request.not_partial", "nothing of that run has changed anything: there is nothing to go on with",
			"send rerun_of", w.Previous.RunID)
	case known.Standing == claim.Applied:
		return refuse("request.not_partial", "that run has succeeded: there is nothing to go on with",
			"send a request without resume_from", w.Previous.RunID)
	case known.Standing == claim.Undone || known.RolledBackBy != nil:
		return refuse("request.not_partial", "undo scripts of that run have run", "run the package anew, with rerun_of",
			w.Previous.RunID)
	case known.ResumedBy != "" && !own(known.ResumedBy):
		return refuse("rollback.not_latest", "another run has gone on from it: "+known.ResumedBy, "name that one",
			w.Previous.RunID)
	case later != nil:
		return refuse("rollback.not_latest",
			fmt.Sprintf("a later run is %s: %s, of version %s", later.Standing, later.RunID, later.Version),
			"only the latest run of a parameter set can be gone on with", w.Previous.RunID)
	}
	for _, s := range w.Previous.Steps {
		for key, value := range s.Outputs {
			if hiding.IsMasked(value) {
				return refuse("request.hidden", "the output "+key+" of "+s.Name+" held a secret and was not kept",
					"run the package anew, with rerun_of", w.Previous.RunID)
			}
		}
	}
	if a := withheld(w.Previous); a != nil {
		return refuse("request.withheld",
			"the artifact "+a.Name+" was not kept, and the steps that are left may need it: "+a.Withheld,
			"run the package anew, with rerun_of", w.Previous.RunID)
	}
	return nil
}

func refuse(code, message, hint, where string) error {
	return problem.New(problem.Problem{Code: code, Where: where, Message: message, Hint: hint + Anew}, nil)
}

// Anew is a hint for people who send a refused request again.
const Anew = "; when you send this again, give another reason or request_id: the same request is answered the same"

// before returns how a step ended in the run that the request goes back to.
func (w *Way) before(s steps.Step) (evidence.Step, bool) {
	was := w.Previous.Steps
	i := slices.IndexFunc(was, func(p evidence.Step) bool { return p.Name == s.Name && p.Phase == string(s.Phase) })
	if i < 0 {
		return evidence.Step{}, false
	}
	return was[i], true
}

// LeaveOut leaves out of a job the steps that succeeded in the run that is resumed. Their outputs count for later steps
// again, here and in a run that resumes this one.
func (w *Way) LeaveOut(job *steps.Job) {
	for i, s := range job.Plan {
		before, ok := w.before(s)
		if ok && (before.Status == evidence.StepSuccess || before.Status == evidence.StepSkipped) {
			job.Plan[i].Do, job.Plan[i].Outputs = steps.Skip, before.Outputs
		}
	}
}

// RollBack turns a job into one that undoes the run: the steps that had begun in it, without those whose undo has
// succeeded, then or since.
func (w *Way) RollBack(ctx context.Context, job *steps.Job) error {
	done, err := w.undoneBefore(ctx)
	if err != nil {
		return err
	}
	job.Outputs = maps.Clone(w.Previous.Outputs)
	// A hidden output is left out, as its value would be wrong.
	maps.DeleteFunc(job.Outputs, func(_, value string) bool { return hiding.IsMasked(value) })
	for i, s := range job.Plan {
		before, ok := w.before(s)
		switch {
		case !ok || before.Attempts == 0 && before.Status != evidence.StepSkipped:
		case s.Undo != "" && undone(done, s):
			job.Plan[i].Do = steps.Undone
		default:
			job.Plan[i].Do = steps.Revert
		}
	}
	return nil
}

// undoneBefore lists the undo scripts of the run as they ended in that run and in the last rollback of it.
func (w *Way) undoneBefore(ctx context.Context) ([]evidence.Step, error) {
	var all []evidence.Step
	if w.Previous.Rollback != nil {
		all = slices.Clone(w.Previous.Rollback.Steps)
	}
	known := w.history.Find(w.Previous.ParameterSet, w.Previous.RunID)
	if known == nil || known.RolledBackBy == nil {
		return all, nil
	}
	last, digest, err := w.follower.ReadResult(ctx, known.LastRollback())
	if err == nil {
		err = w.follower.Vouched(ctx, last.RunID, digest)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return all, nil // what that rollback undid is undone again
	case err != nil:
		return nil, err
	}
	if last.Rollback != nil {
		all = append(all, last.Rollback.Steps...)
	}
	return all, nil
}

// undone reports whether the undo script of a step has succeeded already.
func undone(before []evidence.Step, step steps.Step) bool {
	return slices.ContainsFunc(before, func(s evidence.Step) bool {
		done := s.Status == evidence.StepSuccess || s.Status == evidence.StepSkipped
		return done && s.Name == step.Name && s.Run == step.Undo
	})
}
