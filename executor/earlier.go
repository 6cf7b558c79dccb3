package executor

import (
	"cmp"
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

// A request that goes back to an earlier run (rerun_of, resume_from, rollback_of) is decided here, in three
// steps: recall reads the result of that run and takes everything from it; mayGoBack, once nobody else changes
// what is applied, refuses what the package's record has closed; leaveOut and rollBack say which steps are left to
// be run or undone. What the request alone must not contain, consistent has refused before.

// recall reads the result of the run that the request goes back to, and makes the request one for
// exactly that: its contents, action, set and parameters.
func (r *earlier) recall(ctx context.Context) error {
	id := r.request.PreviousRun()
	r.result.PreviousRunID = id
	previous, known, err := r.readPrevious(ctx, id)
	if err != nil {
		return err
	}
	if err := r.mayName(previous); err != nil {
		return err
	}
	if err := r.agrees(ctx, previous); err != nil {
		return err
	}
	if err := r.isKnown(previous); err != nil {
		return err
	}
	parameters, err := r.parametersOf(previous)
	if err != nil {
		return err
	}
	q := &r.request
	r.given = q.Parameters
	if q.ETag != "" && q.ETag != previous.Package.ETag || q.VersionID != "" && q.VersionID != previous.Package.VersionID {
		r.namedVersion = place{r.exec.Packages, previous.SourceObject, store.GetOptions{IfMatch: q.ETag, VersionID: q.VersionID}}
	}
	q.Action, q.Object, q.ParameterSet, q.Parameters = q.ActionAfter(previous), previous.SourceObject, previous.ParameterSet, parameters
	q.ETag, q.VersionID, q.Pinned = previous.Package.ETag, previous.Package.VersionID, previous.Package.SHA256
	if known != nil && q.Created.IsZero() {
		q.Created = known.Uploaded
	}
	r.name = cmp.Or(previous.Package.Name, intake.PackageName(q.Object))
	r.result.Action, r.result.SourceObject, r.result.ParameterSet = string(q.Action), q.Object, q.ParameterSet
	r.result.Package.ETag, r.result.Package.VersionID = q.ETag, q.VersionID
	r.hides = hiding.Of(q.Parameters, nil)
	r.previous = &previous
	return nil
}

// readPrevious reads the result of the run that a request names, and what the package's record knows of
// it; nil: nothing.
func (r *asked) readPrevious(ctx context.Context, id string) (evidence.Result, *claim.Entry, error) {
	previous, digest, err := r.exec.follower.ReadResult(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return previous, nil, problem.New(problem.Problem{
			Code: "request.unknown_run", Where: id, Message: "there is no result of such a run", Hint: "list runs/ in " + r.exec.Results.Name(),
		}, err)
	case problem.CodeOf(err) == "state.result":
		return previous, nil, problem.New(problem.Problem{
			Code: "request.unknown_run", Where: id, Message: "the result of that run cannot be read", Hint: "name another run, or go on by hand",
		}, err)
	}
	if err != nil {
		return previous, nil, err
	}
	known, err := r.recorded(ctx, previous, digest)
	return previous, known, err
}

// recorded returns what the package's record knows of a run, and refuses a result that is not the one
// that it knows.
func (r *asked) recorded(ctx context.Context, result evidence.Result, digest string) (*claim.Entry, error) {
	if result.Environment != r.exec.Environment || result.Package.Name == "" {
		return nil, r.exec.follower.Vouched(ctx, result.RunID, digest) // it has no record here
	}
	record, err := r.exec.follower.Record(ctx, result.Package.Name)
	if err != nil {
		return nil, err
	}
	known := record.Find(result.ParameterSet, result.RunID)
	if known == nil || known.Result == "" {
		return known, r.exec.follower.Vouched(ctx, result.RunID, digest)
	}
	if known.Result != digest {
		return nil, r.exec.follower.Altered("request.altered", result.RunID)
	}
	return known, nil
}

// mayName refuses to go back to a run that is not of the kind that the request wants.
func (r *asked) mayName(previous evidence.Result) error {
	refuse := func(code, message, hint string) error {
		return problem.New(problem.Problem{Code: code, Where: previous.RunID, Message: message, Hint: hint}, nil)
	}
	switch q := r.request; {
	case previous.Environment != r.exec.Environment:
		return refuse("request.differs", "that run was in "+previous.Environment, "name a run of "+r.exec.Environment)
	case previous.Action == string(ActionRollback):
		return refuse("rollback.of_rollback", "that run was a rollback itself, of "+previous.PreviousRunID,
			"to apply again what it has undone, send rerun_of with "+previous.PreviousRunID+"; to undo more, rollback_of with a run that applied something")
	case q.RerunOf == "" && previous.Action != string(ActionApply):
		return refuse("request.differs", "that run was a "+previous.Action+", which has changed nothing", "name one that applied the package")
	case q.RollbackOf != "" && q.Action != ActionRollback && !followup.Began(previous) && previous.Status != evidence.StatusSuccess:
		return refuse("request.differs", "that run was "+string(previous.Status)+" and has applied nothing, so there is nothing to go back to", "name one that applied the package")
	case q.Action == ActionRollback && !followup.RanAny(previous):
		return refuse("request.differs", "that run was "+string(previous.Status)+" and nothing of it was executed, so there is nothing to undo", "name one that applied the package")
	case q.ResumeFrom != "" && !followup.Began(previous):
		return refuse("request.not_partial", "nothing of that run has changed anything: there is nothing to go on with", "send rerun_of"+anew)
	case q.ResumeFrom != "" && followup.UndoBegan(previous):
		return refuse("request.not_partial", "undo scripts of that run have run", "run the package anew, with rerun_of")
	}
	return nil
}

// agrees refuses a request that says something else than the run that it names.
func (r *asked) agrees(ctx context.Context, previous evidence.Result) error {
	q := r.request
	var problems []problem.Problem
	note := func(where, given, was, hint string) {
		if given == "" || given == was {
			return
		}
		message := fmt.Sprintf("the run %s had %s, and not %s", previous.RunID, printed(was), printed(given))
		problems = append(problems, problem.Problem{Code: "request.differs", Where: where, Message: message, Hint: hint})
	}
	leave := "leave it out: everything is taken from the run that is named"
	if q.Object != "" && q.Object != previous.SourceObject {
		note("/object", q.Object, previous.SourceObject, r.otherRun(ctx, previous))
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

// otherRun says, to somebody who names an object that another run is of, which run to name: with
// rollback_of it was the run to be left, in earlier versions.
func (r *asked) otherRun(ctx context.Context, previous evidence.Result) string {
	hint := "name that object, or none, or the run that is to be gone back to"
	record, err := r.exec.follower.Record(ctx, previous.Package.Name)
	if err != nil {
		return hint
	}
	for _, e := range slices.Backward(record.Sets[previous.ParameterSet]) {
		if e.Object == r.request.Object {
			return "name the run of that object: " + e.RunID
		}
	}
	return hint
}

// isKnown refuses to go back to a run of which it is not known what it was to run.
func (r *asked) isKnown(previous evidence.Result) error {
	if err := intake.CheckName(previous.SourceObject); err != nil {
		return err
	}
	if previous.Package.SHA256 != "" || previous.Package.ETag != "" {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "request.gone", Where: previous.RunID, Message: "that run ended before it was known which version of " + printed(previous.SourceObject) + " it was of",
		Hint: "send a request that names the object",
	}, nil)
}

// parametersOf are the parameters of the earlier run. Hidden ones are not in a result and have to be
// given again.
func (r *asked) parametersOf(previous evidence.Result) (map[string]json.RawMessage, error) {
	given := maps.Clone(r.request.Parameters)
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
				Code: "request.hidden", Where: "/parameters/" + name, Message: "the value of the parameter " + name + " was hidden, as a secret is", Hint: "give it in the request",
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

// sameContents refuses contents that are not those of the run that the request goes back to.
func (r *earlier) sameContents(dirHash string) error {
	if r.previous.Package.DirHash == "" || r.previous.Package.DirHash == dirHash {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "request.differs", Where: r.previous.RunID, Message: "that run had other contents: " + r.previous.Package.Version + ", " + r.previous.Package.DirHash,
		Hint: "a package that was changed is a new upload" + anew,
	}, nil)
}

// mayGoBack refuses a way back that what is applied by now has closed.
func (r *earlier) mayGoBack(plan *manifest.Plan) error {
	q := r.request
	if r.previous.Action != string(ActionApply) {
		return nil
	}
	was := r.previous
	known := r.history.Find(was.ParameterSet, was.RunID)
	if known == nil && followup.Began(*was) { // an earlier version did not note it, or it is long ago
		derived := followup.Entry(*was, claim.Entry{Key: admission.ContentKey(plan, r.result.Package.DirHash, q.ParameterSet)})
		known = &derived
	}
	if known != nil {
		undoes := *known
		undoes.Result = "" // that is of another run than the claim's
		r.undoes = &undoes
	}
	if err := r.sameHidden(plan, known); err != nil {
		return err
	}
	later := r.history.After(was.ParameterSet, was.RunID, was.Start)
	if later != nil && r.isOwn(later.RunID) {
		later = nil
	}
	switch {
	case q.ResumeFrom != "":
		return r.mayResume(known, later)
	case r.result.Action == string(ActionRollback):
		if known != nil && (known.Standing == claim.Undone || r.history.Outcome(was.ParameterSet, known).Standing == claim.Undone) {
			return r.refuseBack("rollback.undone", "what that run had done is undone already", "send rerun_of to apply it again", was.RunID)
		}
	case q.RollbackOf != "":
		return nil // an earlier content takes the place of what is applied now
	case later != nil && slices.Contains(admission.KeysOf(plan, r.result.Package.DirHash, q.ParameterSet), later.Key):
		return nil // the same was done again since
	}
	if later != nil && !q.Force {
		return r.refuseBack("rollback.not_latest", fmt.Sprintf("a later run is %s: %s, of version %s", later.Standing, later.RunID, later.Version),
			"go back to that run first; or send force, if this one is to be changed beneath it", was.RunID)
	}
	return nil
}

// sameHidden refuses hidden values that are given again and are not those of the run: its result does not
// have them, but the record's key covers them. An undo may get others, such as a password that was changed
// since: it runs with what is valid now.
func (r *earlier) sameHidden(plan *manifest.Plan, known *claim.Entry) error {
	was := r.previous
	var hidden []string
	for _, name := range slices.Sorted(maps.Keys(was.Parameters)) {
		if hiding.IsMasked(was.Parameters[name]) {
			hidden = append(hidden, name)
		}
	}
	if len(hidden) == 0 || known == nil || r.result.Action == string(ActionRollback) || slices.Contains(admission.KeysOf(plan, r.result.Package.DirHash, was.ParameterSet), known.Key) {
		return nil
	}
	return r.refuseBack("request.differs", "the run "+was.RunID+" had another value of what is hidden in its result: "+strings.Join(hidden, ", "),
		"give the values that it had; for others, send a request that goes back to no run", "/parameters")
}

// isOwn reports whether a run is an earlier attempt of this one.
func (r *earlier) isOwn(runID string) bool { return strings.Contains(runID, "-"+r.ownKey[:12]) }

// mayResume refuses to go on from a run that is not partial and the latest of its set.
func (r *earlier) mayResume(known, later *claim.Entry) error {
	switch {
	case known == nil:
		return r.refuseBack("request.not_partial", "nothing of that run has changed anything: there is nothing to go on with", "send rerun_of", r.previous.RunID)
	case known.Standing == claim.Applied:
		return r.refuseBack("request.not_partial", "that run has succeeded: there is nothing to go on with", "send a request without resume_from", r.previous.RunID)
	case known.Standing == claim.Undone || known.RolledBackBy != nil:
		return r.refuseBack("request.not_partial", "undo scripts of that run have run", "run the package anew, with rerun_of", r.previous.RunID)
	case known.ResumedBy != "" && !r.isOwn(known.ResumedBy):
		return r.refuseBack("rollback.not_latest", "another run has gone on from it: "+known.ResumedBy, "name that one", r.previous.RunID)
	case later != nil:
		return r.refuseBack("rollback.not_latest", fmt.Sprintf("a later run is %s: %s, of version %s", later.Standing, later.RunID, later.Version),
			"only the latest run of a parameter set can be gone on with", r.previous.RunID)
	}
	for _, s := range r.previous.Steps {
		for key, value := range s.Outputs {
			if hiding.IsMasked(value) {
				return r.refuseBack("request.hidden", "the output "+key+" of "+s.Name+" held a secret and was not kept", "run the package anew, with rerun_of", r.previous.RunID)
			}
		}
	}
	if a := withheld(*r.previous); a != nil {
		return r.refuseBack("request.withheld", "the artifact "+a.Name+" was not kept, and the steps that are left may need it: "+a.Withheld,
			"run the package anew, with rerun_of", r.previous.RunID)
	}
	return nil
}

func (r *earlier) refuseBack(code, message, hint, where string) error {
	return problem.New(problem.Problem{Code: code, Where: where, Message: message, Hint: hint + anew}, nil)
}

// anew is what to heed when a request that was refused is sent again.
const anew = "; when you send this again, give another reason or request_id: the same request is answered the same"

// before returns how a step ended in the run that this one goes back to.
func (r *earlier) before(s steps.Step) (evidence.Step, bool) {
	if r.previous == nil {
		return evidence.Step{}, false
	}
	i := slices.IndexFunc(r.previous.Steps, func(p evidence.Step) bool { return p.Name == s.Name && p.Phase == string(s.Phase) })
	if i < 0 {
		return evidence.Step{}, false
	}
	return r.previous.Steps[i], true
}

// leaveOut leaves out the steps that had succeeded in the run that this one goes on from. What they gave to
// later ones counts again, here and in a run that goes on from this one.
func (r *earlier) leaveOut() {
	for i, s := range r.job.Plan {
		before, ok := r.before(s)
		if ok && (before.Status == evidence.StepSuccess || before.Status == evidence.StepSkipped) {
			r.job.Plan[i].Do, r.job.Plan[i].Outputs = steps.Skip, before.Outputs
		}
	}
}

// rollBack makes the job one that undoes an earlier run: the steps that had begun in it, without those
// whose undo has succeeded already, then or since.
func (r *earlier) rollBack(ctx context.Context) error {
	done, err := r.undoneBefore(ctx)
	if err != nil {
		return err
	}
	r.job.Outputs = maps.Clone(r.previous.Outputs)
	// An output that was hidden is not there, rather than wrong.
	maps.DeleteFunc(r.job.Outputs, func(_, value string) bool { return hiding.IsMasked(value) })
	for i, s := range r.job.Plan {
		before, ok := r.before(s)
		switch {
		case !ok || before.Attempts == 0 && before.Status != evidence.StepSkipped:
		case s.Undo != "" && undone(done, s):
			r.job.Plan[i].Do = steps.Undone
		default:
			r.job.Plan[i].Do = steps.Revert
		}
	}
	return nil
}

// undoneBefore lists the undo scripts of the run that is rolled back, as they ended in that run and in
// the last rollback of it.
func (r *earlier) undoneBefore(ctx context.Context) ([]evidence.Step, error) {
	var all []evidence.Step
	if r.previous.Rollback != nil {
		all = slices.Clone(r.previous.Rollback.Steps)
	}
	known := r.history.Find(r.previous.ParameterSet, r.previous.RunID)
	if known == nil || known.RolledBackBy == nil {
		return all, nil
	}
	last, digest, err := r.exec.follower.ReadResult(ctx, known.LastRollback())
	if err == nil {
		err = r.exec.follower.Vouched(ctx, last.RunID, digest)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return all, nil // what it undid is undone again
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
