package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// showResults prints the results of a package's run, or of its runs with each parameter set: the
// documents as they are for machines, or what a person wants to know, fit to be pasted into a
// ticket. folder is where the evidence is kept, if it is; allSets says that no set was chosen. The error stands for the worst status.
func (t *terminal) showResults(results []evidence.Result, folder string, allSets bool) error {
	if t.format == "json" {
		if err := t.printResults(results, allSets && results[0].ParameterSet != ""); err != nil {
			return err
		}
	}
	worst := codes.ExitSuccess
	for _, r := range results {
		if t.format != "json" {
			t.showResult(r, folder)
		}
		worst = max(worst, statusCode(r.Status))
	}
	if worst == codes.ExitSuccess {
		return nil
	}
	return &endedError{worst}
}

// printResults prints one document, or an array of those of the package's sets.
func (t *terminal) printResults(results []evidence.Result, sets bool) error {
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
	_, err := t.stdout.Write(out)
	return err
}

func (t *terminal) showResult(r evidence.Result, folder string) {
	where := ""
	if folder != "" {
		where = filepath.Join(folder, evidence.ResultObject(r.RunID))
	}
	fmt.Fprint(t.stdout, summaryText(r, where))
	if r.Error != nil {
		t.showResultError(t.whereToLook(*r.Error, r.Steps, r.RunID, folder))
	}
	if r.Rollback != nil && r.Rollback.Error != nil {
		t.showResultError(t.whereToLook(*r.Rollback.Error, r.Rollback.Steps, r.RunID, folder))
	}
}

// whereToLook names the log that a hint speaks of, or says that it was shown and not kept.
func (t *terminal) whereToLook(e evidence.Error, steps []evidence.Step, runID, folder string) *evidence.Error {
	const log = "see the step's log"
	look := "its output is above"
	if !t.local {
		look += "; --results DIR keeps all of it"
	}
	for _, s := range steps {
		if folder != "" && s.Status != evidence.StepSuccess && s.Log != "" {
			look = "see " + filepath.Join(folder, evidence.Dir(runID), s.Log)
		}
	}
	e.Hint = strings.Replace(e.Hint, log, look, 1)
	for i := range e.Problems {
		e.Problems[i].Hint = strings.Replace(e.Problems[i].Hint, log, look, 1)
	}
	return &e
}

// summaryText is the summary of a run in plain lines.
func summaryText(r evidence.Result, where string) string {
	var b strings.Builder
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-9s %s\n", label, visible(value))
		}
	}
	b.WriteString("\n")
	line("status", string(r.Status))
	line("run", r.RunID)
	line("package", strings.TrimSpace(r.Package.Name+" "+r.Package.Version))
	line("content", r.Package.DirHash)
	line("target", r.Environment)
	line("set", r.ParameterSet)
	if r.Action != "apply" {
		line("action", strings.ReplaceAll(r.Action, "_", " "))
	}
	if r.Execution.Ran {
		line("sandbox", sandboxText(r.Sandbox))
	}
	line("time", fmt.Sprintf("%s, %s", r.Start.Format(time.RFC3339), r.End.Sub(r.Start).Round(time.Millisecond)))
	steps := func(what string, list []evidence.Step) {
		for i, s := range list {
			line(label(i == 0, what), fmt.Sprintf("%-11s %s %s", strings.ReplaceAll(string(s.Status), "_", " "), s.Phase, s.Name))
		}
	}
	steps("steps", r.Steps)
	if r.Rollback != nil {
		steps("undo", r.Rollback.Steps)
	}
	for i, a := range r.Artifacts {
		text := fmt.Sprintf("%s (%s)", a.Name, count(int(a.Size), "byte"))
		if a.Withheld != "" {
			text = a.Name + " withheld: " + a.Withheld
		}
		line(label(i == 0, "artifacts"), text)
	}
	for i, key := range slices.Sorted(maps.Keys(r.Outputs)) {
		value, _, more := strings.Cut(r.Outputs[key], "\n")
		if more || len(value) > maxShown {
			value = strings.ToValidUTF8(value[:min(len(value), maxShown)], "") + " …"
		}
		line(label(i == 0, "outputs"), key+"="+value)
	}
	if len(r.Steps) == 0 || !r.Execution.Ran {
		line("note", r.Execution.Note)
	}
	if r.Status == evidence.StatusSkipped {
		line("note", r.Message)
	}
	line("evidence", where)
	return b.String()
}

// sandboxText says how scripts were confined, and what that left open.
func sandboxText(s evidence.Sandbox) string {
	text := s.Level
	if !s.Network && s.Seccomp {
		text += ", no network"
	}
	if s.CredentialsReachable {
		text += "; scripts could reach the credentials of whoever ran them"
	}
	return text
}

// maxShown is how much of an output the summary shows.
const maxShown = 60

func label(first bool, text string) string {
	if first {
		return text
	}
	return ""
}

func (t *terminal) showResultError(e *evidence.Error) {
	if len(e.Problems) > 0 {
		for _, p := range e.Problems {
			t.showProblem(p)
		}
		return
	}
	t.showProblem(problem.Problem{Code: e.Code, Message: e.Message, Hint: e.Hint})
}
