package terminal

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// ShowResults prints the results of a package's run, or of its runs with each parameter set: the
// documents as they are for machines, or what a person wants to know, fit to be pasted into a
// ticket. folder is where the evidence is kept, if it is; allSets says that no set was chosen. The
// error is an EndedError that stands for the worst status.
func (t *Terminal) ShowResults(results []evidence.Result, folder string, allSets bool) error {
	if t.JSON() {
		if err := t.printResults(results, allSets && results[0].ParameterSet != ""); err != nil {
			return err
		}
	}
	worst := codes.ExitSuccess
	for _, r := range results {
		if !t.JSON() {
			t.showResult(r, folder)
		}
		worst = max(worst, StatusCode(r.Status))
	}
	if worst == codes.ExitSuccess {
		return nil
	}
	return &EndedError{worst}
}

// printResults prints one document, or an array of those of the package's sets.
func (t *Terminal) printResults(results []evidence.Result, sets bool) error {
	var docs []json.RawMessage
	for _, r := range results {
		doc, err := r.Encode()
		if err != nil {
			return err
		}
		docs = append(docs, doc)
	}
	out := []byte(docs[0])
	if sets {
		var err error
		if out, err = json.MarshalIndent(docs, "", "  "); err != nil {
			return err
		}
		out = append(out, '\n')
	}
	_, err := t.Stdout.Write(out)
	return err
}

func (t *Terminal) showResult(r evidence.Result, folder string) {
	where := ""
	if folder != "" {
		where = filepath.Join(folder, evidence.ResultObject(r.RunID))
	}
	fmt.Fprint(t.Stdout, summaryOf(r, where, t.symbols))
	if r.Error != nil {
		t.ShowResultError(t.whereToLook(*r.Error, r.Steps, r.RunID, folder))
	}
	if r.Rollback != nil && r.Rollback.Error != nil {
		t.ShowResultError(t.whereToLook(*r.Rollback.Error, r.Rollback.Steps, r.RunID, folder))
	}
	if folder != "" {
		fmt.Fprint(t.Stdout, next(r, folder))
	}
}

// whereToLook names the log that a hint speaks of, or says that it was shown and not kept, or that it is empty.
func (t *Terminal) whereToLook(e evidence.Error, steps []evidence.Step, runID, folder string) *evidence.Error {
	const log = "see the step's log"
	above := "its output is above"
	if !t.Local {
		above += "; --results FOLDER keeps all of it"
	}
	look := above
	for _, s := range steps {
		switch {
		case s.Status == evidence.StepSuccess || s.Log == "":
		case s.OutputSize == 0:
			look = "the script printed nothing; set -x at its top shows how far it comes"
		case folder != "":
			look = "see " + filepath.Join(folder, evidence.Dir(runID), s.Log)
		default:
			look = above
		}
	}
	e.Hint = strings.Replace(e.Hint, log, look, 1)
	for i := range e.Problems {
		e.Problems[i].Hint = strings.Replace(e.Problems[i].Hint, log, look, 1)
	}
	return &e
}

// ShowResultError says everything that is wrong by the error of a result.
func (t *Terminal) ShowResultError(e *evidence.Error) {
	if len(e.Problems) > 0 {
		for _, p := range e.Problems {
			t.ShowProblem(p)
		}
		return
	}
	t.ShowProblem(problem.Problem{Code: e.Code, Message: e.Message, Hint: e.Hint})
}
