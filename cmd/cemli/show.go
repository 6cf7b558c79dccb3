package main

import (
	"fmt"
	"strings"
	"time"

	"cemli-executor/internal/evidence"
)

// showResult prints a result: the document as it is for machines, or what a person
// wants to know, fit to be pasted into a ticket.
func (t *terminal) showResult(r evidence.Result, where string) error {
	if t.format == "json" {
		doc, err := r.Encode()
		if err != nil {
			return err
		}
		_, err = t.stdout.Write(doc)
		return err
	}
	fmt.Fprint(t.stdout, summaryText(r, where))
	if r.Error != nil {
		t.showResultError(r.Error)
	}
	if r.Rollback != nil && r.Rollback.Error != nil {
		t.showResultError(r.Rollback.Error)
	}
	return nil
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
		text := fmt.Sprintf("%s (%d bytes)", a.Name, a.Size)
		if a.Withheld != "" {
			text = a.Name + " withheld: " + a.Withheld
		}
		line(label(i == 0, "artifacts"), text)
	}
	if len(r.Steps) == 0 {
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
	t.errorf("%s (%s)", e.Message, e.Code)
	if e.Hint != "" {
		t.hintf("%s", e.Hint)
	}
}
