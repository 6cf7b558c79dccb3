package executor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

// maxResult bounds a result that is read back.
const maxResult = 16 << 20

// previousRun is the run that the request goes back to; "" where it stands alone.
func (q Request) previousRun() string { return cmp.Or(q.ResumeFrom, q.RollbackOf, q.RerunOf) }

// consistent refuses requests whose parts contradict each other.
func (q Request) consistent() error {
	var problems []problem.Problem
	note := func(wrong bool, where, message, hint string) {
		if wrong {
			problems = append(problems, problem.Problem{Code: "trigger.value", Where: where, Message: message, Hint: hint})
		}
	}
	note(q.Action == ActionRollback && q.RollbackOf == "", "/rollback_of", "a rollback needs the run that it undoes", "name its run id")
	given := 0
	for _, id := range []string{q.ResumeFrom, q.RollbackOf, q.RerunOf} {
		if id != "" {
			given++
		}
	}
	note(given > 1, "/resume_from", "a run goes back to an earlier one in one way only", "leave out all but one of resume_from, rollback_of and rerun_of")
	note(q.RerunOf != "" && q.Reason == "", "/reason", "doing the same again needs a reason", "say why, in a sentence")
	note(q.ResumeFrom != "" && q.Action != "" && q.Action != ActionApply, "/resume_from", "only apply goes on from an earlier run", "leave it out")
	note(q.RollbackOf != "" && (q.Action == ActionDryRun || q.Action == ActionCheck), "/rollback_of", "nothing is undone by "+string(q.Action), "leave it out")
	note(q.RollbackOf != "" && q.Reason == "", "/reason", "going back needs a reason", "say why, in a sentence")
	return problem.Join(problems)
}

// recall reads the result of the run that the request goes back to, and takes its parameters
// where the request gives none.
func (r *run) recall(ctx context.Context, m *manifest.Manifest, dirHash string) error {
	id := r.request.previousRun()
	if id == "" {
		return nil
	}
	r.result.PreviousRunID = id
	previous, err := r.readPrevious(ctx, id)
	if err != nil {
		return err
	}
	wrong := func(message, hint string) error {
		return problem.New(problem.Problem{Code: "trigger.previous_run", Where: id, Message: message, Hint: hint}, nil)
	}
	switch {
	case previous.Environment != r.Environment:
		return wrong("that run was in "+previous.Environment, "name a run of "+r.Environment)
	case previous.Package.Name != m.Name:
		return wrong("that run was of the package "+previous.Package.Name, "name a run of "+m.Name)
	case r.does(ActionApply) && r.request.RollbackOf != "":
		return nil // another version of the package takes that run's place
	case r.request.RerunOf != "":
		return nil // the same again, from its beginning
	case previous.Package.DirHash != dirHash:
		return wrong("that run had other contents: "+previous.Package.Version+", "+previous.Package.DirHash, "name the object that it ran, in the version it had")
	case previous.Action != string(ActionApply):
		return wrong("that run was a "+previous.Action, "name one that applied the package")
	}
	r.previous = &previous
	return r.takeParameters(previous, wrong)
}

// takeParameters makes the parameters of the earlier run those of this one. Sensitive ones are
// not in a result and have to be given again.
func (r *run) takeParameters(previous evidence.Result, wrong func(message, hint string) error) error {
	if r.request.ParameterSet != previous.ParameterSet {
		return wrong(fmt.Sprintf("that run was of the parameter set %q", previous.ParameterSet), "name that set as parameter_set")
	}
	given := maps.Clone(r.request.Parameters)
	if given == nil {
		given = map[string]json.RawMessage{}
	}
	for name, value := range previous.Parameters {
		if _, ok := given[name]; ok {
			continue
		}
		if text, ok := value.(string); ok && strings.Contains(text, redact.Mask) {
			return wrong("the value of the parameter "+name+" was hidden, as a secret is", "give it in the request")
		}
		doc, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encode parameter %s: %w", name, err)
		}
		given[name] = doc
	}
	r.request.Parameters = given
	return nil
}

// readPrevious reads the result of the run that a request names.
func (r *run) readPrevious(ctx context.Context, id string) (evidence.Result, error) {
	previous, err := r.readResult(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return previous, problem.New(problem.Problem{
			Code: "trigger.previous_run", Where: id, Message: "there is no result of such a run", Hint: "list runs/ in " + r.Results.Name(),
		}, err)
	case problem.CodeOf(err) == "state.result":
		return previous, problem.New(problem.Problem{
			Code: "trigger.previous_run", Where: id, Message: "the result of that run cannot be read", Hint: "name another run, or go on by hand",
		}, err)
	}
	return previous, err
}

// resumable refuses to go on from a run whose parameters were others, or whose outputs are hidden.
func (r *run) resumable(plan *manifest.Plan) error {
	if r.request.ResumeFrom == "" {
		return nil
	}
	refuse := func(message, hint string) error {
		return problem.New(problem.Problem{Code: "trigger.previous_run", Where: r.request.ResumeFrom, Message: message, Hint: hint}, nil)
	}
	if r.previous.Status == evidence.StatusSuccess {
		return refuse("that run has succeeded: there is nothing to go on with", "send a request without resume_from")
	}
	if r.previous.Rollback != nil && len(r.previous.Rollback.Steps) > 0 {
		return refuse("what that run had done was undone", "run the package anew")
	}
	now, err := json.Marshal(shown(plan.Arguments()))
	if err != nil {
		return fmt.Errorf("encode parameters: %w", err)
	}
	values := map[string]any{}
	if err := json.Unmarshal(now, &values); err != nil && string(now) != "null" {
		return fmt.Errorf("decode parameters: %w", err)
	}
	if len(values)+len(r.previous.Parameters) > 0 && !reflect.DeepEqual(values, r.previous.Parameters) {
		return refuse("that run had other parameters", "leave the parameters out, or run the package anew")
	}
	for _, s := range r.previous.Steps {
		for key, value := range s.Outputs {
			if strings.Contains(value, redact.Mask) {
				return refuse("the output "+key+" of "+s.Name+" held a secret and was not kept", "run the package anew")
			}
		}
	}
	return nil
}

// before returns how a step ended in the run that this one goes back to.
func (r *run) before(s script) (evidence.Step, bool) {
	if r.previous == nil {
		return evidence.Step{}, false
	}
	i := slices.IndexFunc(r.previous.Steps, func(p evidence.Step) bool { return p.Name == s.Name && p.Phase == string(s.Phase) })
	if i < 0 {
		return evidence.Step{}, false
	}
	return r.previous.Steps[i], true
}

// resumed reports whether a step had succeeded in the run that this one goes on from; what it
// gave to later steps counts again, here and in a run that goes on from this one.
func (r *run) resumed(s script) (map[string]string, bool) {
	if r.request.ResumeFrom == "" {
		return nil, false
	}
	step, ok := r.before(s)
	if !ok || step.Status != evidence.StepSuccess && step.Status != evidence.StepSkipped {
		return nil, false
	}
	maps.Copy(r.outputs, step.Outputs)
	return step.Outputs, true
}

// rollBack undoes an earlier run: the steps that had begun in it, the last one first, without
// those that it undid itself.
func (r *run) rollBack(ctx context.Context, plan *manifest.Plan, scripts []script) error {
	for key, value := range r.previous.Outputs {
		if !strings.Contains(value, redact.Mask) { // one that was hidden is not there, rather than wrong
			r.outputs[key] = value
		}
	}
	var pending []script
	var without []string
	for _, s := range scripts {
		r.result.Steps = append(r.result.Steps, describeStep(s, evidence.StepNotRun))
		step, ok := r.before(s)
		switch {
		case !ok || step.Attempts == 0 && step.Status != evidence.StepSkipped:
		case s.undo == nil && s.Phase == manifest.PhaseRun:
			without = append(without, s.Name)
		case s.undo != nil && !undone(r.previous.Rollback, *s.undo):
			pending = append([]script{*s.undo}, pending...)
		}
	}
	if len(pending) == 0 {
		r.result.Execution.Note = "nothing of that run has an undo that is left to be done; nothing was executed"
		return nil
	}
	defer func() { r.result.Rollback.WithoutUndo = without }()
	return r.runUndo(ctx, plan, pending, len(scripts))
}

// undone reports whether an undo script has succeeded already.
func undone(rollback *evidence.Rollback, undo script) bool {
	return rollback != nil && slices.ContainsFunc(rollback.Steps, func(s evidence.Step) bool {
		return s.Name == undo.Name && s.Run == undo.Run && s.Status == evidence.StepSuccess
	})
}
